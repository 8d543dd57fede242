"""The rank-biased loss by hand."""

from __future__ import annotations

import pytest
import torch

from evenface.losses import rank_bias


def test_hinge_of_the_best_crops_lead_over_the_whole() -> None:
    # Leads of 0.2, 0.05 and -0.3; margin 0.1 leaves 0, 0.05 and 0.4.
    attention = torch.tensor([[0.1, 0.5, 0.3], [0.35, 0.2, 0.3], [0.1, 0.2, 0.5]], dtype=torch.float64)
    assert rank_bias(attention).item() == pytest.approx(0.45 / 3)
    assert rank_bias(attention, 0.0).item() == pytest.approx(0.3 / 3)


def test_it_raises_the_best_crop_and_lowers_the_whole() -> None:
    attention = torch.tensor([[0.1, 0.2, 0.5], [0.0, 0.9, 0.1]], requires_grad=True)
    rank_bias(attention).backward()
    assert attention.grad is not None
    assert attention.grad.tolist() == [[0.0, -0.5, 0.5], [0.0, 0.0, 0.0]]  # the second face has its lead


def test_half_precision_is_computed_in_full() -> None:
    attention = torch.tensor([[0.1, 0.2, 0.5]], dtype=torch.bfloat16)
    assert rank_bias(attention).dtype == torch.float32
