"""`evenface models`: the list, one of them, and fetching."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from evenface import zoo
from evenface.model_folder import load_model


BYTES = b"a network" * 20_000
HASH = hashlib.sha256(BYTES).hexdigest()
SHIPPED = zoo.default_model()


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A download whose bytes are known, on a mirror that is a folder; a classifier that ships."""
    for name in ("EVENFACE_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    file = tmp_path / "mirror" / "yunet.onnx"
    file.parent.mkdir()
    file.write_bytes(BYTES)
    monkeypatch.setenv("EVENFACE_MIRROR", file.parent.as_uri())
    monkeypatch.setattr(zoo, "DOWNLOADS", {"yunet": dataclasses.replace(zoo.YUNET, known={HASH: len(BYTES)})})
    model = tmp_path / "pretrained" / "small-96"
    model.mkdir(parents=True)
    config = {"architecture": "resnet10t", "img_size": 96, "class_names": ["fear", "anger", "disgust"], "licence": "CC0"}
    (model / "config.json").write_text(json.dumps(config))
    (model / "model.safetensors").write_bytes(b"w" * 2_000_000)
    (model / "README.md").write_text("---\nlicense: cc0-1.0\n---\n\n# Small\n\nWhat it is for.\n")
    monkeypatch.setattr(zoo, "PRETRAINED", model.parent)
    return file


def test_the_list(cli: Any, stand_in: Path, tmp_path: Path) -> None:
    lines = cli("models", "list").out.splitlines()
    (small,) = [line.split() for line in lines if "small-96" in line]
    assert small == ["small-96", "classifier", "3", "2.0", "MB", "CC0", "in", "the", "package"]
    (yunet,) = [" ".join(line.split()) for line in lines if "yunet" in line]
    assert yunet == "yunet detector - 0.2 MB MIT not here yet: evenface models download yunet"
    first = json.loads(cli("models", "list", "--format", "json").out)
    assert first["schema_version"] == 1
    assert [(m["name"], m["kind"], m["size"], m["where"]) for m in first["models"]] == [
        ("small-96", "classifier", 2_000_000, "in the package"),
        ("yunet", "detector", len(BYTES), None),
    ]
    assert first["models"][0]["classes"] == ["fear", "anger", "disgust"]
    assert first["models"][0]["sha256"] == hashlib.sha256(b"w" * 2_000_000).hexdigest()
    assert first["models"][1]["sha256"] == HASH
    cli("models", "download", "yunet")
    assert json.loads(cli("models", "list", "--format", "json").out)["models"][1]["where"] == str(
        tmp_path / "home" / "models" / "yunet.onnx"
    )


def test_info(cli: Any, stand_in: Path, tmp_path: Path) -> None:
    text = cli("models", "info", "small-96").out
    assert text.startswith("# Small\n\nWhat it is for.\n")
    assert '"architecture": "resnet10t"' in text
    assert f"sha256     {hashlib.sha256(b'w' * 2_000_000).hexdigest()}\n" in text
    about = json.loads(cli("models", "info", "small-96", "--format", "json").out)["model"]
    assert about["config"]["img_size"] == 96
    assert about["card"] == "# Small\n\nWhat it is for."
    by_folder = json.loads(cli("models", "info", tmp_path / "pretrained" / "small-96", "--format", "json").out)["model"]
    assert by_folder == about
    folder = tmp_path / "pretrained" / "small-96"
    start = Path(shutil.copytree(folder, tmp_path / "start"))
    (start / "config.json").write_text(json.dumps({**json.loads((folder / "config.json").read_text()), "kind": "backbone"}))
    assert json.loads(cli("models", "info", start, "--format", "json").out)["model"]["kind"] == "backbone"
    text = cli("models", "info", "yunet").out
    for words in (HASH, "MIT", zoo.YUNET.address, zoo.YUNET.source):
        assert words in text
    assert "where" not in text
    cli("models", "download", "yunet")
    assert str(tmp_path / "home" / "models" / "yunet.onnx") in cli("models", "info", "yunet").out


@pytest.mark.parametrize("names", [7, None, "fear", {"fear": 0}])
def test_info_of_a_config_without_a_list_of_classes(cli: Any, stand_in: Path, tmp_path: Path, names: Any) -> None:
    config = tmp_path / "pretrained" / "small-96" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "class_names": names}))
    answer = cli("models", "info", config.parent, "--format", "json")
    assert (answer.code, answer.err) == (0, "")
    about = json.loads(answer.out)["model"]
    assert (about["classes"], about["config"]["class_names"]) == ([], names)
    assert cli("models", "list").code == 0


def test_info_of_a_run(cli: Any, trained: Path) -> None:
    text = cli("models", "info", trained).out
    assert text.startswith(f"# {trained.name}\n\nA facial-expression classifier")
    assert text.rstrip().endswith(hashlib.sha256((trained / "best" / "model.safetensors").read_bytes()).hexdigest())


def test_the_card_is_shown_written_and_given_words(cli: Any, trained: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(trained, tmp_path / "again"))
    card = run / "best" / "README.md"
    shown = cli("models", "card", run).out
    assert f"# {run.name}\n" in shown
    assert shown != card.read_text()  # the run has another name now
    assert cli("models", "card", run, "--write").out == f"written   {card}\n"
    assert card.read_text() == shown
    (tmp_path / "words.md").write_text("Made for a museum.")
    answer = cli("models", "card", run, "--notes", tmp_path / "words.md")
    assert answer.out == f"notes     {run / 'notes.md'}\nwritten   {card}\n"
    assert "Made for a museum." in cli("models", "card", run).out
    assert cli("models", "card", SHIPPED).out == (zoo.PRETRAINED / SHIPPED / "README.md").read_text()
    cli("models", "card", SHIPPED, "--write").refused(2, "ships with evenface")
    cli("models", "card", run, "--notes", tmp_path / "none.md").refused(1, "none.md")
    cli("models", "card", tmp_path / "nothing").refused(2, "does not exist")
    cli("models", "card", tmp_path).refused(2, "neither a run")


def test_download(cli: Any, stand_in: Path, home: Path, tmp_path: Path) -> None:
    kept = tmp_path / "home" / "models" / "yunet.onnx"
    answer = cli("models", "download", "yunet")
    assert (answer.code, answer.out, answer.err) == (0, f"written   {kept}\n", "")
    assert kept.read_bytes() == BYTES
    assert cli("models", "download", "--all").out == f"is there  {kept}\n"
    assert cli("models", "download", "yunet", "--to", "here").out == "written   here/yunet.onnx\n"
    assert (home / "here" / "yunet.onnx").read_bytes() == BYTES
    stand_in.unlink()
    stand_in.with_name("mine.onnx").write_bytes(BYTES)
    answer = cli("models", "download", "yunet", "--from", stand_in.with_name("mine.onnx"), "--to", "there")
    assert (answer.code, answer.out) == (0, "written   there/yunet.onnx\n")
    answer = cli("models", "download", "small-96")
    assert (answer.code, answer.out) == (0, "small-96 ships with evenface; there is nothing to fetch.\n")


def test_mistakes(cli: Any, stand_in: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cli("models").refused(2, "required: VERB")
    cli("models", "lst").refused(2, "'lst'", "list")
    cli("models", "download").refused(2, "--all")
    cli("models", "download", "yunet", "--all").refused(2, "--all")
    cli("models", "download", "--all", "--from", "x").refused(2, "--from")
    cli("models", "download", "yunte").refused(2, "did you mean 'yunet'?")
    cli("models", "info", "smal-96").refused(2, "did you mean 'small-96'?")
    cli("models", "info", "no/where").refused(1, "There is no folder no/where")
    cli("models", "download", "yunet", "--from", "gone.onnx").refused(1, "There is no file gone.onnx")
    stand_in.write_bytes(BYTES[1:])
    cli("models", "download", "yunet").refused(1, "is not yunet as it was published")
    monkeypatch.setenv("EVENFACE_MIRROR", "somewhere")
    cli("models", "download", "yunet").refused(2, "EVENFACE_MIRROR")
    monkeypatch.delenv("EVENFACE_MIRROR")
    monkeypatch.setenv("EVENFACE_OFFLINE", "1")
    cli("models", "download", "yunet").refused(1, "EVENFACE_OFFLINE")
    assert not list(home.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_ctrl_c(tmp_path: Path) -> None:
    """While a server says nothing."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        mirror = f"http://127.0.0.1:{silent.getsockname()[1]}"
        env = {**os.environ, "EVENFACE_MIRROR": mirror, "EVENFACE_HOME": str(tmp_path / "own"), "no_proxy": "*"}
        for name in ("EVENFACE_OFFLINE", "HF_HUB_OFFLINE"):
            env.pop(name, None)
        words = [sys.executable, "-m", "evenface", "models", "download", "yunet"]
        process = subprocess.Popen(words, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        silent.settimeout(20)
        connection, _ = silent.accept()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        connection.close()
    assert (process.returncode, out, err) == (1, "", "evenface models: stopped.\n")
    assert not [path for path in (tmp_path / "own").rglob("*") if path.is_file()]


def test_help_imports_nothing_heavy() -> None:
    heavy = ("torch", "cv2", "numpy", "rich", "PIL")
    code = "import sys; from evenface.cli.main import main; main(['models', 'list', '-h']); "
    code += f"print(*[name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[-1] == ""


def test_a_model_is_packed_and_answers_as_before(cli: Any, tmp_path: Path) -> None:
    out = tmp_path / "mine"
    text = cli("models", "pack", SHIPPED, out, "--precision", "fp32", "--licence", "in words").out
    size = (out / "model.safetensors").stat().st_size
    assert text == f"written   {out} ({size / 1e6:.1f} MB)\n"
    assert json.loads((out / "config.json").read_text())["licence"] == "in words"
    given = zoo.model_path(SHIPPED)
    assert size > 1.9 * (given / "model.safetensors").stat().st_size
    mine, theirs = load_model(out)[0].state_dict(), load_model(given)[0].state_dict()
    assert all(torch.equal(mine[key], value) for key, value in theirs.items())
    for words, told in (((SHIPPED, out), "exists already"), ((tmp_path / "wrong", tmp_path / "new"), "wrong")):
        answer = cli("models", "pack", *words)
        assert answer.code == 2
        assert told in answer.err
    assert not (tmp_path / "new").exists()


def test_a_pack_that_is_stopped_leaves_nothing(cli: Any, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", stopped)
    cli("models", "pack", SHIPPED, "mine").refused(1, "stopped")
    assert not list(home.iterdir())
