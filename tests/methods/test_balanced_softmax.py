"""Balanced softmax against its formula with counts."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import nn

from evenface.methods import Batch, Setting, create_method


Make = Callable[..., Batch]
Model = Callable[[], nn.Module]


@pytest.mark.parametrize("exponent", [1.0, 0.25])
def test_each_class_is_counted_as_often_as_it_occurs(exponent: float, setting: Setting, tiny: Model, faces: Make) -> None:
    batch, model = faces(5), tiny()
    expected = 0.0
    for row, y in zip(model(batch.x).logits.tolist(), batch.labels.tolist(), strict=True):
        weighed = [n**exponent * math.exp(v) for n, v in zip(setting.counts, row, strict=True)]
        expected -= math.log(weighed[y] / sum(weighed)) / 5
    method = create_method("balanced_softmax", setting, {"exponent": exponent})
    assert method.loss(batch, model).total.item() == pytest.approx(expected, rel=1e-6)


def test_both_views_are_summed(setting: Setting, tiny: Model, faces: Make) -> None:
    batch, model = faces(), tiny()
    method = create_method("balanced_softmax", setting, {"cls_views": "both"})
    assert method.views == 2
    logs = [(model(x).logits + torch.tensor(setting.counts).double().log()).log_softmax(1) for x in (batch.x, batch.second)]
    rows = range(len(batch.labels))
    expected = -(logs[0] + logs[1])[rows, batch.labels].mean()
    assert method.loss(batch, model).total.item() == pytest.approx(expected.item(), rel=1e-6)
