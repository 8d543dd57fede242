"""Reliability diagrams: is what the scores say as often right as they say?"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from evenface.evaluation.reliability import CalibrationErrors, Reliability
from evenface.report.figures.colours import wrapped
from evenface.report.figures.figure import INK, LINE, SOFT, Figure, canvas, drawn


BEFORE, AFTER = "#c2571a", "#1f6f9f"
COLUMNS = ("method", "scores", "above", "up_to", "n", "mean_score", "right", "low", "high")


@dataclasses.dataclass(frozen=True, eq=False)
class Calibrated:
    """One method's scores as they are, and with the temperature where there is one.

    Attributes:
        label: of the method.
        before, before_errors: as stored.
        after, after_errors: divided by T; None where there is none.
        temperatures: T of each training, () where there is none.
        source: where T comes from, a sentence; empty without one.
    """

    label: str
    before: Reliability
    before_errors: CalibrationErrors
    after: Reliability | None = None
    after_errors: CalibrationErrors | None = None
    temperatures: tuple[float, ...] = ()
    source: str = ""


@drawn
def reliability_figure(name: str, where: str, n: int, methods: Sequence[Calibrated]) -> Figure:
    """A diagram per method, three in a row, with the number of faces in each bin below."""
    across = min(3, len(methods))
    down = -(-len(methods) // across)
    drawing = canvas(2.75 * across + (0.9 if across == 1 else 0.2), 3.9 * down)
    fields = drawing.subplots(2 * down, across, squeeze=False, sharex="col", height_ratios=(3, 1) * down)
    rows: list[tuple[Any, ...]] = []
    for k, method in enumerate(methods):
        top, bottom = fields[2 * (k // across), k % across], fields[2 * (k // across) + 1, k % across]
        top.plot([0, 100], [0, 100], color=SOFT, linewidth=0.8, linestyle=(0, (3, 3)))
        series = [("as stored", method.before, BEFORE, "o", -0.6)]
        if method.after is not None:
            series.append(("with temperature", method.after, AFTER, "s", 0.6))
        for label, found, colour, marker, shift in series:
            full = found.n > 0
            x, y = 100 * found.score[full], 100 * found.right[full]
            top.vlines(x + shift, *(100 * found.ci95[full].T), color=colour, linewidth=1)
            top.plot(x + shift, y, linestyle="none", marker=marker, markersize=3.6, color=colour, label=label)
            table = zip(found.low_edge, found.high_edge, found.n, found.score, found.right, *found.ci95.T, strict=True)
            rows += [(method.label, label, *map(float, row)) for row in table]
            wide = 100 / len(found.n)
            centres = 100 * (found.low_edge + found.high_edge) / 2
            bottom.step(np.append(centres - wide / 2, 100), np.append(found.n, found.n[-1]), where="post", color=colour, linewidth=1)
        _frame(top, bottom, k % across == 0)
        if len(methods) > 1:
            top.set_title(wrapped(method.label, 30, 2))
        if k == 0:
            top.legend(loc="lower right", handletextpad=0.2)
    for k in range(len(methods), across * down):
        for field in fields[2 * (k // across) : 2 * (k // across) + 2, k % across]:
            field.remove()
    seeds = "; means over the trainings" if any(len(m.temperatures) > 1 for m in methods) else ""
    caption = (
        f"Share right among the faces of a bin against their mean score, {where}, {n:,} faces in 15 bins of equal width{seeds}. Lines are "
        "Wilson's 95 % intervals; a point below the broken line is too sure of itself. Below: faces in each bin, logarithmic."
    )
    return Figure(name, f"Reliability, {where}", caption, drawing, COLUMNS, tuple(rows))


def _frame(top: Any, bottom: Any, first: bool) -> None:
    top.set_xlim(0, 100)
    top.set_ylim(0, 103)
    top.grid(color=LINE)
    bottom.set_yscale("log")
    bottom.set_ylim(bottom=0.8)
    bottom.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    bottom.yaxis.set_minor_formatter(lambda value, _: "")
    bottom.grid(axis="y", color=LINE)
    bottom.set_xlabel("score of the chosen class, percent")
    bottom.tick_params(which="minor", length=0)
    if first:
        top.set_ylabel("right, percent", color=INK)
        bottom.set_ylabel("faces", color=INK)
