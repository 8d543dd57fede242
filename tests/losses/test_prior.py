"""Shifted cross-entropy and the log prior, against sums written out."""

from __future__ import annotations

import math

import pytest
import torch

from evenface.losses import log_prior, shifted_cross_entropy


def test_log_prior_of_counts_by_hand() -> None:
    assert log_prior([6, 3, 1]).tolist() == pytest.approx([math.log(0.6), math.log(0.3), math.log(0.1)])
    assert log_prior([8, 0, 1]).tolist() == pytest.approx([math.log(0.8), math.log(0.1), math.log(0.1)])  # none counts as one


def test_each_class_is_counted_as_often_as_it_is_there() -> None:
    counts, z = [6, 3, 1], [[0.3, -1.2, 2.0], [1.1, 0.4, 0.9]]
    expected = 0.0
    for row, y in zip(z, [2, 0], strict=True):
        weighed = [n * math.exp(v) for n, v in zip(counts, row, strict=True)]
        expected -= math.log(weighed[y] / sum(weighed)) / 2
    logits = torch.tensor(z, dtype=torch.float64)
    assert shifted_cross_entropy(logits, torch.tensor([2, 0]), log_prior(counts)).item() == pytest.approx(expected, rel=1e-12)


def test_distributions_weigh_the_classes() -> None:
    logits = torch.tensor([[0.3, -1.2, 2.0]], dtype=torch.float64)
    shift = torch.tensor([0.5, 0.0, -1.0], dtype=torch.float64)
    each = [shifted_cross_entropy(logits, torch.tensor([y]), shift).item() for y in range(3)]
    target = torch.tensor([[0.2, 0.5, 0.3]])
    assert shifted_cross_entropy(logits, target, shift).item() == pytest.approx(0.2 * each[0] + 0.5 * each[1] + 0.3 * each[2], rel=1e-6)


def test_half_precision_is_computed_in_full() -> None:
    logits = torch.tensor([[300.0, 0.0]], dtype=torch.float16)
    value = shifted_cross_entropy(logits, torch.tensor([1]), torch.tensor([0.0, 1.0]))
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(299.0)
