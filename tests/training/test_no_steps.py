"""Runs that go on from a finished one: epochs without a step, and a frozen backbone."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from rich.console import Console

from evenface.model_folder import load_model
from evenface.training.config import TrainConfig
from evenface.training.loop import Interrupted, Loop
from evenface.training.run import resume, train


Settings = Callable[..., TrainConfig]


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def test_epochs_without_steps(settings: Settings, whole: Path) -> None:
    config = settings(method="tau_norm", init=str(whole), epochs=4, ema=0.9)
    text = io.StringIO()
    result = train(config, console=Console(file=text, width=200, force_terminal=True))
    log = table(config.folder / "log.csv")
    assert [row["epoch"] for row in log] == ["1", "2", "3", "4"]
    assert not any(name.startswith("train_") for name in log[0])
    assert result.best == max(float(row["validation_mean_recall"]) for row in log)
    assert "epoch 4/4" in text.getvalue()
    tau = float(table(config.folder / "tau.csv")[result.best_epoch - 1]["tau"])
    assert tau == pytest.approx((result.best_epoch - 1) / 3)
    before, after = (load_model(folder / "best")[0] for folder in (whole, config.folder))
    assert all(torch.equal(v, after.backbone.state_dict()[k]) for k, v in before.backbone.state_dict().items())
    weight = before.head.weight
    torch.testing.assert_close(after.head.weight, weight / weight.norm(dim=1, keepdim=True) ** tau)


def test_a_stop_within_them_and_a_resume(
    settings: Settings, whole: Path, monkeypatch: pytest.MonkeyPatch, assert_same: Callable[[Path, Path], None]
) -> None:
    one, other = (settings(method="tau_norm", init=str(whole), epochs=4, output=name) for name in ("one", "other"))
    train(one)
    original = Loop._epoch

    def stopping(self: Loop) -> None:
        if self.state.epoch == 2:
            self._stop = "SIGTERM"
        original(self)

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "_epoch", stopping)
        with pytest.raises(Interrupted, match="at epoch 3, step 0"):
            train(other)
    resume(other.folder)
    assert_same(one.folder, other.folder)


def test_a_new_head_on_the_backbone_of_a_run(settings: Settings, whole: Path) -> None:
    config = settings(method="crt", init=str(whole), epochs=1)
    train(config)
    before, after = (load_model(folder / "best")[0] for folder in (whole, config.folder))
    assert all(torch.equal(v, after.backbone.state_dict()[k]) for k, v in before.backbone.state_dict().items())
    assert not torch.equal(before.head.weight, after.head.weight)
