"""Confusion matrices: rates and counts, beside one another on one scale; and what changes from the baseline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evenface.evaluation.changes import Changes
from evenface.evaluation.intervals import wilson
from evenface.report.figures.colours import wrapped
from evenface.report.figures.figure import INK, Figure, canvas, drawn


Panel = tuple[str, NDArray[np.int64]]
"""A method's label and its (S, L, L) counts, rows = true, of S trainings."""

DARK = 0.55  # of the scale, above which letters are white


@drawn
def confusion_figure(name: str, where: str, class_names: Sequence[str], panels: Sequence[Panel]) -> Figure:
    """Row rates in percent and counts below them, one matrix per method, all on the scale from 0 to 100."""
    drawing, cells = _panels(len(panels), len(class_names))
    rows = []
    image = None
    for axes, (label, counts) in zip(cells, panels, strict=True):
        seeds, total = len(counts), counts.sum(axis=0)
        n = total.sum(axis=1)
        rates = total / np.where(n > 0, n, np.nan)[:, None]
        low, high = wilson(total / seeds, np.broadcast_to(n[:, None] / seeds, total.shape))
        image = axes.imshow(100 * np.nan_to_num(rates), cmap="Blues", vmin=0, vmax=100)
        for i, true in enumerate(class_names):
            for j, answer in enumerate(class_names):
                rows.append((label, seeds, true, answer, int(total[i, j]), rates[i, j], low[i, j], high[i, j]))
                if total[i, j]:
                    colour = "white" if rates[i, j] > DARK else INK
                    axes.text(j, i - 0.13, f"{100 * rates[i, j]:.1f}", ha="center", va="center", fontsize=7, color=colour)
                    axes.text(j, i + 0.24, f"{total[i, j]:,}", ha="center", va="center", fontsize=5.6, color=colour, alpha=0.8)
        _label(axes, class_names, label if len(panels) > 1 else "", [f"{c} ({k // seeds:,})" for c, k in zip(class_names, n, strict=True)])
    drawing.colorbar(image, ax=cells, shrink=0.6, aspect=30, pad=0.01, label="percent of the row")
    alone = all(len(counts) == 1 for _, counts in panels)
    sums = "" if alone else " Counts are summed over the trainings of a method, rates are of that sum."
    caption = (
        f"Rows: the label, with its number of images; columns: the answer; {where}, {int(panels[0][1][0].sum()):,} images. "
        f"Large: percent of the row; small: the count.{sums} Empty: never. The CSV has Wilson's 95 % interval of each rate."
    )
    columns = ("method", "seeds", "true", "answer", "count", "rate", "low", "high")
    return Figure(name, f"Confusion matrix, {where}", caption, drawing, columns, tuple(rows))


@drawn
def change_figure(
    name: str, where: str, class_names: Sequence[str], n: Sequence[int], baseline: str, panels: Sequence[tuple[str, Changes]]
) -> Figure:
    """Method minus baseline in points, one matrix per method, all on one scale; bold where the paired interval leaves out 0."""
    drawing, cells = _panels(len(panels), len(class_names))
    largest = max(5.0, *(100 * float(np.nanmax(np.abs(found.value))) for _, found in panels))
    rows = []
    image = None
    for axes, (label, found) in zip(cells, panels, strict=True):
        image = axes.imshow(100 * np.nan_to_num(found.value), cmap="PuOr_r", vmin=-largest, vmax=largest)
        for i, true in enumerate(class_names):
            for j, answer in enumerate(class_names):
                value, (low, high) = found.value[i, j], found.ci95[i, j]
                rows.append((label, baseline, true, answer, n[i], value, low, high))
                if abs(value) >= 0.0005:
                    clear = bool(found.clear[i, j])
                    colour = "white" if abs(100 * value) > 0.7 * largest else INK
                    weight = "bold" if clear else "normal"
                    axes.text(j, i, signed(value), ha="center", va="center", fontsize=7, color=colour, weight=weight)
        _label(axes, class_names, label, list(class_names))
    drawing.colorbar(image, ax=cells, shrink=0.6, aspect=30, pad=0.01, label="points")
    of = len(class_names) ** 2
    caption = (
        f"Rows: the label; columns: the answer; each method minus {baseline}, in points of the row, {where}, {sum(n):,} images. The "
        "diagonal is the change of the recall. Bold: the paired 95 % bootstrap interval leaves out 0, as it does in about "
        f"{of * 0.05:.0f} of {of} cells by chance alone."
    )
    columns = ("method", "baseline", "true", "answer", "n", "difference", "low", "high")
    return Figure(name, f"What changes from {baseline}, {where}", caption, drawing, columns, tuple(rows))


def signed(value: float) -> str:
    """A difference of rates in points, with a real minus."""
    return f"{100 * value:+.1f}".replace("-", "\u2212")


def _panels(count: int, classes: int) -> tuple[Any, list[Any]]:
    """A drawing with so many square fields, three in a row, the last ones left out."""
    across = min(count, 3)
    down = -(-count // across)
    side = 0.4 * classes + (0.45 if count > 1 else 0.2)
    drawing = canvas(side * across + 1.35, (side + 0.75) * down)
    fields = list(drawing.subplots(down, across, squeeze=False).ravel())
    for spare in fields[count:]:
        spare.remove()
    return drawing, fields[:count]


def _label(axes: Any, class_names: Sequence[str], title: str, names: Sequence[str]) -> None:
    axes.set_xticks(range(len(class_names)), class_names, rotation=40, ha="right", rotation_mode="anchor")
    first = axes.get_subplotspec().is_first_col()
    axes.set_yticks(range(len(class_names)), names if first else [""] * len(class_names))
    axes.tick_params(length=0, labelsize=7.5)
    axes.set_xticks(np.arange(-0.5, len(class_names)), minor=True)
    axes.set_yticks(np.arange(-0.5, len(class_names)), minor=True)
    axes.grid(which="minor", color="white", linewidth=1)
    axes.tick_params(which="minor", length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    if title:
        axes.set_title(wrapped(title, 40, 2))
