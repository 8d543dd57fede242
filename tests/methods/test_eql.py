"""Equalization: the ratio of gradients over several steps by a slow loop, and its state."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import nn

from evenface.methods import Batch, Setting, create_method


Make = Callable[..., Batch]
Model = Callable[[], nn.Module]


def sigmoid(v: float) -> float:
    return 1 / (1 + math.exp(-v))


def test_every_output_starts_at_one_over_the_classes(setting: Setting, tiny: Model) -> None:
    model = create_method("eql", setting, {}).prepare(tiny())
    assert torch.sigmoid(model.head.bias).tolist() == pytest.approx([1 / 4] * 4)  # type: ignore[union-attr, arg-type]
    assert model.head.bias.no_decay  # type: ignore[union-attr]


def test_three_steps_of_v2_by_a_slow_loop(setting: Setting, tiny: Model, faces: Make) -> None:
    method, model = create_method("eql", setting, {}).double(), tiny()
    positive, negative = [0.0] * 4, [0.0] * 4
    for seed in range(3):
        batch = faces(6, seed=seed)
        ratio = [p / n if n else 100.0 for p, n in zip(positive, negative, strict=True)]
        expected = 0.0
        for row, y in zip(model(batch.x).logits.tolist(), batch.labels.tolist(), strict=True):
            for k, v in enumerate(row):
                r = sigmoid(12 * (ratio[k] - 0.8))
                if k == y:
                    expected -= (5 - 4 * r) * math.log(sigmoid(v)) / 6
                    positive[k] += (5 - 4 * r) * (1 - sigmoid(v))
                else:
                    expected -= r * math.log(1 - sigmoid(v)) / 6
                    negative[k] += r * sigmoid(v)
        assert method.loss(batch, model).total.item() == pytest.approx(expected, rel=1e-9)
        method.after_step(model)
    assert method.gradients.tolist() == [pytest.approx(positive, rel=1e-9), pytest.approx(negative, rel=1e-9)]


def test_focal_starts_as_plain_focal_loss_and_starved_classes_are_focused(setting: Setting, tiny: Model, faces: Make) -> None:
    method, model, batch = create_method("eql", setting, {"form": "focal"}).double(), tiny(), faces(6)
    for ratio in ([1.0] * 4, [1.0, 0.25, 0.5, 1.0]):
        expected = 0.0
        for row, y in zip(model(batch.x).logits.tolist(), batch.labels.tolist(), strict=True):
            for k, v in enumerate(row):
                p, a = (sigmoid(v), 0.25) if k == y else (sigmoid(-v), 0.75)
                c = 2 + 8 * (1 - ratio[k])
                expected -= a * c / 2 * (1 - p) ** c * math.log(p) / 6
        assert method.loss(batch, model).total.item() == pytest.approx(expected, rel=1e-9)
        method.gradients.copy_(torch.tensor([[8.0, 1.0, 2.0, 4.0], [4.0, 4.0, 4.0, 4.0]]))  # ratios 2, clipped to 1, then as above


def test_a_loss_that_is_not_stepped_on_leaves_no_trace(setting: Setting, tiny: Model, faces: Make) -> None:
    method, model = create_method("eql", setting, {}).double(), tiny()
    method.loss(faces(seed=1), model)
    assert not method.gradients.any()
    method.loss(faces(seed=2), model)
    method.after_step(model)
    other = create_method("eql", setting, {}).double()
    other.loss(faces(seed=2), model)
    other.after_step(model)
    torch.testing.assert_close(method.gradients, other.gradients)
    method.after_step(model)  # nothing new was seen
    torch.testing.assert_close(method.gradients, other.gradients)


def test_both_views_count(setting: Setting, tiny: Model, faces: Make) -> None:
    batch, model = faces(), tiny()
    sums = []
    for options, x in (({}, batch.x), ({}, batch.second), ({"cls_views": "both"}, batch.x)):
        method = create_method("eql", setting, options).double()
        method.loss(Batch(x, batch.second, batch.labels, None, batch.rows, batch.undo), model)  # type: ignore[arg-type]
        method.after_step(model)
        sums.append(method.gradients)
    torch.testing.assert_close(sums[2], sums[0] + sums[1])


def test_saved_and_read_again_the_ratio_is_the_same(setting: Setting, tiny: Model, faces: Make) -> None:
    first, other, model = create_method("eql", setting, {}).double(), create_method("eql", setting, {}).double(), tiny()
    first.loss(faces(seed=1), model)
    first.after_step(model)
    other.load_state_dict(first.state_dict())
    assert (other.ratio != 100).any()
    torch.testing.assert_close(other.loss(faces(), model).total, first.loss(faces(), model).total, rtol=0, atol=0)


def test_the_processes_add_up(setting: Setting, tiny: Model, faces: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    batch, model = faces(6), tiny()
    alone, together = (create_method("eql", setting, {}).double() for _ in range(2))
    alone.loss(batch, model)
    alone.after_step(model)
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda tensor: tensor.mul_(3))  # three with the same faces
    together.loss(batch, model)
    together.after_step(model)
    torch.testing.assert_close(together.gradients, 3 * alone.gradients)
