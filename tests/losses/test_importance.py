"""SCN's rank regularisation worked by hand: groups, hinge, gradient."""

from __future__ import annotations

import pytest
import torch

from evenface.losses import low_importance, rank_regularisation


A = torch.tensor([0.9, 0.2, 0.5, 0.6, 0.1], dtype=torch.float64)  # int(0.7 * 5) = 3 high: 0.9, 0.6, 0.5


def test_the_low_group_is_what_remains_below_the_share() -> None:
    assert low_importance(A).tolist() == [False, True, False, False, True]
    assert low_importance(A, beta=0.9).tolist() == [False, False, False, False, True]
    assert low_importance(A, beta=0.0).all()
    assert low_importance(torch.rand(90), beta=0.7).sum() == 27  # though 0.7 * 90 < 63 in floating point


def test_a_low_group_of_one_is_left_where_the_share_is_all_but_one() -> None:
    beta = 1 - 1e-12
    assert low_importance(A, beta).tolist() == [False, False, False, False, True]
    assert rank_regularisation(A, beta, margin=0.7).item() == pytest.approx(0.7 - ((0.9 + 0.6 + 0.5 + 0.2) / 4 - 0.1))
    assert low_importance(A[:0], beta).tolist() == []


def test_of_equal_faces_the_later_are_low() -> None:
    assert low_importance(torch.full((4,), 0.5), beta=0.5).tolist() == [False, False, True, True]


def test_the_hinge_by_hand() -> None:
    lead = (0.9 + 0.6 + 0.5) / 3 - (0.2 + 0.1) / 2
    assert rank_regularisation(A, margin=0.7).item() == pytest.approx(0.7 - lead)
    assert rank_regularisation(A, margin=0.5).item() == 0


def test_the_gradient_lifts_the_high_and_lowers_the_low() -> None:
    a = A.clone().requires_grad_()
    rank_regularisation(a, margin=0.7).backward()
    assert a.grad is not None
    assert a.grad.tolist() == pytest.approx([-1 / 3, 1 / 2, -1 / 3, -1 / 3, 1 / 2])


def test_no_high_group_no_loss_but_a_gradient_of_zero() -> None:
    a = torch.tensor([0.3], requires_grad=True)
    loss = rank_regularisation(a)
    loss.backward()
    assert loss == 0
    assert a.grad is not None
    assert a.grad.tolist() == [0]
