"""EAC against its loss written out; that it is `rbcf` with other switches stands in test_rbcf.py."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from evenface.methods import Batch, Setting, create_method


Make = Callable[..., Batch]
Model = Callable[[], nn.Module]


def test_cross_entropy_of_view_1_and_five_times_the_squared_error(setting: Setting, tiny: Model, faces: Make) -> None:
    batch, model = faces(), tiny()
    first, second = model(batch.x), model(batch.second)
    expected = F.cross_entropy(first.logits, batch.labels) + 5 * F.mse_loss(first.maps, second.maps.flip(-1))
    torch.testing.assert_close(create_method("eac", setting, {}).loss(batch, model).total, expected)


def test_all_classes_weigh_the_same_even_an_empty_one() -> None:
    method = create_method("eac", Setting(("a", "b", "c"), (5, 0, 100), epochs=1), {})
    assert method.B.tolist() == [1, 1, 1]
