"""Both equalization losses by slow loops, and their gradients by autograd."""

from __future__ import annotations

import math

import pytest
import torch

from evenface.losses import equalization, equalized_focal


Z = [[0.4, -1.0, 2.0], [-0.3, 0.8, 0.1], [1.5, 0.2, -2.5], [0.0, 0.6, -0.7]]
LABELS = [2, 0, 0, 1]
RATIO = [1.4, 0.3, 0.9]


def sigmoid(v: float) -> float:
    return 1 / (1 + math.exp(-v))


def tensors() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return torch.tensor(Z, dtype=torch.float64, requires_grad=True), torch.tensor(LABELS), torch.tensor(RATIO, dtype=torch.float64)


def test_v2_by_a_slow_loop() -> None:
    value, gradients = equalization(*tensors())
    expected, sums = 0.0, [[0.0] * 3, [0.0] * 3]
    for row, y in zip(Z, LABELS, strict=True):
        for k, v in enumerate(row):
            r = sigmoid(12 * (RATIO[k] - 0.8))
            if k == y:
                expected -= (1 + 4 * (1 - r)) * math.log(sigmoid(v)) / 4
                sums[0][k] += (1 + 4 * (1 - r)) * (1 - sigmoid(v))
            else:
                expected -= r * math.log(1 - sigmoid(v)) / 4
                sums[1][k] += r * sigmoid(v)
    assert value.item() == pytest.approx(expected, rel=1e-12)
    torch.testing.assert_close(gradients, torch.tensor(sums, dtype=torch.float64))


def test_focal_by_a_slow_loop() -> None:
    value, _ = equalized_focal(*tensors())
    expected = 0.0
    for row, y in zip(Z, LABELS, strict=True):
        for k, v in enumerate(row):
            c = 2 + 8 * (1 - min(RATIO[k], 1.0))
            p, a = (sigmoid(v), 0.25) if k == y else (1 - sigmoid(v), 0.75)
            expected -= a * c / 2 * (1 - p) ** c * math.log(p) / 4
    assert value.item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("loss", [equalization, equalized_focal])
def test_gradients_are_those_of_the_loss_split_by_label(loss: object) -> None:
    z, labels, ratio = tensors()
    value, gradients = loss(z, labels, ratio)  # type: ignore[operator]
    assert not gradients.requires_grad
    value.backward()
    assert z.grad is not None
    each = 4 * z.grad.abs()  # the value is a mean over four faces
    positive = torch.tensor([[k == y for k in range(3)] for y in LABELS])
    torch.testing.assert_close(gradients, torch.stack([(each * positive).sum(0), (each * ~positive).sum(0)]))


def test_balanced_gradients_leave_plain_losses() -> None:
    z, labels, _ = tensors()
    binary = torch.nn.functional.binary_cross_entropy_with_logits(z, torch.eye(3, dtype=torch.float64)[labels], reduction="sum") / 4
    torch.testing.assert_close(equalization(z, labels, torch.full((3,), 100.0))[0], binary)
    assert equalized_focal(z, labels, torch.ones(3), gamma=1e-9, balance=0.5)[0].item() == pytest.approx(binary.item() / 2, rel=1e-6)


@pytest.mark.parametrize("loss", [equalization, equalized_focal])
def test_far_logits_give_numbers(loss: object) -> None:
    z = torch.tensor([[-500.0, 500.0], [500.0, -500.0]], requires_grad=True)
    value, gradients = loss(z, torch.tensor([0, 0]), torch.zeros(2))  # type: ignore[operator]
    value.backward()
    assert torch.isfinite(gradients).all()
    assert z.grad is not None
    assert torch.isfinite(z.grad).all()
