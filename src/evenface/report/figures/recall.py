"""Recall of each class with its interval: bars for one method, dots side by side for several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from evenface.evaluation.compare import MethodScores
from evenface.report.figures.colours import class_colour, class_edge, method_style, wrapped
from evenface.report.figures.figure import INK, LINE, SOFT, Figure, canvas, drawn
from evenface.report.tables import percent


COLUMNS = ("class", "n", "method", "seeds", "recall", "low", "high")


@drawn
def recall_figure(name: str, where: str, class_names: Sequence[str], n: Sequence[int], methods: Sequence[MethodScores]) -> Figure:
    """Recalls of one to six methods.

    Args:
        name: of the files.
        where: the split in words, such as "test".
        class_names: in the order of the methods' recalls, which is that of the rows.
        n: images per class.
    """
    rows = tuple(
        (c, n[i], m.method, len(m.seeds), float(m.recall[i]), float(m.recall_ci95[i, 0]), float(m.recall_ci95[i, 1]))
        for i, c in enumerate(class_names)
        for m in methods
    )
    drawing = _bars(class_names, n, methods[0]) if len(methods) == 1 else _dots(class_names, n, methods)
    seeds = " Means over the seeds." if any(len(m.seeds) > 1 for m in methods) else ""
    caption = f"Recall of each class on {where}, {sum(n):,} images; lines are Wilson's 95 % intervals among the class's n images.{seeds}"
    return Figure(name, f"Recall per class, {where}", caption, drawing, COLUMNS, rows)


def _bars(class_names: Sequence[str], n: Sequence[int], method: MethodScores) -> Any:
    drawing = canvas(4.6, 0.36 * len(class_names) + 0.75)
    axes = drawing.subplots()
    for i, c in enumerate(class_names):
        if not n[i]:
            continue
        value, (low, high) = 100 * method.recall[i], 100 * method.recall_ci95[i]
        axes.barh(i, value, height=0.62, color=class_colour(c), edgecolor=class_edge(c), linewidth=0.7)
        axes.plot([low, high], [i, i], color=INK, linewidth=1.3, solid_capstyle="butt")
        text = f"{percent(method.recall[i])} [{percent(low / 100)}, {percent(high / 100)}]"
        axes.text(1.02, i, text, transform=axes.get_yaxis_transform(), va="center", color=INK)
    _frame(axes, class_names, n, range(len(class_names)))
    axes.set_ylim(len(class_names) - 0.45, -0.55)
    return drawing


def _dots(class_names: Sequence[str], n: Sequence[int], methods: Sequence[MethodScores]) -> Any:
    step = len(methods) + 1.2
    drawing = canvas(4.8, 0.125 * step * len(class_names) + 0.7 + 0.17 * len(methods))
    axes = drawing.subplots()
    for m, method in enumerate(methods):
        style = method_style(m)
        y = np.arange(len(class_names)) * step + m
        known = np.array(n) > 0
        low, high = 100 * method.recall_ci95[known].T
        axes.hlines(y[known], low, high, color=style["color"], linewidth=1.4)
        axes.plot(
            100 * method.recall[known],
            y[known],
            linestyle="none",
            markersize=4.2,
            clip_on=False,
            label=wrapped(method.method, 60, 2),
            **style,
        )
    for i in range(0, len(class_names), 2):
        axes.axhspan(i * step - 1.1, i * step + step - 1.1, color="#f3f2ee", linewidth=0, zorder=0)
    _frame(axes, class_names, n, np.arange(len(class_names)) * step + (len(methods) - 1) / 2)
    axes.set_ylim(len(class_names) * step - 1.1, -1.1)
    drawing.legend(loc="outside upper left", ncols=1 if len(methods) > 2 else 2, handletextpad=0.3)
    return drawing


def _frame(axes: Any, class_names: Sequence[str], n: Sequence[int], places: Any) -> None:
    axes.set_xlim(0, 100)
    axes.set_xlabel("recall, percent")
    axes.set_yticks(places, [f"{c}  (n {n[i]:,})" for i, c in enumerate(class_names)])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_color(SOFT)
    axes.grid(axis="x", color=LINE)
