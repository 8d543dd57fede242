"""Rebalanced focus alone, by a loop over faces."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import nn

from evenface.methods import Batch, Setting, create_method


Make = Callable[..., Batch]
Model = Callable[[], nn.Module]


@pytest.mark.parametrize("views", ["both", "original"])
def test_hard_faces_of_rare_classes_count_most(views: str, setting: Setting, tiny: Model, faces: Make) -> None:
    model, batch = tiny(), faces()
    method = create_method("rbf", setting, {"rbf_views": views, "gamma": 2.0, "mu": 0.5})
    total = 0.0
    with torch.no_grad():
        for x in [batch.x, batch.second][: 2 if views == "both" else 1]:
            for logits, label in zip(model(x).logits.tolist(), batch.labels.tolist(), strict=True):
                p = math.exp(logits[label]) / sum(map(math.exp, logits))
                total += float(method.B[label]) * (1 - p) ** 2 * -math.log(p)  # type: ignore[index]
    losses = method.loss(batch, model)
    assert float(losses.parts["rbf"]) == pytest.approx(total / len(batch.labels), rel=1e-6)
    assert float(losses.total.detach()) == pytest.approx(float(losses.parts["cls"]) + 0.5 * float(losses.parts["rbf"]), rel=1e-6)
    assert "rbc" not in losses.parts
