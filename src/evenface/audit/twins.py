"""What is said of a face that stands in a set more than once, exactly or nearly.

verdict         in train | in train and test | ..., and ", two labels" (or three) where the copies' labels differ
suggestion      exclude for a train row with a copy in validation or test; else keep
spare           such a row, and in train every copy but the first
"""

from __future__ import annotations

from collections.abc import Sequence

from evenface.audit.finding import KEEP, NAMED, Finding
from evenface.audit.rows import Rows
from evenface.data.exclude import EXCLUDE
from evenface.data.manifest import SPLITS


_NUMBERS = {2: "two", 3: "three", 4: "four"}


def twin(rows: Rows, row: int, check: str, others: Sequence[int], score: float) -> Finding:
    """The finding for one row, whose copies are the rows `others`, without itself."""
    splits = {rows.splits[r] for r in (row, *others)}
    labels = {rows.labels[r] for r in (row, *others)}
    verdict = "in " + " and ".join(split for split in SPLITS if split in splits)
    if len(labels) > 1:
        verdict += f", {_NUMBERS.get(len(labels), str(len(labels)))} labels"
    shared = rows.splits[row] == "train" and len(splits) > 1
    spare = rows.splits[row] == "train" and (shared or min(others) < row)
    nearest = sorted(others, key=lambda r: (rows.splits[r] == rows.splits[row], r))[:NAMED]
    return Finding(row, check, verdict, score, tuple(rows.ids[r] for r in nearest), EXCLUDE if shared else KEEP, spare)
