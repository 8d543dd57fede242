"""Smoothed evenly, by a teacher, and by consistency with a teacher: each against its terms written out."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import pytest
import torch
from torch import nn

from evenface.methods import Batch, Setting, create_method

from .conftest import complete


Make = Callable[..., Batch]
Model = Callable[[], nn.Module]


def test_uniform_spreads_a_tenth_over_all_classes(setting: Setting, tiny: Model, faces: Make) -> None:
    batch, model = faces(5), tiny()
    logs = model(batch.x).logits.log_softmax(1)
    expected = 0.0
    for i, y in enumerate(batch.labels.tolist()):
        expected -= sum((0.925 if k == y else 0.025) * logs[i, k].item() for k in range(4)) / 5
    method = create_method("label_smoothing", setting, {})
    assert method.extra == ()
    assert method.loss(batch, model).total.item() == pytest.approx(expected, rel=1e-9)
    assert method.prepare(model) is model
    assert method.state_dict() == {}
    assert method.deploy(model) is model


def test_teacher_gives_its_share_by_its_softened_prediction(setting: Setting, tiny: Model, faces: Make) -> None:
    method = create_method("label_smoothing", setting, {"form": "teacher", "epsilon": 0.3, "temperature": 4.0})
    model = method.prepare(tiny())
    for votes in (False, True):
        batch = complete(method, faces(5, votes=votes))
        logs = model(batch.x).logits.log_softmax(1)
        taught = (model(batch.extra[0]).logits / 4).softmax(1)  # the teacher starts as the network
        expected = 0.0
        for i, y in enumerate(batch.labels.tolist()):
            target = [float(k == y) for k in range(4)] if batch.soft is None else batch.soft[i].tolist()
            expected -= sum((0.7 * target[k] + 0.3 * taught[i, k].item()) * logs[i, k].item() for k in range(4)) / 5
        assert method.loss(batch, model).total.item() == pytest.approx(expected, rel=1e-9)


def test_soft_is_cross_entropy_and_the_divergence_from_the_smoothed_teacher(setting: Setting, tiny: Model, faces: Make) -> None:
    method = create_method("label_smoothing", dataclasses.replace(setting, epochs=3), {"form": "soft", "soft_epsilon": 0.2})
    model = method.prepare(tiny())
    with torch.no_grad():
        model.head.weight.mul_(9)  # type: ignore[union-attr, operator]
    batch = complete(method, faces(5))
    method.start_epoch(2)
    losses = method.loss(batch, model)
    logs = model(batch.x).logits.log_softmax(1)
    assert method.teacher is not None
    taught = method.teacher(batch.extra[0]).logits.softmax(1)
    cls = apart = 0.0
    for i, y in enumerate(batch.labels.tolist()):
        p, q = taught[i].tolist(), logs[i].tolist()
        likely = [k for k in range(4) if p[k] > 0.25]
        assert 0 < len(likely) < 4
        t = [0.8 * p[k] / sum(p[j] for j in likely) if k in likely else 0.2 / (4 - len(likely)) for k in range(4)]
        cls -= q[y] / 5
        apart += sum(t[k] * (math.log(t[k]) - q[k]) for k in range(4)) / 5
    assert losses.parts["cls"].item() == pytest.approx(cls, rel=1e-9)
    assert losses.parts["consistency"].item() == pytest.approx(apart, rel=1e-9)
    assert losses.total.item() == pytest.approx(cls + 5 * apart, rel=1e-9)


def test_consistency_rises_over_a_third_of_the_epochs(setting: Setting) -> None:
    method = create_method("label_smoothing", dataclasses.replace(setting, epochs=30), {"form": "soft"})
    weights = []
    for epoch in (0, 5, 10, 29):
        method.start_epoch(epoch)
        weights.append(method.weight)
    assert weights == pytest.approx([5 * math.exp(-5), 5 * math.exp(-1.25), 5.0, 5.0])
    at_once = create_method("label_smoothing", setting, {"form": "soft", "rampup": 0.0, "consistency": 2.0})
    assert at_once.weight == 2.0


def test_the_teacher_is_a_mean_at_first_and_then_a_moving_average(setting: Setting, tiny: Model) -> None:
    method = create_method("label_smoothing", setting, {"form": "soft", "decay": 0.7})
    model = method.prepare(tiny())
    assert method.teacher is not None
    expected = model.head.bias.tolist()  # type: ignore[union-attr, operator]
    for step in range(1, 6):
        with torch.no_grad():
            model.head.bias.fill_(float(step))  # type: ignore[union-attr, operator]
            method.after_step(model)
        decay = min(1 - 1 / (step + 1), 0.7)
        expected = [decay * v + (1 - decay) * step for v in expected]
        assert method.teacher.head.bias.tolist() == pytest.approx(expected, rel=1e-6)  # type: ignore[union-attr, operator]
    torch.testing.assert_close(method.teacher.head.weight, model.head.weight)


def test_only_the_student_learns(setting: Setting, tiny: Model, faces: Make) -> None:
    method = create_method("label_smoothing", setting, {"form": "soft"})
    model = method.prepare(tiny())
    method.loss(complete(method, faces()), model).total.backward()
    assert all(p.grad is not None for p in model.parameters())
    assert not any(p.requires_grad for p in method.parameters())


def test_teacher_or_student_is_kept(setting: Setting, tiny: Model) -> None:
    for evaluate in ("teacher", "student"):
        method = create_method("label_smoothing", setting, {"form": "soft", "evaluate": evaluate})
        model = method.prepare(tiny())
        assert method.deploy(model) is (method.teacher if evaluate == "teacher" else model)


def test_saved_and_read_again_the_teacher_goes_on(setting: Setting, tiny: Model) -> None:
    def start() -> tuple[nn.Module, nn.Module]:
        method = create_method("label_smoothing", setting, {"form": "teacher"})
        return method, method.prepare(tiny())

    first, model = start()
    other, _ = start()
    with torch.no_grad():
        model.head.bias.fill_(3.0)  # type: ignore[union-attr, operator]
        first.after_step(model)  # type: ignore[operator]
        other.load_state_dict(first.state_dict())
        for method in (first, other):
            method.after_step(model)  # type: ignore[operator]
    torch.testing.assert_close(other.state_dict(), first.state_dict(), rtol=0, atol=0)
    assert other.steps == 2
