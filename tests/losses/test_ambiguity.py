"""DMUE's terms, against loops over classes and faces that take the parts of a batch apart as the paper does."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from evenface.losses import class_similarities, gram_error, latent_distribution, latent_error, leave_one_out_cross_entropy


C, N = 4, 9
LABELS = torch.tensor([0, 1, 2, 3, 0, 0, 1, 2, 2])
ABSENT = torch.tensor([0, 1, 3, 3, 0, 0, 1, 1, 3])  # no face of class 2
each_batch = pytest.mark.parametrize("labels", [LABELS, ABSENT], ids=["all", "one class absent"])


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@each_batch
def test_a_branch_learns_from_the_faces_of_the_other_classes(labels: Tensor) -> None:
    z = numbers(C, N, C - 1)
    expected = []
    for c in range(C):
        others = [i for i in range(C) if i != c]
        losses = [-z[c, n].log_softmax(0)[others.index(int(labels[n]))] for n in range(N) if labels[n] != c]
        expected.append(torch.stack(losses).mean())
    torch.testing.assert_close(leave_one_out_cross_entropy(z, labels), torch.stack(expected).mean())


def test_a_batch_of_one_class_leaves_its_branch_with_a_gradient_of_zero() -> None:
    z = numbers(C, N, C - 1).requires_grad_()
    leave_one_out_cross_entropy(z, torch.zeros(N, dtype=torch.int64)).backward()
    assert z.grad is not None
    assert not z.grad[0].any()
    assert all(z.grad[c].any() for c in (1, 2, 3))


def test_the_latent_distribution_is_that_of_the_branch_without_the_class() -> None:
    z = numbers(C, N, C - 1).requires_grad_()
    found = latent_distribution(z, LABELS, 1.2)
    assert not found.requires_grad
    for n, y in enumerate(LABELS.tolist()):
        p = z[y, n].detach().softmax(0) ** (1 / 1.2)
        expected = torch.zeros(C, dtype=torch.float64)
        expected[[c for c in range(C) if c != y]] = p / p.sum()
        torch.testing.assert_close(found[n], expected)


def test_the_latent_error_leaves_the_true_class_out() -> None:
    z, q = numbers(N, C), latent_distribution(numbers(C, N, C - 1, seed=1), LABELS)
    p = z.softmax(1)
    squares = [(p[n, c] - q[n, c]) ** 2 for n in range(N) for c in range(C) if c != LABELS[n]]
    torch.testing.assert_close(latent_error(z, LABELS, q), torch.stack(squares).sum() / (N * C))


@each_batch
def test_gram_matrices_of_the_faces_that_a_branch_learns_from(labels: Tensor) -> None:
    branches, main = numbers(C, N, 5), numbers(N, 3, seed=1)
    expected = []
    for c in range(C):
        rows = (labels != c).nonzero()[:, 0]
        theirs, ours = branches[c, rows], main[rows]
        difference = F.normalize(theirs @ theirs.T, dim=1) - F.normalize(ours @ ours.T, dim=1)
        expected.append(difference.square().mean())
    torch.testing.assert_close(gram_error(branches, main, labels), torch.stack(expected).mean())


def test_gradients_are_numbers_where_a_branch_has_no_face() -> None:
    branches, main = numbers(C, N, 5).requires_grad_(), numbers(N, 3, seed=1).requires_grad_()
    labels = torch.zeros(N, dtype=torch.int64)
    (gram_error(branches, main, labels) + class_similarities(main, labels, C).square().sum()).backward()
    assert branches.grad is not None
    assert main.grad is not None
    assert branches.grad.isfinite().all()
    assert main.grad.isfinite().all()
    assert not branches.grad[0].any()
    assert branches.grad[1].any()


@each_batch
def test_similarities_are_means_over_a_class_scaled_over_the_classes(labels: Tensor) -> None:
    f = numbers(N, 6)
    found = class_similarities(f, labels, C)
    there = sorted(set(labels.tolist()))
    for n in range(N):
        means = {c: torch.stack([F.cosine_similarity(f[n], f[m], dim=0) for m in range(N) if labels[m] == c]).mean() for c in there}
        low, high = min(means.values()), max(means.values())
        expected = torch.stack([(means[c] - low) / (high - low) if c in means else torch.zeros_like(low) for c in range(C)])
        torch.testing.assert_close(found[n], expected)
