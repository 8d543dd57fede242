"""A whole audit of the planted set: what it writes, and that it goes on where it was stopped."""

from __future__ import annotations

import csv
import json
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import evenface.audit.run as run
from evenface.audit import search
from evenface.audit.features import features, open_network
from evenface.audit.rows import Rows
from evenface.audit.run import Audit, audit
from evenface.audit.search import Searched
from evenface.audit.writing import COLUMNS
from evenface.data.exclude import read_excluded
from evenface.errors import ConfigError

from .conftest import face, manifest_of, png


PLAIN = ("unreadable", "tiny", "blank", "duplicates", "near-duplicates", "subjects", "votes", "left-out")  # without a network
COUNTS = {
    "unreadable": {"train": 2, "test": 1},
    "tiny": {"train": 1},
    "blank": {"train": 1, "test": 1},
    "duplicates": {"train": 3, "test": 1},
    "near-duplicates": {"train": 6, "validation": 1, "test": 1},
}
OUT = {"cut", "empty", "black", "f0", "f6", "f15"}  # rows of train that show nothing, or stand in another split too


@pytest.fixture(scope="module")
def done(planted: Any, tmp_path_factory: pytest.TempPathFactory) -> Audit:
    return audit(manifest_of(planted), tmp_path_factory.mktemp("audit") / "new", checks=PLAIN, workers=2)


def test_what_is_counted(done: Audit) -> None:
    assert done.counts == COUNTS
    assert set(done.skipped) == {"subjects", "votes", "left-out"}
    assert done.suggested == len(OUT)
    told = json.loads((done.folder / "audit.json").read_text())
    assert told["complete"]
    assert told["counts"] == COUNTS


def test_the_verdicts(done: Audit) -> None:
    with (done.folder / "verdicts.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert tuple(lines[0]) == COLUMNS
    assert Counter(line["check"] for line in lines) == {check: sum(counts.values()) for check, counts in COUNTS.items()}
    one = next(line for line in lines if line["id"] == "copy-train")
    assert one == {
        "id": "copy-train", "split": "train", "label": "sadness", "check": "duplicates", "verdict": "in train, two labels",
        "score": "1.0000", "others": "f3", "suggestion": "keep",
    }  # fmt: skip
    assert read_excluded(done.folder / "verdicts.csv") == OUT
    assert {line["split"] for line in lines if line["suggestion"] == "exclude"} == {"train"}  # validation and test are never touched


class Seen(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.sections: dict[str, Counter[str]] = {}
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "section":
            self.sections[str(dict(attrs)["id"])] = Counter()
        elif self.sections:
            self.sections[list(self.sections)[-1]][tag] += 1

    def handle_data(self, data: str) -> None:
        self.words += data


def test_the_page(done: Audit) -> None:
    seen = Seen((done.folder / "audit.html").read_text())
    assert list(seen.sections) == ["overview", *COUNTS]
    images = {name: counts["img"] for name, counts in seen.sections.items()}
    # each pair of copies once, with both faces; of what cannot be read there is nothing to see
    assert images == {"overview": 0, "unreadable": 0, "tiny": 1, "blank": 2, "duplicates": 4, "near-duplicates": 8}
    assert "Suggested for exclusion: 6 training faces, those that also stand in" in seen.words
    assert "Not run: votes" in seen.words


def test_no_name_becomes_markup(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    items = [(evil, "train", "anger", png(face(1))), ("b", "test", "anger", png(face(1)))]
    audit(manifest_of(items, subject=[evil, evil]), tmp_path / "x", checks=["duplicates", "subjects"])
    text = (tmp_path / "x" / "audit.html").read_text()
    assert evil not in text
    assert "&lt;script&gt;" in text


def test_the_page_stays_small(tmp_path: Path) -> None:
    items = [(f"b{i}", "train", "anger", b"?") for i in range(230)] + [("a", "train", "anger", png(face(1)))]
    done = audit(manifest_of(items), tmp_path / "x", checks=["unreadable"])
    assert done.counts == {"unreadable": {"train": 230}}
    words = Seen((tmp_path / "x" / "audit.html").read_text()).words
    assert "200 of 230 are shown; verdicts.csv has all." in words
    assert ("b199" in words, "b200" in words) == (True, False)


def test_a_stopped_audit_goes_on(planted: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the fourth check: the first three are not done again, the pictures are not looked at again, and the end is the same."""
    manifest = manifest_of(planted)
    whole = audit(manifest, tmp_path / "whole", checks=PLAIN)

    def stop(*args: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(run, "duplicates", stop)
        with pytest.raises(KeyboardInterrupt):
            audit(manifest, tmp_path / "x", checks=PLAIN)
    assert not json.loads((tmp_path / "x" / "audit.json").read_text())["complete"]
    assert not (tmp_path / "x" / "verdicts.csv").exists()
    for name in ("unreadable", "tiny", "blank"):
        monkeypatch.setattr(run, name, stop)
    monkeypatch.setattr("evenface.audit.scan._look", stop)
    again = audit(manifest, tmp_path / "x", checks=PLAIN)
    assert again.findings == whole.findings
    for name in ("verdicts.csv", "audit.html"):
        assert (tmp_path / "x" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def edit(path: Path, change: Any) -> None:
    """Rewrites a table as an office program does: lines end otherwise, numbers lose their zeros."""
    with path.open(newline="") as file:
        lines = list(csv.DictReader(file))
    lines = [line | {"score": line["score"].rstrip("0").rstrip(".")} | change(line) for line in lines]
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\r\n")
        writer.writeheader()
        writer.writerows(lines)


def suggested(path: Path) -> dict[tuple[str, str], str]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        return {(line["id"], line["check"]): line["suggestion"] for line in csv.DictReader(file)}


def test_what_a_person_has_decided_outlives_later_audits(planted: Any, tmp_path: Path) -> None:
    manifest, path = manifest_of(planted), tmp_path / "verdicts.csv"
    audit(manifest, tmp_path, checks=["unreadable", "duplicates"])
    before = suggested(path)
    mine = {("f0", "duplicates"): "keep", ("copy-train", "duplicates"): "exclude", ("text", "unreadable"): "exclude"}
    assert all(before[key] != word for key, word in mine.items())
    edit(path, lambda line: {"suggestion": mine.get((line["id"], line["check"]), line["suggestion"])})
    for _ in range(2):  # the second finds them in a table that the first has written
        found = audit(manifest, tmp_path, checks=["unreadable", "tiny", "duplicates"])
        assert suggested(path) == before | mine | {("tiny", "tiny"): "keep"}
        assert "Suggestions that were edited in verdicts.csv and are kept: 3." in found.notes
        assert found.suggested == len({name for (name, _), word in (before | mine).items() if word == "exclude"})
    assert not list(tmp_path.glob("verdicts.edited*"))
    edit(path, lambda line: {"suggestion": before.get((line["id"], line["check"]), line["suggestion"])})  # taken back
    assert not any("edited" in note for note in audit(manifest, tmp_path, checks=["unreadable", "duplicates"]).notes)
    assert suggested(path) == before


def test_a_table_that_was_changed_otherwise_is_kept_beside(planted: Any, tmp_path: Path) -> None:
    manifest, path = manifest_of(planted), tmp_path / "verdicts.csv"
    for name, checks in (("verdicts.edited.csv", ["duplicates"]), ("verdicts.edited-2.csv", ["blank"])):  # the second lacks what was edited
        audit(manifest, tmp_path, checks=["blank", "duplicates"])
        edit(path, lambda line: {"verdict": "seen by me", "suggestion": "exclude"} if line["check"] == "duplicates" else {})
        mine = path.read_bytes()
        found = audit(manifest, tmp_path, checks=checks)
        assert (tmp_path / name).read_bytes() == mine
        assert any(f"it is {name} now" in note for note in found.notes)
        assert {word for (_, check), word in suggested(path).items() if check == "duplicates"} <= {"exclude"}
    path.write_bytes(b"\xff")
    audit(manifest, tmp_path, checks=["blank"])
    assert (tmp_path / "verdicts.edited-3.csv").read_bytes() == b"\xff"


def test_other_data_or_settings_are_looked_at_anew(planted: Any, tmp_path: Path) -> None:
    audit(manifest_of(planted), tmp_path / "x", checks=["tiny", "blank"])
    assert audit(manifest_of(planted), tmp_path / "x", checks=["tiny"], min_side=49).counts == {"tiny": {"train": 2}}
    fewer = [item for item in planted if item[0] != "black"]
    assert audit(manifest_of(fewer), tmp_path / "x", checks=["blank"]).counts == {"blank": {"test": 1}}
    moved = [(name, "test" if name == "black" else split, label, image) for name, split, label, image in planted]
    assert audit(manifest_of(moved), tmp_path / "x", checks=["blank"]).counts == {"blank": {"test": 2}}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"checks": ["blnk"]}, "did you mean 'blank'"),
        ({"checks": []}, "No check"),
        ({"checks": ["blank"], "workers": 0}, "at least 1"),
        ({"checks": ["blank"], "folds": 1}, "at least 2"),
        ({"checks": ["no-face"], "detector": "none"}, "finds no faces"),
        ({"checks": ["labels"], "rule": "clean"}, "rule 'clean'"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_written(planted: Any, tmp_path: Path, settings: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        audit(manifest_of(planted), tmp_path / "x", **settings)
    assert not (tmp_path / "x").exists()


def test_a_folder_of_something_else_is_left_alone(planted: Any, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="holds other files"):
        audit(manifest_of(planted), tmp_path, checks=["blank"])
    with pytest.raises(ConfigError, match="is a file"):
        audit(manifest_of(planted), tmp_path / "mine.txt", checks=["blank"])
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_the_faces_that_are_not_compared_are_counted(planted: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def found(rows: Rows, *args: Any, **options: Any) -> Searched:
        scores = np.full(len(rows), 0.95, np.float32)
        scores[:7], scores[7:9] = 0.8, 0.0  # seen less clearly, and not at all
        return Searched(scores, np.tile(np.linspace(0.3, 0.7, 10, dtype=np.float32).reshape(5, 2), (len(rows), 1, 1)))

    monkeypatch.setattr(search, "search_rows", found)
    n = len(planted)
    for _ in range(2):  # looked at, and taken from the folder
        told = audit(manifest_of(planted), tmp_path, checks=["alignment"]).notes
        assert f"Alignment: {n - 9} of {n - 2} faces have landmarks that are believed; the others were not compared." in told


def test_labels_are_judged_by_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the network sees is given here: two clouds far apart, and two faces with the label of the other cloud."""
    kinds = ("happiness", "sadness")
    items = [(f"f{i}", "train", kinds[(i + (i in (10, 51))) % 2], png(face(i, size=24))) for i in range(80)]
    seen = np.random.default_rng(0).normal(0, 1, (80, 4))
    seen[:, 0] += 8 * (np.arange(80) % 2)
    monkeypatch.setattr("evenface.audit.features.features", lambda *args, **settings: seen.astype(np.float16))
    done = audit(manifest_of(items), tmp_path / "x", checks=["labels"], folds=4, rule="plain", device="cpu")
    found = {done.rows.ids[f.row]: f.verdict[:20] for f in done.findings}
    assert found == {"f10": "looks like happiness", "f51": "looks like sadness ("}
    assert {f.suggestion for f in done.findings} == {"keep"}
    assert any("Doubtful is not wrong" in note for note in done.notes)
    assert not any("has learned from" in note for note in done.notes)  # it knows FERPlus, not this set


def test_what_the_shipped_model_sees(planted: Any, tmp_path: Path) -> None:
    """A row of features a picture, the same alone and among others, and zeros for what is no picture."""
    rows = Rows(manifest_of([item for item in planted if item[0] in ("f0", "f21", "dark", "text")]))
    network = open_network(None)
    told: list[int] = []
    found = features(rows, network, tmp_path, "0a", workers=2, device="cpu", reach=told.append)
    assert (found.shape, found.dtype, told) == ((4, network.model.backbone.num_features), np.float16, [4])
    assert not found[3].any()  # not a picture
    again = features(rows, network, tmp_path, "0a", workers=1, device="cpu", reach=told.append)
    assert np.array_equal(found, again)
    alone = Rows(manifest_of([item for item in planted if item[0] == "dark"]))
    one = features(alone, network, tmp_path, "0b", workers=1, device="cpu", reach=told.append)[0]
    np.testing.assert_allclose(one.astype(float), found[2].astype(float), atol=0.02)
