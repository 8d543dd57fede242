"""Losses of agreement against hand-worked numbers and slow loops."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from evenface.losses import class_similarities, gram_error, nt_xent, softmax_mse, symmetric_kl


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def log(rows: list[list[float]]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64).log()


def test_softmax_mse_by_hand() -> None:
    p, q = log([[0.5, 0.5], [0.2, 0.8]]), log([[0.75, 0.25], [0.2, 0.8]])
    assert softmax_mse(p, q).item() == pytest.approx((2 * 0.25**2 + 0) / 4)
    assert softmax_mse(p + 3, q - 1).item() == pytest.approx(2 * 0.25**2 / 4)  # logits, not probabilities


def test_symmetric_kl_by_hand_and_by_symmetry() -> None:
    p, q = log([[0.5, 0.5], [0.2, 0.8]]), log([[0.75, 0.25], [0.2, 0.8]])
    assert symmetric_kl(p, q).item() == pytest.approx(0.25 * math.log(3) / 2)
    a, b = numbers(5, 4), numbers(5, 4, seed=1)
    torch.testing.assert_close(symmetric_kl(a, b), symmetric_kl(b, a))
    one_way = torch.nn.functional.kl_div(b.log_softmax(1), a.softmax(1), reduction="batchmean")
    other_way = torch.nn.functional.kl_div(a.log_softmax(1), b.softmax(1), reduction="batchmean")
    torch.testing.assert_close(symmetric_kl(a, b), one_way + other_way)


def test_nt_xent_by_loop() -> None:
    a, b, temperature = numbers(3, 5), numbers(3, 5, seed=1), 0.3
    z = [row / row.norm() for row in [*a, *b]]
    total = 0.0
    for i in range(6):
        others = {k: math.exp(float(z[i] @ z[k]) / temperature) for k in range(6) if k != i}
        total -= math.log(others[(i + 3) % 6] / sum(others.values()))
    assert nt_xent(a, b, temperature).item() == pytest.approx(total / 6)
    assert nt_xent(4 * a, b / 7, temperature).item() == pytest.approx(total / 6)


def test_nt_xent_of_one_face_and_of_none() -> None:
    one = numbers(1, 5).requires_grad_()
    assert nt_xent(one, numbers(1, 5, seed=1)).item() == pytest.approx(0.0)  # nothing to tell it from
    none = nt_xent(one[:0], one[:0])
    none.backward()
    assert none.item() == 0.0
    assert one.grad is not None
    assert not one.grad.any()


@pytest.mark.parametrize("loss", [softmax_mse, symmetric_kl, nt_xent])
def test_gradient_to_both_and_half_precision_in_full(loss: object) -> None:
    assert callable(loss)
    a, b = numbers(3, 4).requires_grad_(), numbers(3, 4, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(loss, (a, b))
    assert loss(a.bfloat16(), b.bfloat16()).dtype == torch.float32


def test_products_are_float32_under_autocast() -> None:
    """`@` would be computed in bfloat16 there, whatever its factors are."""
    x, y = (torch.randn(9, 16, generator=torch.Generator().manual_seed(seed)).requires_grad_() for seed in (0, 1))
    labels = torch.arange(9) % 3
    for loss in (
        lambda: nt_xent(x, y),
        lambda: gram_error(torch.stack([x, y, x]), y, labels),
        lambda: class_similarities(x, labels, 3).square().sum(),
    ):
        plain = loss()
        slopes = torch.autograd.grad(plain, x)[0]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            same = loss()
        assert torch.equal(same, plain)
        assert torch.equal(torch.autograd.grad(same, x)[0], slopes)
