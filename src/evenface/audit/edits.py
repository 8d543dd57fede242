"""What a person has changed in `verdicts.csv` outlives the next audit of the folder.

    edits = read_edits(folder)                          # against `checks/verdicts.csv`, the table as the audit itself has it
    findings, notes = edits.applied(rows, findings)     # the person's suggestions in place of the audit's own
    write_both(folder, rows, own, findings)

A suggestion is carried over to the finding of the same id and check. A table with other changes, or with such to findings that this call
does not have, is kept beside the new one as `verdicts.edited.csv`.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import itertools
from collections.abc import Sequence
from pathlib import Path

from evenface.audit.finding import Finding
from evenface.audit.rows import Rows
from evenface.audit.saved import CHECKS_FOLDER
from evenface.audit.writing import verdicts_text
from evenface.data.exclude import EXCLUDE, KEEP
from evenface.files import write_aside, write_text


VERDICTS, EDITED = "verdicts.csv", "verdicts.edited"

Lines = dict[tuple[str, str], tuple[str, str]]  # (id, check) -> (verdict, suggestion)


@dataclasses.dataclass(frozen=True)
class Edits:
    """What stands in a folder's `verdicts.csv` otherwise than it was written.

    Attributes:
        folder: of the audit.
        suggestions: (id, check) -> what the person says.
        whole: False where more was changed than suggestions.
        former: the table as it is; empty where nobody has changed it.
    """

    folder: Path
    suggestions: dict[tuple[str, str], str] = dataclasses.field(default_factory=dict)
    whole: bool = True
    former: bytes = b""

    def applied(self, rows: Rows, findings: Sequence[Finding]) -> tuple[tuple[Finding, ...], list[str]]:
        """The findings with the person's suggestions, and what a reader must know of it; keeps the former table where it has more.

        Raises:
            StorageError: it cannot be kept.
        """
        if not self.former:
            return tuple(findings), []
        found, told, left = [], [], dict(self.suggestions)
        for f in findings:
            word = left.pop((rows.ids[f.row], f.check), f.suggestion)
            found.append(f if word == f.suggestion else dataclasses.replace(f, suggestion=word, spare=f.spare and word != KEEP))
        taken = len(self.suggestions) - len(left)
        if taken:
            told.append(f"Suggestions that were edited in {VERDICTS} and are kept: {taken:,}.")
        if left or not self.whole:
            numbers = itertools.chain([""], (f"-{i}" for i in itertools.count(2)))
            place = next(path for path in (self.folder / f"{EDITED}{i}.csv" for i in numbers) if not path.exists())
            write_aside(place, lambda file: file.write(self.former))
            told.append(f"{VERDICTS} was edited in ways that this audit has no place for; as it was, it is {place.name} now.")
        return tuple(found), told


def read_edits(folder: Path) -> Edits:
    """What a person has changed in the folder of an earlier audit."""
    try:
        former = (folder / VERDICTS).read_bytes()
    except OSError:
        return Edits(folder)
    try:
        own = (folder / CHECKS_FOLDER / VERDICTS).read_bytes()
    except OSError:  # of an earlier evenface: what was written is not known
        own = b""
    if former == own:
        return Edits(folder)
    before, now = _lines(own), _lines(former)
    if before is None or now is None:
        return Edits(folder, whole=False, former=former)
    shared = before.keys() & now.keys()
    said = {key: now[key][1] for key in shared if now[key][1] != before[key][1]}
    whole = before.keys() == now.keys() and all(now[key][0] == before[key][0] for key in shared)
    taken = {key: word for key, word in said.items() if word in (EXCLUDE, KEEP)}
    return Edits(folder, taken, whole and len(taken) == len(said), former)


def write_both(folder: Path, rows: Rows, own: Sequence[Finding], findings: Sequence[Finding]) -> None:
    """The table for people with `findings`, and the audit's own beside the checks, by which the next call finds what was changed."""
    write_text(folder / CHECKS_FOLDER / VERDICTS, verdicts_text(rows, own))
    write_text(folder / VERDICTS, verdicts_text(rows, findings))


def _lines(table: bytes) -> Lines | None:
    """The lines of a table, as an editor may have saved it, too; None for what is none."""
    try:
        lines = list(csv.DictReader(io.StringIO(table.decode("utf-8-sig"), newline=""), restval=""))
        return {(line["id"], line["check"]): (line["verdict"], line["suggestion"].strip().lower()) for line in lines}
    except (UnicodeDecodeError, csv.Error, KeyError):
        return None
