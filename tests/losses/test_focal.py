"""Focal losses against a loop in plain Python, their limits and their gradient."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from evenface.losses import focal, rebalanced_focal


def slow(logits: Tensor, labels: Tensor, weights: list[float], gamma: float) -> float:
    total = 0.0
    for z, y in zip(logits.tolist(), labels.tolist(), strict=True):
        p = math.exp(z[y]) / sum(math.exp(v) for v in z)
        total += -weights[y] * (1 - p) ** gamma * math.log(p)
    return total / len(labels)


def example(n: int = 6, classes: int = 4, seed: int = 0, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(n, classes, generator=generator, dtype=torch.float64)
    return logits.to(dtype), torch.randint(classes, (n,), generator=generator)


WEIGHTS = [0.3, 2.5, 1.0, 0.2]


@given(st.integers(0, 10_000), st.floats(0, 5))
@settings(max_examples=30, deadline=None)
def test_by_loops(seed: int, gamma: float) -> None:
    logits, labels = example(seed=seed)
    assert focal(logits, labels, gamma).item() == pytest.approx(slow(logits, labels, [1.0] * 4, gamma), rel=1e-8, abs=1e-12)
    value = rebalanced_focal(logits, labels, torch.tensor(WEIGHTS, dtype=torch.float64), gamma).item()
    assert value == pytest.approx(slow(logits, labels, WEIGHTS, gamma), rel=1e-8, abs=1e-12)


@given(st.integers(0, 10_000), st.floats(0, 5))
@settings(max_examples=30, deadline=None)
def test_distributions_by_loops(seed: int, gamma: float) -> None:
    logits, _ = example(seed=seed)
    target = torch.rand(logits.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).pow(3)
    target /= target.sum(1, keepdim=True)
    total = 0.0
    for z, t in zip(logits.tolist(), target.tolist(), strict=True):
        for k in range(4):
            p = math.exp(z[k]) / sum(math.exp(v) for v in z)
            total -= WEIGHTS[k] * abs(t[k] - p) ** gamma * t[k] * math.log(p)
    weights = torch.tensor(WEIGHTS, dtype=torch.float64)
    assert rebalanced_focal(logits, target, weights, gamma).item() == pytest.approx(total / len(logits), rel=1e-8, abs=1e-12)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_a_distribution_of_one_class_is_its_label(gamma: float) -> None:
    logits, labels = example(n=8, dtype=torch.float32)
    logits[0] = torch.tensor([30.0, 0, 0, 0]).roll(int(labels[0]))  # a face that is all but certain
    logits.requires_grad_()
    values = [rebalanced_focal(logits, target, torch.tensor(WEIGHTS), gamma) for target in (labels, F.one_hot(labels, 4).float())]
    torch.testing.assert_close(values[0], values[1])
    first, second = (torch.autograd.grad(value, logits)[0] for value in values)
    torch.testing.assert_close(first, second)


def test_worked_by_hand() -> None:
    # p = 1/4 for the true class: (3/4)^2 ln 4; with B = 2 twice that.
    logits, labels = torch.zeros(1, 4), torch.tensor([2])
    assert focal(logits, labels, 2).item() == pytest.approx(9 / 16 * math.log(4))
    assert rebalanced_focal(logits, labels, torch.full((4,), 2.0), 2).item() == pytest.approx(9 / 8 * math.log(4))


def test_gamma_0_is_cross_entropy_and_the_rebalanced_one_a_weighted_cross_entropy_with_a_plain_mean() -> None:
    logits, labels = example()
    weights = torch.tensor(WEIGHTS, dtype=torch.float64)
    torch.testing.assert_close(focal(logits, labels, 0), F.cross_entropy(logits, labels))
    each = F.cross_entropy(logits, labels, weight=weights, reduction="none")
    torch.testing.assert_close(rebalanced_focal(logits, labels, weights, 0), each.sum() / len(labels))
    assert abs(rebalanced_focal(logits, labels, weights, 0) - F.cross_entropy(logits, labels, weight=weights)) > 1e-3


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
def test_gradient_flows_through_the_modulator(gamma: float) -> None:
    logits, labels = example()
    weights = torch.tensor(WEIGHTS, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda z: rebalanced_focal(z, labels, weights, gamma), logits.requires_grad_())
    # With the modulator held constant the gradient is another one.
    logp = F.log_softmax(logits, 1).gather(1, labels[:, None]).squeeze(1)
    held = ((1 - logp.exp()).detach() ** gamma * -logp * weights[labels]).mean()
    (without,) = torch.autograd.grad(held, logits)
    (full,) = torch.autograd.grad(rebalanced_focal(logits, labels, weights, gamma), logits)
    assert torch.allclose(without, full) is (gamma == 0)


@pytest.mark.parametrize("gamma", [0.0, 0.1, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("margin", [-200.0, -20.0, 20.0, 200.0])
def test_finite_where_the_model_is_sure(gamma: float, margin: float) -> None:
    logits = torch.tensor([[margin, 0.0, 0.0]], requires_grad=True)
    value = focal(logits, torch.tensor([0]), gamma)
    value.backward()
    assert torch.isfinite(value)
    assert value >= 0
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_logits_are_computed_in_float32(dtype: torch.dtype) -> None:
    logits, labels = example(dtype=dtype)
    value = focal(logits, labels)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(slow(logits.double(), labels, [1.0] * 4, 2), rel=1e-5)


def test_size_weighted_mean_of_the_parts_is_the_whole() -> None:
    logits, labels = example(7)
    weights = torch.tensor(WEIGHTS, dtype=torch.float64)
    parts = 3 * rebalanced_focal(logits[:3], labels[:3], weights) + 4 * rebalanced_focal(logits[3:], labels[3:], weights)
    torch.testing.assert_close(parts / 7, rebalanced_focal(logits, labels, weights))
