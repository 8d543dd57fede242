"""RIDE: its loss against loops over the experts, the schedule of the weights, and the network that it makes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from evenface.errors import ConfigError, ModelError
from evenface.methods import Batch, Setting, create_method
from evenface.models.classifier import Classifier
from evenface.models.experts import Experts


Make = Callable[..., Batch]
Model = Callable[..., Classifier]
WEIGHTS = [(1 - 0.9999) / (1 - 0.9999**n) for n in (60, 5, 20, 35)]  # of the fixture's counts


def answers(model: Experts, batch: Batch) -> Tensor:
    with torch.no_grad():
        return model.experts(batch.x).logits


def slow(z: Tensor, batch: Batch, margins: list[float], weights: list[float]) -> float:
    """Sum over the experts of the weighted mean cross-entropy, the true logit lowered by the margin."""
    total = 0.0
    for expert in z.tolist():
        for row, y in zip(expert, batch.labels.tolist(), strict=True):
            lowered = [v - margins[y] * (i == y) for i, v in enumerate(row)]
            total += weights[y] * (math.log(sum(map(math.exp, lowered))) - lowered[y]) / len(batch.labels)
    return total


@pytest.mark.parametrize("start", [0.0, 0.8])
@pytest.mark.parametrize("base", ["ldam", "ce"])
def test_each_expert_has_its_loss(base: str, start: float, setting: Setting, classifier: Model, faces: Make) -> None:
    method = create_method("ride", setting, {"base": base, "start": start}).double()
    model, batch = method.prepare(classifier()).eval(), faces(size=32)
    assert isinstance(model, Experts)
    assert model.settings() == {"experts": 3, "head_type": "cosine" if base == "ldam" else "linear", "scale": 30.0}
    method.start_epoch(0)
    margins = [30 * 0.5 * (5 / n) ** 0.25 if base == "ldam" else 0.0 for n in setting.counts]
    weights = [4 * w / sum(WEIGHTS) if start == 0 else 1.0 for w in WEIGHTS]
    losses = method.loss(batch, model)
    assert losses.parts["cls"].item() == pytest.approx(slow(answers(model, batch), batch, margins, weights), rel=1e-6)
    torch.testing.assert_close(losses.total.detach(), losses.parts["cls"] - 0.2 * losses.parts["diversity"])


def test_diversity_pushes_the_experts_apart(setting: Setting, classifier: Model, faces: Make) -> None:
    batch, found = faces(16, size=32), []
    for diversity in (0.0, 2.0):
        torch.manual_seed(0)
        method = create_method("ride", setting, {"base": "ce", "diversity": diversity}).double()
        model = method.prepare(classifier())
        optimiser = torch.optim.Adam(model.parameters(), lr=0.003)
        for _ in range(8):
            optimiser.zero_grad()
            method.loss(batch, model).total.backward()
            optimiser.step()
        p = answers(model, batch).softmax(2)  # type: ignore[arg-type]
        found.append((p - p.mean(0)).square().sum().item())
    assert found[1] > 2 * found[0]


@pytest.mark.parametrize(
    ("start", "epochs", "first"), [(0.8, 60, 48), (0.8, 3, 2), (0.8, 2, 1), (0.0, 2, 0), (1.0, 5, None)], ids=lambda v: str(v)
)
def test_weights_begin_after_their_share_of_the_epochs(start: float, epochs: int, first: int | None, setting: Setting) -> None:
    method: Any = create_method("ride", dataclasses.replace(setting, epochs=epochs), {"start": start})
    seen = []
    for epoch in range(epochs):
        method.start_epoch(epoch)
        seen.append(method.weighted)
    assert seen == [first is not None and epoch >= first for epoch in range(epochs)]
    assert any(f"from epoch {(first or 0) + 1} of" in note for note in method.notes()) == (first is not None)


def test_advice_on_even_weights_names_an_option_that_it_has(setting: Setting) -> None:
    many = dataclasses.replace(setting, counts=[100_000 * (i + 1) for i in range(len(setting.counts))], epochs=5)
    (advice,) = [note for note in create_method("ride", many, {}).notes() if "nearly uniform" in note]
    assert advice.endswith("; raise beta towards 1.")
    (other,) = [note for note in create_method("rbcf", many, {}).notes() if "nearly uniform" in note]
    assert "use --weights inverse" in other


def test_votes_are_the_target_of_cross_entropy_alone(setting: Setting, classifier: Model, faces: Make) -> None:
    hard, soft = faces(size=32), faces(size=32, votes=True)
    for base, same in (("ce", False), ("ldam", True)):
        torch.manual_seed(0)
        method = create_method("ride", setting, {"base": base}).double()
        model = method.prepare(classifier()).eval()
        assert torch.equal(method.loss(hard, model).total, method.loss(soft, model).total) == same


def test_every_parameter_has_a_gradient(setting: Setting, classifier: Model, faces: Make) -> None:
    method = create_method("ride", setting, {}).double()
    model = method.prepare(classifier())
    method.loss(faces(size=32), model).total.backward()
    assert all(p.grad is not None for p in model.parameters())
    assert all(p.grad.any() for p in model.heads.parameters())
    assert method.state_dict() == {}  # buffers follow from the counts


def test_one_expert_or_a_network_with_branches_is_refused(setting: Setting, classifier: Model) -> None:
    with pytest.raises(ConfigError, match="at least 2"):
        create_method("ride", setting, {"experts": 1})
    method = create_method("ride", setting, {})
    with pytest.raises(ModelError, match="'ride' branches a plain classifier"):
        method.prepare(method.prepare(classifier()))
