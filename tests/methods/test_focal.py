"""Focal loss as a method: one view, no weights, by a loop over faces."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import nn

from evenface.methods import Batch, Setting, create_method


Make = Callable[..., Batch]
Model = Callable[[], nn.Module]


def test_focal_loss_of_each_face(setting: Setting, tiny: Model, faces: Make) -> None:
    model, batch = tiny(), faces()
    method = create_method("focal", setting, {})
    assert method.views == 1
    total = 0.0
    with torch.no_grad():
        for logits, label in zip(model(batch.x).logits.tolist(), batch.labels.tolist(), strict=True):
            p = math.exp(logits[label]) / sum(map(math.exp, logits))
            total += (1 - p) ** 2 * -math.log(p)
    assert float(method.loss(batch, model).total.detach()) == pytest.approx(total / len(batch.labels), rel=1e-6)
