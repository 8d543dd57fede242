"""RAN: its loss by a loop, and what its options change."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from evenface.methods import Batch, Setting, create_method
from evenface.models.classifier import Classifier
from evenface.models.regions import Regions


Make = Callable[..., Batch]


@pytest.mark.parametrize("options", [{}, {"rank": 2.0, "margin": 0.5}, {"attention": "sigmoid", "margin": 0.02}])
def test_loss_is_cross_entropy_plus_the_rank_bias(
    options: dict[str, object], setting: Setting, classifier: Callable[..., Classifier], faces: Make
) -> None:
    method = create_method("ran", setting, options)
    model = method.prepare(classifier())
    assert isinstance(model, Regions)
    model.double().eval()
    batch = faces(5, size=32)
    losses = method.loss(batch, model)
    with torch.no_grad():
        out, alpha = model.look(batch.x)
    margin = float(options.get("margin", 0.1))  # type: ignore[arg-type]
    cls = rank = 0.0
    for z, a, y in zip(out.logits.tolist(), alpha.tolist(), batch.labels.tolist(), strict=True):
        cls += (math.log(sum(math.exp(v) for v in z)) - z[y]) / 5
        rank += max(0.0, margin - (max(a[:5]) - a[5])) / 5
    assert losses.parts["cls"].item() == pytest.approx(cls)
    assert losses.parts["rank"].item() == pytest.approx(rank)
    assert losses.total.item() == pytest.approx(cls + float(options.get("rank", 1.0)) * rank)  # type: ignore[arg-type]


def test_votes_are_the_target_where_there_are_any(setting: Setting, classifier: Callable[..., Classifier], faces: Make) -> None:
    method = create_method("ran", setting, {})
    model = method.prepare(classifier()).double().eval()
    batch = faces(5, votes=True, size=32)
    assert batch.soft is not None
    expected = -(batch.soft * model(batch.x).logits.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(method.loss(batch, model).parts["cls"], expected.detach())


def test_attention_and_all_else_learn(setting: Setting, classifier: Callable[..., Classifier], faces: Make) -> None:
    method = create_method("ran", setting, {})
    model = method.prepare(classifier()).double()
    method.loss(faces(6, size=32), model).total.backward()
    assert not [name for name, p in model.named_parameters() if p.grad is None]
    assert model.alpha.weight.grad.any()  # type: ignore[union-attr]
    assert model.beta.weight.grad.any()  # type: ignore[union-attr]


def test_settings_of_the_network_follow_the_options(setting: Setting, classifier: Callable[..., Classifier]) -> None:
    model = create_method("ran", setting, {"crop": 0.5, "attention": "sigmoid"}).prepare(classifier())
    assert isinstance(model, Regions)
    assert model.settings() == {"crop": 0.5, "attention": "sigmoid"}
