"""Options that others leave without effect: who gives one is told, and it is true."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from evenface.methods import Batch, Setting, create_method

from .conftest import complete


REAL = {"dmue", "ldam_drw", "ran", "ride", "sade", "scn"}  # their `prepare` makes another kind of network

# Method, what leaves an option idle, what does not (None: nothing does), the option with a value of its own, what the note names.
IDLE: list[tuple[str, dict[str, Any], dict[str, Any] | None, dict[str, Any], str]] = [
    ("ada_cm", {"lam_s": 0.0}, {}, {"temperature": 2.0}, "--lam-s 0"),
    ("cb", {"form": "softmax"}, {"form": "focal"}, {"gamma": 5.0}, "--form softmax"),
    ("dmue", {"w": 0.0}, {}, {"temperature": 5.0}, "--w 0"),
    ("dmue", {"gamma": 0.0}, {}, {"gram": "logits"}, "--gamma 0"),
    ("eac", {}, None, {"rbc_weighting": "inside_square"}, "--method eac, whose weights are 1"),
    ("eql", {"form": "v2"}, {"form": "focal"}, {"gamma_b": 0.5}, "--form v2"),
    ("eql", {"form": "focal"}, {"form": "v2"}, {"alpha": 1.0}, "--form focal"),
    ("even", {"mu": 0.0}, {}, {"gamma": 0.5}, "--mu 0"),
    ("face2exp", {"deployed": "teacher"}, {}, {"finetune": 0.5}, "--deployed teacher"),
    ("face2exp", {"lam_u": 0.0}, {}, {"threshold": 0.99}, "--lam-u 0"),
    ("label_smoothing", {"form": "uniform"}, {"form": "soft"}, {"soft_epsilon": 0.1}, "--form uniform"),
    ("label_smoothing", {"form": "uniform"}, {"form": "teacher"}, {"temperature": 0.5}, "--form uniform"),
    ("label_smoothing", {"form": "soft"}, {"form": "uniform"}, {"epsilon": 0.4}, "--form soft"),
    ("label_smoothing", {"form": "teacher"}, {"form": "soft"}, {"consistency": 1.0}, "--form teacher"),
    ("ldam_drw", {"start": 1.0}, {}, {"weights": "inverse"}, "--start 1"),
    ("ran", {"rank": 0.0}, {}, {"margin": 0.9}, "--rank 0"),
    ("rbcf", {"lam": 0.0}, {}, {"rbc_norm": "mean_all"}, "--lam 0"),
    ("rbcf", {"mu": 0.0}, {}, {"gamma": 0.5}, "--mu 0"),
    ("rbf", {"weights": "inverse"}, {}, {"beta": 0.5}, "--weights inverse"),
    ("ride", {"base": "ce"}, {}, {"max_margin": 0.1}, "--base ce"),
    ("ride", {"diversity": 0.0}, {}, {"temperature": 3.0}, "--diversity 0"),
    ("ride", {"start": 1.0}, {}, {"beta": 0.5}, "--start 1"),
    ("sade", {"head": "linear"}, {}, {"cosine_scale": 5.0}, "--head linear"),
    ("scn", {"relabel_from": 1.0}, {"relabel_from": 0.0}, {"margin2": 0.0}, "--relabel-from 1"),
    ("scn", {"rank_weight": 0.0}, {}, {"margin1": 0.9}, "--rank-weight 0"),
]


@pytest.mark.parametrize(("name", "idle", "otherwise", "option", "because"), IDLE, ids=[f"{row[0]}-{next(iter(row[3]))}" for row in IDLE])
def test_an_option_without_effect_is_told_and_has_none(
    name: str,
    idle: dict[str, Any],
    otherwise: dict[str, Any] | None,
    option: dict[str, Any],
    because: str,
    setting: Setting,
    tiny: Callable[[], nn.Module],
    classifier: Callable[[], nn.Module],
    faces: Callable[..., Batch],
) -> None:
    batch = faces(16, size=32 if name in REAL else 16)
    own = dataclasses.replace(setting, counts=batch.labels.bincount(minlength=4).tolist(), labels=batch.labels.tolist())

    def course(options: dict[str, Any]) -> list[float]:
        """The loss of each of four steps in two epochs, and one number of the network that would be kept."""
        torch.manual_seed(0)
        method = create_method(name, own, options).double()
        model = method.prepare(classifier() if name in REAL else tiny())
        optimiser = torch.optim.SGD(model.parameters(), lr=0.01)
        losses = []
        for epoch in (0, 0, 1, 1):
            method.start_epoch(epoch)
            loss = method.loss(complete(method, batch), model).total
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            with torch.no_grad():
                method.after_step(model)
            losses.append(loss.item())
        return [*losses, sum(p.abs().sum().item() for p in method.deploy(model).parameters())]

    (flag,) = option
    note = f"--{flag.replace('_', '-')} does nothing with {because}."
    assert note in create_method(name, own, idle | option).notes()
    assert note not in create_method(name, own, idle).notes()
    assert course(idle | option) == course(idle)
    if otherwise is not None:
        assert note not in create_method(name, own, otherwise | option).notes()
        assert course(otherwise | option) != course(otherwise)
