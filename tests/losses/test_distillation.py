"""What a student learns, against loops over every face and numbers worked by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from evenface.losses import answers, direction


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_direction_of_known_angles() -> None:
    angles = [0.0, math.pi / 3, math.pi / 2, math.pi]
    found = torch.tensor([[3 * math.cos(a), 3 * math.sin(a)] for a in angles])
    target = torch.tensor([[0.5, 0.0]] * 4)
    assert direction(found, target).item() == pytest.approx((0 + 0.5 + 1 + 2) / 4, abs=1e-6)


def test_direction_of_maps_by_a_loop() -> None:
    found, target = random(3, 4, 2, 5), random(3, 4, 2, 5, seed=1)
    total = 0.0
    for a, b in zip(found.flatten(1).tolist(), target.flatten(1).tolist(), strict=True):
        dot = sum(x * y for x, y in zip(a, b, strict=True))
        total += 1 - dot / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))
    assert direction(found, target).item() == pytest.approx(total / 3, abs=1e-6)


def test_direction_is_half_the_distance_of_the_scaled_vectors() -> None:
    found, target = random(6, 9).double(), random(6, 9, seed=1).double()
    scaled = [x / x.square().sum(1, keepdim=True).sqrt() for x in (found, target)]
    expected = (scaled[0] - scaled[1]).square().sum(1).mean() / 2
    assert direction(found, target).item() == pytest.approx(expected.item(), abs=1e-12)


@pytest.mark.parametrize("temperature", [1.0, 2.0, 4.0])
def test_answers_by_a_loop(temperature: float) -> None:
    logits, teacher = random(4, 3), random(4, 3, seed=1)
    total, target = 0.0, []
    for z, t in zip(logits.tolist(), teacher.tolist(), strict=True):
        e, s = [math.exp(v / temperature) for v in z], [math.exp(v / temperature) for v in t]
        q, p = [v / sum(e) for v in e], [v / sum(s) for v in s]
        target.append(p)
        total += sum(pk * math.log(pk / qk) for pk, qk in zip(p, q, strict=True))
    expected = temperature**2 * total / 4
    assert answers(logits, torch.tensor(target), temperature).item() == pytest.approx(expected, abs=1e-5)


def test_the_temperature_leaves_the_size_of_the_gradient() -> None:
    """At high temperature the gradient tends to (z - t) / L per face, for logits of mean 0: Hinton et al., equation 4."""
    logits, teacher = random(2, 5).double(), random(2, 5, seed=1).double()
    logits, teacher = logits - logits.mean(1, keepdim=True), teacher - teacher.mean(1, keepdim=True)
    logits.requires_grad_()
    answers(logits, (teacher / 1000).softmax(1), 1000).backward()
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad, ((logits - teacher) / 5 / 2).detach(), atol=1e-3, rtol=0)


@pytest.mark.parametrize("loss", [direction, answers])
def test_no_gradient_reaches_the_teacher(loss: object) -> None:
    assert callable(loss)
    found, target = random(4, 3).requires_grad_(), random(4, 3, seed=1).softmax(1).requires_grad_()
    loss(found, target).backward()
    assert found.grad is not None
    assert found.grad.abs().sum() > 0
    assert target.grad is None
