"""Cross-entropy and the class-balanced losses against loops in plain Python."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from evenface.losses import cb_focal, cb_sigmoid, cb_softmax, cross_entropy


WEIGHTS = [0.3, 2.5, 1.0, 0.2]


def example(n: int = 6, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.randn(n, 4, generator=generator, dtype=torch.float64), torch.randint(4, (n,), generator=generator)


def softmax(z: list[float]) -> list[float]:
    total = sum(math.exp(v) for v in z)
    return [math.exp(v) / total for v in z]


def test_cross_entropy_of_labels_votes_and_smoothed_labels() -> None:
    logits, labels = example()
    votes = torch.rand(6, 4, generator=torch.Generator().manual_seed(1))
    votes = votes / votes.sum(1, keepdim=True)
    hard = soft = smooth = 0.0
    for z, y, t in zip(logits.tolist(), labels.tolist(), votes.tolist(), strict=True):
        logs = [math.log(p) for p in softmax(z)]
        hard += -logs[y] / 6
        soft += -sum(a * b for a, b in zip(t, logs, strict=True)) / 6
        smooth += -(0.8 * logs[y] + sum(0.2 / 4 * v for v in logs)) / 6
    assert cross_entropy(logits, labels).item() == pytest.approx(hard)
    assert cross_entropy(logits, votes).item() == pytest.approx(soft)
    assert cross_entropy(logits, labels, label_smoothing=0.2).item() == pytest.approx(smooth)


def slow_one_against_rest(logits: Tensor, labels: Tensor, gamma: float) -> float:
    total = 0.0
    for z, y in zip(logits.tolist(), labels.tolist(), strict=True):
        for k, v in enumerate(z):
            s = 1 / (1 + math.exp(-v))
            right = s if k == y else 1 - s
            total += -WEIGHTS[y] * (1 - right) ** gamma * math.log(right)
    return total / len(labels)  # the number of positives


def test_class_balanced_softmax() -> None:
    logits, labels = example()
    expected = sum(-WEIGHTS[y] * math.log(softmax(z)[y]) for z, y in zip(logits.tolist(), labels.tolist(), strict=True)) / 6
    assert cb_softmax(logits, labels, torch.tensor(WEIGHTS)).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_class_balanced_focal(gamma: float) -> None:
    logits, labels = example()
    weights = torch.tensor(WEIGHTS, dtype=torch.float64)
    assert cb_focal(logits, labels, weights, gamma).item() == pytest.approx(slow_one_against_rest(logits, labels, gamma))
    assert torch.autograd.gradcheck(lambda z: cb_focal(z, labels, weights, gamma), logits.requires_grad_())


def test_class_balanced_sigmoid() -> None:
    logits, labels = example()
    value = cb_sigmoid(logits, labels, torch.tensor(WEIGHTS, dtype=torch.float64)).item()
    assert value == pytest.approx(slow_one_against_rest(logits, labels, 0))


@pytest.mark.parametrize("margin", [-300.0, 300.0])
def test_one_against_rest_is_finite_where_the_model_is_sure(margin: float) -> None:
    logits = torch.tensor([[margin, -margin]], requires_grad=True)
    value = cb_focal(logits, torch.tensor([0]), torch.ones(2), 0.5)
    value.backward()
    assert torch.isfinite(value)
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("loss", [cb_softmax, cb_sigmoid, cb_focal])
def test_half_precision_is_computed_in_float32_and_parts_add_up(loss) -> None:  # type: ignore[no-untyped-def]
    logits, labels = example(7)
    weights = torch.tensor(WEIGHTS)
    assert loss(logits.bfloat16(), labels, weights).dtype == torch.float32
    parts = 3 * loss(logits[:3], labels[:3], weights) + 4 * loss(logits[3:], labels[3:], weights)
    torch.testing.assert_close(parts / 7, loss(logits, labels, weights))
