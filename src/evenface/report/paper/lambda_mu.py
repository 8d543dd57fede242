"""A study over lambda and mu in the layout of the paper's Fig. 9: two maps, of the mean recall and of the overall accuracy.

    rendered = LambdaMu().render(scored)
    rendered.drawings[0].figure.savefig("fig9.svg")

The paper draws the overall accuracy on the test set and chooses by it. Which of the two numbers is best where, and how wide its interval is
beside the differences, is what our maps are for; the recipe scores on validation.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from evenface.errors import ConfigError
from evenface.evaluation.compare import MethodScores
from evenface.report.grid import Grid
from evenface.report.paper.scored import Drawing, Entry, Rendered, Scored
from evenface.report.study import tall
from evenface.report.tables import p_text, percent, points


if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


CHOICE = (0.1, 0.5)
"""The paper's lambda and mu."""

_NAMES = {"mean_recall": "Mean recall", "overall": "Overall accuracy"}
_DEFAULTS = {"lam": 0.1, "mu": 0.5}
_Point = tuple[float, float]


class LambdaMu:
    """The layout of Fig. 9."""

    def check(self, entries: tuple[Entry, ...]) -> None:
        places = [_place(entry) for entry in entries]
        if len(set(places)) < len(places) or len(places) < 2:
            raise ConfigError(
                "The layout 'fig9' is of runs that differ in `method_options.lam` or `method_options.mu`; let the `axes` be those two."
            )

    def render(self, scored: Scored) -> Rendered:
        entries = {_place(entry): entry for entry in scored.entries}
        found = {place: scored.find(entry.name) for place, entry in entries.items()}
        scores = {place: each[1] for place, each in found.items() if each is not None}
        n = next((sum(each[0].comparison.n) for each in found.values() if each is not None), 0)
        grids = tuple(self._grid(key, entries, found, scored.split, n) for key in _NAMES)
        drawings = (Drawing("fig9", draw(scores, list(entries), scored.split, n)),) if scores else ()
        return Rendered(grids, grids, self._csv(entries, found), drawings)

    def _grid(self, key: str, entries: Mapping[_Point, Entry], found: Mapping[_Point, Any], split: str, n: int) -> Grid:
        lams, mus = _sides(list(entries))
        rows = []
        for lam in lams:
            cells = []
            for mu in mus:
                each = found.get((lam, mu))
                cells.append("" if (lam, mu) not in entries else "-" if each is None else tall(each[1].mean(key), each[1].ci95[key]))
            rows.append((f"lambda {lam:g}", *cells))
        notes = [f"Percent of the {n:,} {split} faces; below it the ends of the 95 % interval."]
        scores = {place: each[1] for place, each in found.items() if each is not None}
        if scores:
            notes.append(self._best(key, scores, found))
        return Grid(f"Fig. 9: {_NAMES[key].lower()} on {split}", ("", *(f"mu {mu:g}" for mu in mus)), tuple(rows), notes=tuple(notes))

    def _best(self, key: str, scores: Mapping[_Point, MethodScores], found: Mapping[_Point, Any]) -> str:
        """Where the best is, and whether it is told from the paper's choice."""
        place = max(scores, key=lambda each: scores[each].mean(key))
        text = f"Best at lambda {place[0]:g}, mu {place[1]:g}: {percent(scores[place].mean(key))}."
        if place == CHOICE:
            return f"{text} That is the paper's choice."
        pair, base = found[place][2], scores.get(CHOICE)
        if pair is not None and base is not None and pair.baseline == base.method:
            change = getattr(pair, key)
            text += f" Over the paper's 0.1 and 0.5: {points(change)} points, p {p_text(change.p_value)}, before any correction"
            text += f" for having looked at {len(scores)} points."
        return text

    def _csv(self, entries: Mapping[_Point, Entry], found: Mapping[_Point, Any]) -> str:
        """A line per point, rates 0 to 1; what does not exist is empty."""
        rows = []
        for (lam, mu), entry in sorted(entries.items()):
            each = found[lam, mu]
            scores, pair = (None, None) if each is None else each[1:]
            row: dict[str, Any] = {"lambda": lam, "mu": mu, "run": entry.name, "model": entry.model, "dataset": entry.dataset}
            row |= {"seeds": scores and " ".join(map(str, scores.seeds)), "n": each and sum(each[0].comparison.n)}
            for key in _NAMES:
                low, high = scores.ci95[key] if scores else (None, None)
                row |= {key: scores and scores.mean(key), f"{key}_low": low, f"{key}_high": high}
            gain = pair and pair.mean_recall
            row |= {"gain": gain and gain.value, "gain_low": gain and gain.ci95[0], "gain_high": gain and gain.ci95[1]}
            rows.append(row | {"p": gain and gain.p_value, "holm_p": pair and pair.holm_p})
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue()


def draw(scores: Mapping[_Point, MethodScores], places: list[_Point], split: str, n: int) -> Figure:
    """Two maps side by side, a square per point.

    Args:
        scores: by (lambda, mu).
        places: all points of the grid, also those without scores.
        split, n: what they were scored on.
    """
    from matplotlib.figure import Figure

    lams, mus = _sides(places)
    figure = Figure(figsize=(1.9 + 2.1 * len(mus), 1.5 + 0.62 * len(lams)), layout="constrained")
    for axes, key in zip(figure.subplots(1, 2), _NAMES, strict=True):
        _map(figure, axes, key, scores, places, lams, mus)
    text = f"lambda and mu, scored on {n:,} {split} faces. Below each value its 95 % interval. Frame: the paper's choice; bold: the best"
    figure.suptitle(text + ("; hatched: not there yet." if len(scores) < len(places) else "."), fontsize=9)
    return figure


def _map(
    figure: Figure, axes: Axes, key: str, scores: Mapping[_Point, MethodScores], places: list[_Point], lams: list[float], mus: list[float]
) -> None:
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.patches import Rectangle

    values = {place: 100 * each.mean(key) for place, each in scores.items()}
    low, high = min(values.values()), max(values.values())
    scale = Normalize(low - 0.5, high + 0.5) if high == low else Normalize(low, high)
    colours = colormaps["cividis"]
    best = max(values, key=lambda place: values[place])
    for lam, mu in places:
        x, y = mus.index(mu), lams.index(lam)
        if (lam, mu) not in values:
            axes.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor="none", edgecolor="0.7", hatch="///"))
            continue
        shade = scale(values[lam, mu])
        axes.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=colours(shade), edgecolor="white", linewidth=1))
        ink = "white" if shade < 0.55 else "black"
        weight = "bold" if (lam, mu) == best else "normal"
        ends = scores[lam, mu].ci95[key]
        axes.text(x, y + 0.13, f"{values[lam, mu]:.1f}", ha="center", va="center", color=ink, fontsize=10, fontweight=weight)
        axes.text(x, y - 0.24, f"{100 * ends[0]:.1f}\u2013{100 * ends[1]:.1f}", ha="center", va="center", color=ink, fontsize=6.5)
    if CHOICE in places:
        x, y = mus.index(CHOICE[1]), lams.index(CHOICE[0])
        axes.add_patch(Rectangle((x - 0.47, y - 0.47), 0.94, 0.94, facecolor="none", edgecolor="#d1495b", linewidth=2.2))
    axes.set(xlim=(-0.5, len(mus) - 0.5), ylim=(-0.5, len(lams) - 0.5), xlabel="mu (focus)", ylabel="lambda (consistency)")
    axes.set_xticks(range(len(mus)), [f"{mu:g}" for mu in mus])
    axes.set_yticks(range(len(lams)), [f"{lam:g}" for lam in lams])
    axes.tick_params(length=0)
    axes.set_title(_NAMES[key] + ", percent", fontsize=10)
    for spine in axes.spines.values():
        spine.set_visible(False)
    figure.colorbar(ScalarMappable(scale, colours), ax=axes, shrink=0.9, pad=0.02)


def _place(entry: Entry) -> _Point:
    lam, mu = (float(Decimal(str(entry.options.get(name, default)))) for name, default in _DEFAULTS.items())
    return lam, mu


def _sides(places: list[_Point]) -> tuple[list[float], list[float]]:
    return sorted({lam for lam, _ in places}), sorted({mu for _, mu in places})
