"""Rebalanced consistency alone, by loops over the maps."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from evenface.methods import Batch, Setting, create_method


Make = Callable[..., Batch]
Model = Callable[[], nn.Module]


@pytest.mark.parametrize("flip_back", [True, False])
def test_every_cell_counts_with_the_weight_of_its_class(flip_back: bool, setting: Setting, tiny: Model, faces: Make) -> None:
    model, batch = tiny(), faces()
    method = create_method("rbc", setting, {"flip_back": flip_back})
    assert method.views == 2
    with torch.no_grad():
        a, b = model(batch.x).maps.numpy(), model(batch.second).maps.numpy()
    n, classes, height, width = a.shape
    total = 0.0
    for i in range(n):
        for y in range(height):
            for x in range(width):
                there = width - 1 - x if flip_back else x
                total += sum(float(method.B[k]) * (a[i, k, y, x] - b[i, k, y, there]) ** 2 for k in range(classes))  # type: ignore[index]
    losses = method.loss(batch, model)
    assert float(losses.parts["rbc"]) == pytest.approx(total / (n * height * width), rel=1e-6)
    assert float(losses.total.detach()) == pytest.approx(float(losses.parts["cls"]) + 0.1 * float(losses.parts["rbc"]), rel=1e-6)
    assert np.ptp(method.B.numpy()) > 0.5, "the weights of this setting differ, so the test would see them missing"  # type: ignore[operator]
