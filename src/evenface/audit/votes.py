"""Check `votes`: faces whose annotators disagree, or of whom several say that it is no face. Where the set has columns `votes_<name>`."""

from __future__ import annotations

import numpy as np

from evenface.audit.finding import Finding
from evenface.audit.odd import odd
from evenface.audit.rows import Rows


NO_FACE = ("NF", "unknown")  # choices that are no expression
FEW = 2  # votes for one of them that are more than a slip


def votes(rows: Rows) -> list[Finding] | str:
    """A finding per face with a tie for the most votes, without a majority (more than half of all its votes), or with `FEW` votes or more
    that it is no face or that its expression cannot be told; the score is 1 less the share of the winner. Or why there is none.
    """
    table = rows.manifest.table
    names = [name for name in table.column_names if name.startswith("votes_")]
    if not names:
        return "The set has no votes (columns `votes_<name>`)."
    counts = np.stack([table[name].to_numpy() for name in names], axis=1).astype(np.int64)
    total = counts.sum(axis=1)
    most = counts.max(axis=1)
    found = []
    for row in np.flatnonzero(total > 0).tolist():
        told = []
        if (counts[row] == most[row]).sum() > 1:
            told.append(f"tie at {most[row]} of {total[row]} votes")
        elif 2 * most[row] <= total[row]:
            told.append(f"no majority, {most[row]} of {total[row]} votes")
        for name in NO_FACE:
            n = counts[row, names.index(f"votes_{name}")] if f"votes_{name}" in names else 0
            if n >= FEW:
                told.append(f"{n} votes for {'no face' if name == 'NF' else name}")
        if told:
            found.append(odd(rows, row, "votes", ", ".join(told), round(1 - most[row] / total[row], 4)))
    return found
