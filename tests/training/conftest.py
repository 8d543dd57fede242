"""A tiny set of random faces, tiny networks, and runs in processes of their own."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from evenface.data.manifest import Manifest, build
from evenface.labels import BASIC
from evenface.training.checkpoint import load_state
from evenface.training.config import TrainConfig
from evenface.training.loop import Loop
from evenface.training.run import train


CLASSES = BASIC[:3]


def faces(n: dict[str, int], seed: int = 0, side: int = 32) -> Manifest:
    """Random pictures whose brightness and colour hint at their class, `n` of each split, the rarer classes last."""
    random = np.random.default_rng(seed)
    columns: dict[str, list[Any]] = {"id": [], "split": [], "label": [], "image": []}
    for split, count in n.items():
        for i in range(count):
            label = min(i % 5, 2) if i >= 3 else i
            pixels = random.integers(0, 120, (side, side, 3)) + np.array([100 * (label == 0), 100 * (label == 1), 60 * (label == 2)])
            file = io.BytesIO()
            Image.fromarray(pixels.astype(np.uint8)).save(file, "PNG")
            columns["id"].append(f"{split}-{i:03d}")
            columns["split"].append(split)
            columns["label"].append(CLASSES[label])
            columns["image"].append(file.getvalue())
    return build(columns, CLASSES, name="tiny")


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Runs in processes of their own have one, and what is compared with them to the bit must add up in the same order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """29 faces to train on, 13 to choose the epoch on, 12 to test on; 3 classes; no count is a multiple of the batch."""
    path = tmp_path_factory.mktemp("set") / "tiny.parquet"
    faces({"train": 29, "validation": 13, "test": 12}).save(path)
    return path


def config_of(data: Path, folder: Path, **changes: Any) -> TrainConfig:
    """Settings of a run that takes a second."""
    values: dict[str, Any] = {
        "dataset": "manifest", "data_dir": str(data), "model": "test_resnet", "img_size": 32, "epochs": 2, "batch_size": 8,
        "device": "cpu", "precision": "fp32", "workers": 1, "store": "memory", "lr": 1e-3,
    }  # fmt: skip
    return TrainConfig(**{**values, **changes}, output=str(folder))


@pytest.fixture
def settings(tiny_set: Path, tmp_path: Path) -> Callable[..., TrainConfig]:
    """`settings(epochs=3, output="x")`; the run folder is `tmp_path / output`."""

    def make(*, output: str = "run", **changes: Any) -> TrainConfig:
        return config_of(tiny_set, tmp_path / output, **changes)

    return make


@pytest.fixture(scope="session")
def whole(tiny_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an uninterrupted run with the plain settings; to be looked at only."""
    config = config_of(tiny_set, tmp_path_factory.mktemp("whole") / "run")
    train(config)
    return config.folder


@pytest.fixture(scope="session")
def player() -> Iterator[subprocess.Popen[str]]:
    """The process that forks the others; it lives as long as the tests, so that torch is imported once."""
    command = [sys.executable, str(Path(__file__).with_name("processes.py"))]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as process:
        yield process
        process.kill()


@pytest.fixture
def play(player: subprocess.Popen[str]) -> Callable[..., list[dict[str, Any]]]:
    """Runs phases one after the other, each in processes of its own; see `processes.py`. A phase may have a `config` in place of words."""

    def run(*phases: dict[str, Any]) -> list[dict[str, Any]]:
        assert player.stdin is not None
        assert player.stdout is not None
        found = []
        for phase in phases:
            config: TrainConfig | None = phase.pop("config", None)
            if config is not None:
                file = Path(f"{config.output}.yaml")
                file.write_text(config.to_yaml())
                phase["words"] = ["train", "-c", str(file)]
            player.stdin.write(json.dumps(phase) + "\n")
            player.stdin.flush()
            found.append(json.loads(player.stdout.readline()))
        return found

    return run


class Killed(BaseException):
    """Stands for kill -9: nothing of ours catches it, so nothing is saved on the way out."""


@pytest.fixture
def at_step(monkeypatch: pytest.MonkeyPatch) -> Callable[..., type[BaseException]]:
    """After the 7th step from now `at_step(7, "stop")` tells the loop to stop, "kill" breaks off; `at_step(0)` does nothing."""
    original = Loop.step

    def arm(number: int, how: str = "") -> type[BaseException]:
        done = 0

        def step(self: Loop, *args: Any) -> Any:
            nonlocal done
            parts = original(self, *args)
            done += 1
            if done == number and how == "stop":
                self._stop = "SIGTERM"
            if done == number and how == "kill":
                raise Killed
            return parts

        monkeypatch.setattr(Loop, "step", step)
        return Killed

    return arm


def same(a: Any, b: Any) -> bool:
    """Equal to the bit: nested dicts and lists of tensors and numbers."""
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


TIMES = ("seconds", "epoch_began", "images_per_second")


@pytest.fixture
def outcome() -> Callable[[Path], dict[str, Any]]:
    """All that a run leaves, without the times: weights, moments, averages, best model and log."""

    def read(folder: Path) -> dict[str, Any]:
        found = load_state(folder / "last.ckpt")
        state = {name: value for name, value in found.pop("state").items() if name not in (*TIMES, "log")}
        rows = [{k: v for k, v in row.items() if k not in TIMES} for row in csv.DictReader((folder / "log.csv").read_text().splitlines())]
        return found | {"state": state, "log": rows, "best": (folder / "best" / "model.safetensors").read_bytes()}

    return read


@pytest.fixture
def assert_same(outcome: Callable[[Path], dict[str, Any]]) -> Callable[[Path, Path], None]:
    """Two runs ended alike, to the bit."""

    def check(one: Path, other: Path) -> None:
        a, b = outcome(one), outcome(other)
        assert a.keys() == b.keys()
        for key in a:
            assert same(a[key], b[key]), f"{key} differs"

    return check
