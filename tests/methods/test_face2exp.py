"""Face2Exp: the terms by hand, who learns from what, the feedback to the number, the balanced draw, the tuning, the state."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from evenface.methods import Batch, Setting, create_method
from evenface.methods.face2exp import Face2Exp

from .conftest import complete
from .given import Given, batch_of, logits_of


Model = Callable[[], nn.Module]
Make = Callable[..., Batch]


def made(setting: Setting, options: dict[str, Any], model: nn.Module) -> tuple[Face2Exp, nn.Module]:
    method = create_method("face2exp", setting, options).double()
    assert isinstance(method, Face2Exp)
    network = method.prepare(model)
    method.start_epoch(0)
    return method, network


def step(method: Face2Exp, model: nn.Module, batch: Batch, lr: float = 0.1) -> None:
    """One step of plain gradient descent of both networks."""
    both = [*model.parameters(), *method.parameters()]
    torch.optim.SGD(both, lr=lr).zero_grad()
    method.loss(batch, model).total.backward()
    torch.optim.SGD(both, lr=lr).step()
    with torch.no_grad():
        method.after_step(model)


@pytest.mark.parametrize(("threshold", "temperature"), [(0.0, 1.0), (0.75, 1.0), (0.75, 0.5)])
def test_by_hand(threshold: float, temperature: float) -> None:
    setting = Setting(("a", "b"), [1, 1], epochs=2)
    method, model = made(setting, {"lam_u": 3.0, "threshold": threshold, "temperature": temperature}, Given())
    with torch.no_grad():
        model.scale.fill_(2.0)  # the student squares the odds
    x = logits_of([[0.9, 0.1], [0.6, 0.4]])
    weak, strong = [[0.8, 0.2], [0.3, 0.7]], [[0.5, 0.5], [0.6, 0.4]]
    losses = method.loss(batch_of(x, [0, 1], pool=(logits_of(weak), logits_of(strong))), model)
    con = 0.0
    for w, s in zip(weak, strong, strict=True):
        sharp = [p ** (1 / temperature) for p in w]
        sharp = [p / sum(sharp) for p in sharp]
        if max(sharp) >= threshold:
            con -= sum(a * math.log(b) for a, b in zip(sharp, s, strict=True)) / 2
    student = -(math.log(0.5) + math.log(4 / 13)) / 2  # pseudo-labels a, b
    assert losses.parts["cls"].item() == pytest.approx(-(math.log(0.9) + math.log(0.4)) / 2)
    assert losses.parts["con"].item() == pytest.approx(con)
    assert losses.parts["student"].item() == pytest.approx(student)
    assert losses.total.item() == pytest.approx(losses.parts["cls"].item() + 3 * con + student)


def gradients(module: nn.Module) -> Tensor:
    return torch.cat([torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten() for p in module.parameters()])


def test_each_learns_from_its_own_terms(setting: Setting, tiny: Model, faces: Make) -> None:
    method, model = made(setting, {"lam_u": 0.0}, tiny())
    batch = complete(method, faces(6))
    method.loss(batch, model).total.backward()
    found = gradients(model), gradients(method.teacher)
    student, teacher = tiny(), tiny()  # the same start
    weak, strong = batch.pool
    F.cross_entropy(student(strong).logits, teacher(weak).logits.argmax(1)).backward()
    teacher.zero_grad()
    F.cross_entropy(teacher(batch.x).logits, batch.labels).backward()
    torch.testing.assert_close(found, (gradients(student), gradients(teacher)))


def test_the_feedback_comes_one_step_late_and_is_exact(setting: Setting, tiny: Model, faces: Make) -> None:
    method, model = made(setting, {}, tiny())
    first, second = complete(method, faces(6, seed=1)), complete(method, faces(7, seed=2))
    before, teacher = copy.deepcopy(model), copy.deepcopy(method.teacher)
    step(method, model, first)

    own = teacher(first.pool[1]).logits
    F.cross_entropy(own, own.argmax(1).detach()).backward()
    with torch.no_grad():
        h = F.cross_entropy(before(first.x).logits, first.labels) - F.cross_entropy(model(first.x).logits, first.labels)
    assert abs(h.item()) > 1e-6
    torch.testing.assert_close(method.feedback, h * gradients(teacher))

    method.zero_grad()
    with_it = method.loss(second, model)
    with_it.total.backward()
    found = gradients(method.teacher)
    method.zero_grad()
    method.feedback.zero_()
    without = method.loss(second, model)
    without.total.backward()
    torch.testing.assert_close(found - gradients(method.teacher), h * gradients(teacher))
    torch.testing.assert_close(with_it.total, without.total)  # it is a gradient, not a loss that is logged


def test_feedback_is_measured_without_dropout_and_batch_statistics(
    setting: Setting, classifier: Callable[..., nn.Module], faces: Make
) -> None:
    model = classifier()
    model.dropout.p = 0.5
    method, model = made(setting, {}, model.train())
    method.train()
    step(method, model, complete(method, faces(4, size=32)), lr=0.0)
    assert not method.feedback.any()  # no weight moved, so h is 0
    assert model.training


def test_state_survives_between_two_steps(setting: Setting, tiny: Model, faces: Make) -> None:
    method, model = made(setting, {}, tiny())
    step(method, model, complete(method, faces(6, seed=1)))
    other, again = made(setting, {}, tiny())
    other.load_state_dict(method.state_dict())
    again.load_state_dict(model.state_dict())
    for each, network in ((method, model), (other, again)):
        step(each, network, complete(each, faces(6, seed=2)))
    assert method.feedback.any()
    for ours, theirs in ((method, other), (model, again)):
        assert all(torch.equal(a, b) for a, b in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True))


def test_labelled_faces_are_drawn_balanced(setting: Setting) -> None:
    method = create_method("face2exp", setting, {})
    labels = np.repeat([0, 1, 2, 3], [900, 30, 50, 20])
    rows = method.draw(labels, np.random.default_rng(0))
    assert len(rows) == 1000
    assert np.abs(np.bincount(labels[rows]) - 250).max() < 60  # four standard deviations of the binomial
    assert np.array_equal(rows, method.draw(labels, np.random.default_rng(0)))


def test_unlabelled_faces_per_labelled_one(setting: Setting) -> None:
    assert create_method("face2exp", setting, {}).pool_ratio == 1
    assert create_method("face2exp", setting, {"mu": 7.0}).pool_ratio == 7


@pytest.mark.parametrize(("share", "epochs", "first"), [(0.1, 60, 54), (0.1, 3, 3), (0.25, 8, 6), (0.0, 10, 10)])
def test_tuning_takes_the_last_epochs(share: float, epochs: int, first: int, setting: Setting) -> None:
    method = create_method("face2exp", dataclasses.replace(setting, epochs=epochs), {"finetune": share})
    assert isinstance(method, Face2Exp)
    found = []
    for epoch in range(epochs):
        method.start_epoch(epoch)
        found.append(method.tuning)
    assert found == [epoch >= first for epoch in range(epochs)]


def test_a_teacher_that_is_kept_learns_to_the_end(setting: Setting, tiny: Model, faces: Make) -> None:
    method, model = made(setting, {"finetune": 0.5, "deployed": "teacher"}, tiny())
    method.start_epoch(1)
    losses = method.loss(complete(method, faces(6)), model)
    assert losses.parts["con"] > 0
    losses.total.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in method.teacher.parameters())


def test_tuning_trains_the_student_on_labels_and_holds_the_teacher(setting: Setting, tiny: Model, faces: Make) -> None:
    method, model = made(setting, {"finetune": 0.5}, tiny())
    batch = complete(method, faces(6))
    step(method, model, batch)
    method.start_epoch(1)
    before = copy.deepcopy(method.teacher)
    expected = F.cross_entropy(model(batch.x).logits, batch.labels)
    torch.testing.assert_close(method.loss(batch, model).total, expected)
    step(method, model, batch)
    assert all(torch.equal(a, b) for a, b in zip(before.parameters(), method.teacher.parameters(), strict=True))
    assert F.cross_entropy(model(batch.x).logits, batch.labels) < expected
    assert all(p.grad is not None for p in method.parameters())  # several processes want one


def test_what_is_kept(setting: Setting, tiny: Model) -> None:
    method, model = made(setting, {}, tiny())
    assert method.deploy(model) is model
    method, model = made(setting, {"deployed": "teacher"}, tiny())
    assert method.deploy(model) is method.teacher


def test_the_student_learns_from_a_teacher_that_knows(setting: Setting, tiny: Model, faces: Make) -> None:
    teacher = tiny()
    optimiser = torch.optim.Adam(teacher.parameters(), lr=0.03)
    batch = faces(32)
    for _ in range(40):
        optimiser.zero_grad()
        F.cross_entropy(teacher(batch.x).logits, batch.labels).backward()
        optimiser.step()
    method, model = made(setting, {}, tiny())
    method.teacher.load_state_dict(teacher.state_dict())
    optimiser = torch.optim.Adam([*model.parameters(), *method.parameters()], lr=0.03)
    for _ in range(80):
        optimiser.zero_grad()
        method.loss(complete(method, batch), model).total.backward()
        optimiser.step()
        method.after_step(model)
    test = faces(64, seed=1)
    assert (model(test.x).logits.argmax(1) == test.labels).double().mean() > 0.8
