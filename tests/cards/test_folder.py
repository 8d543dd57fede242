"""A card is written anew without losing anybody's words, in a run and in a model folder that has left its run."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import pytest

from evenface.cards.folder import keep_edited, keep_notes, renew
from evenface.cards.places import without_places
from evenface.errors import DataError, ModelError

from .conftest import CALIBRATION


def test_it_is_written_with_its_facts_and_twice_the_same(run: Path) -> None:
    assert renew(run / "best", run) == run / "best" / "README.md"
    first = (run / "best" / "README.md").read_text(), (run / "best" / "card.json").read_text()
    renew(run / "best", run)
    assert ((run / "best" / "README.md").read_text(), (run / "best" / "card.json").read_text()) == first
    assert not list(run.glob("README*"))


def test_what_a_person_wrote_into_it_is_kept(run: Path) -> None:
    card = run / "best" / "README.md"
    card.write_text("mine")
    renew(run / "best", run)
    assert (run / "README.old.md").read_text() == "mine"
    assert card.read_text().startswith("---")
    card.write_text(card.read_text() + "\nmine too\n")
    edited = card.read_text()
    renew(run / "best", run)
    assert (run / "README.old-2.md").read_text() == edited
    assert (run / "README.old.md").read_text() == "mine"
    renew(run / "best", run)
    assert len(list(run.glob("README.old*"))) == 2
    card.write_text("mine")
    assert keep_edited(run / "best", run) == run / "README.old.md"  # it is there already
    assert len(list(run.glob("README.old*"))) == 2


def test_a_card_in_another_encoding_is_kept_byte_for_byte(run: Path) -> None:
    for _ in range(2):
        (run / "best" / "README.md").write_bytes(b"# Caf\xe9\r\n")
        assert renew(run / "best", run).read_text().startswith("---")
    assert [file.read_bytes() for file in run.glob("README.old*")] == [b"# Caf\xe9\r\n"]


def test_our_own_card_is_no_edited_one_after_ctrl_c(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    renew(run / "best", run)
    (run / "notes.md").write_text("Made for us.")

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("evenface.cards.folder.write_aside", stopped)  # the card is there, and not yet its facts
        with pytest.raises(KeyboardInterrupt):
            renew(run / "best", run)
    assert "Made for us." in (run / "best" / "README.md").read_text()
    renew(run / "best", run)
    renew(run / "best", run)
    assert not list(run.rglob("README.old*"))


def test_notes_in_another_encoding_do_not_vanish(run: Path) -> None:
    (run / "notes.md").write_bytes("Für ein Museum.".encode("latin-1"))
    for _ in range(2):
        assert "\n\nF\ufffdr ein Museum.\n\n" in renew(run / "best", run).read_text(encoding="utf-8")
    assert (run / "notes.md").read_bytes() == "Für ein Museum.".encode("latin-1")


def test_notes_stay_in_the_card(run: Path, tmp_path: Path) -> None:
    words = tmp_path / "words.md"
    words.write_text("Made for **us**.\n\n- one point\n")
    assert keep_notes(words, run) == run / "notes.md"
    for _ in range(2):
        text = renew(run / "best", run).read_text()
        assert "\n\nMade for **us**.\n\n- one point\n\n## What it is for" in text
    with pytest.raises(DataError, match="cannot be read"):
        keep_notes(tmp_path / "none.md", run)
    words.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="no text in UTF-8"):
        keep_notes(words, run)


def test_a_model_folder_that_left_its_run_still_knows_everything(run: Path, tmp_path: Path) -> None:
    text = renew(run / "best", run).read_text()
    model = Path(shutil.copytree(run / "best", tmp_path / "elsewhere"))
    assert renew(model).read_text() == text
    # Another calibration: the scores under a prior rest on the former one.
    values = json.loads((model / "config.json").read_text())
    values["calibration"] = {**CALIBRATION, "temperature": 2.5}
    (model / "config.json").write_text(json.dumps(values))
    text = renew(model).read_text()
    assert "| temperature | 1 | 1.50 | 2.50 |" in text
    assert "## Scores on test" in text
    assert "Left out, for they are of an earlier epoch or calibration: drawn test, prior balanced." in text
    renew(model)
    assert "drawn test, prior balanced" in (model / "README.md").read_text()


def test_the_minutes_outlive_the_state(run: Path) -> None:
    renew(run / "best", run, minutes=7.0)
    assert "7 minutes in all" in renew(run / "best", run).read_text()


def test_no_model_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is not there"):
        renew(tmp_path / "none")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("/data/my name/nets/a.pth", "a.pth"),
        ("evenface train --init '/data/my name/a.pth' --lr 1", "evenface train --init 'a.pth' --lr 1"),
        ("file:///data/u/a.pth", "a.pth"),
        ("~/secret/a.pth", "a.pth"),
        ("--unlabelled ../secret/u -o runs/x", "--unlabelled u -o runs/x"),
        ('evenface train --data-dir "/data/my faces" --lr 1', "evenface train --data-dir DIR --lr 1"),
        ("evenface train --data-dir=/data/'my faces' --lr 1", "evenface train --data-dir=DIR --lr 1"),
        (r"evenface train --data-dir /data/my\ faces --lr 1", "evenface train --data-dir DIR --lr 1"),
        (shlex.join(["train", "--data-dir", "/data/o'brien/my set", "--lr", "1"]), "train --data-dir DIR --lr 1"),
        (shlex.join(["train", "--init", "/data/o'brien/my nets/a.pth", "-o", "runs/x"]), "train --init 'a.pth' -o runs/x"),
        (shlex.join(["train", "-o", "/data/me/o'brien/"]), shlex.join(["train", "-o", "o'brien"])),
        ("evenface train -c/data/me/cfg.yaml -o/data/me/runs/x", "evenface train -ccfg.yaml -ox"),
        ("weights:/data/me/x.pth file:/data/me/y.pth", "weights:x.pth file:y.pth"),
        ("--init ~me/nets/a.pth --unlabelled ./../../me/faces", "--init a.pth --unlabelled faces"),
        ("from C:/nets/me/a.pth", "from a.pth"),
        (r"from \\server\share\a.pth", "from a.pth"),
        ("timm:a1_in1k of http://x/y", "timm:a1_in1k of http://x/y"),
        ("<b>Faces</b> of [1]/[2], 50 %/epoch", "<b>Faces</b> of [1]/[2], 50 %/epoch"),
        ("from ./nets/a.pth, 3 / 4, and/or https://example.org/a/b", "from ./nets/a.pth, 3 / 4, and/or https://example.org/a/b"),
    ],
)
def test_no_place_of_a_person_is_told(text: str, told: str) -> None:
    assert without_places(text) == told


def test_places_are_cut_from_texts_at_any_depth() -> None:
    found = without_places({"a": ["from /data/x/net.pth and https://example.org/a/b, 3 / 4 / 5", 1], "b": (r"C:\nets\me\net.pth", None)})
    assert found == {"a": ["from net.pth and https://example.org/a/b, 3 / 4 / 5", 1], "b": ["net.pth", None]}
    assert (
        without_places("evenface train --data-dir '../my faces' --seed 0 --data-dir=x")
        == "evenface train --data-dir DIR --seed 0 --data-dir=DIR"
    )
