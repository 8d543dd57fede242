"""What a check says of one row, the names of the checks, and what an audit has found in all.

    Finding(row=17, check="duplicates", verdict="in train and test", score=1.0, others=("fer0031",), suggestion="exclude")

The suggestion is careful: it takes from *train* what also stands in validation or test, and what shows no picture; it never touches
validation or test, where leaving rows out would make another benchmark. `spare` rows may go too, if a person says so (`chosen`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path

from evenface.audit.rows import Rows
from evenface.data.exclude import EXCLUDE, KEEP, LEFT_OUT
from evenface.data.manifest import SPLITS
from evenface.errors import ConfigError, unknown_name


CHECKS = {
    "unreadable": "pictures that cannot be read, with the reason",
    "tiny": "pictures of few pixels",
    "blank": "pictures of one colour",
    "duplicates": "the same pixels more than once",
    "near-duplicates": "the same photo mirrored, scaled, brightened or compressed again",
    "subjects": "people who stand in more than one split",
    "votes": "faces whose annotators disagree, where the votes are known",
    "left-out": "rows of the source that the reader leaves out, with the reason",
    "no-face": "pictures in which the detector finds no face",
    "alignment": "faces that are turned, shifted or scaled against the others",
    "labels": "doubtful labels, by a judge that has not learned from them",
}
"""Name -> what it looks for, in the order of the report."""

_OF_COPIES = ("duplicates", "near-duplicates")

NAMED = 20  # other ids that a finding names


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """One row, one check.

    Attributes:
        row: position among the rows of the audit.
        check: a name of `CHECKS`.
        verdict: what was found, in a few words.
        score: how sure or how strong, in the check's own measure, the larger the worse.
        others: ids of the rows that it has to do with, `NAMED` at most.
        suggestion: keep, exclude, or "left out" for a row that the reader leaves out anyway.
        spare: whether the row may go when the check is chosen for exclusion: it stands in train, and is not the copy that stays.
    """

    row: int
    check: str
    verdict: str
    score: float
    others: tuple[str, ...] = ()
    suggestion: str = KEEP
    spare: bool = False


def ordered_checks(names: Iterable[str]) -> tuple[str, ...]:
    """The given checks in the order of `CHECKS`.

    Raises:
        ConfigError: an unknown name.
    """
    wanted = set(names)
    for name in sorted(wanted):
        if name not in CHECKS:
            raise ConfigError(unknown_name("check", name, CHECKS))
    return tuple(name for name in CHECKS if name in wanted)


def chosen(rows: Rows, findings: Sequence[Finding], checks: Iterable[str]) -> list[int]:
    """The rows that leave a training when these checks decide: those that they suggest, and those that they can spare; ascending.

    Of copies one stays that no other check takes: the first such.
    """
    wanted = set(ordered_checks(checks))
    found = [f for f in findings if f.check in wanted and (f.suggestion == EXCLUDE or f.spare)]
    copies: dict[int, set[str]] = {}  # of the rows that go for nothing but an earlier copy
    going, by_themselves = {f.row for f in found}, set()
    for f in found:
        if f.check in _OF_COPIES and f.suggestion != EXCLUDE:
            copies.setdefault(f.row, set()).update(f.others)
        else:
            by_themselves.add(f.row)
    place = {name: row for row, name in enumerate(rows.ids)}
    for row in sorted(copies.keys() - by_themselves):
        if all(place[name] in going or place[name] >= rows.kept for name in copies[row]):  # those that the reader leaves out are gone, too
            going.discard(row)
    return sorted(going)


def pictureless(rows: Rows, row: int, check: str, verdict: str, score: float) -> Finding:
    """A row that shows nothing: in train it may go."""
    suggestion = LEFT_OUT if row >= rows.kept else EXCLUDE if rows.in_train(row) else KEEP
    return Finding(row, check, verdict, score, (), suggestion, rows.in_train(row))


def odd(rows: Rows, row: int, check: str, verdict: str, score: float, others: tuple[str, ...] = ()) -> Finding:
    """A row that a person should look at; it stays unless the check is chosen."""
    return Finding(row, check, verdict, score, others, LEFT_OUT if row >= rows.kept else KEEP, rows.in_train(row))


_NUMBERS = {2: "two", 3: "three", 4: "four"}


def twin(rows: Rows, row: int, check: str, others: Sequence[int], score: float) -> Finding:
    """The finding for a face that stands in the set more than once, exactly or nearly: its copies are the rows `others`, without itself.

    The verdict is `in train`, `in train and test`, ..., with `, two labels` (or three) where the copies' labels differ. A train row with a
    copy in validation or test is to be excluded; such a row may go, and in train every copy but the first.
    """
    splits = {rows.splits[r] for r in (row, *others)}
    labels = {rows.labels[r] for r in (row, *others)}
    verdict = "in " + " and ".join(split for split in SPLITS if split in splits)
    if len(labels) > 1:
        verdict += f", {_NUMBERS.get(len(labels), str(len(labels)))} labels"
    shared = rows.splits[row] == "train" and len(splits) > 1
    spare = rows.splits[row] == "train" and (shared or min(others) < row)
    nearest = sorted(others, key=lambda r: (rows.splits[r] == rows.splits[row], r))[:NAMED]
    return Finding(row, check, verdict, score, tuple(rows.ids[r] for r in nearest), EXCLUDE if shared else KEEP, spare)


@dataclasses.dataclass(frozen=True)
class Audit:
    """What an audit found.

    Attributes:
        rows: what was looked at.
        findings: in the order of the checks, then of the rows.
        counts: check -> split -> rows found; the checks that ran, the empty ones too.
        skipped: check -> why it found nothing to do.
        notes: what a reader must know of the findings.
        folder: where all is written.
    """

    rows: Rows
    findings: tuple[Finding, ...]
    counts: dict[str, dict[str, int]]
    skipped: dict[str, str]
    notes: tuple[str, ...]
    folder: Path

    @property
    def suggested(self) -> int:
        """Rows that the audit suggests to leave out of training."""
        return len({f.row for f in self.findings if f.suggestion == "exclude"})
