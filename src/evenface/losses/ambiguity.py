"""What DMUE learns of ambiguous faces from classifiers that each leave one class out (She et al., CVPR 2021).

Branch c tells the C - 1 classes other than c apart. It learns from the faces that are not of class c; what it says of those that are is
their latent distribution. All functions take whole batches and masks instead of parts of a batch, so that shapes do not depend on the
labels and every parameter has a gradient, be it 0, when a batch lacks a class.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from evenface.losses._numbers import exactly, full


def leave_one_out_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of each branch over the faces that it learns from, averaged over the branches; a scalar >= 0.

    Arguments:
        logits: of branch c for the classes without c, in their order, (C, N, C - 1).
        labels: class index (N,), int64.
    """
    z = full(logits)
    left_out = torch.arange(len(z), device=z.device)[:, None]  # (C, 1)
    learns = labels != left_out  # (C, N)
    target = torch.where(learns, labels - (labels > left_out).long(), 0)
    each = F.cross_entropy(z.flatten(0, 1), target.flatten(), reduction="none").view_as(target)
    return ((each * learns).sum(1) / learns.sum(1).clamp_min(1)).mean()


def latent_distribution(logits: Tensor, labels: Tensor, temperature: float = 1.2) -> Tensor:
    """Each face's distribution over the classes other than its own, as the branch without its class sees it: (N, C), 0 at the label,
    the rest sums to 1; no gradient.

    Arguments:
        logits: (C, N, C - 1) as above.
        labels: class index (N,), int64.
        temperature: T; p is replaced by p^(1 / T), scaled to sum 1.
    """
    own = full(logits.detach())[labels, torch.arange(len(labels), device=labels.device)]  # (N, C - 1)
    others = (own / temperature).softmax(1)
    column = torch.arange(len(logits), device=labels.device).expand(len(labels), -1)
    source = (column - (column > labels[:, None]).long()).clamp_max(others.shape[1] - 1)
    return others.gather(1, source).masked_fill(column == labels[:, None], 0.0)


def latent_error(logits: Tensor, labels: Tensor, latent: Tensor) -> Tensor:
    """Mean over faces and classes of (p_l - q_l)^2, in which the true class counts 0; a scalar >= 0.

    Arguments:
        logits: of the main branch (N, C).
        labels: class index (N,), int64.
        latent: q (N, C), 0 at the label.
    """
    p = full(logits).softmax(1)
    p = p * (1 - F.one_hot(labels, p.shape[1]).to(p.dtype))
    return (p - latent).square().mean()


def gram_error(branches: Tensor, main: Tensor, labels: Tensor) -> Tensor:
    """How differently two networks relate the faces of a batch: mean over the branches of the mean of (G_c - G)^2; a scalar >= 0.

    G_c holds the inner products of the faces that branch c learns from, each row at length 1; G those of the main branch for the same.

    Arguments:
        branches: features of each branch (C, N, D).
        main: features of the main branch (N, E).
        labels: class index (N,), int64.
    """
    f, g = full(branches), full(main)
    learns = (labels != torch.arange(len(f), device=f.device)[:, None]).to(f.dtype)  # (C, N)
    pairs = learns[:, :, None] * learns[:, None, :]  # (C, N, N)
    with exactly(f):
        theirs = F.normalize(f @ f.transpose(1, 2) * pairs, dim=2)
        ours = F.normalize((g @ g.T) * pairs, dim=2)
    return ((theirs - ours).square().sum((1, 2)) / pairs.sum((1, 2)).clamp_min(1)).mean()


def class_similarities(features: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Mean cosine similarity of each face to the faces of each class in the batch, itself included, scaled to [0, 1] over the classes:
    (N, C). A class that the batch lacks has 0. Where all are alike within 1e-3 the range counts as 1e-3.

    Arguments:
        features: (N, D).
        labels: class index (N,), int64.
    """
    unit = F.normalize(full(features), dim=1)
    member = F.one_hot(labels, classes).to(unit.dtype)  # (N, C)
    count = member.sum(0)
    with exactly(unit):
        mean = (unit @ unit.T) @ member / count.clamp_min(1)
    there = count > 0
    low = mean.masked_fill(~there, torch.inf).amin(1, keepdim=True)
    high = mean.masked_fill(~there, -torch.inf).amax(1, keepdim=True)
    scaled = (mean - low) / (high - low).clamp_min(1e-3)  # a smaller range would blow the gradient up
    return scaled.masked_fill(~there, 0.0)
