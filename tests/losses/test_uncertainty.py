"""RUL's mixture and add-up loss against a loop over the faces."""

from __future__ import annotations

import math

import pytest
import torch

from evenface.losses import add_up, mix_by_uncertainty, partners_of_other_classes


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_mixture_by_a_loop(generator: torch.Generator) -> None:
    mu, logvar = (torch.randn(5, 3, generator=generator, dtype=torch.float64) for _ in range(2))
    partner = torch.tensor([2, 1, 0, 4, 3])
    mixed = mix_by_uncertainty(mu, logvar, partner)
    s = [sum(math.exp(v) for v in row) / 3 for row in logvar.tolist()]
    for i, j in enumerate(partner.tolist()):
        for d in range(3):
            expected = (s[i] * float(mu[i, d]) + s[j] * float(mu[j, d])) / (s[i] + s[j])
            assert float(mixed[i, d]) == pytest.approx(expected, rel=1e-12)
    torch.testing.assert_close(mixed[1], mu[1])  # its own partner


def test_extreme_variances_stay_numbers() -> None:
    mu, partner = torch.tensor([[1.0], [3.0]]), torch.tensor([1, 0])
    for value in (200.0, -200.0):
        assert mix_by_uncertainty(mu, torch.full((2, 1), value), partner).tolist() == [[2.0], [2.0]]
    assert mix_by_uncertainty(mu, torch.tensor([[200.0], [-200.0]]), partner).tolist() == [[1.0], [1.0]]


def test_the_gradient_reaches_mean_and_variance(generator: torch.Generator) -> None:
    mu, logvar = (torch.randn(4, 3, generator=generator, dtype=torch.float64, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(lambda m, v: mix_by_uncertainty(m, v, torch.tensor([3, 0, 1, 2])), (mu, logvar))


@pytest.mark.parametrize("votes", [False, True])
def test_both_labels_count_half(votes: bool, generator: torch.Generator) -> None:
    logits = torch.randn(3, 4, generator=generator, dtype=torch.float64)
    labels, partner = torch.tensor([0, 3, 1]), torch.tensor([1, 2, 0])
    t = torch.zeros(3, 4, dtype=torch.float64)
    t[torch.arange(3), labels] = 1
    if votes:
        t = 0.5 * t + 0.125
    expected = 0.0
    for i, j in enumerate(partner.tolist()):
        log_p = [float(z) - math.log(sum(math.exp(float(other)) for other in logits[i])) for z in logits[i]]
        expected -= sum((float(t[i, label]) + float(t[j, label])) / 2 * log_p[label] for label in range(4)) / 3
    assert float(add_up(logits, t if votes else labels, partner)) == pytest.approx(expected, rel=1e-12)


def test_partners_of_other_classes_are_any_of_them() -> None:
    labels = torch.tensor([0, 0, 1, 2])
    torch.manual_seed(0)
    drawn = torch.stack([partners_of_other_classes(labels) for _ in range(300)])
    assert (labels[drawn] != labels).all()
    shares = [(drawn[:, 0] == j).double().mean().item() for j in range(4)]
    assert shares == pytest.approx([0, 0, 0.5, 0.5], abs=0.1)
    assert partners_of_other_classes(torch.tensor([1, 1, 1])).tolist() == [0, 1, 2]
