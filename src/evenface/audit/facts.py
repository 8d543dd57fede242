"""Checks on what the set itself says of its rows: `subjects`, `votes` and `left-out`.

`subjects` finds people whose faces stand in more than one split: a model that knows the person has an easier test. `left-out` has the rows
of the source that the reader leaves out; FERPlus's 173 rows without a name are among them.
"""

from __future__ import annotations

import numpy as np

from evenface.audit.finding import NAMED, Finding, odd
from evenface.audit.rows import Rows
from evenface.data.manifest import SPLITS
from evenface.data.stats import votes_of
from evenface.errors import DataError


COLUMN = "subject"
NO_FACE = ("NF", "unknown")  # choices of annotators that are no expression
FEW = 2  # votes for one of them that are more than a slip


def people(rows: Rows) -> dict[str, list[int]]:
    """Name -> rows of the manifest; empty where the set does not say."""
    found: dict[str, list[int]] = {}
    if COLUMN in rows.manifest.table.column_names:
        for row, name in enumerate(rows.manifest.table[COLUMN].to_pylist()):
            if name is not None and str(name).strip():
                found.setdefault(str(name), []).append(row)
    return found


def subjects(rows: Rows) -> list[Finding] | str:
    """A finding per face of such a person, score the share of the person's faces that stand in other splits; or why none is sought."""
    known = people(rows)
    if not known:
        return "The set does not say who is who (a column `subject`)."
    found = []
    for name, here in known.items():
        splits = {rows.splits[row] for row in here}
        if len(splits) < 2:
            continue
        verdict = f"{name} in {' and '.join(split for split in SPLITS if split in splits)}"
        some = {split: [r for r in here if rows.splits[r] != split][:NAMED] for split in splits}
        away = {split: sum(rows.splits[r] != split for r in here) / len(here) for split in splits}
        for row in here:
            split = rows.splits[row]
            found.append(odd(rows, row, "subjects", verdict, away[split], tuple(rows.ids[r] for r in some[split])))
    return sorted(found, key=lambda f: f.row)


def votes(rows: Rows) -> list[Finding] | str:
    """A finding per face with a tie for the most votes, without a majority (more than half of all its votes), or with `FEW` votes or more
    that it is no face or that its expression cannot be told; the score is 1 less the share of the winner. Or why there is none.
    """
    try:
        by_name = votes_of(rows.manifest)
    except DataError as error:
        return str(error)
    if not by_name:
        return "The set has no votes (columns `votes_<name>`)."
    counts = np.stack(list(by_name.values()), axis=1)
    total = counts.sum(axis=1).round(9)  # of shares, which sum to 1 but for the last digits
    most = counts.max(axis=1)
    found = []
    for row in np.flatnonzero(total > 0).tolist():
        told = []
        if (counts[row] == most[row]).sum() > 1:
            told.append(f"tie at {most[row]:g} of {total[row]:g} votes")
        elif 2 * most[row] <= total[row]:
            told.append(f"no majority, {most[row]:g} of {total[row]:g} votes")
        for name in NO_FACE:
            n = by_name[name][row] if name in by_name else 0
            if n >= (FEW if total[row] > 1 else FEW / 10):  # of shares: as of FERPlus' ten votes
                told.append(f"{n:g} votes for {'no face' if name == 'NF' else name}")
        if told:
            found.append(odd(rows, row, "votes", ", ".join(told), round(1 - most[row] / total[row], 4)))
    return found


def left_out(rows: Rows) -> list[Finding] | str:
    """A finding per row, score 0; or why there is none."""
    if len(rows) == rows.kept:
        return "The reader of this set names no rows that it leaves out."
    return [odd(rows, row, "left-out", str(rows.reasons[row]), 0.0) for row in range(rows.kept, len(rows))]
