"""A run that was stopped or killed, once or often, ends with the same bits as one that was not; and what cannot be resumed says so."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from rich.console import Console
from safetensors.torch import load_file, save_file

from evenface.data.manifest import IMAGE_TYPE, Manifest
from evenface.errors import ConfigError, ModelError, TrainingError
from evenface.training.config import TrainConfig
from evenface.training.folder import hold
from evenface.training.loop import Interrupted, Loop
from evenface.training.run import resume, train


Settings = Callable[..., TrainConfig]

EVERYTHING: dict[str, Any] = {
    "method": "rbcf", "ema": 0.9, "dropout": 0.3, "jitter": 1.0, "rotate": 10.0, "scale": 0.1, "shift": 0.1, "erase": 0.5, "noise": 0.5,
    "hflip": 0.5, "clip_grad": 5.0, "warmup_epochs": 0.5, "schedule": "cosine", "optimizer": "adamw", "weight_decay": 0.05,
}  # fmt: skip
STEPS = 4  # per epoch: 29 faces in batches of 8


def run_with_stops(config: TrainConfig, stops: list[int], how: str, at_step: Callable[..., type[BaseException]]) -> None:
    """Trains; breaks off after each of the numbers of steps; goes on."""
    for i, stop in enumerate([*stops, 0]):
        killed = at_step(stop, how)
        if not stop:
            train(config) if i == 0 else resume(config.folder)
            continue
        with pytest.raises(Interrupted if how == "stop" else killed) as caught:
            train(config) if i == 0 else resume(config.folder)
        if how == "stop":
            assert f"evenface train --resume {config.folder}" in str(caught.value)


def test_stopped_at_random_steps_ends_with_the_same_bits(
    settings: Settings, at_step: Callable[..., type[BaseException]], assert_same: Callable[..., None]
) -> None:
    train(settings(output="whole", **EVERYTHING))
    stops = [random.Random(8).randrange(1, STEPS), STEPS]  # in the middle of the first epoch, then in that of the second
    run_with_stops(settings(output="stopped", **EVERYTHING), stops, "stop", at_step)
    assert_same(settings(output="whole").folder, settings(output="stopped").folder)


def test_killed_at_any_step_loses_only_what_came_after_the_last_save(
    settings: Settings, at_step: Callable[..., type[BaseException]], assert_same: Callable[..., None], whole: Path
) -> None:
    # Killed before the first scheduled save: the state of the start is there. Then once more, after an epoch's end.
    run_with_stops(settings(output="late"), [3, STEPS + 1], "kill", at_step)
    assert_same(whole, settings(output="late").folder)
    # With a save at every step, a kill in step n + 1 costs that step alone.
    run_with_stops(settings(output="often", save_minutes=0.0), [3], "kill", at_step)
    assert_same(whole, settings(output="often").folder)


def test_killed_between_the_best_model_and_the_state(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, assert_same: Callable[..., None], whole: Path
) -> None:
    original = Loop._save

    def save(self: Loop) -> None:
        if self.state.epoch == 1 and self.state.step == 0:
            raise KeyboardInterrupt
        original(self)

    config = settings(output="between", save_minutes=0.0)
    with monkeypatch.context() as patch:
        patch.setattr(Loop, "_save", save)
        with pytest.raises(KeyboardInterrupt):
            train(config)
    assert (config.folder / "best").is_dir()
    resume(config.folder)
    assert_same(whole, config.folder)


def test_the_store_the_workers_and_the_saves_change_nothing(
    settings: Settings, at_step: Callable[..., type[BaseException]], assert_same: Callable[..., None], whole: Path
) -> None:
    run_with_stops(settings(store="stream", workers=3, save_minutes=0.0), [2], "stop", at_step)
    assert_same(whole, settings().folder)


def test_a_finished_run_says_so_and_stays_as_it_is(whole: Path) -> None:
    before = {path: path.read_bytes() for path in whole.rglob("*") if path.is_file()}
    text = io.StringIO()
    again = resume(whole, console=Console(file=text, width=200))
    assert "finished" in text.getvalue()
    rows = list(csv.DictReader((whole / "log.csv").read_text().splitlines()))
    assert again.best == max(float(row["validation_mean_recall"]) for row in rows)
    assert before == {path: path.read_bytes() for path in whole.rglob("*") if path.is_file()}


def test_what_is_no_run_or_has_no_state(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no .*config.yaml; is .* a run folder"):
        resume(tmp_path / "nothing")
    folder = tmp_path / "empty"
    folder.mkdir()
    (folder / "config.yaml").write_text(settings().to_yaml())
    with pytest.raises(ModelError, match=r"no .*last.ckpt"):
        resume(folder)


@pytest.mark.parametrize("content", [b"", b"no archive", None], ids=["empty", "other", "foreign"])
def test_a_damaged_state(settings: Settings, tmp_path: Path, content: bytes | None) -> None:
    (tmp_path / "config.yaml").write_text(settings().to_yaml())
    if content is None:
        torch.save({"weights": torch.zeros(3)}, tmp_path / "last.ckpt")
    else:
        (tmp_path / "last.ckpt").write_bytes(content)
    with pytest.raises(ModelError, match=r"last.ckpt is (damaged|not the state)"):
        resume(tmp_path)


@pytest.fixture
def stopped(settings: Settings, at_step: Callable[..., type[BaseException]]) -> TrainConfig:
    """A run that was stopped after its second step."""
    config = settings()
    at_step(2, "stop")
    with pytest.raises(Interrupted, match=r"SIGTERM at epoch 1, step 2"):
        train(config)
    return config


def with_changes(config: TrainConfig, **changes: Any) -> None:
    (config.folder / "config.yaml").write_text(dataclasses.replace(config, **changes).to_yaml())


def test_other_data_other_labels_other_classes(stopped: TrainConfig, tiny_set: Path, tmp_path: Path) -> None:
    whole = Manifest.load(tiny_set)
    labels = whole.table["label"].to_pylist()
    labels[0], labels[1] = labels[1], labels[0]
    column = whole.table.column_names.index("label")
    relabelled = whole.replace(whole.table.set_column(column, "label", [labels]))
    two = [i for i, label in enumerate(whole.table["label"].to_pylist()) if label != whole.class_names[0]]
    for other, message in [
        (whole.take(range(1, len(whole))), "not those"),
        (relabelled, "not those"),
        (whole.take(two).replace(whole.take(two).table, class_names=whole.class_names[1:]), "tells"),
    ]:
        other.save(tmp_path / "other.parquet")
        with_changes(stopped, data_dir=str(tmp_path / "other.parquet"))
        with pytest.raises(ModelError, match=message):
            resume(stopped.folder)


def test_other_labels_of_the_faces_that_choose_the_epoch(stopped: TrainConfig, tiny_set: Path, tmp_path: Path) -> None:
    whole = Manifest.load(tiny_set)
    labels, splits = (whole.table[name].to_pylist() for name in ("label", "split"))
    assert "validation" in splits
    turned = [whole.class_names[whole.class_names.index(a) - 1] if s == "validation" else a for a, s in zip(labels, splits, strict=True)]
    whole.replace(whole.table.set_column(whole.table.column_names.index("label"), "label", [turned])).save(tmp_path / "other.parquet")
    with_changes(stopped, data_dir=str(tmp_path / "other.parquet"))
    with pytest.raises(ModelError, match=r"The validation faces are not those that .* began with, or have other labels"):
        resume(stopped.folder)


def test_other_votes(settings: Settings, tiny_set: Path, tmp_path: Path, at_step: Callable[..., type[BaseException]]) -> None:
    whole = Manifest.load(tiny_set)
    sure = np.eye(len(whole.class_names), dtype=np.float32)[[whole.class_names.index(name) for name in whole.table["label"].to_pylist()]]
    votes = 0.9 * sure + 0.1 / len(whole.class_names)
    for name, soft in (("before", votes), ("same", votes), ("after", 0.5 * votes + 0.5 * sure)):
        column = pa.FixedSizeListArray.from_arrays(pa.array(soft.ravel(), pa.float32()), len(whole.class_names))
        whole.replace(whole.table.append_column("soft", column)).save(tmp_path / f"{name}.parquet")
    config = settings(data_dir=str(tmp_path / "before.parquet"))
    at_step(2, "stop")
    with pytest.raises(Interrupted, match=r"SIGTERM at epoch 1, step 2"):
        train(config)
    with_changes(config, data_dir=str(tmp_path / "after.parquet"))
    with pytest.raises(ModelError, match="The faces' votes are not those"):
        resume(config.folder)
    with_changes(config, data_dir=str(tmp_path / "same.parquet"))
    at_step(2, "stop")
    with pytest.raises(Interrupted):  # it goes on, and is stopped again
        resume(config.folder)


def test_other_pictures_of_the_same_faces(stopped: TrainConfig, tiny_set: Path, tmp_path: Path) -> None:
    """A folder whose faces were cut out anew while the run stood still."""
    faces = Manifest.load(tiny_set)
    turned = []
    for row in range(len(faces)):
        file = io.BytesIO()
        Image.open(io.BytesIO(faces.image_bytes(row))).transpose(Image.Transpose.ROTATE_180).save(file, "PNG")
        turned.append({"bytes": file.getvalue(), "path": None})
    at = faces.table.column_names.index("image")
    faces.replace(faces.table.set_column(at, "image", pa.array(turned, IMAGE_TYPE))).save(tmp_path / "turned.parquet")
    with_changes(stopped, data_dir=str(tmp_path / "turned.parquet"))
    with pytest.raises(ModelError, match=r"The pictures are not those that .* began with; resume with the data set as it was"):
        resume(stopped.folder)


OTHER: dict[str, Any] = {
    "seed": 1, "batch_size": 4, "lr": 1.0, "epochs": 3, "method": "rbc", "method_options": {"cls_views": "both"}, "optimizer": "sgd",
    "model": "test_convnext", "ema": 0.9, "precision": "bf16", "protocol": "paper", "init": "start", "val_fraction": 0.2,
}  # fmt: skip


def test_other_settings_are_named(stopped: TrainConfig, whole: Path) -> None:
    for name, value in OTHER.items():
        with_changes(stopped, **{name: value})
        told = f"config.yaml is not as this run began: {name} is {value!r} and was {getattr(stopped, name)!r}. Put back"
        with pytest.raises(ConfigError, match=re.escape(told)):
            resume(stopped.folder)
    with_changes(stopped, seed=1, lr=0.5)
    with pytest.raises(ConfigError, match=r"lr is 0\.5 and was 0\.001; seed is 1 and was 0"):
        resume(stopped.folder)
    finished = Path(shutil.copytree(whole, stopped.folder.parent / "finished"))
    with_changes(dataclasses.replace(stopped, output=str(finished)), epochs=3)
    with pytest.raises(ConfigError, match="epochs is 3 and was 2"):
        resume(finished)


def test_what_changes_no_number_may_differ(stopped: TrainConfig, whole: Path, assert_same: Callable[..., None], tiny_set: Path) -> None:
    (stopped.folder.parent / "moved").mkdir()
    data = shutil.copy(tiny_set, stopped.folder.parent / "moved" / "faces.parquet")
    folder = Path(shutil.move(stopped.folder, stopped.folder.parent / "moved" / "run"))
    changed = dataclasses.replace(stopped, output=str(folder))
    with_changes(changed, data_dir=str(data), workers=2, store="stream", save_minutes=0.0, device="auto")
    resume(folder)
    assert_same(whole, folder)


def test_a_state_of_an_earlier_evenface_tells_no_settings(stopped: TrainConfig) -> None:
    state = torch.load(stopped.folder / "last.ckpt", weights_only=True)
    del state["settings"]
    torch.save(state, stopped.folder / "last.ckpt")
    for changes in ({"model": "test_convnext"}, {"ema": 0.9}, {"optimizer": "sgd"}):
        with_changes(stopped, **changes)
        with pytest.raises(ModelError, match=r"does not fit the settings in config.yaml"):
            resume(stopped.folder)
    with_changes(stopped, seed=1)
    assert resume(stopped.folder).best_epoch in (1, 2)


def test_the_start_is_what_the_run_began_with(
    settings: Settings, tmp_path: Path, at_step: Callable[..., type[BaseException]], assert_same: Callable[..., None]
) -> None:
    """Another file under its name, or none, changes neither the weights nor what the run says of its start."""
    first = train(settings(output="first", epochs=1)).folder
    begun = str(shutil.copytree(first / "best", tmp_path / "start"))
    train(settings(output="whole", init=begun))
    for name, stop in (("other", STEPS + 1), ("gone", 1)):
        killed = at_step(stop, "kill")
        with pytest.raises(killed):
            train(settings(output=name, init=begun))
        at_step(0, "kill")
        if name == "other":
            weights = tmp_path / "start" / "model.safetensors"
            tensors = {key: value + 1 for key, value in load_file(weights).items()}
            save_file(tensors, weights)
        else:
            shutil.rmtree(begun)
        resume(tmp_path / name)
        assert_same(tmp_path / "whole", tmp_path / name)
        inits = [json.loads((tmp_path / run / "best" / "config.json").read_text())["init"]["sha256"] for run in ("whole", name)]
        assert inits[0] == inits[1]
        if name == "other":
            shutil.rmtree(begun)
            shutil.copytree(first / "best", begun)


@pytest.mark.parametrize("content", [None, "no JSON", "{}"])
def test_a_lost_record_of_the_start_stops_no_resume(
    content: str | None, settings: Settings, at_step: Callable[..., type[BaseException]]
) -> None:
    config = settings()
    killed = at_step(2, "kill")
    with pytest.raises(killed):
        train(config)
    at_step(0)
    record = config.folder / "environment.json"
    record.unlink()
    if content is not None:
        record.write_text(content)
    assert resume(config.folder).best_epoch in (1, 2)


def test_while_a_run_is_trained_nobody_else_goes_on_with_it(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    config = settings(save_minutes=0.0)
    again = f"Another process is training in {config.folder} at this moment"
    step, tried = Loop.step, []

    def disturbed(self: Loop, *args: Any) -> Any:
        found = step(self, *args)
        if self.state.epoch == 1 and not tried:  # by now there is a state
            tried.append("once")
            with pytest.raises(TrainingError, match=again):
                resume(config.folder)
        return found

    monkeypatch.setattr(Loop, "step", disturbed)
    train(config)
    assert tried
    assert resume(config.folder).folder == config.folder  # finished, and free again


def test_a_resumed_run_is_kept_from_others_too(stopped: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    fcntl = pytest.importorskip("fcntl")
    before = (stopped.folder / "last.ckpt").read_bytes()
    handle = os.open(stopped.folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(TrainingError, match="Another process is training in"):
            resume(stopped.folder)
        assert (stopped.folder / "last.ckpt").read_bytes() == before
        monkeypatch.setenv("RANK", "1")  # of a training in several processes, whose first one holds the folder
        with hold(stopped.folder):
            pass
    finally:
        os.close(handle)
