"""SCAN-CCI: its loss by a loop, its sampler, and the branches' learning rate."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from evenface.methods import Batch, Setting, create_method
from evenface.models.classifier import Classifier
from evenface.models.patches import Patches
from evenface.training.config import TrainConfig
from evenface.training.optim import build_optimizer


SMALL = {"masks": "cell", "patches": 2, "hidden": 8}


@pytest.mark.parametrize("share", [0.2, 0.7])
def test_loss_is_the_weighted_sum_over_the_branches(
    share: float, setting: Setting, classifier: Callable[..., Classifier], faces: Callable[..., Batch]
) -> None:
    method = create_method("scan_cci", setting, {**SMALL, "share": share})
    model = method.prepare(classifier())
    assert isinstance(model, Patches)
    model.double().eval()
    batch = faces(5, votes=True, size=32)
    losses = method.loss(batch, model)
    with torch.no_grad():
        seen = model.look(batch.x)
    assert batch.soft is not None

    def entropy(logits: list[float], target: list[float]) -> float:
        total = math.log(sum(math.exp(v) for v in logits))
        return sum(t * (total - z) for t, z in zip(target, logits, strict=True))

    cls = regions = 0.0
    for z, each, target in zip(seen.attention.tolist(), seen.regions.tolist(), batch.soft.tolist(), strict=True):
        cls += entropy(z, target) / 5
        regions += sum(entropy(r, target) for r in each) / 5
    assert losses.parts["cls"].item() == pytest.approx(cls)
    assert losses.parts["regions"].item() == pytest.approx(regions)
    assert losses.total.item() == pytest.approx(share * cls + (1 - share) * regions)
    torch.testing.assert_close(seen.output.logits, share * seen.attention + (1 - share) * seen.regions.mean(1))


def test_every_weight_learns(setting: Setting, classifier: Callable[..., Classifier], faces: Callable[..., Batch]) -> None:
    method = create_method("scan_cci", setting, SMALL)
    model = method.prepare(classifier()).double()
    method.loss(faces(6, size=32), model).total.backward()
    assert not [name for name, p in model.named_parameters() if p.grad is None]


def test_classes_come_equally_often_unless_switched_off(setting: Setting) -> None:
    labels = np.repeat(np.arange(4), setting.counts)
    method = create_method("scan_cci", setting, {})
    drawn = np.concatenate([method.draw(labels, np.random.default_rng(seed)) for seed in range(50)])
    assert len(drawn) == 50 * len(labels)
    share = np.bincount(labels[drawn], minlength=4) / len(drawn)
    assert share == pytest.approx([0.25] * 4, abs=0.02)  # 6000 draws: a standard deviation of 0.006
    each = create_method("scan_cci", setting, {"resample": "none"}).draw(labels, np.random.default_rng(0))
    assert sorted(each) == list(range(len(labels)))


def test_the_branches_learn_faster_than_the_backbone(setting: Setting, classifier: Callable[..., Classifier]) -> None:
    model = create_method("scan_cci", setting, {**SMALL, "branch_lr": 7.0}).prepare(classifier())
    optimizer = build_optimizer(model, TrainConfig())
    scale = {id(p): group["lr_scale"] for group in optimizer.param_groups for p in group["params"]}
    for name, p in model.named_parameters():
        assert scale[id(p)] == (1.0 if name.startswith("backbone.") else 7.0), name
