"""The state of a run: whole or not at all, on a full disk too."""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from evenface.errors import ModelError, StorageError
from evenface.training.checkpoint import load_state, save_state
from evenface.training.config import TrainConfig
from evenface.training.loop import Interrupted
from evenface.training.run import resume, train


Settings = Callable[..., TrainConfig]


def test_a_state_comes_back(tmp_path: Path) -> None:
    state = {
        "best": -math.inf,
        "weights": {"a": torch.rand(3, 2, 2, 2).contiguous(memory_format=torch.channels_last)},
        "log": [{"best": True}],
    }
    save_state(tmp_path / "x.ckpt", state)
    found = load_state(tmp_path / "x.ckpt")
    assert found["best"] == -math.inf
    assert found["log"] == [{"best": True}]
    assert torch.equal(found["weights"]["a"], state["weights"]["a"])  # type: ignore[index]
    assert found["weights"]["a"].stride() == state["weights"]["a"].stride()  # type: ignore[index]
    assert [path.name for path in tmp_path.iterdir()] == ["x.ckpt"]


def test_a_truncated_state_is_named(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    save_state(path, {"weights": torch.rand(1000)})
    path.write_bytes(path.read_bytes()[:-700])
    with pytest.raises(ModelError, match=r"last.ckpt is damaged"):
        load_state(path)


def no_space(*args: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("part", ["last.ckpt", "best"])
def test_a_disk_that_fills_up_during_a_run(
    settings: Settings,
    at_step: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    part: str,
    assert_same: Callable[..., None],
    whole: Path,
) -> None:
    """The state of before is whole, and the run goes on from there once there is room."""
    config = settings()
    at_step(2, "stop")
    with pytest.raises(Interrupted):
        train(config)
    before = (config.folder / "last.ckpt").read_bytes()
    at_step(0)
    with monkeypatch.context() as patch:
        patch.setattr("evenface.model_folder.os.fsync" if part == "best" else "evenface.training.checkpoint.torch.save", no_space)
        with pytest.raises(StorageError, match=r"The disk is full"):
            resume(config.folder)
    assert (config.folder / "last.ckpt").read_bytes() == before
    assert not list(config.folder.glob(".*"))
    resume(config.folder)
    assert_same(whole, config.folder)
