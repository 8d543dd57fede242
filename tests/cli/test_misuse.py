"""Data that are missing, empty or broken, and models of other classes: one clear line and the right exit code."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from evenface.data import DATASETS


TINY = ("--model", "test_resnet", "--img-size", "32", "--device", "cpu", "--precision", "fp32", "-j", "1", "-q", "-o", "run")
TREES = {
    "ferplus": "fer2013new.csv",
    "rafdb": "list_patition_label.txt",
    "affectnet": "training",
    "folder": "train/happiness/",
    "manifest": "manifest.csv",
}


@pytest.fixture
def own(faces: Path, home: Path) -> Path:
    return Path(shutil.copytree(faces, home / "own"))


def train(cli: Any, folder: Path | str, *words: object, dataset: str = "folder") -> Any:
    return cli("train", "--dataset", dataset, "--data-dir", folder, *TINY, *words)


@pytest.mark.parametrize("name", [name for name in DATASETS if name != "synthetic"])
@pytest.mark.parametrize("state", ["missing", "empty", "other"])
def test_a_folder_without_the_data_shows_the_tree_looked_for(name: str, state: str, cli: Any) -> None:
    folder = Path("data")
    if state != "missing":
        folder.mkdir()
    if state == "other":
        (folder / "notes.txt").write_text("nothing to see")
    for words in (("train", *TINY), ("data", "stats")):
        answer = cli(*words, "--dataset", name, "--data-dir", folder)
        assert answer.code == 1
        head, *tree = answer.err.splitlines()
        assert head.startswith(f"evenface {words[0]}: No ")
        assert head.endswith("Expected under it:")
        assert "data " in head
        if state == "missing":
            assert "does not exist" in head
        assert any(TREES[name] in line for line in tree), answer.err
        assert "Traceback" not in answer.err
    assert not Path("run").exists()


def test_a_class_folder_with_a_wrong_name(cli: Any, own: Path) -> None:
    (own / "train/fear").rename(own / "train/feer")
    train(cli, own).refused(1, "Unknown expression label 'feer'; did you mean 'fear", str(own / "train/feer"))
    (own / "train/feer").rename(own / "train/zzz")
    train(cli, own).refused(1, "'zzz'", "known are: afraid")


def test_a_wrong_label_in_a_table(cli: Any, own: Path) -> None:
    (own / "manifest.csv").write_text("file_name,label,split\ntrain/happy/0.png,happy,train\ntrain/fear/0.png,hapy,train\n")
    train(cli, own / "manifest.csv", dataset="manifest").refused(1, "row 2", "'hapy'", "did you mean 'happy'?")


def test_a_class_without_an_image(cli: Any, own: Path) -> None:
    for file in (own / "train/fear").iterdir():
        file.unlink()
    for answer in (train(cli, own), cli("data", "stats", "--dataset", "folder", "--data-dir", own)):
        answer.refused(1, "fear")


def test_a_few_broken_images_are_skipped_counted_and_named(cli: Any, own: Path, caplog: pytest.LogCaptureFixture) -> None:
    for i in range(100):
        shutil.copy(own / f"train/anger/{i % 7}.png", own / f"train/anger/more{i}.png")
    (own / "train/anger/more5.png").write_bytes(b"")
    answer = train(cli, own, "--epochs", 1, "-b", 60)
    assert answer.code == 0, answer.err
    assert "skipped 1 of 121 images that cannot be read: train/anger/more5.png" in caplog.text


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n"])
def test_too_many_broken_images(cli: Any, own: Path, content: bytes) -> None:
    (own / "train/fear/3.png").write_bytes(content)
    train(cli, own).refused(1, "1 of 21 images cannot be read (train/fear/3.png)", "up to 1 % is skipped")
    assert not Path("run").exists()


def test_scoring_on_other_classes(cli: Any, own: Path, trained: Path) -> None:
    for split in ("train", "val", "test"):
        (own / split / "fear").rename(own / split / "sad")
    answer = cli("evaluate", trained, "--dataset", "folder", "--data-dir", own, "--device", "cpu", "-o", "scores")
    answer.refused(1, "do not match the model's", "it lacks fear", "it adds sadness")
    assert not Path("scores").exists()


def test_scoring_what_is_not_there(cli: Any, own: Path, trained: Path) -> None:
    cli("evaluate", "nowhere").refused(2, "nowhere does not exist")
    cli("evaluate", own).refused(2, "neither a run")
    shutil.copytree(trained / "best", "model")
    cli("evaluate", "model").refused(2, "-o/--output")
    cli("evaluate", "model", "-o", "scores").refused(2, "--dataset and --data-dir")
    cli("evaluate", trained, "-b", 0).refused(2, "--batch-size")
    shutil.rmtree(own / "test")
    cli("evaluate", trained, "--data-dir", own, "--device", "cpu").refused(1, "no test split")
    shutil.copytree(trained, "run")
    (Path("run") / "best" / "model.safetensors").write_bytes(b"damaged")
    cli("evaluate", "run", "--device", "cpu").refused(1, "model.safetensors")
    shutil.rmtree("run/best")
    cli("evaluate", "run", "--device", "cpu").refused(1, "--resume run")


def test_comparing_what_cannot_be_compared(cli: Any, trained: Path) -> None:
    shutil.copytree(trained, "run")
    Path("run/predictions-test.parquet").unlink(missing_ok=True)
    cli("compare", "run").refused(2, "evenface evaluate run --split test")
    cli("compare", "nowhere", "run").refused(2, "nowhere does not exist")
    cli("compare", "run", "--resamples", 5).refused(2, "--resamples")


def test_scores_and_comparisons_are_printed(cli: Any, trained: Path) -> None:
    for name in ("a", "b"):
        shutil.copytree(trained, name)
        answer = cli("evaluate", name, "--device", "cpu", "-j", 1)
        assert answer.code == 0, answer.err
        assert f"{name}/metrics-test.json" in answer.out
        assert Path(name, "predictions-test.parquet").is_file()
        assert "mean recall" in answer.out
    Path("b/config.yaml").write_text(Path("b/config.yaml").read_text().replace("lr: 0.0001", "lr: 0.5"))
    for kind in ("text", "markdown", "json"):
        answer = cli("compare", "a", "b", "--resamples", 200, "--format", kind)
        assert answer.code == 0, answer.err
        assert "McNemar" in answer.out or kind == "json"
        assert answer.out.count("give at least 3 seeds") == 1
