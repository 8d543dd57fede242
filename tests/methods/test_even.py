"""Rebalanced focus with half of the prior taken out of the loss, by a loop over faces and classes."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import nn

from evenface.methods import Batch, Setting, create_method


Make = Callable[..., Batch]
Model = Callable[[], nn.Module]

COUNTS = [60, 5, 20, 35]


def by_hand(rows: list[list[float]], targets: list[list[float]], tau: float, mu: float, gamma: float) -> float:
    """The formula of the method's file, a number at a time; B is the effective number at beta 0.999, with sum 4."""
    raw = [(1 - 0.999) / (1 - 0.999**n) for n in COUNTS]
    weights = [4 * w / sum(raw) for w in raw]
    total = 0.0
    for row, target in zip(rows, targets, strict=True):
        odds = [math.exp(z) * (n / 120) ** tau for z, n in zip(row, COUNTS, strict=True)]
        for odd, t, b in zip(odds, target, weights, strict=True):
            q = odd / sum(odds)
            total -= (1 + mu * b * abs(t - q) ** gamma) * t * math.log(q)
    return total / len(rows)


@pytest.mark.parametrize("options", [{}, {"tau": 0.8, "mu": 2.0, "gamma": 1.0}, {"gamma": 0.5}])
@pytest.mark.parametrize("votes", [False, True])
def test_each_face_and_class(options: dict[str, float], votes: bool, setting: Setting, tiny: Model, faces: Make) -> None:
    batch, model = faces(6, votes=votes), tiny()
    target = batch.soft if batch.soft is not None else torch.eye(4, dtype=torch.float64)[batch.labels]
    given = {"tau": 0.5, "mu": 0.5, "gamma": 2.0} | options
    method = create_method("even", setting, options)
    losses = method.loss(batch, model)
    assert losses.total.item() == pytest.approx(by_hand(model(batch.x).logits.tolist(), target.tolist(), **given), rel=1e-5)
    assert losses.total.item() == pytest.approx(losses.parts["cls"].item() + given["mu"] * losses.parts["rbf"].item(), rel=1e-6)
    assert method.deploy(model) is model


def test_one_view_is_asked_for_and_two_are_the_sum(setting: Setting, tiny: Model, faces: Make) -> None:
    batch, model = faces(), tiny()
    assert batch.second is not None
    assert create_method("even", setting, {}).views == 1
    method = create_method("even", setting, {"cls_views": "both"})
    assert method.views == 2
    eye = torch.eye(4)[batch.labels].tolist()
    expected = sum(by_hand(model(x).logits.tolist(), eye, 0.5, 0.5, 2.0) for x in (batch.x, batch.second))
    assert method.loss(batch, model).total.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("options", "other", "theirs"),
    [
        ({"mu": 0.0}, "logit_adjust", {"tau": 0.5}),
        ({"mu": 0.0, "tau": 0.0}, "ce", {}),
        ({"tau": 0.0}, "rbf", {"cls_views": "original", "rbf_views": "original"}),  # on labels: that one's focus takes no votes
    ],
)
@pytest.mark.parametrize("votes", [False, True])
def test_what_is_left_without_a_part(
    options: dict[str, float], other: str, theirs: dict[str, object], votes: bool, setting: Setting, tiny: Model, faces: Make
) -> None:
    batch, model = faces(votes=votes and other != "rbf"), tiny()
    found = create_method("even", setting, options).loss(batch, model).total
    torch.testing.assert_close(found, create_method(other, setting, theirs).loss(batch, model).total)


@pytest.mark.parametrize(
    ("options", "told"), [({}, False), ({"gamma": 0.5}, True), ({"gamma": 0.0}, False), ({"gamma": 0.5, "mu": 0.0}, False)]
)
def test_a_steep_gamma_is_told(options: dict[str, float], told: bool, setting: Setting) -> None:
    assert any("no bound on its slope" in note for note in create_method("even", setting, options).notes()) is told
