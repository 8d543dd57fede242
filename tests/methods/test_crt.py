"""Classifier re-training: what stays, what learns, and what is drawn."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from evenface.distill.folder import save_backbone
from evenface.errors import ConfigError
from evenface.methods import Batch, Setting, create_method
from evenface.models.classifier import Classifier
from evenface.training.config import TrainConfig
from evenface.training.optim import build_optimizer


def test_only_the_head_learns(setting: Setting, finished: Path, classifier: Callable[[], Classifier], faces: Callable[..., Batch]) -> None:
    method = create_method("crt", dataclasses.replace(setting, init=str(finished)), {})
    model = classifier()
    method.prepare(model)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = build_optimizer(model, TrainConfig(optimizer="adam", weight_decay=0.1))
    for _ in range(2):
        model.train()  # as the loop does
        method.loss(faces(8, size=32), model).total.backward()
        optimizer.step()
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"head.weight", "head.bias"}  # not the batch norm's statistics, either
    assert model.training
    assert not model.backbone.training
    assert all(p.grad is None for p in model.backbone.parameters())


def test_classes_come_alike_by_default(setting: Setting) -> None:
    method = create_method("crt", setting, {})
    method.start_epoch(0)
    labels = np.repeat(np.arange(4), [6000, 500, 2000, 3500])
    rows = method.draw(labels, np.random.default_rng(0))
    assert np.bincount(labels[rows]) / len(labels) == pytest.approx([0.25] * 4, abs=0.016)


@pytest.mark.parametrize("init", ["none", "pretrained", "dlib-face"])
def test_weights_that_saw_no_expression_are_no_start(init: str, setting: Setting, classifier: Callable[[], Classifier]) -> None:
    with pytest.raises(ConfigError, match=r"frozen backbone of a finished run; name that run, such as --init runs/x"):
        create_method("crt", dataclasses.replace(setting, init=init), {}).prepare(classifier())


def test_only_a_run_of_the_same_network_and_size_is_a_start(
    setting: Setting, finished: Path, classifier: Callable[..., Classifier], tmp_path: Path
) -> None:
    def prepare(init: Path, model: Classifier, **changes: bool) -> None:
        create_method("crt", dataclasses.replace(setting, init=str(init), **changes), {}).prepare(model)

    model = classifier()
    save_file(model.backbone.state_dict(), tmp_path / "face.safetensors")
    save_backbone(tmp_path / "taught", model, {}, "# no head")
    for init in ("face.safetensors", "taught"):
        with pytest.raises(ConfigError, match=rf"name that run, such as --init runs/x, not --init .*{init}\.$"):
            prepare(tmp_path / init, model)
    for other in (classifier(size=64), classifier("test_convnext")):
        with pytest.raises(ConfigError, match=r"holds a test_resnet for 32 px; take --model test_resnet --img-size 32\.$"):
            prepare(finished, other)
    prepare(tmp_path / "gone", model, goes_on=True)  # its saved state has the backbone
    assert not any(p.requires_grad for p in model.backbone.parameters())
