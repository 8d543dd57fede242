"""The trials of a search as a table, the best first, and as lines for a program.

grid = trials_grid("rbcf", ("lr", "mu"), [TrialRow(0, (3e-4, 0.5), 0.61, 6, "done")])
"""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Sequence
from typing import Any

from evenface.report.grid import Grid
from evenface.report.tables import percent


@dataclasses.dataclass(frozen=True)
class TrialRow:
    """A trial.

    Attributes:
        number: from 0.
        values: one per setting.
        recall: mean recall on validation, 0 to 1; None before the end.
        epochs: trained.
        state: in words.
    """

    number: int
    values: tuple[Any, ...]
    recall: float | None
    epochs: int
    state: str


def trials_grid(run: str, settings: Sequence[str], rows: Sequence[TrialRow], notes: Sequence[str] = ()) -> Grid:
    """The finished ones first, by their mean recall; then those that were given up, then the others."""
    lines = tuple((f"{run}.t{row.number}", *map(str, row.values), percent(row.recall), str(row.epochs), row.state) for row in ranked(rows))
    why = "Mean recall on validation, in percent, at the best epoch; given up: at the best one until then."
    return Grid(f"Trials of {run}", ("trial", *settings, "mean recall", "epochs", "state"), lines, notes=(why, *notes))


def trials_csv(settings: Sequence[str], rows: Sequence[TrialRow]) -> str:
    """A line per trial, in the order of the table; rates 0 to 1."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trial", *settings, "validation_mean_recall", "epochs", "state"])
    for row in ranked(rows):
        writer.writerow([row.number, *row.values, "" if row.recall is None else row.recall, row.epochs, row.state])
    return text.getvalue()


def ranked(rows: Sequence[TrialRow]) -> list[TrialRow]:
    place = {"done": 0, "given up": 1}
    return sorted(rows, key=lambda row: (place.get(row.state, 2), -(row.recall or 0.0), row.number))
