"""The prior in training, and the prior taken out of the finished head."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from evenface.errors import ModelError
from evenface.methods import Batch, Setting, create_method


Make = Callable[..., Batch]
Model = Callable[[], nn.Module]


def test_training_adds_tau_times_the_log_prior(setting: Setting, tiny: Model, faces: Make) -> None:
    batch, model = faces(5), tiny()
    expected = 0.0
    for row, y in zip(model(batch.x).logits.tolist(), batch.labels.tolist(), strict=True):
        shifted = [v + 1.5 * math.log(n / 120) for v, n in zip(row, setting.counts, strict=True)]
        expected -= (shifted[y] - math.log(sum(map(math.exp, shifted)))) / 5
    method = create_method("logit_adjust", setting, {"tau": 1.5})
    assert method.loss(batch, model).total.item() == pytest.approx(expected, rel=1e-6)
    assert method.deploy(model) is model


def test_votes_are_the_target_where_there_are_any(setting: Setting, tiny: Model, faces: Make) -> None:
    batch, model = faces(votes=True), tiny()
    assert batch.soft is not None
    logs = (model(batch.x).logits + torch.tensor(setting.counts).double().log()).log_softmax(1)
    value = create_method("logit_adjust", setting, {}).loss(batch, model).total
    assert value.item() == pytest.approx(-(batch.soft * logs).sum(1).mean().item(), rel=1e-6)


@pytest.mark.parametrize("options", [{"tau": 0.0}, {"when": "test"}])
def test_plain_cross_entropy_is_what_is_left(options: dict[str, object], setting: Setting, tiny: Model, faces: Make) -> None:
    batch, model = faces(), tiny()
    value = create_method("logit_adjust", setting, options).loss(batch, model).total
    torch.testing.assert_close(value, F.cross_entropy(model(batch.x).logits, batch.labels))


def test_after_training_the_prior_leaves_a_copy_of_the_head(setting: Setting, tiny: Model, faces: Make) -> None:
    method = create_method("logit_adjust", setting, {"when": "test", "tau": 2.0})
    model, x = tiny(), faces().x
    assert method.prepare(model) is model
    before = copy.deepcopy(model.state_dict())
    for _ in range(2):  # each epoch deploys anew
        kept = method.deploy(model)
    shift = torch.tensor([2 * math.log(n / 120) for n in setting.counts], dtype=torch.float64)
    torch.testing.assert_close(kept(x).logits, model(x).logits - shift, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)
    torch.testing.assert_close(kept.state_dict()["head.weight"], before["head.weight"], rtol=0, atol=0)


def test_after_training_it_needs_a_bias(setting: Setting) -> None:
    with pytest.raises(ModelError, match="bias of a linear head of 4 outputs"):
        create_method("logit_adjust", setting, {"when": "test"}).prepare(nn.Linear(3, 4, bias=False))
    create_method("logit_adjust", setting, {}).prepare(nn.Linear(3, 4, bias=False))


def test_a_class_without_faces_gives_numbers(tiny: Model, faces: Make) -> None:
    bare = Setting(("a", "b", "c", "d"), [60, 0, 20, 35], epochs=1)
    assert torch.isfinite(create_method("logit_adjust", bare, {}).loss(faces(votes=True), tiny()).total)
    assert torch.isfinite(create_method("logit_adjust", bare, {"when": "test"}).deploy(tiny())(faces().x).logits).all()


def test_the_moving_average_goes_with_the_shift(setting: Setting, tiny: Model) -> None:
    """`--ema` averages the trained network; what is kept of it differs in the bias of its head alone."""
    model = tiny()
    kept = create_method("logit_adjust", setting, {"when": "test"}).deploy(model)
    ours, theirs = dict(kept.named_parameters()), dict(model.named_parameters())
    assert {name for name in ours if ours[name] is not theirs[name]} == {"head.bias"}
