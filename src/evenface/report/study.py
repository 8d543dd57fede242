"""The table of a study: a row per run, the best mean recall first, against the recipe's first run.

scores, recalls = study_grids(comparison, minutes, train_counts)     # two that fit a terminal
study_grid(comparison, minutes, train_counts).markdown()             # all in one, for a document
study_csv(comparison, minutes)                                       # for a program: rates 0 to 1, an interval's ends in columns
summary_grid([({"imbalance": "50"}, comparison), ...])               # of a study with axes: the mean recalls at each combination
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from evenface.evaluation.compare import Comparison, MethodScores
from evenface.report.grid import Grid
from evenface.report.tables import TITLES, class_order, p_text, percent, points


Minutes = Mapping[str, float | None]
_LEAD = ("mean_recall", "overall", "macro_f1")


def study_grids(
    comparison: Comparison, minutes: Minutes, train_counts: Mapping[str, int] | None = None, where: str = ""
) -> tuple[Grid, Grid]:
    """The scores with the differences, and the recalls per class; each within a hundred columns.

    Args:
        where: stands in the titles, such as "imbalance 50".
    """
    names = class_order(comparison.class_names, train_counts)
    ranked = _ranked(comparison)
    scores = Grid(
        _title(comparison, where),
        ("run", *(TITLES[key] for key in _LEAD), *(["gain", _p_head(comparison)] if comparison.pairs else []), "minutes"),
        tuple(
            (m.method, *(tall(m.mean(key), m.ci95[key]) for key in _LEAD), *_gain(comparison, m, "\n"), _minutes(minutes, m))
            for m in ranked
        ),
        notes=_notes(comparison),
    )
    recalls = Grid(
        f"Recall per class{_behind(where)}",
        ("run", *(f"{name}\nn {comparison.n[comparison.class_names.index(name)]}" for name in names)),
        tuple((m.method, *(tall(m.recall[i], m.recall_ci95[i]) for i in map(comparison.class_names.index, names))) for m in ranked),
        notes=("Percent; below it the ends of Wilson's 95 % interval.",),
    )
    return scores, recalls


def study_grid(comparison: Comparison, minutes: Minutes, train_counts: Mapping[str, int] | None = None, where: str = "") -> Grid:
    """Everything in one table."""
    names = class_order(comparison.class_names, train_counts)
    gain = ["gain", _p_head(comparison)] if comparison.pairs else []
    head = ("run", "seeds", *(TITLES[key] for key in _LEAD), *gain, *(_with_n(comparison, name) for name in names), "minutes")
    rows = []
    for m in _ranked(comparison):
        means = [wide(m.mean(key), m.ci95[key]) for key in _LEAD]
        recalls = [wide(m.recall[i], m.recall_ci95[i]) for i in map(comparison.class_names.index, names)]
        seeds = ", ".join(map(str, m.seeds))
        rows.append((m.method, seeds, *means, *_gain(comparison, m, " "), *recalls, _minutes(minutes, m)))
    notes = ("Percent [95 % interval]; recalls per class: Wilson's.", *_notes(comparison))
    return Grid(_title(comparison, where), head, tuple(rows), notes=notes)


def summary_grid(tables: Sequence[tuple[Mapping[str, str], Comparison]]) -> Grid:
    """The mean recall of each run at each combination of labels, with its interval and the gain over the baseline there.

    Runs or combinations become columns, whichever are fewer.
    """
    runs = list(dict.fromkeys(method.method for _, comparison in tables for method in comparison.methods))
    cells = [[_summary(comparison, run) for run in runs] for _, comparison in tables]
    axes = tuple(tables[0][0])
    notes = ["Mean recall in percent, below it the ends of its 95 % interval"]
    if any(comparison.pairs for _, comparison in tables):
        notes[0] += "; then the gain in points over the first run of the recipe at the same combination, with its p"
        notes[0] += " (Holm's, for the runs of that combination)."
    else:
        notes[0] += "."
    if len(runs) <= len(tables):
        rows = tuple((*labels.values(), *row) for (labels, _), row in zip(tables, cells, strict=True))
        return Grid("Mean recall", (*axes, *runs), rows, notes=tuple(notes))
    head = ("run", *(", ".join(f"{axis} {label}" for axis, label in labels.items()) for labels, _ in tables))
    rows = tuple((run, *(row[i] for row in cells)) for i, run in enumerate(runs))
    return Grid("Mean recall", head, rows, notes=tuple(notes))


def _summary(comparison: Comparison, run: str) -> str:
    method = next((method for method in comparison.methods if method.method == run), None)
    if method is None:
        return "-"
    pair = next((pair for pair in comparison.pairs if pair.method == run), None)
    text = tall(method.mean("mean_recall"), method.ci95["mean_recall"])
    return text if pair is None else f"{text}\n{100 * pair.mean_recall.value:+.1f} (p {p_text(pair.holm_p)})"


def study_csv(comparison: Comparison, minutes: Minutes) -> str:
    """A line per run, best first; what does not exist is empty."""
    return tables_csv([({}, comparison, minutes)])


def tables_csv(tables: Sequence[tuple[Mapping[str, str], Comparison, Minutes]]) -> str:
    """The lines of several tables, each with its labels in columns before the others."""
    rows = [{**labels, **row} for labels, comparison, minutes in tables for row in _csv_rows(comparison, minutes)]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _csv_rows(comparison: Comparison, minutes: Minutes) -> list[dict[str, Any]]:
    pairs = {pair.method: pair for pair in comparison.pairs}
    rows: list[dict[str, Any]] = []
    for m in _ranked(comparison):
        row: dict[str, Any] = {"run": m.method, "seeds": " ".join(map(str, m.seeds)), "n": sum(comparison.n)}
        for key in _LEAD:
            low, high = m.ci95[key]
            row |= {key: m.mean(key), f"{key}_low": low, f"{key}_high": high, f"{key}_sd": m.sd(key)}
        pair = pairs.get(m.method)
        gain = None if pair is None else pair.mean_recall
        row |= {
            "gain": gain and gain.value,
            "gain_low": gain and gain.ci95[0],
            "gain_high": gain and gain.ci95[1],
            "p": gain and gain.p_value,
            "holm_p": pair and pair.holm_p,
        }
        for i, name in enumerate(comparison.class_names):
            known = comparison.n[i] > 0
            low, high = m.recall_ci95[i]
            row |= {f"recall_{name}": m.recall[i] if known else None}
            row |= {f"recall_{name}_low": low if known else None, f"recall_{name}_high": high if known else None}
        rows.append(row | {"minutes": minutes.get(m.method)})
    return rows


def _title(comparison: Comparison, where: str) -> str:
    return (f"Against {comparison.methods[0].method}" if comparison.pairs else "Scores") + _behind(where)


def _behind(where: str) -> str:
    return f", {where}" if where else ""


def _ranked(comparison: Comparison) -> list[MethodScores]:
    """The best mean recall first."""
    return sorted(comparison.methods, key=lambda m: -m.mean("mean_recall"))


def _gain(comparison: Comparison, method: MethodScores, gap: str) -> list[str]:
    """The difference of the mean recall to the baseline, and its p."""
    if not comparison.pairs:
        return []
    pair = next((pair for pair in comparison.pairs if pair.method == method.method), None)
    if pair is None:
        return ["", ""]
    return [points(pair.mean_recall).replace(" ", gap, 1), p_text(pair.holm_p)]


def _p_head(comparison: Comparison) -> str:
    return "Holm p" if len(comparison.pairs) > 1 else "p"


def _notes(comparison: Comparison) -> tuple[str, ...]:
    notes = []
    if comparison.pairs:
        notes.append(
            f"Gain: points of mean recall over {comparison.pairs[0].baseline}, on the same images; paired stratified bootstrap, "
            f"{comparison.resamples:,} resamples" + (", p by Holm for several runs." if len(comparison.pairs) > 1 else ".")
        )
    if any(len(m.seeds) > 1 for m in comparison.methods):
        notes.append("Several seeds: means over them; the intervals of the means draw images and seeds.")
    return (*notes, *comparison.notes)


def _with_n(comparison: Comparison, name: str) -> str:
    return f"{name} (n {comparison.n[comparison.class_names.index(name)]})"


def wide(rate: float, interval: Any) -> str:
    """`76.3 [61.2, 87.0]`; a dash where there is no image."""
    text = percent(rate)
    return text if text == "-" or interval[0] == interval[1] else f"{text} [{percent(interval[0])}, {percent(interval[1])}]"


def tall(rate: float, interval: Any) -> str:
    """The rate, and below it `61.2-87.0`, which seven columns of fit into a hundred."""
    text = percent(rate)
    return text if text == "-" or interval[0] == interval[1] else f"{text}\n{percent(interval[0])}-{percent(interval[1])}"


def _minutes(minutes: Minutes, method: MethodScores) -> str:
    found = minutes.get(method.method)
    return "-" if found is None else f"{found:.1f}"
