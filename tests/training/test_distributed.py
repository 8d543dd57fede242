"""Two processes train to the same losses as one at the same global batch, odd batches included; they stop, save and resume together."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from evenface.runs.evaluate import evaluate
from evenface.training.checkpoint import load_state
from evenface.training.config import TrainConfig
from evenface.training.run import train


Settings = Callable[..., TrainConfig]
Play = Callable[..., list[dict[str, Any]]]

# A network with layer norm: batch norm sees its own share of the batch only, which is another network.
AUGMENTED: dict[str, Any] = {
    "model": "test_convnext", "method": "rbcf", "ema": 0.9, "jitter": 1.0, "rotate": 10.0, "scale": 0.1, "shift": 0.1, "noise": 0.5,
    "clip_grad": 1.0, "optimizer": "adamw", "batch_size": 11,
}  # fmt: skip  # 29 faces: batches of 11, 11 and 7, so 6 + 5 and 4 + 3 faces


def assert_close(one: Path, other: Path) -> None:
    """The same log and weights within float32's rounding through a few steps."""
    logs = [list(csv.DictReader((folder / "log.csv").read_text().splitlines())) for folder in (one, other)]
    assert len(logs[0]) == len(logs[1])
    for a, b in zip(*logs, strict=True):
        assert a.keys() == b.keys()
        for key in a.keys() - {"images_per_second", "best"}:
            assert float(a[key]) == pytest.approx(float(b[key]), rel=1e-4, abs=1e-6), key
    states = [load_state(folder / "last.ckpt") for folder in (one, other)]
    for part in ("trainee", "average"):
        for name, value in states[0][part].items():
            torch.testing.assert_close(states[1][part][name], value, rtol=1e-3, atol=2e-4, msg=f"{part} {name}")


def test_two_processes_as_one(settings: Settings, play: Play, assert_same: Callable[..., None]) -> None:
    one, two, stopped = (settings(output=name, epochs=1, **AUGMENTED) for name in ("one", "two", "stopped"))
    train(one)
    whole, stop, resumed = play(
        {"config": two, "world": 2},
        {"config": stopped, "world": 2, "signals": [[1, 2, "SIGTERM"]]},  # only the second process hears of it
        {"words": ["train", "--resume", str(stopped.folder)], "world": 2},
    )
    assert whole["codes"] == [0, 0], whole["err"]
    assert "2 processes" in whole["out"]
    assert_close(one.folder, two.folder)
    assert json.loads((two.folder / "environment.json").read_text())["processes"] == 2
    assert stop["codes"] == [1, 1], stop["err"]
    assert "Stopped by another process at epoch 1, step 2" in stop["err"]
    assert "Traceback" not in stop["err"]
    assert resumed["codes"] == [0, 0], resumed["err"]
    assert_same(two.folder, stopped.folder)


@pytest.mark.slow
def test_feedback_counts_the_faces_of_each_process_alike(settings: Settings, play: Play) -> None:
    own = {"model": "test_convnext", "method": "face2exp", "ema": 0.9, "batch_size": 11, "epochs": 1}  # 6 + 5 faces of both kinds
    one, two = (settings(output=name, **own) for name in ("one", "two"))
    train(one)
    (whole,) = play({"config": two, "world": 2})
    assert whole["codes"] == [0, 0], whole["err"]
    assert_close(one.folder, two.folder)


@pytest.mark.slow
def test_batch_norm_saves_by_the_clock_and_another_number_of_processes(settings: Settings, play: Play, tmp_path: Path) -> None:
    """With batch norm the processes' running statistics differ; the score in the log must be that of the model that is kept."""
    config = settings(batch_size=9, ema=0.9, save_minutes=0.0)
    stop, resumed = play(
        {"config": config, "world": 2, "signals": [[0, 2, "SIGINT"]]},
        {"words": ["train", "--resume", str(config.folder)], "world": 1},
    )
    assert stop["codes"] == [1, 1], stop["err"]
    assert resumed["codes"] == [0], resumed["err"]
    log = list(csv.DictReader((config.folder / "log.csv").read_text().splitlines()))
    assert all(0.1 < float(row["train_loss"]) < 5 for row in log)  # the sums of both processes went on in one
    two = settings(output="two", batch_size=9, save_minutes=0.0)
    (whole,) = play({"config": two, "world": 2})
    assert whole["codes"] == [0, 0], whole["err"]
    best = [row for row in csv.DictReader((two.folder / "log.csv").read_text().splitlines()) if row["best"] == "True"][-1]
    found = evaluate(two.folder, split="validation", output=tmp_path / "scores", device="cpu")
    assert found.metrics["mean_recall"] == pytest.approx(float(best["validation_mean_recall"]))


@pytest.mark.slow
def test_what_goes_wrong_in_one_process_stops_all(settings: Settings, play: Play) -> None:
    config = settings(**AUGMENTED)
    nan, exists, small = play(
        {"config": config, "world": 2, "signals": [[1, 2, "nan"]]},
        {"config": config, "world": 2},
        {"config": settings(output="small", batch_size=2), "world": 2},
    )
    assert nan["codes"] == [1, 1]
    assert nan["err"].count("stopped being a number in epoch 1, step 2") == 2
    assert len(json.loads((config.folder / "nonfinite.json").read_text())["ids"]) == 11
    assert (exists["codes"], exists["err"].count("exists already")) == ([2, 2], 2)
    assert (small["codes"], small["err"].count("too small for 2 processes")) == ([2, 2], 2)
    assert not any("Traceback" in phase["err"] for phase in (nan, exists, small))


@pytest.mark.slow
def test_torchrun_itself(settings: Settings) -> None:
    train(settings(output="one", **AUGMENTED))
    config = settings(output="two", **AUGMENTED)
    (config.folder.parent / "two.yaml").write_text(config.to_yaml())
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "evenface", "train", "-c", str(config.folder.parent / "two.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False)
    assert done.returncode == 0, done.stderr
    assert_close(settings(output="one").folder, config.folder)
