"""Relative uncertainty: the loss of mixed pairs, the partners, the classifier's rate, who learns."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from evenface.methods import Batch, Setting, create_method
from evenface.training.config import TrainConfig
from evenface.training.optim import build_optimizer


Make = Callable[..., Batch]
Model = Callable[..., nn.Module]


@pytest.fixture
def start(setting: Setting, classifier: Model) -> Callable[..., tuple[Any, Any]]:
    def make(**options: Any) -> tuple[Any, Any]:
        torch.manual_seed(0)
        method = create_method("rul", setting, {"dim": 6, **options})
        return method, method.prepare(classifier())

    return make


Start = Callable[..., tuple[Any, Any]]


@pytest.mark.parametrize("votes", [False, True])
def test_loss_by_a_loop(votes: bool, start: Start, faces: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    method, model = start()
    model.eval()
    batch, partner = faces(4, votes=votes, size=32), [2, 0, 1, 3]
    monkeypatch.setattr(torch, "randperm", lambda n, device: torch.tensor(partner, device=device))
    losses = method.loss(batch, model)
    mu, logvar = (part.tolist() for part in model.gaussian(batch.x))
    s = [sum(math.exp(v) for v in row) / 6 for row in logvar]
    weight, bias = model.head.weight.tolist(), model.head.bias.tolist()
    t = torch.nn.functional.one_hot(batch.labels, 4).tolist() if batch.soft is None else batch.soft.tolist()
    expected = 0.0
    for i, j in enumerate(partner):
        f = [(s[i] * a + s[j] * b) / (s[i] + s[j]) for a, b in zip(mu[i], mu[j], strict=True)]
        z = [sum(w * v for w, v in zip(row, f, strict=True)) + b for row, b in zip(weight, bias, strict=True)]
        log_p = [v - math.log(sum(map(math.exp, z))) for v in z]
        expected -= sum((t[i][c] + t[j][c]) / 2 * log_p[c] for c in range(4)) / 4
    assert losses.total.item() == pytest.approx(expected)
    assert float(losses.parts["cls"]) == pytest.approx(expected)
    assert float(losses.parts["uncertainty"]) == pytest.approx(sum(s) / 4)


def test_all_parts_learn(start: Start, faces: Make) -> None:
    method, model = start()
    method.loss(faces(8, size=32), model).total.backward()
    assert all(p.grad is not None for p in model.parameters())
    for part in (model.mu, model.logvar, model.head, model.backbone):
        assert any(p.grad.any() for p in part.parameters())


def test_partners(start: Start) -> None:
    labels = torch.tensor([0, 0, 0, 1, 2, 2])
    torch.manual_seed(0)
    method, _ = start()
    drawn = [method._partners(labels) for _ in range(40)]
    assert all(sorted(d.tolist()) == list(range(6)) for d in drawn)
    assert any((labels[d] == labels).any() for d in drawn)
    method, _ = start(pairs="different")
    drawn = [method._partners(labels) for _ in range(40)]
    assert all((labels[d] != labels).all() for d in drawn)
    assert len({tuple(d.tolist()) for d in drawn}) > 20


def test_the_classifier_learns_faster(start: Start) -> None:
    for scale, options in ((10.0, {}), (3.0, {"classifier_lr": 3.0})):
        _, model = start(**options)
        groups = build_optimizer(model, TrainConfig(optimizer="adam")).param_groups
        found = {id(p): group["lr_scale"] for group in groups for p in group["params"]}
        head = {id(p) for p in model.head.parameters()}
        assert all(found[id(p)] == (scale if id(p) in head else 1.0) for p in model.parameters())


def test_inference_is_the_classifier_on_the_mean(start: Start, faces: Make) -> None:
    method, model = start()
    model.eval()
    x = faces(3, size=32).x
    with torch.no_grad():
        mu, _ = model.gaussian(x)
        torch.testing.assert_close(method.deploy(model)(x).logits, model.head(mu))
    assert (model.dim, model.mu[1].p, model.logvar[1].p) == (6, 0.4, 0.4)
