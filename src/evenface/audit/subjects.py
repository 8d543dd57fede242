"""Check `subjects`: people whose faces stand in more than one split. A model that knows the person has an easier test."""

from __future__ import annotations

from evenface.audit.finding import NAMED, Finding
from evenface.audit.odd import odd
from evenface.audit.rows import Rows
from evenface.data.manifest import SPLITS


COLUMN = "subject"


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
