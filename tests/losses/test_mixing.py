"""Mixed targets, and Remix's label share case by case."""

from __future__ import annotations

import pytest
import torch

from evenface.losses import mix_targets, remix_lambda


def test_labels_and_distributions_mix_by_share() -> None:
    lam = torch.tensor([0.25, 1.0], dtype=torch.float64)
    mixed = mix_targets(torch.tensor([2, 0]), torch.tensor([1, 1]), lam, 3)
    assert mixed.tolist() == [[0, 0.75, 0.25], [1, 0, 0]]
    assert mixed.dtype == torch.float64
    votes, others = torch.tensor([[0.5, 0.5, 0.0]]), torch.tensor([[0.0, 0.2, 0.8]])
    assert mix_targets(votes, others, torch.tensor([0.5]), 3)[0].tolist() == pytest.approx([0.25, 0.35, 0.4])


COUNTS = torch.tensor([300.0, 100.0, 101.0])


@pytest.mark.parametrize(
    ("first", "second", "lam", "expected"),
    [
        (0, 1, 0.49, 0.0),  # three times as many, and less than half of the pixels: all to the rarer
        (0, 1, 0.50, 0.50),  # as many pixels: as it is
        (0, 1, 0.90, 0.90),
        (1, 0, 0.51, 1.0),  # mirrored
        (1, 0, 0.50, 0.50),
        (1, 0, 0.10, 0.10),
        (0, 2, 0.10, 0.10),  # 300 is less than three times 101
        (2, 0, 0.90, 0.90),
        (1, 1, 0.20, 0.20),
    ],
)
def test_remix_case_by_case(first: int, second: int, lam: float, expected: float) -> None:
    share = remix_lambda(torch.tensor([lam]), torch.tensor([first]), torch.tensor([second]), COUNTS, kappa=3, tau=0.5)
    assert share.item() == pytest.approx(expected)


def test_remix_kappa_and_tau() -> None:
    lam, first, second = torch.tensor([0.3, 0.3]), torch.tensor([0, 2]), torch.tensor([2, 1])
    assert remix_lambda(lam, first, second, COUNTS, kappa=2.9).tolist() == pytest.approx([0.0, 0.3])
    assert remix_lambda(lam, first, second, COUNTS, kappa=1.0).tolist() == [0.0, 0.0]
    assert remix_lambda(lam, first, second, COUNTS, kappa=2.9, tau=0.25).tolist() == pytest.approx([0.3, 0.3])
