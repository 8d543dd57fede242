"""Calibrating a finished run anew gives what the run gave itself, leaves the weights, and says what cannot be done."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from evenface import zoo
from evenface.calibration import fit_calibration
from evenface.errors import ConfigError, DataError, LabelError, StorageError, TrainingError
from evenface.labels import BASIC
from evenface.model_folder import read_card, read_config
from evenface.pack import pack
from evenface.runs.calibrate import calibrate, report
from evenface.runs.card import keep_notes, model_card, renew_card
from evenface.runs.evaluate import evaluate
from evenface.training.config import TrainConfig
from evenface.training.folder import hold
from evenface.training.loop import Loop
from evenface.training.run import resume, train


CLASSES = BASIC[:3]


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of random pictures: 8 of each class to train on, 4 for validation, 2 to test on."""
    random, root = np.random.default_rng(0), tmp_path_factory.mktemp("faces")
    for split, count in {"train": 8, "validation": 4, "test": 2}.items():
        for channel, name in enumerate(CLASSES):
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                pixels = random.integers(0, 200, (32, 32, 3))
                pixels[..., channel] += 40
                Image.fromarray(pixels.astype(np.uint8)).save(root / split / name / f"{i}.png")
    return root


def config_of(faces: Path, folder: Path, **changes: object) -> TrainConfig:
    plain = TrainConfig(
        dataset="folder", data_dir=str(faces), model="test_resnet", img_size=32, epochs=1, batch_size=8, device="cpu", precision="fp32",
        workers=1, store="memory", output=str(folder),
    )  # fmt: skip
    return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def trained(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "run"
    train(config_of(faces, folder))
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy to write into."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


def without_calibration(run: Path) -> None:
    """As an earlier version left it."""
    values = json.loads((run / "best" / "config.json").read_text())
    (run / "best" / "config.json").write_text(json.dumps({k: v for k, v in values.items() if k != "calibration"}))
    renew_card(run)
    assert "Not calibrated" in read_card(run / "best")


def test_a_run_calibrates_its_best_model_and_again_gives_the_same(run: Path) -> None:
    own, card = read_config(run / "best"), read_card(run / "best")
    assert own.fitted is not None
    assert (own.fitted.split, own.fitted.n, own.fitted.prior) == ("validation", 12, dict.fromkeys(CLASSES, 1 / 3))
    assert f"Fitted on 12 faces ({own.dataset} validation)" in card
    assert f"| temperature | 1 | {own.fitted.temperature_only:.2f} | {own.fitted.temperature:.2f} |" in card
    weights = (run / "best" / "model.safetensors").read_bytes()
    without_calibration(run)
    assert read_config(run / "best").fitted is None
    seen: list[tuple[int, int]] = []
    found = calibrate(run, device="cpu", progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (12, 12)
    again = read_config(run / "best")
    assert found.calibration == again.fitted
    assert found.calibration.temperature == pytest.approx(own.fitted.temperature, abs=1e-4)
    assert list(found.calibration.bias.values()) == pytest.approx(list(own.fitted.bias.values()), abs=1e-4)
    assert dataclasses.replace(again, calibration=None) == dataclasses.replace(own, calibration=None)
    assert read_card(run / "best").splitlines() == card.splitlines()
    assert (run / "best" / "model.safetensors").read_bytes() == weights


def test_the_report_is_what_evaluate_finds(run: Path) -> None:
    found = calibrate(run / "best", device="cpu")
    assert found.model == run / "best"
    assert list(found.priors) == ["model", "train", "half", "balanced"]
    for prior, rates in found.priors.items():
        table = pq.read_table(evaluate(run, split="validation", device="cpu", prior=prior).predictions_file)
        true, predicted = table["label"].to_pylist(), table["predicted"].to_pylist()
        assert rates == {
            "overall": pytest.approx(accuracy_score(true, predicted)),
            "mean_recall": pytest.approx(balanced_accuracy_score(true, predicted)),
        }
    assert set(found.class_errors) == set(CLASSES)


def test_errors_before_and_after_by_a_slow_loop(run: Path) -> None:
    about = read_config(run / "best")
    rng = np.random.default_rng(0)
    labels = rng.integers(0, len(CLASSES), 200)
    logits = rng.normal(size=(200, len(CLASSES)))
    logits[np.arange(200), labels] += 1
    logits *= 4  # much too sure
    fitted = fit_calibration(logits, labels, about.class_names, split="validation")
    found = report(run / "best", dataclasses.replace(about, calibration=fitted.to_dict()), fitted, logits, labels)

    def slow(z: np.ndarray, c: int) -> float:
        p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
        total = 0.0
        for m in range(15):
            inside = (p[:, c] > m / 15) & (p[:, c] <= (m + 1) / 15)
            total += abs((labels[inside] == c).sum() - p[inside, c].sum()) / len(labels)
        return total

    bias = np.array([fitted.bias[name] for name in about.class_names])
    for c, name in enumerate(about.class_names):
        assert found.class_errors[name] == (pytest.approx(slow(logits, c)), pytest.approx(slow(logits / fitted.temperature + bias, c)))
        assert found.class_errors[name][0] > found.class_errors[name][1]


def test_a_model_folder_of_no_run(run: Path, faces: Path, tmp_path: Path) -> None:
    model = Path(shutil.copytree(run / "best", tmp_path / "model"))
    with pytest.raises(ConfigError, match="is a model without its data"):
        calibrate(model)
    own = calibrate(run, device="cpu").calibration
    assert calibrate(model, dataset="folder", data_dir=str(faces), device="cpu").calibration == own
    found = calibrate(model, dataset="folder", data_dir=str(faces), split="test", device="cpu").calibration
    assert (found.split, found.n) == ("test", 6)


def test_a_model_that_does_not_tell_its_training_faces(run: Path) -> None:
    values = json.loads((run / "best" / "config.json").read_text())
    (run / "best" / "config.json").write_text(json.dumps({**values, "train_counts": None}))
    assert list(calibrate(run, device="cpu").priors) == ["model", "balanced"]


@pytest.mark.parametrize(("closed", "works"), [("best", False), ("run", True)])
def test_the_model_folder_alone_is_written(run: Path, monkeypatch: pytest.MonkeyPatch, closed: str, works: bool) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != closed)
    seen: list[int] = []
    if works:
        calibrate(run, device="cpu", progress=lambda done, total: seen.append(done))
    else:
        with pytest.raises(StorageError, match="best cannot be written"):
            calibrate(run, device="cpu", progress=lambda done, total: seen.append(done))
    assert bool(seen) == works


def test_a_card_that_is_no_utf_8_is_kept_byte_for_byte(run: Path) -> None:
    without_calibration(run)
    (run / "best" / "README.md").write_bytes(b"# Caf\xe9\r\n")
    calibrate(run, device="cpu")
    assert read_config(run / "best").fitted is not None
    assert "Fitted on 12 faces" in read_card(run / "best")
    assert (run / "README.old.md").read_bytes() == b"# Caf\xe9\r\n"


def test_a_damaged_card_json_is_told_before_the_work_and_stays(run: Path, tmp_path: Path) -> None:
    """Valid JSON of another version, and half of a file: the calibration that stands there goes with the card that does."""
    folder, seen = run / "best", list[int]()
    for damage in ('{"schema_version": 99}', (folder / "card.json").read_text()[:200]):
        (folder / "card.json").write_text(damage)
        before = {file.name: file.read_bytes() for file in folder.iterdir()}
        with pytest.raises(DataError, match=r"card\.json cannot be read"):
            calibrate(run, device="cpu", progress=lambda done, total: seen.append(done))
        for target in (run, folder):
            with pytest.raises(DataError, match=r"card\.json cannot be read"):
                pack(target, tmp_path / "packed")
        assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    assert not seen
    assert not (tmp_path / "packed").exists()
    (folder / "card.json").unlink()
    calibrate(run, device="cpu")


def test_what_cannot_be_calibrated(run: Path, faces: Path, tmp_path: Path) -> None:
    before = read_config(run / "best")
    with pytest.raises(ConfigError, match="calibrate it on --split validation"):
        calibrate(run, split="train")
    own = Path(shutil.copytree(faces, tmp_path / "own"))
    for file in (own / "validation" / CLASSES[2]).iterdir():
        file.unlink()
    seen: list[int] = []
    with pytest.raises(DataError, match=f"validation split has no face of {CLASSES[2]}"):
        calibrate(run, data_dir=str(own), device="cpu", progress=lambda done, total: seen.append(done))
    assert not seen  # it is told before the work
    (own / "train" / CLASSES[2]).rename(own / "train" / BASIC[4])
    shutil.rmtree(own / "validation" / CLASSES[2])
    shutil.rmtree(own / "test" / CLASSES[2])
    with pytest.raises(LabelError, match=BASIC[4]):
        calibrate(run, data_dir=str(own), device="cpu")
    assert read_config(run / "best") == before


def test_while_a_run_is_trained_it_is_not_calibrated(faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, step, tried = config_of(faces, tmp_path / "run", epochs=2), Loop.step, list[Path]()

    def disturbed(self: Loop, *args: Any) -> Any:
        if self.state.epoch == 1 and not tried:  # by now there is a best model
            for target in (config.folder, config.folder / "best"):
                tried.append(target)
                with pytest.raises(TrainingError, match=f"Another process is training in {config.folder} at this moment"):
                    calibrate(target, device="cpu")
        return step(self, *args)

    monkeypatch.setattr(Loop, "step", disturbed)
    train(config)
    assert len(tried) == 2
    calibrate(config.folder, device="cpu")


def test_while_a_run_is_calibrated_it_is_not_trained(run: Path, faces: Path, tmp_path: Path) -> None:
    def disturb(done: int, total: int) -> None:
        with pytest.raises(TrainingError, match="Another process is training in"):
            resume(run)

    calibrate(run, device="cpu", progress=disturb)
    model = Path(shutil.copytree(run / "best", tmp_path / "best"))
    with hold(tmp_path):  # it is no run
        calibrate(model, dataset="folder", data_dir=str(faces), device="cpu")


def test_a_run_that_cannot_calibrate_itself_ends_well(faces: Path, tmp_path: Path) -> None:
    own = Path(shutil.copytree(faces, tmp_path / "own"))
    for file in (own / "validation" / CLASSES[2]).iterdir():
        file.unlink()
    for name, changes in (("paper", {"protocol": "paper"}), ("lacking", {"data_dir": str(own)})):
        folder = tmp_path / name
        train(config_of(faces, folder, **changes))
        assert read_config(folder / "best").calibration is None
        assert "Not calibrated" in read_card(folder / "best")
        resume(folder)
    found = evaluate(tmp_path / "paper", device="cpu", prior="balanced")  # by the training faces, of which each class has as many
    assert found.metrics["calibration"] is None
    assert found.metrics["overall"] == evaluate(tmp_path / "paper", device="cpu").metrics["overall"]
    # The validation faces of this data set are none that a run under the paper's protocol has seen.
    assert calibrate(tmp_path / "paper", device="cpu").calibration.n == 12


# The card


def recalls(card: str, split: str) -> dict[str, str]:
    """Class -> recall, of a section of a card."""
    lines = card.partition(f"## Scores on {split}\n")[2].partition("\n## ")[0].splitlines()
    return {line.split(" | ")[0].strip("| "): line.split(" | ")[3].partition(" [")[0] for line in lines if line.count("|") == 7}


def test_the_card_follows_what_the_run_learns(run: Path) -> None:
    first = read_card(run / "best")
    assert "Scored by the training itself" in first
    assert "## Scores on test" not in first
    assert "minutes in all" in first  # the training has ended
    table = pq.read_table(evaluate(run, split="validation", device="cpu").predictions_file)
    true, predicted = np.array(table["label"].to_pylist()), np.array(table["predicted"].to_pylist())
    expected = {name: f"{100 * (predicted[true == name] == name).mean():.1f}" for name in CLASSES}
    second = read_card(run / "best")
    assert expected.items() <= recalls(second, "validation").items()
    assert recalls(first, "validation") == recalls(second, "validation")
    assert "Scored by the training itself" not in second
    evaluate(run, split="test", device="cpu", prior="balanced", tta="flip")
    third = read_card(run / "best")
    assert "n = 6, face and mirror, prior balanced." in third
    assert model_card(run) == third == (run / "best" / "README.md").read_text()
    evaluate(run, device="cpu", output=run.parent / "elsewhere")
    assert read_card(run / "best") == third


def test_a_persons_words_outlive_everything(run: Path, tmp_path: Path) -> None:
    (tmp_path / "words.md").write_text("Made for a museum.")
    keep_notes(run, tmp_path / "words.md")
    evaluate(run, device="cpu")
    calibrate(run, device="cpu")
    assert "\n\nMade for a museum.\n\n" in read_card(run / "best")
    place = pack(run, tmp_path / "packed")
    assert "\n\nMade for a museum.\n\n" in renew_card(place).read_text()
    with pytest.raises(ConfigError, match="stays as it is"):
        renew_card(zoo.default_model())
    with pytest.raises(ConfigError, match="stays as it is"):
        keep_notes(zoo.default_model(), tmp_path / "words.md")


# Packing


def test_a_packed_model_is_half_as_large_and_tells_its_scores(run: Path, faces: Path, tmp_path: Path) -> None:
    evaluate(run, split="validation", device="cpu")
    (run / "notes.md").write_text("from https://example.org/a/b, 3 / 4 / 5,\nby way of /somewhere/notes.txt\n")
    values = json.loads((run / "best" / "config.json").read_text())
    values["init"] = {"source": "/somewhere/run", "summary": "loaded from /somewhere/weights.pth (sha256 0)", "sha256": None}
    (run / "best" / "config.json").write_text(json.dumps(values))
    place = pack(run, tmp_path / "packed", licence="CC BY 4.0")
    sizes = [(folder / "model.safetensors").stat().st_size for folder in (place, run / "best")]
    assert sizes[0] < 0.65 * sizes[1]  # the names and the float32 statistics weigh something in so small a network
    ours, theirs = read_config(run / "best"), read_config(place)
    assert theirs.weights_dtype == "float16"
    assert theirs.fitted == ours.fitted
    assert theirs.init == {"source": "run", "summary": "loaded from weights.pth (sha256 0)", "sha256": None}
    assert theirs.details.pop("licence") == "CC BY 4.0"
    assert dataclasses.replace(theirs, weights_dtype="float32", init=None) == dataclasses.replace(ours, init=None)
    card = read_card(place)
    assert {file.name for file in place.iterdir()} == {"README.md", "card.json", "config.json", "model.safetensors", "notes.md"}
    assert "license: cc-by-4.0\n" in card
    assert "# packed\n" in card
    assert "from https://example.org/a/b, 3 / 4 / 5,\nby way of notes.txt\n" in card
    assert (place / "notes.md").read_text() == "from https://example.org/a/b, 3 / 4 / 5,\nby way of notes.txt\n"
    assert "weights kept in float16" in card
    assert "## Scores on validation" in card
    assert "## Scores on test" not in card
    metrics = json.loads((run / "metrics-validation.json").read_text())
    for name in CLASSES:
        assert f"| {name} | 8 | 4 | {100 * metrics['per_class'][name]['recall']:.1f} [" in card
    assert str(tmp_path) not in card + (place / "config.json").read_text() + (place / "card.json").read_text()
    assert renew_card(place).read_text() == card
    other = {"dataset": "folder", "data_dir": str(faces), "device": "cpu"}
    files = [evaluate(each, **other, output=tmp_path / f"of_{each.name}") for each in (run, place)]
    a, b = (pq.read_table(found.predictions_file) for found in files)
    for name in CLASSES:  # weights are off by 2^-11 at most, in relation
        np.testing.assert_allclose(b[f"p_{name}"].to_numpy(), a[f"p_{name}"].to_numpy(), atol=0.01)


def test_packing_in_full_precision_and_what_cannot_be_packed(run: Path, tmp_path: Path) -> None:
    place = pack(run / "best", tmp_path / "packed", precision="fp32")
    assert (place / "model.safetensors").read_bytes() == (run / "best" / "model.safetensors").read_bytes()
    assert read_config(place).weights_dtype == "float32"
    assert read_card(place).replace("packed", "run") == read_card(run / "best")
    (place / "card.json").unlink()
    (place / "README.md").write_text("Mine, from /somewhere/else.")
    assert read_card(pack(place, tmp_path / "again")) == "Mine, from else."
    with pytest.raises(ConfigError, match="packed exists already"):
        pack(run, place)
    with pytest.raises(ConfigError, match=r"Unknown precision 'fp8'"):
        pack(run, tmp_path / "other", precision="fp8")
    with pytest.raises(ConfigError, match="does not exist"):
        pack(tmp_path / "nothing", tmp_path / "other")
