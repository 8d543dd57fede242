"""Smoothing of a prediction by hand, and the divergence by a slow loop."""

from __future__ import annotations

import math

import pytest
import torch

from evenface.losses import divergence, soft_label_smoothing


def test_likely_classes_share_by_proportion_and_the_others_evenly() -> None:
    p = torch.tensor([[0.6, 0.3, 0.06, 0.04], [0.9, 0.04, 0.03, 0.03]], dtype=torch.float64)
    t = soft_label_smoothing(p, epsilon=0.3)
    assert t[0].tolist() == pytest.approx([0.7 * 2 / 3, 0.7 / 3, 0.15, 0.15])
    assert t[1].tolist() == pytest.approx([0.7, 0.1, 0.1, 0.1])


def test_the_threshold_says_what_is_likely() -> None:
    p = torch.tensor([[0.6, 0.3, 0.06, 0.04]], dtype=torch.float64)
    assert soft_label_smoothing(p, 0.3, threshold=0.5)[0].tolist() == pytest.approx([0.7, 0.1, 0.1, 0.1])
    assert soft_label_smoothing(p, 0.3, threshold=0.05)[0].tolist() == pytest.approx([0.7 * 0.625, 0.7 * 0.3125, 0.7 * 0.0625, 0.3])


def test_all_or_none_likely_leaves_a_distribution() -> None:
    p = torch.tensor([[0.25, 0.25, 0.25, 0.25], [0.4, 0.3, 0.2, 0.1]])
    assert soft_label_smoothing(p)[0].tolist() == pytest.approx([0.25] * 4)  # none is above 1 / 4
    assert soft_label_smoothing(p, 0.3, threshold=0.05)[1].tolist() == pytest.approx(p[1].tolist())


def test_divergence_by_a_slow_loop_and_its_gradient() -> None:
    z = torch.tensor([[0.2, -1.0, 0.5], [2.0, 0.1, -0.3]], dtype=torch.float64, requires_grad=True)
    t = torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.9, 0.0]], dtype=torch.float64, requires_grad=True)
    expected = 0.0
    for row, target in zip(z.tolist(), t.tolist(), strict=True):
        total = sum(map(math.exp, row))
        expected += sum(q * (math.log(q) - v + math.log(total)) for v, q in zip(row, target, strict=True) if q) / 2
    value = divergence(z, t)
    assert value.item() == pytest.approx(expected, rel=1e-12)
    value.backward()
    assert t.grad is None
    torch.testing.assert_close(z.grad, (z.softmax(1) - t).detach() / 2)
