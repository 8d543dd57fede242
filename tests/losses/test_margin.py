"""LDAM's margins and loss, against numbers worked by hand and a slow loop."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from evenface.losses import ldam_margins, margin_cross_entropy


def test_margins_fall_with_the_fourth_root() -> None:
    np.testing.assert_allclose(ldam_margins([16, 1, 81]), [0.25, 0.5, 0.5 / 3])
    np.testing.assert_allclose(ldam_margins([32, 2, 0], largest=0.8), [0.4, 0.8, 0.8])  # no face: as the rarest


@pytest.mark.parametrize("weighted", [False, True])
def test_the_loss_lowers_the_true_logit_by_scale_times_margin(weighted: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    z = 5 * torch.randn(6, 3, generator=generator, dtype=torch.float64)
    labels, margins, weights = torch.tensor([0, 1, 2, 1, 0, 2]), np.array([0.1, 0.2, 0.5]), np.array([0.5, 1.0, 1.5])
    expected = 0.0
    for row, y in zip(z.tolist(), labels.tolist(), strict=True):
        lowered = [value - 10 * margins[y] * (i == y) for i, value in enumerate(row)]
        expected += (weights[y] if weighted else 1.0) * (math.log(sum(map(math.exp, lowered))) - lowered[y]) / 6
    value = margin_cross_entropy(z, labels, margins, 10.0, weights if weighted else None)
    assert value.item() == pytest.approx(expected, rel=1e-12)


def test_half_precision_is_computed_in_float32() -> None:
    z = torch.tensor([[3.0, -1.0]], dtype=torch.bfloat16)
    value = margin_cross_entropy(z, torch.tensor([0]), np.array([0.1, 0.5]))
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(math.log(1 + math.exp(-1 - 0)), rel=1e-5)  # 3 - 30 * 0.1 = 0 against -1
