"""MEK's rebalanced smooth labels against its printed targets and a loop."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from evenface.losses import class_weights, rebalanced_smooth, smooth_targets


RAF = [1290, 281, 717, 4772, 1982, 705, 2524]  # surprise, fear, disgust, happiness, sadness, anger, neutral


def test_targets_of_raf_db() -> None:
    table = smooth_targets(class_weights(RAF, "inverse_mek"))
    assert table[3].tolist() == pytest.approx([0.0289, 0.1327, 0.0520, 0.7, 0.0188, 0.0529, 0.0148], abs=6e-5)  # happiness
    assert table[1].tolist() == pytest.approx([0.0495, 0.7, 0.0890, 0.0134, 0.0322, 0.0906, 0.0253], abs=6e-5)  # fear


@given(st.lists(st.floats(0.001, 100), min_size=2, max_size=8), st.floats(0, 0.99))
@settings(max_examples=30, deadline=None)
def test_rows_sum_to_one_and_do_not_depend_on_the_scale(weights: list[float], epsilon: float) -> None:
    table = smooth_targets(torch.tensor(weights, dtype=torch.float64), epsilon)
    torch.testing.assert_close(table.sum(1), torch.ones(len(weights), dtype=torch.float64))
    torch.testing.assert_close(table.diag(), torch.full((len(weights),), 1 - epsilon, dtype=torch.float64))
    torch.testing.assert_close(table, smooth_targets(7 * torch.tensor(weights, dtype=torch.float64), epsilon))


def test_the_true_class_keeps_all_when_no_other_has_weight() -> None:
    assert smooth_targets(torch.tensor([1.0, 0.0])).tolist() == [[1.0, 0.0], [pytest.approx(0.3), pytest.approx(0.7)]]


def test_loss_by_loops() -> None:
    generator = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(5, 3, generator=generator, dtype=torch.float64), torch.tensor([0, 1, 2, 2, 1])
    weights = [1.0, 4.0, 0.5]
    total = 0.0
    for z, y in zip(logits.tolist(), labels.tolist(), strict=True):
        others = sum(w for k, w in enumerate(weights) if k != y)
        for k in range(3):
            target = 0.7 if k == y else 0.3 * weights[k] / others
            total += -target * math.log(math.exp(z[k]) / sum(math.exp(v) for v in z)) / 5
    assert rebalanced_smooth(logits, labels, torch.tensor(weights, dtype=torch.float64)).item() == pytest.approx(total)


def test_epsilon_0_is_cross_entropy() -> None:
    logits, labels = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 0])
    torch.testing.assert_close(rebalanced_smooth(logits, labels, torch.ones(3), 0.0), torch.nn.functional.cross_entropy(logits, labels))
