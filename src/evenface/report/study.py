"""The table of a study: a row per run, the best mean recall first, against the recipe's first run.

scores, recalls = study_grids(comparison, minutes, train_counts)     # two that fit a terminal
study_grid(comparison, minutes, train_counts).markdown()             # all in one, for a document
study_csv(comparison, minutes)                                       # for a program: rates 0 to 1, an interval's ends in columns
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

from evenface.evaluation.compare import Comparison, MethodScores
from evenface.report.grid import Grid
from evenface.report.tables import TITLES, class_order, p_text, percent, points


Minutes = Mapping[str, float | None]
_LEAD = ("mean_recall", "overall", "macro_f1")


def study_grids(comparison: Comparison, minutes: Minutes, train_counts: Mapping[str, int] | None = None) -> tuple[Grid, Grid]:
    """The scores with the differences, and the recalls per class; each within a hundred columns."""
    names = class_order(comparison.class_names, train_counts)
    ranked = _ranked(comparison)
    scores = Grid(
        f"Against {comparison.methods[0].method}" if comparison.pairs else "Scores",
        ("run", *(TITLES[key] for key in _LEAD), *(["gain", _p_head(comparison)] if comparison.pairs else []), "minutes"),
        tuple(
            (m.method, *(_tall(m.mean(key), m.ci95[key]) for key in _LEAD), *_gain(comparison, m, "\n"), _minutes(minutes, m))
            for m in ranked
        ),
        notes=_notes(comparison),
    )
    recalls = Grid(
        "Recall per class",
        ("run", *(f"{name}\nn {comparison.n[comparison.class_names.index(name)]}" for name in names)),
        tuple((m.method, *(_tall(m.recall[i], m.recall_ci95[i]) for i in map(comparison.class_names.index, names))) for m in ranked),
        notes=("Percent; below it the ends of Wilson's 95 % interval.",),
    )
    return scores, recalls


def study_grid(comparison: Comparison, minutes: Minutes, train_counts: Mapping[str, int] | None = None) -> Grid:
    """Everything in one table."""
    names = class_order(comparison.class_names, train_counts)
    gain = ["gain", _p_head(comparison)] if comparison.pairs else []
    head = ("run", "seeds", *(TITLES[key] for key in _LEAD), *gain, *(_with_n(comparison, name) for name in names), "minutes")
    rows = []
    for m in _ranked(comparison):
        wide = [_wide(m.mean(key), m.ci95[key]) for key in _LEAD]
        recalls = [_wide(m.recall[i], m.recall_ci95[i]) for i in map(comparison.class_names.index, names)]
        seeds = ", ".join(map(str, m.seeds))
        rows.append((m.method, seeds, *wide, *_gain(comparison, m, " "), *recalls, _minutes(minutes, m)))
    title = f"Against {comparison.methods[0].method}" if comparison.pairs else "Scores"
    return Grid(title, head, tuple(rows), notes=("Percent [95 % interval]; recalls per class: Wilson's.", *_notes(comparison)))


def study_csv(comparison: Comparison, minutes: Minutes) -> str:
    """A line per run, best first; what does not exist is empty."""
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
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


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


def _wide(rate: float, interval: Any) -> str:
    """`76.3 [61.2, 87.0]`; a dash where there is no image."""
    text = percent(rate)
    return text if text == "-" else f"{text} [{percent(interval[0])}, {percent(interval[1])}]"


def _tall(rate: float, interval: Any) -> str:
    """The rate, and below it `61.2-87.0`, which seven columns of fit into a hundred."""
    text = percent(rate)
    return text if text == "-" else f"{text}\n{percent(interval[0])}-{percent(interval[1])}"


def _minutes(minutes: Minutes, method: MethodScores) -> str:
    found = minutes.get(method.method)
    return "-" if found is None else f"{found:.1f}"
