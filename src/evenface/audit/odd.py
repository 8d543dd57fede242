"""Findings about single pictures, with the suggestion that they share."""

from __future__ import annotations

from evenface.audit.finding import KEEP, LEFT_OUT, Finding
from evenface.audit.rows import Rows
from evenface.data.exclude import EXCLUDE


def pictureless(rows: Rows, row: int, check: str, verdict: str, score: float) -> Finding:
    """A row that shows nothing: in train it may go."""
    suggestion = LEFT_OUT if row >= rows.kept else EXCLUDE if rows.in_train(row) else KEEP
    return Finding(row, check, verdict, score, (), suggestion, rows.in_train(row))


def odd(rows: Rows, row: int, check: str, verdict: str, score: float, others: tuple[str, ...] = ()) -> Finding:
    """A row that a person should look at; it stays unless the check is chosen."""
    return Finding(row, check, verdict, score, others, LEFT_OUT if row >= rows.kept else KEEP, rows.in_train(row))
