"""The baseline on one view and on two."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from evenface.methods import Batch, Setting, create_method


Make = Callable[..., Batch]
Model = Callable[[], nn.Module]


def test_one_view_and_the_sum_of_both(setting: Setting, tiny: Model, faces: Make) -> None:
    batch, model = faces(), tiny()
    first, second = (F.cross_entropy(model(x).logits, batch.labels) for x in (batch.x, batch.second))
    torch.testing.assert_close(create_method("ce", setting, {}).loss(batch, model).total, first)
    both = create_method("ce", setting, {"cls_views": "both"})
    assert both.views == 2
    torch.testing.assert_close(both.loss(batch, model).total, first + second)


def test_votes_are_the_target_where_there_are_any(setting: Setting, tiny: Model, faces: Make) -> None:
    batch, model = faces(votes=True), tiny()
    assert batch.soft is not None
    expected = -(batch.soft * model(batch.x).logits.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(create_method("ce", setting, {}).loss(batch, model).total, expected)
