"""What a run leaves behind, its protocols, its averages, and what it refuses."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

from evenface.data.manifest import Manifest
from evenface.errors import ConfigError, DataError, MissingExtra, ModelError, StorageError, TrainingError
from evenface.methods import Setting, get_method
from evenface.methods._options import parse
from evenface.methods.ce import Ce, CeOptions
from evenface.model_folder import load_model
from evenface.models.classifier import build_classifier
from evenface.runs.evaluate import evaluate
from evenface.training import run as run_module
from evenface.training.checkpoint import load_state
from evenface.training.config import TrainConfig, load_config
from evenface.training.data import load_manifest
from evenface.training.folder import RunFolder, hold
from evenface.training.loop import Loop
from evenface.training.run import resume, train
from evenface.training.trainee import Trainee


Settings = Callable[..., TrainConfig]


def rows(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "log.csv").read_text().splitlines()))


def test_the_run_folder_holds_what_the_contract_names(settings: Settings, tmp_path: Path) -> None:
    config = settings(method="rbcf")
    text = io.StringIO()
    result = train(config, command=["evenface", "train", "-o", "my runs"], console=Console(file=text, width=300))
    assert {path.name for path in config.folder.iterdir()} == {"config.yaml", "environment.json", "log.csv", "last.ckpt", "best"}
    assert {path.name for path in (config.folder / "best").iterdir()} == {"model.safetensors", "config.json", "README.md", "card.json"}
    assert load_config(config.folder / "config.yaml") == config
    environment = json.loads((config.folder / "environment.json").read_text())
    assert environment["command"] == "evenface train -o 'my runs'"
    assert environment["processes"] == 1
    assert sum(environment["train_counts"].values()) == 29
    log = rows(config.folder)
    assert [row["epoch"] for row in log] == ["1", "2"]
    assert [float(row["lr"]) for row in log] == pytest.approx([1e-3, 0.9e-3])
    for row in log:
        total = float(row["train_cls"]) + 0.1 * float(row["train_rbc"]) + 0.5 * float(row["train_rbf"])
        assert float(row["train_loss"]) == pytest.approx(total, rel=1e-5)
    best = max(log, key=lambda row: float(row["validation_mean_recall"]))
    assert result.best == float(best["validation_mean_recall"])
    assert result.best_epoch == int(best["epoch"])
    _, about = load_model(config.folder / "best")
    assert about.details["epoch"] == result.best_epoch
    assert about.details["selection"] == {"split": "validation", "by": "mean_recall", "value": result.best, "protocol": "validation"}
    said = text.getvalue()
    assert "train 29, validation 13 faces" in said
    assert "epoch 2/2" in said
    assert "--init none" in said  # what the weights start from


def test_the_best_model_scores_as_the_log_says(whole: Path, tmp_path: Path) -> None:
    found = evaluate(whole, split="validation", output=tmp_path, device="cpu")
    best = [row for row in rows(whole) if row["best"] == "True"][-1]
    for name in ("overall", "mean_recall", "macro_f1"):
        assert found.metrics[name] == pytest.approx(float(best[f"validation_{name}"]))


def test_a_folder_that_exists_is_refused_before_the_data_are_read(settings: Settings, whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = settings()
    monkeypatch.setattr("evenface.training.run.load_manifest", lambda config: pytest.fail("the data were read"))
    config.folder.mkdir()
    (config.folder / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"^The folder .*/run exists already and is not empty; choose another -o/--output\.$"):
        train(config)
    (config.folder / "last.ckpt").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"go on with it: evenface train --resume .*, or choose another -o"):
        train(config)
    file = settings(output="file")
    file.folder.write_text("")
    with pytest.raises(ConfigError, match=r"is a file"):
        train(file)
    with pytest.raises(StorageError, match=r"file/run cannot be written \(Not a directory\)"):
        train(settings(output="file/run"))
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != config.folder.parent)
    with pytest.raises(StorageError, match=r"new cannot be written \(Permission denied\)"):
        train(settings(output="new"))


def test_an_empty_folder_is_taken(settings: Settings) -> None:
    config = settings(epochs=1)
    config.folder.mkdir()
    assert train(config).folder == config.folder


def test_paper_protocol_trains_on_all_and_is_called_optimistic(settings: Settings, tiny_set: Path, tmp_path: Path) -> None:
    whole = Manifest.load(tiny_set)
    without = whole.take([i for i, split in enumerate(whole.table["split"].to_pylist()) if split != "validation"])
    without.save(tmp_path / "two.parquet")
    held_out = load_manifest(settings(data_dir=str(tmp_path / "two.parquet"), val_fraction=0.2))
    assert len(held_out.split("train")) + len(held_out.split("validation")) == 29
    config = settings(data_dir=str(tmp_path / "two.parquet"), protocol="paper", epochs=3)
    assert len(load_manifest(config).split("train")) == 29
    text = io.StringIO()
    result = train(config, console=Console(file=text, width=300))
    assert result.select_split == "test"
    assert "optimistic" in text.getvalue()
    metrics = evaluate(config.folder, split="test", device="cpu").metrics
    assert metrics["optimistic"] is True
    assert metrics["protocol"] == "paper"
    log = rows(config.folder)
    best = max(log, key=lambda row: float(row["test_mean_recall"]))
    for name, chosen in [("last", log[-1:]), ("best", [best]), ("last_5", log)]:  # the run has three epochs, fewer than five
        assert metrics["paper"][name]["epochs"] == [int(row["epoch"]) for row in chosen]
        for key in ("overall", "mean_recall", "macro_f1"):
            assert metrics["paper"][name][key] == pytest.approx(np.mean([float(row[f"test_{key}"]) for row in chosen]))
    assert metrics["mean_recall"] == pytest.approx(metrics["paper"]["best"]["mean_recall"])
    flipped = evaluate(config.folder, tta="flip", device="cpu").metrics
    assert flipped["protocol"] == "paper"
    assert "paper" not in flipped  # the epochs of the log were scored without it
    for damaged in (b"\xff\xfe", b"", b"epoch,best\n1,True\n"):
        (config.folder / "log.csv").write_bytes(damaged)
        assert evaluate(config.folder, device="cpu").metrics["paper"] is None


def test_the_moving_average_is_the_one_by_hand_and_is_what_is_kept(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    decay, by_hand = 0.8, dict[str, torch.Tensor]()
    original = Loop.step

    def step(self: Loop, *args: Any) -> Any:
        parts = original(self, *args)
        for name, parameter in self.plain.model.named_parameters():
            value = parameter.detach().double()
            by_hand[name] = decay * by_hand[name] + (1 - decay) * value if name in by_hand else value.clone()
        return parts

    monkeypatch.setattr(Loop, "step", step)
    config = settings(ema=decay, epochs=1, model="test_convnext")
    train(config)
    state = load_state(config.folder / "last.ckpt")
    kept = load_model(config.folder / "best")[0].state_dict()
    for name, value in by_hand.items():
        torch.testing.assert_close(state["average"][f"module.{name}"].double(), value, rtol=1e-5, atol=1e-6)
        assert torch.equal(kept[name], state["average"][f"module.{name}"])
    assert not torch.equal(kept["head.weight"], state["trainee"]["model.head.weight"])


@pytest.mark.parametrize("length", [5, 17, 70])
def test_an_epoch_is_as_long_as_the_method_draws(settings: Settings, monkeypatch: pytest.MonkeyPatch, length: int) -> None:
    seen: list[int] = []
    original = Loop.step

    def step(self: Loop, rows: np.ndarray, *args: Any) -> Any:
        seen.append(len(rows))
        return original(self, rows, *args)

    monkeypatch.setattr(Loop, "step", step)
    monkeypatch.setattr(Ce, "draw", lambda self, labels, generator: generator.integers(0, len(labels), length))
    config = settings(epochs=1, method="ce")
    train(config)
    full, rest = divmod(length, 8)
    assert seen == [8] * full + [rest] * (rest > 1)  # a single face has no batch statistics
    assert 0.3 < float(rows(config.folder)[0]["train_loss"]) < 4  # a mean over the faces seen


def test_nothing_grows_with_the_length_of_a_run(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[tuple[int, ...]] = []
    original = Loop._save_or_stop

    def look(self: Loop) -> None:
        sizes.append((len(self._unchecked), len(self.state.sums), len(self.optimizer.state)))
        assert not any(value.requires_grad for value in self.state.sums.values())
        original(self)

    monkeypatch.setattr(Loop, "_save_or_stop", look)
    config = settings(epochs=2)
    train(config)
    assert len(sizes) == 8
    assert len(set(sizes)) == 1


def test_checks_are_rarer_where_they_cost(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on an accelerator: nothing is read from the device between two checks, and what was not a number is still found."""
    original = Loop.__init__

    def init(self: Loop, *args: Any) -> None:
        original(self, *args)
        self.check_every = 3

    checks: list[int] = []
    looked = Loop._check_finite
    monkeypatch.setattr(Loop, "__init__", init)

    def look(self: Loop) -> None:
        checks.append(self.state.step)
        looked(self)

    monkeypatch.setattr(Loop, "_check_finite", look)
    train(settings(epochs=1))
    assert checks == [3, 4]
    step = Loop.step

    def broken(self: Loop, *args: Any) -> Any:
        parts = step(self, *args)
        if args[4] == 1:
            number, rows, total = self._unchecked[-1]
            self._unchecked[-1] = (number, rows, total * float("nan"))
        return parts

    monkeypatch.setattr(Loop, "step", broken)
    with pytest.raises(TrainingError, match=r"epoch 1, step 2;"):
        train(settings(output="second"))


def test_ids_left_out_and_a_class_that_is_left_empty(settings: Settings, tmp_path: Path, tiny_set: Path) -> None:
    whole = Manifest.load(tiny_set)
    (tmp_path / "drop.txt").write_text("train-000\ntest-001,blurred\n")
    left = load_manifest(settings(exclude=str(tmp_path / "drop.txt")))
    assert left.notes[-1].startswith("Left out by drop.txt: ")
    assert sorted(set(whole.ids()) - set(left.ids())) == ["test-001", "train-000"]
    train_of_one = [
        name for name, label in zip(whole.ids(), whole.table["label"].to_pylist(), strict=True) if label == whole.class_names[1]
    ]
    (tmp_path / "drop.txt").write_text("\n".join(train_of_one))
    with pytest.raises(DataError, match=rf"No training face is labelled {whole.class_names[1]}"):
        load_manifest(settings(exclude=str(tmp_path / "drop.txt")))
    with pytest.raises(ConfigError, match=r"cannot be read"):
        load_manifest(settings(exclude=str(tmp_path / "gone.txt")))


def test_an_average_that_would_do_nothing_is_refused(settings: Any) -> None:
    config = settings(method="pt", ema=0.9)
    with pytest.raises(ConfigError, match=r"'pt' keeps a network with an average of its own, so --ema would do nothing"):
        train(config)
    assert not config.folder.exists()
    train(settings(method="dmue", ema=0.9, epochs=1, output="branches"))  # what it keeps is a part of the network


def test_a_second_view_that_nobody_asks_for_is_refused(settings: Any) -> None:
    config = settings(method="ce", view="erase")
    with pytest.raises(ConfigError, match=r"'ce' asks for no second view of a face, so --view erase would do nothing; leave it out"):
        train(config)
    assert not config.folder.exists()
    train(settings(method="rbc", view="erase", epochs=1, output="two"))


def test_a_run_that_began_with_such_a_view_goes_on(settings: Any) -> None:
    config = settings(epochs=1)
    train(config)
    state = torch.load(config.folder / "last.ckpt", weights_only=True)
    state["settings"] |= {"view": "erase", "epochs": 2}
    torch.save(state, config.folder / "last.ckpt")
    (config.folder / "config.yaml").write_text(dataclasses.replace(config, view="erase", epochs=2).to_yaml())
    assert resume(config.folder).folder == config.folder


@pytest.mark.parametrize("name", ["mobilenetv2_100", "test_resnet"])
def test_batch_norms_over_several_gpus_keep_the_activations_within(name: str) -> None:
    """timm fuses the two in many networks; such a batch norm must not become a plain one."""
    torch.manual_seed(0)
    trainee = Trainee(build_classifier(name, ("fear", "neutral"), 32), Ce(CeOptions(), Setting(("fear", "neutral"), (1, 1), epochs=1)))
    norms = sum(isinstance(module, torch.nn.BatchNorm2d) for module in trainee.modules())
    x = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        expected = trainee.eval().model(x)
        found = run_module.synchronised(trainee).model(x)
    assert sum(isinstance(module, torch.nn.SyncBatchNorm) for module in trainee.modules()) == norms > 0
    torch.testing.assert_close(found.logits, expected.logits)
    torch.testing.assert_close(found.maps, expected.maps)


def test_a_list_of_faces_to_leave_out_says_what_it_did(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "drop.txt").write_text("train-003\ntrain-009\ntest-001\nTrain-3\n")
    config = settings(exclude=str(tmp_path / "drop.txt"), epochs=1)
    console = Console(file=io.StringIO(), width=400)
    train(config, console=console)
    told = (
        "Left out by drop.txt: train 2, test 1. With fewer test faces it is another benchmark. "
        "1 of its 4 ids are none of this set, such as Train-3."
    )
    assert told in console.file.getvalue()  # type: ignore[attr-defined]
    assert told in json.loads((config.folder / "environment.json").read_text())["notes"]


def test_faces_that_the_reader_left_out_are_told(settings: Settings, tiny_set: Path, tmp_path: Path) -> None:
    whole = Manifest.load(tiny_set)
    told = ("Left out: 3 contempt.", "1 of 300 images that the lists list are missing under x: 7.png; they were left out.")
    untold = ("The images are those of aligned/.",)
    whole.replace(whole.table, notes=(*untold, *told)).save(tmp_path / "noted.parquet")
    console = Console(file=io.StringIO(), width=400)
    train(settings(data_dir=str(tmp_path / "noted.parquet"), epochs=1), console=console)
    said = [line.strip() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]
    assert set(told) <= set(said)
    assert not set(untold) & set(said)


def test_a_class_whose_only_training_face_cannot_be_read(settings: Settings, tmp_path: Path) -> None:
    for split, count in (("train", 110), ("validation", 2)):
        for label, n in (("anger", count), ("fear", 1)):
            (tmp_path / "own" / split / label).mkdir(parents=True)
            for i in range(n):
                Image.new("RGB", (8, 8), (i, 0, 0)).save(tmp_path / "own" / split / label / f"{i}.png")
    (tmp_path / "own" / "train" / "fear" / "0.png").write_bytes(b"broken")
    config = settings(dataset="folder", data_dir=str(tmp_path / "own"), epochs=1)
    with pytest.raises(DataError, match="No training face of fear can be read; repair the pictures, or add some"):
        train(config)
    assert not config.folder.exists()


def test_a_job_of_several_slurm_tasks(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_NTASKS", "4")
    monkeypatch.setenv("SLURM_JOB_NAME", "train")
    monkeypatch.setenv("SLURM_PROCID", "0")
    assert train(settings(epochs=1)).best_epoch == 1
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "4")
    with pytest.raises(ConfigError, match="srun -n 1"):
        train(settings(epochs=1, output="other"))


def test_what_ended_before_it_began_is_no_run(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    config = settings(epochs=1)
    with monkeypatch.context() as patch:
        patch.setattr("evenface.training.run.build_optimizer", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train(config)
    assert not config.folder.exists()
    assert train(config).best_epoch == 1
    with pytest.raises(ConfigError, match="exists already; go on with it"):
        train(config)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    monkeypatch.setattr("evenface.training.run.load_manifest", lambda config: 1 / 0)
    with pytest.raises(MissingExtra, match="--tensorboard"):
        train(settings(output="board", tensorboard=True))


def test_a_folder_that_another_run_has_just_made_is_left_alone(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    config, plain = settings(epochs=1), run_module.load_manifest

    def slowly(config: TrainConfig) -> Manifest:
        config.folder.mkdir(parents=True)
        (config.folder / "config.yaml").write_text("of another process")
        return plain(config)

    monkeypatch.setattr(run_module, "load_manifest", slowly)
    with pytest.raises(ConfigError, match="exists already"):
        train(config)
    assert (config.folder / "config.yaml").read_text() == "of another process"


@pytest.fixture
def killed_early(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> TrainConfig:
    """A run whose process was killed when its folder was made and nothing saved."""
    config = settings(epochs=1)
    with monkeypatch.context() as patch:
        patch.setattr(run_module, "build_loop", lambda *_, **__: 1 / 0)
        patch.setattr(RunFolder, "forget", lambda *_: None)
        with pytest.raises(ZeroDivisionError):
            train(config)
    assert {path.name for path in config.folder.iterdir()} == {"config.yaml", "environment.json"}
    return config


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_run_that_was_killed_before_its_first_state_is_started_anew(killed_early: TrainConfig) -> None:
    folder = killed_early.folder
    with pytest.raises(ModelError, match=r"no .*last\.ckpt to go on from, for nothing was saved .*; start it anew with the same command"):
        resume(folder)
    (folder / "tensorboard").mkdir()
    (folder / "tensorboard" / "events").write_text("of before")
    (folder / "study.log").write_text("told")
    assert train(dataclasses.replace(killed_early, seed=1)).best_epoch == 1
    assert load_config(folder / "config.yaml").seed == 1
    assert not (folder / "tensorboard").exists()
    assert (folder / "study.log").read_text() == "told"


def test_what_another_process_has_just_begun_is_not_cleared(killed_early: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, plain = killed_early.folder, run_module.load_manifest
    before, away = contents(folder), folder.with_name("away")
    with hold(folder), pytest.raises(TrainingError, match=f"Another process is training in {folder} at this moment"):
        train(killed_early)
    assert contents(folder) == before
    folder.rename(away)

    def slowly(config: TrainConfig) -> Manifest:
        away.rename(folder)  # another process begins while this one reads its data
        others.enter_context(hold(folder))
        return plain(config)

    monkeypatch.setattr(run_module, "load_manifest", slowly)
    with contextlib.ExitStack() as others, pytest.raises(TrainingError, match=f"Another process is training in {folder} at this moment"):
        train(killed_early)
    assert contents(folder) == before


def test_a_new_run_is_kept_from_others_from_its_first_file_on(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    config, plain, tried = settings(epochs=1), run_module.build_loop, []

    def disturbed(*args: Any, **given: Any) -> Loop:
        tried.append(contents(config.folder))
        with pytest.raises(TrainingError, match="Another process is training in"):
            train(config)
        assert contents(config.folder) == tried[0]
        return plain(*args, **given)

    monkeypatch.setattr(run_module, "build_loop", disturbed)
    assert train(config).best_epoch == 1
    assert len(tried) == 1


def test_what_may_be_a_persons_or_in_use_is_not_cleared(killed_early: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(killed_early.folder)
    with monkeypatch.context() as patch:
        patch.setattr("evenface.locks._lock", lambda *_, **__: None)  # a disk that knows no locks
        with pytest.raises(ConfigError, match="exists already and is not empty; choose another"):
            train(killed_early)
    (killed_early.folder / "environment.json").unlink()
    with pytest.raises(ConfigError, match="exists already and is not empty; choose another"):
        train(killed_early)
    assert contents(killed_early.folder) == {"config.yaml": before["config.yaml"]}


def test_a_beta_that_cannot_work_is_told_before_the_data_are_read() -> None:
    with pytest.raises(ConfigError, match="beta = 1 makes the class weights 0 / 0"):
        parse(get_method("rbcf").Options, {"beta": 1.0})
