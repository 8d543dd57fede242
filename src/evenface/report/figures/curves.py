"""The course of the training: losses and scores after every epoch, and the epoch that was kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evenface.report.figures.colours import AT_MOST, METHODS, wrapped
from evenface.report.figures.figure import INK, LINE, SOFT, Figure, canvas, drawn
from evenface.report.tables import TITLES


Log = Sequence[Mapping[str, float]]
"""Rows of log.csv, numbers already; a column that is no number is left out."""

_SCORES = {"mean_recall": "#1f6f9f", "overall": "#c2571a", "macro_f1": "#6a4c93"}


@drawn
def curves_figure(name: str, split: str, methods: Sequence[tuple[str, Sequence[tuple[str, Log, int | None]]]]) -> Figure:
    """Losses and scores over the epochs: all of them for a single run, the loss and the mean recall on `split` for several.

    Args:
        split: which the epochs were chosen on, "validation" or "test".
        methods: label -> name, log and kept epoch of each run.
    """
    drawing = canvas(7.4, 2.75)
    left, right = drawing.subplots(1, 2)
    runs = [run for _, members in methods for run in members]
    if len(runs) == 1:
        _one(left, right, split, runs[0])
    else:
        for m, (label, members) in enumerate(methods):
            colour = METHODS[m % AT_MOST]
            text: str | None = wrapped(label, 60, 2)
            for run in members:
                if _line(left, run, f"{split}_loss", 1, color=colour, label=text):
                    text = None  # one entry of the legend, whichever run has a log
                _line(right, run, f"{split}_mean_recall", 100, color=colour, keep=True)
        left.set_title(f"loss on {split}")
        right.set_title(f"mean recall on {split}, percent")
        if left.lines:
            drawing.legend(loc="outside upper left", ncols=1 if len(methods) > 2 else 2)
    for axes in (left, right):
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(color=LINE)
    columns = ["run", "epoch", "kept"]
    for _, log, _ in runs:
        columns += [key for row in log for key in row if key != "epoch" and key not in columns]
    rows = tuple(
        (who, int(row["epoch"]), int(row["epoch"]) == kept, *(row.get(key) for key in columns[3:]))
        for who, log, kept in runs
        for row in log
    )
    how = "the broken line is the epoch that was kept" if len(runs) == 1 else "a line per seed; dots are the epochs that were kept"
    caption = f"After every epoch; {how}. A point is one reading of the {split} faces, without an interval; the scores above have theirs."
    return Figure(name, "The course of the training", caption, drawing, tuple(columns), rows)


def _one(left: Any, right: Any, split: str, run: tuple[str, Log, int | None]) -> None:
    _line(left, run, "train_loss", 1, color=SOFT, label="training (augmented)")
    _line(left, run, f"{split}_loss", 1, color=INK, label=split)
    for key, colour in _SCORES.items():
        _line(right, run, f"{split}_{key}", 100, color=colour, label=TITLES[key])
    left.set_title("loss")
    right.set_title(f"scores on {split}, percent")
    for axes in (left, right):
        if run[2] is not None:
            axes.axvline(run[2], color=SOFT, linewidth=0.9, linestyle=(0, (3, 3)))
        if axes.lines:
            axes.legend(loc="best")


def _line(axes: Any, run: tuple[str, Log, int | None], key: str, scale: float, keep: bool = False, **style: Any) -> bool:
    """One column over the epochs; an epoch without it is left out. Gives whether there is anything to draw."""
    points = [(row["epoch"], scale * row[key]) for row in run[1] if key in row]
    if not points:
        return False
    x, y = zip(*points, strict=True)
    axes.plot(x, y, linewidth=1.2, marker="." if len(x) == 1 else None, **style)
    if keep and run[2] is not None and run[2] in x:
        axes.plot(run[2], y[x.index(run[2])], "o", markersize=3.5, color=style["color"])
    return True
