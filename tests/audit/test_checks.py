"""Each check on the planted faults: it finds those and no others."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from evenface.audit.duplicates import duplicates
from evenface.audit.facts import left_out, subjects, votes
from evenface.audit.finding import chosen, odd, ordered_checks, twin
from evenface.audit.near_duplicates import near_duplicates
from evenface.audit.pictures import blank, tiny, unreadable
from evenface.audit.rows import Rows
from evenface.audit.scan import Scan
from evenface.errors import ConfigError, DataError

from .conftest import LABELS, face, manifest_of, png


def quiet(done: int) -> None:
    pass


def test_unreadable(rows: Rows, scan: Scan, named: Any) -> None:
    found = named(unreadable(rows, scan))
    assert set(found) == {"cut", "empty", "text"}
    assert found["empty"].verdict == "empty file"
    assert found["text"].verdict == "no picture, or of an unknown kind"
    assert {name: f.suggestion for name, f in found.items()} == {
        "cut": "exclude",
        "empty": "exclude",
        "text": "keep",
    }  # test is not touched
    assert [found[name].spare for name in ("cut", "text")] == [True, False]


def test_a_missing_file_is_unreadable(tmp_path: Any) -> None:
    from evenface.audit.scan import scan_rows
    from evenface.data.manifest import build

    manifest = build({"id": ["a"], "split": ["train"], "label": ["anger"], "image": ["gone.png"]}, LABELS, name="x", root=tmp_path)
    rows = Rows(manifest)
    scan = scan_rows(rows, tmp_path / "parts", "0", workers=1, reach=quiet)
    assert [f.verdict for f in unreadable(rows, scan)] == ["the file is missing"]


def test_tiny(rows: Rows, scan: Scan, named: Any) -> None:
    found = named(tiny(rows, scan))
    assert set(found) == {"tiny"}
    assert found["tiny"].verdict == "90 x 20 pixels"
    assert found["tiny"].score == pytest.approx(1 - 20 / 32)
    assert found["tiny"].suggestion == "keep"
    assert set(named(tiny(rows, scan, min_side=49))) == {"tiny", "small"}


def test_blank(rows: Rows, scan: Scan, named: Any) -> None:
    found = named(blank(rows, scan))
    assert {name: f.suggestion for name, f in found.items()} == {"black": "exclude", "grey-test": "keep"}


def test_duplicates(rows: Rows, scan: Scan, named: Any) -> None:
    found = named(duplicates(rows, scan))
    assert {name: (f.verdict, f.others, f.suggestion, f.spare) for name, f in found.items()} == {
        "f0": ("in train and test", ("copy-test",), "exclude", True),
        "copy-test": ("in train and test", ("f0",), "keep", False),
        "f3": ("in train, two labels", ("copy-train",), "keep", False),  # the first stays
        "copy-train": ("in train, two labels", ("f3",), "keep", True),
    }


def test_a_thousand_copies_are_counted_quickly_and_right() -> None:
    """The verdict of a large group is that of the whole group, though it names 20 others at most."""
    n = 1000
    picture = png(face(1))
    items = [*((f"c{i}", "train", "anger", picture) for i in range(n - 1)), ("last", "test", "sadness", picture)]
    group = Rows(manifest_of(items))
    plain = Scan(
        digests=np.ones((n, 16), np.uint8), sizes=np.ones((n, 2), np.int32), problems=np.array([""] * n),
        flat=np.zeros(n), spread=np.full(n, 9.0), thumbs=np.zeros((n, 16, 16), np.uint8),
    )  # fmt: skip
    found = duplicates(group, plain)
    assert len(found) == n
    assert {f.verdict for f in found} == {"in train and test, two labels"}
    assert all(len(f.others) <= 20 for f in found)
    assert all("last" in f.others for f in found[:-1])
    assert [f.suggestion for f in found] == ["exclude"] * (n - 1) + ["keep"]


def test_near_duplicates(rows: Rows, scan: Scan, named: Any) -> None:
    told: list[int] = []
    found = named(near_duplicates(rows, scan, told.append, told.append))
    pairs = {"mirror": "f6", "dark": "f9", "small": "f12", "pressed": "f15"}
    assert set(found) == {*pairs, *pairs.values()}
    for name, other in pairs.items():
        assert found[name].others == (other,)
        assert found[other].others == (name,)
        assert found[name].score >= 0.83
    assert found["f6"].verdict == "in train and validation"
    assert {name for name, f in found.items() if f.suggestion == "exclude"} == {"f6", "f15"}  # in train, with a twin in validation and test
    assert {name for name, f in found.items() if f.spare} == {"f6", "f15", "dark", "small"}
    assert told[0] == told[-1] >= 4


def test_subjects(planted: Any) -> None:
    people = ["anna", "anna", "anna", "ben", "ben", None, " ", *(f"p{i}" for i in range(len(planted) - 7))]
    rows = Rows(manifest_of(planted, subject=people))  # f0 f1 f3 f4 f6 are in train, f2 and f5 in test
    found = {rows.ids[f.row]: f for f in subjects(rows)}  # type: ignore[union-attr]
    assert {name: f.verdict for name, f in found.items()} == dict.fromkeys(("f0", "f1", "f2"), "anna in train and test")
    assert found["f0"].others == ("f2",)
    assert found["f2"].others == ("f0", "f1")
    assert found["f0"].score == pytest.approx(1 / 3)
    assert found["f2"].score == pytest.approx(2 / 3)
    assert [found[n].spare for n in ("f0", "f1", "f2")] == [True, True, False]
    assert {f.suggestion for f in found.values()} == {"keep"}


def test_without_subjects_or_votes_the_checks_say_so(rows: Rows) -> None:
    assert isinstance(subjects(rows), str)
    assert "votes_" in str(votes(rows))
    assert isinstance(left_out(rows), str)


def test_votes() -> None:
    items = [(f"v{i}", "train", "anger", png(face(i))) for i in range(6)]
    columns = {  # v0 clear, v1 tie, v2 no majority, v3 two for NF, v4 one for NF is a slip, v5 nobody voted
        "votes_anger": [9, 5, 4, 8, 9, 0], "votes_sadness": [1, 5, 3, 0, 0, 0], "votes_happiness": [0, 0, 3, 0, 0, 0],
        "votes_NF": [0, 0, 0, 2, 1, 0],
    }  # fmt: skip
    rows = Rows(manifest_of(items, **columns))
    found = {rows.ids[f.row]: (f.verdict, f.score) for f in votes(rows)}  # type: ignore[union-attr]
    assert found == {
        "v1": ("tie at 5 of 10 votes", 0.5),
        "v2": ("no majority, 4 of 10 votes", 0.6),
        "v3": ("2 votes for no face", 0.2),
    }


def test_votes_as_shares_and_with_blank_cells() -> None:
    items = [(f"v{i}", "train", "anger", png(face(i))) for i in range(7)]
    columns = {  # v0 tie, v1 no majority, v2 clear, v3 tie beside a blank, v4 nobody voted, v5 half of shares that sum to 1 but for a digit
        "votes_anger": [0.5, 0.4, 0.8, 2.0, None, 0.5, 0.7], "votes_sadness": [0.5, 0.3, 0.2, 2.0, None, 0.2, 0.0],
        "votes_happiness": [0.0, 0.3, 0.0, None, None, 0.2, 0.0], "votes_NF": [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.3],
        "votes_fear": [None, None, None, float("nan"), None, 0.09999999999999998, 0.0],
    }  # fmt: skip
    rows = Rows(manifest_of(items, **columns))
    assert {rows.ids[f.row]: (f.verdict, f.score) for f in votes(rows)} == {  # type: ignore[union-attr]
        "v0": ("tie at 0.5 of 1 votes", 0.5),
        "v1": ("no majority, 0.4 of 1 votes", 0.6),
        "v3": ("tie at 2 of 4 votes", 0.5),
        "v5": ("no majority, 0.5 of 1 votes", 0.5),
        "v6": ("0.3 votes for no face", 0.3),
    }


@pytest.mark.parametrize("cells", [["3", "many"], [[1], [2]]])
def test_votes_that_are_no_numbers(cells: list[Any]) -> None:
    items = [(f"v{i}", "train", "anger", png(face(i))) for i in range(2)]
    rows = Rows(manifest_of(items, votes_anger=[1, 2], votes_fear=cells))
    assert votes(rows) == "The column `votes_fear` holds something that is no number; mend it to have the votes looked at."


def test_left_out_rows(planted: Any) -> None:
    images = [{"bytes": png(picture), "path": None} for picture in (face(200), np.zeros((64, 64, 3), np.uint8))]
    others = pa.table({"id": ["x1", "x2"], "split": ["train", "test"], "reason": ["contempt", "no name"], "image": images})
    rows = Rows(manifest_of(planted), others)
    found = {rows.ids[f.row]: (f.verdict, f.suggestion, f.spare) for f in left_out(rows)}  # type: ignore[union-attr]
    assert found == {"x1": ("contempt", "left out", False), "x2": ("no name", "left out", False)}
    assert rows.by_split([len(planted), len(planted) + 1, 0]) == {"train": 2, "test": 1}
    with pytest.raises(DataError, match="id of another row"):
        Rows(manifest_of(planted), others.set_column(0, "id", pa.array(["f0", "x2"])))


def test_what_leaves_by_chosen_checks(rows: Rows, scan: Scan) -> None:
    found = [*unreadable(rows, scan), *tiny(rows, scan), *blank(rows, scan), *duplicates(rows, scan)]

    def leaves(*checks: str) -> set[str]:
        return {rows.ids[row] for row in chosen(rows, found, checks)}

    assert leaves("duplicates") == {"f0", "copy-train"}
    assert leaves("unreadable", "blank") == {"cut", "empty", "black"}
    assert leaves("tiny") == {"tiny"}
    assert leaves() == set()
    with pytest.raises(ConfigError, match="did you mean 'duplicates'"):
        chosen(rows, found, ["duplicate"])
    assert ordered_checks(["labels", "tiny", "labels"]) == ("tiny", "labels")


def test_of_copies_one_stays_that_no_other_check_takes(planted: Any) -> None:
    rows = Rows(manifest_of(planted))
    a, b, c, d = [row for row, split in enumerate(rows.splits) if split == "train"][:4]
    copies = [twin(rows, row, "duplicates", [r for r in (a, b, c) if r != row], 1.0) for row in (a, b, c)]
    wrong = odd(rows, a, "labels", "looks like fear", 0.9)
    assert chosen(rows, copies, ["duplicates"]) == [b, c]
    assert chosen(rows, [*copies, wrong], ["duplicates", "labels"]) == [a, c]  # the first is taken, so the second stays
    assert chosen(rows, [*copies, wrong], ["duplicates"]) == [b, c]
    edited = [dataclasses.replace(copies[0], suggestion="exclude"), *copies[1:]]
    assert chosen(rows, edited, ["duplicates"]) == [a, c]
    # What is the copy of another by a second check goes with that one.
    near = [twin(rows, row, "near-duplicates", [r for r in (b, d) if r != row], 0.9) for row in (b, d)]
    assert chosen(rows, [*copies, wrong, *near], ["duplicates", "near-duplicates", "labels"]) == [a, c, d]
