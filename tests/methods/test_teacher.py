"""The moving average: its decay with warm-up, what is averaged and what copied, its mode, and its state."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from evenface.methods._teacher import Teacher, evaluating


def net(value: float) -> nn.Sequential:
    made = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1), nn.Dropout(0.5)).double()
    with torch.no_grad():
        made[0].weight.fill_(value)
        made[1].running_mean.fill_(value)
        made[1].num_batches_tracked.fill_(int(value))
    return made


def test_decay_rises_to_its_limit() -> None:
    teacher = Teacher(net(0.0), decay=0.25)
    expected = 0.0
    for a in (1 / 10, 2 / 11, 0.25, 0.25):  # (1 + t) / (10 + t), from t = 2 on at the limit
        teacher.update(net(8.0))
        expected = a * expected + (1 - a) * 8
        assert teacher.network[0].weight.item() == pytest.approx(expected, rel=1e-6)
        assert teacher.network[1].running_mean.item() == pytest.approx(expected, rel=1e-6)
        assert teacher.network[1].num_batches_tracked.item() == 8


def test_it_is_a_copy_without_gradient_that_stays_in_evaluation_mode() -> None:
    student = net(1.0).train()
    teacher = Teacher(student)
    nn.ModuleList([teacher]).train()
    assert not any(module.training for module in teacher.modules())
    assert student.training
    assert not any(p.requires_grad for p in teacher.parameters())
    x = torch.randn(4, 1, dtype=torch.float64, requires_grad=True)
    assert not teacher(x).requires_grad
    torch.testing.assert_close(teacher(x[:1]), teacher(x)[:1])  # neither batch statistics nor dropout
    with torch.no_grad():
        student[0].weight.fill_(5.0)
    assert teacher.network[0].weight.item() == 1.0


def test_its_state_goes_on_with_the_same_bits() -> None:
    teacher = Teacher(net(0.0))
    teacher.update(net(3.0))
    other = Teacher(net(7.0))
    other.load_state_dict(teacher.state_dict())
    for each in (teacher, other):
        each.update(net(4.0))
    assert all(torch.equal(a, b) for a, b in zip(teacher.state_dict().values(), other.state_dict().values(), strict=True))


def test_evaluating_puts_every_part_back() -> None:
    network = net(1.0).train()
    network[1].eval()
    with evaluating(network):
        assert not any(module.training for module in network.modules())
    assert [module.training for module in network.modules()] == [True, True, False, True]
