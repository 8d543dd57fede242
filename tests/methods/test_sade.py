"""SADE: three losses under three priors, each of its own expert."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from evenface.methods import Batch, Setting, create_method
from evenface.models.classifier import Classifier
from evenface.models.experts import Experts
from evenface.models.output import Output


Make = Callable[..., Batch]
Model = Callable[..., Classifier]
PRIOR = [0.5, 5 / 120, 20 / 120, 35 / 120]
INVERSE = [5 / 120, 0.5, 35 / 120, 20 / 120]


@pytest.mark.parametrize("tau", [0.0, 2.0])
def test_each_expert_has_its_prior(tau: float, setting: Setting, classifier: Model, faces: Make) -> None:
    method = create_method("sade", setting, {"tau": tau}).double()
    model, batch = method.prepare(classifier()).eval(), faces(size=32)
    assert isinstance(model, Experts)
    losses = method.loss(batch, model)
    shifts = [[0.0] * 4, [math.log(p) for p in PRIOR], [math.log(p) - tau * math.log(q) for p, q in zip(PRIOR, INVERSE, strict=True)]]
    total = 0.0
    for name, z, shift in zip(("forward", "uniform", "backward"), model.experts(batch.x).logits.tolist(), shifts, strict=True):
        rows = [[v + d for v, d in zip(row, shift, strict=True)] for row in z]
        each = [math.log(sum(map(math.exp, row))) - row[y] for row, y in zip(rows, batch.labels.tolist(), strict=True)]
        assert losses.parts[name].item() == pytest.approx(sum(each) / len(each), rel=1e-6)
        total += sum(each) / len(each)
    assert losses.total.item() == losses.parts["cls"].item() == pytest.approx(total, rel=1e-6)


class Biases(nn.Module):
    """Experts that cannot see: each gives every face the same logits, which are all that it learns."""

    def __init__(self) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(3, 1, 4, dtype=torch.float64))

    def experts(self, x: Tensor) -> Output:
        z = self.logits.expand(-1, len(x), -1)
        return Output(z, z[..., None, None], z)


def test_the_first_leans_to_the_frequent_and_the_third_to_the_rare(setting: Setting) -> None:
    method, model = create_method("sade", setting, {}).double(), Biases()
    labels = torch.tensor([c for c, n in enumerate(setting.counts) for _ in range(n)])
    batch = Batch(torch.zeros(120, 1), None, labels, None, labels, lambda maps: maps)
    optimiser = torch.optim.SGD(model.parameters(), lr=2.0)
    for _ in range(300):
        optimiser.zero_grad()
        method.loss(batch, model).total.backward()
        optimiser.step()
    p = model.logits.detach()[:, 0].softmax(1)
    tilted = torch.tensor(INVERSE, dtype=torch.float64) ** 2
    expected = torch.stack([torch.tensor(PRIOR, dtype=torch.float64), torch.full_like(tilted, 0.25), tilted / tilted.sum()])
    torch.testing.assert_close(p, expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("head", ["cosine", "linear"])
def test_every_parameter_has_a_gradient_and_none_is_the_methods(head: str, setting: Setting, classifier: Model, faces: Make) -> None:
    method = create_method("sade", setting, {"head": head}).double()
    model = method.prepare(classifier())
    assert isinstance(model, Experts)
    assert model.head_type == head
    method.loss(faces(size=32, votes=True), model).total.backward()
    assert all(p.grad is not None for p in model.parameters())
    assert method.state_dict() == {}
