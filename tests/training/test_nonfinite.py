"""A loss, or a gradient, that is not a number stops the run before the weights take it up, and the batch is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from evenface.data.manifest import Manifest
from evenface.errors import TrainingError
from evenface.training.checkpoint import load_state
from evenface.training.config import TrainConfig
from evenface.training.loop import Interrupted
from evenface.training.run import resume, train


METHOD = '''
import torch
from evenface.methods import Losses, Method


class Wild(Method):
    """Cross-entropy; its sixth step goes wrong."""

    steps = 0

    def loss(self, batch, model):
        logits = model(batch.x).logits
        total = torch.nn.functional.cross_entropy(logits, batch.labels)
        type(self).steps += 1
        if self.steps == 6:
            with open("rows.txt", "w") as file:
                file.write(" ".join(map(str, batch.rows.tolist())))
            total = {what}
        return Losses(total, {{}})
'''
LOSS, CONSTANT = "total * float('nan')", "total + float('inf')"
GRADIENT = "total + (logits.sum() * 0).sqrt() * 0"  # its value is a number, its gradient is 0 * inf


@pytest.mark.parametrize(("what", "clip"), [(LOSS, None), (CONSTANT, 1.0), (GRADIENT, None)])
def test_the_batch_is_named_and_the_state_before_is_whole(
    settings: Callable[..., TrainConfig], tiny_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, clip: float | None,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wild.py").write_text(METHOD.format(what=what))
    config = settings(method=f"{tmp_path / 'wild.py'}:Wild", clip_grad=clip, save_minutes=0.0)
    with pytest.raises(TrainingError, match=r"stopped being a number in epoch 2, step 2; .*nonfinite.json.*--clip-grad") as caught:
        train(config)
    assert not isinstance(caught.value, Interrupted)
    found = json.loads((config.folder / "nonfinite.json").read_text())
    rows = [int(row) for row in (tmp_path / "rows.txt").read_text().split()]
    ids = Manifest.load(tiny_set).split("train").ids()
    assert found == {"epoch": 2, "step": 2, "ids": [ids[row] for row in rows]}
    saved = load_state(config.folder / "last.ckpt")
    assert (saved["state"]["epoch"], saved["state"]["step"]) == (1, 1)
    assert all(value.isfinite().all() for value in saved["trainee"].values() if value.is_floating_point())


def test_with_other_settings_the_run_can_go_on(
    settings: Callable[..., TrainConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wild.py").write_text(METHOD.format(what=LOSS))
    config = settings(method=f"{tmp_path / 'wild.py'}:Wild", epochs=2)
    with pytest.raises(TrainingError, match="stopped being a number"):
        train(config)
    (tmp_path / "wild.py").write_text(METHOD.format(what="total"))
    assert resume(config.folder).best_epoch > 0
    assert torch.isfinite(load_state(config.folder / "last.ckpt")["trainee"]["model.head.weight"]).all()
