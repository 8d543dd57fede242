"""Check `duplicates`: rows whose pictures have the same pixels, whatever file format holds them."""

from __future__ import annotations

from evenface.audit.finding import NAMED, Finding, twin
from evenface.audit.rows import Rows
from evenface.audit.scan import Scan


def groups(rows: Rows, scan: Scan) -> list[list[int]]:
    """The rows of the manifest that share their pixels with another one, together; ascending."""
    found: dict[bytes, list[int]] = {}
    for row in range(rows.kept):
        if scan.readable[row]:
            found.setdefault(scan.digests[row].tobytes(), []).append(row)
    return [group for group in found.values() if len(group) > 1]


def duplicates(rows: Rows, scan: Scan) -> list[Finding]:
    """A finding per row that has a copy; score 1."""
    found = []
    for group in groups(rows, scan):
        some = _some(rows, group)  # of a large group, a part with the same splits and labels
        found += [twin(rows, row, "duplicates", [r for r in some if r != row], 1.0) for row in group]
    return sorted(found, key=lambda f: f.row)


def _some(rows: Rows, group: list[int]) -> list[int]:
    """The first rows of a group, and the first two with each split and label, so that the work does not grow with its square."""
    first: dict[object, int] = {}
    second: dict[object, int] = {}
    for row in group:
        for kind in (("split", rows.splits[row]), ("label", rows.labels[row])):
            if kind in first:
                second.setdefault(kind, row)
            else:
                first[kind] = row
    return sorted({*group[: NAMED + 1], *first.values(), *second.values()})
