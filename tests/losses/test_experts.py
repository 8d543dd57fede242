"""What sets experts apart, against numbers worked by hand and slow loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from evenface.errors import ConfigError
from evenface.losses import class_temperatures, expert_diversity, sade_offsets
from evenface.losses.experts import Divergence


def softmax(values: list[float]) -> list[float]:
    total = sum(map(math.exp, values))
    return [math.exp(v) / total for v in values]


def test_temperatures_are_lower_for_rarer_classes() -> None:
    # shares 0.75 and 0.25 of two classes: 0.05 * 2 * share + 0.95 = 1.025, 0.975
    np.testing.assert_allclose(class_temperatures([75, 25], 2.0), [2.0, 2.0 * 0.975 / 1.025])
    np.testing.assert_allclose(class_temperatures([75, 25], spread=0.0), [1.0, 1.0])


@pytest.mark.parametrize("divergence", ["expert_mean", "mean_expert"])
def test_diversity_is_the_sum_of_the_divergences_from_the_mean(divergence: Divergence) -> None:
    z = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    t = [1.0, 0.9, 0.5, 0.8]
    expected = 0.0
    for n in range(5):
        mean = softmax([z[:, n, c].mean().item() / t[c] for c in range(4)])
        for k in range(3):
            own = softmax([z[k, n, c].item() / t[c] for c in range(4)])
            p, q = (own, mean) if divergence == "expert_mean" else (mean, own)
            expected += sum(a * math.log(a / b) for a, b in zip(p, q, strict=True)) / 5
    assert expert_diversity(z, np.array(t), divergence).item() == pytest.approx(0.8**2 * expected, rel=1e-12)  # 0.8: mean of t


def test_equal_experts_have_no_diversity_and_the_mean_is_a_constant() -> None:
    row = torch.randn(1, 5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert expert_diversity(row.repeat(3, 1, 1), np.ones(4)).item() == pytest.approx(0, abs=1e-15)
    z = torch.randn(2, 1, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64, requires_grad=True)
    expert_diversity(z, np.ones(3), "mean_expert").backward()
    mean = z.detach().mean(0).softmax(1)
    assert z.grad is not None
    torch.testing.assert_close(z.grad[0], z.detach()[0].softmax(1) - mean)  # that of a cross-entropy against constant targets


def test_offsets_of_sade() -> None:
    counts, shares = [60, 5, 20, 15], [0.6, 0.05, 0.2, 0.15]
    turned = [0.05, 0.6, 0.15, 0.2]  # the most frequent class gets the rarest's, the second that of the third
    expected = [
        [0.0] * 4,
        [math.log(p) for p in shares],
        [math.log(p) - 2 * math.log(q) for p, q in zip(shares, turned, strict=True)],
    ]
    np.testing.assert_allclose(sade_offsets(counts), expected, rtol=1e-12)
    assert np.isfinite(sade_offsets([60, 0, 20, 15])).all()


def test_offsets_of_sade_are_equal_for_equal_classes() -> None:
    a, b = math.log(100 / 210), math.log(10 / 210)
    shared = (b + a) / 2  # two classes of 100 faces get the values of the third and of one of themselves
    expected = [[0.0] * 3, [a, a, b], [a - 2 * shared, a - 2 * shared, b - 2 * a]]
    np.testing.assert_allclose(sade_offsets([100, 100, 10]), expected, rtol=1e-12)


def test_a_misspelt_divergence_is_refused() -> None:
    with pytest.raises(ConfigError, match="Unknown divergence of the experts 'expert-mean'; did you mean 'expert_mean'"):
        expert_diversity(torch.zeros(2, 1, 3), np.ones(3), "expert-mean")  # type: ignore[arg-type]
