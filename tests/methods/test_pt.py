"""Progressive Teacher: which faces are kept, the two terms, their schedule, the exchange of two pairs, and where gradient goes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from evenface.errors import ModelError
from evenface.methods import Batch, Setting, create_method
from evenface.methods.pt import Pt

from .conftest import complete
from .given import Given, batch_of, logits_of


Model = Callable[[], nn.Module]
Make = Callable[..., Batch]

HALF: dict[str, Any] = {"tau": 0.5, "t_k": 0.0, "ramp": 0.0}  # half the faces from the start, the full weight too


def made(setting: Setting, options: dict[str, Any]) -> Pt:
    method = create_method("pt", setting, options)
    assert isinstance(method, Pt)
    return method


def weights(module: nn.Module) -> list[Tensor]:
    return [p.detach().clone() for p in module.parameters()]


def shake(module: nn.Module, seed: int = 3) -> None:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in module.parameters():
            p += 0.3 * torch.randn(p.shape, generator=generator, dtype=p.dtype)


def test_by_hand() -> None:
    method = made(Setting(("a", "b"), [2, 2], epochs=4), {**HALF, "w_max": 3.0})
    model = method.prepare(Given(1.0))
    with torch.no_grad():
        model.scale.fill_(2.0)  # the student squares the odds, the teacher takes them as they are
    x = logits_of([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.2, 0.8]])
    u, v = logits_of([[0.5, 0.5], [0.8, 0.2]]), logits_of([[0.5, 0.5], [0.25, 0.75]])
    losses = method.loss(batch_of(x, [0, 1, 1, 0], pool=(u, v)), model)
    # The teacher's losses are -log of 0.9, 0.4, 0.7, 0.2: the first and third are kept. The student says 81/82 and 49/58 of them.
    assert losses.parts["cls"].item() == pytest.approx(-(math.log(81 / 82) + math.log(49 / 58)) / 2)
    assert losses.parts["con"].item() == pytest.approx(2 * (16 / 17 - 0.25) ** 2 / 4)
    assert losses.total.item() == pytest.approx(losses.parts["cls"].item() + 3 * losses.parts["con"].item())


def test_share_and_weight_by_epoch() -> None:
    method = made(Setting(("a", "b"), [2, 2], epochs=8), {"tau": 0.2, "t_k": 0.5, "ramp": 0.25, "w_max": 2.0})
    found = []
    for epoch in (0, 1, 2, 4, 7):
        method.start_epoch(epoch)
        found.append((method.kept_share, method.weight))
    expected = [(1.0, 2 * math.exp(-5)), (0.95, 2 * math.exp(-5 / 4)), (0.9, 2.0), (0.8, 2.0), (0.8, 2.0)]
    assert found == [pytest.approx(pair) for pair in expected]


def test_a_face_that_is_not_believed_has_no_influence(setting: Setting, tiny: Model, faces: Make) -> None:
    method = made(setting, {**HALF, "w_max": 0.0})
    model = method.prepare(tiny())
    shake(method.teachers[0])
    batch = complete(method, faces(8))
    batch = dataclasses.replace(batch, x=batch.x.requires_grad_())
    method.loss(batch, model).total.backward()
    assert batch.x.grad is not None
    told = -method.teachers[0](batch.x).logits.log_softmax(1).gather(1, batch.labels[:, None])[:, 0]
    best = set(told.argsort()[:4].tolist())
    assert {n for n in range(8) if batch.x.grad[n].any()} == best
    assert all(p.grad is None for p in method.teachers.parameters())
    assert all(p.grad is not None for p in model.parameters())


def test_one_face_is_kept_at_least(setting: Setting, tiny: Model, faces: Make) -> None:
    method = made(setting, {"tau": 0.99, "t_k": 0.0})
    assert method.loss(complete(method, faces(4)), method.prepare(tiny())).parts["cls"].isfinite()


def test_votes_are_the_target(setting: Setting, tiny: Model, faces: Make) -> None:
    method = made(setting, {"w_max": 0.0})
    model = method.prepare(tiny())
    batch = complete(method, faces(6, votes=True))
    assert batch.soft is not None
    expected = -(batch.soft * model(batch.x).logits.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(method.loss(batch, model).total, expected)


def test_two_students_learn_from_each_others_teacher(setting: Setting, tiny: Model, faces: Make) -> None:
    method = made(setting, {**HALF, "w_max": 2.0, "pairs": 2})
    model = method.prepare(tiny())
    for i, teacher in enumerate(method.teachers):
        shake(teacher, seed=i + 2)
    batch = complete(method, faces(8))
    students = [model, method.others[0]]
    total = 0.0
    for me, other in ((0, 1), (1, 0)):
        told = -method.teachers[other](batch.x).logits.log_softmax(1).gather(1, batch.labels[:, None])[:, 0]
        kept = told.argsort()[:4]
        mine = students[me](batch.x).logits.log_softmax(1)
        total += sum(-mine[n, batch.labels[n]].item() for n in kept) / 4
        p = students[me](batch.pool[me]).logits.softmax(1) - method.teachers[me](batch.pool[other]).logits.softmax(1)
        total += 2.0 * p.square().mean().item()
    losses = method.loss(batch, model)
    assert losses.total.item() == pytest.approx(total)
    losses.total.backward()
    assert all(p.grad is not None for student in students for p in student.parameters())


def test_the_second_student_has_the_same_backbone_and_another_head(setting: Setting, tiny: Model) -> None:
    method = made(setting, {"pairs": 2})
    model = method.prepare(tiny())
    assert all(torch.equal(a, b) for a, b in zip(weights(model.backbone), weights(method.others[0].backbone), strict=True))
    assert not torch.equal(model.head.weight, method.others[0].head.weight)
    for teacher, student in zip(method.teachers, (model, method.others[0]), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(weights(teacher), weights(student), strict=True))
    with pytest.raises(ModelError, match="linear head"):
        made(setting, {"pairs": 2}).prepare(nn.Linear(3, 4))


@pytest.mark.parametrize("pairs", [1, 2])
def test_each_teacher_follows_its_student(pairs: int, setting: Setting, tiny: Model) -> None:
    method = made(setting, {"pairs": pairs})
    model = method.prepare(tiny())
    students = [model, *method.others]
    for i, student in enumerate(students):
        shake(student, seed=i)
    before = [weights(teacher) for teacher in method.teachers]
    method.after_step(model)
    for teacher, old, student in zip(method.teachers, before, students, strict=True):
        for mine, was, new in zip(weights(teacher), old, weights(student), strict=True):
            torch.testing.assert_close(mine, 0.1 * was + 0.9 * new)  # a = 1 / 10 at the first step


def test_what_is_kept(setting: Setting, tiny: Model) -> None:
    method = made(setting, {})
    model = method.prepare(tiny())
    assert method.deploy(model) is method.teachers[0].network
    assert made(setting, {"deployed": "student"}).deploy(model) is model
