"""The known faults of FERPlus, counted before by other means (its description beside the data)."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from evenface.audit.finding import Audit
from evenface.audit.run import audit
from evenface.data import load_dataset, load_left_out


@pytest.fixture(scope="module")
def done(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Audit:
    folder = shared / "data" / "ferplus"
    checks = ["unreadable", "blank", "duplicates", "near-duplicates", "left-out"]
    return audit(
        load_dataset("ferplus", folder), tmp_path_factory.mktemp("real") / "x", left_out=load_left_out("ferplus", folder), checks=checks
    )


@pytest.mark.slow
def test_copies_of_train_in_validation_and_test(done: Audit) -> None:
    found = Counter((done.rows.splits[f.row], "train and" in f.verdict) for f in done.findings if f.check == "duplicates")
    assert found["test", True] == 257
    assert found["validation", True] == 248
    assert {done.rows.splits[f.row] for f in done.findings if f.suggestion == "exclude"} == {"train"}


@pytest.mark.slow
def test_the_rows_that_ferplus_dropped(done: Audit) -> None:
    found = Counter(f.verdict for f in done.findings if f.check == "left-out")
    assert found["no file name in FERPlus (not a face)"] == 173
    assert len(done.rows) == 35887
    assert found.total() == 35887 - len(load_dataset("ferplus", done.rows.manifest.root))


@pytest.mark.slow
def test_most_test_faces_with_a_near_twin_in_train_have_its_label(done: Audit) -> None:
    """Pairs of different photos would agree as often as two random faces do, in one case of four."""
    found = [f for f in done.findings if f.check == "near-duplicates" and done.rows.splits[f.row] == "test" and "train and" in f.verdict]
    assert len(found) > 250
    assert sum("labels" not in f.verdict for f in found) / len(found) > 0.8
