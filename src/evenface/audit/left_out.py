"""Check `left-out`: rows of the source that the reader leaves out, with the reason; FERPlus's 173 rows without a name are among them."""

from __future__ import annotations

from evenface.audit.finding import Finding
from evenface.audit.odd import odd
from evenface.audit.rows import Rows


def left_out(rows: Rows) -> list[Finding] | str:
    """A finding per row, score 0; or why there is none."""
    if len(rows) == rows.kept:
        return "The reader of this set names no rows that it leaves out."
    return [odd(rows, row, "left-out", str(rows.reasons[row]), 0.0) for row in range(rows.kept, len(rows))]
