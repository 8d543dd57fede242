"""DNFER: warm-up, the thresholds by hand, the consistency in bits, the head's learning rate."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from evenface.data.views import Augmentation
from evenface.errors import ModelError
from evenface.methods import Batch, Setting, create_method
from evenface.methods.dnfer import Dnfer
from evenface.training.config import TrainConfig
from evenface.training.optim import build_optimizer

from .conftest import complete
from .given import Given, batch_of, logits_of


# Means of the weak picture: 0.5, 0.3, 0.2; of the strong: 0.4, 0.4, 0.2.
WEAK = logits_of([[0.8, 0.1, 0.1], [0.4, 0.3, 0.3], [0.3, 0.5, 0.2]])
STRONG = logits_of([[0.6, 0.2, 0.2], [0.4, 0.5, 0.1], [0.2, 0.5, 0.3]])
LABELS = [0, 0, 1]


def made(options: dict[str, Any], epochs: int = 8) -> Dnfer:
    method = create_method("dnfer", Setting(("a", "b", "c"), [2, 1, 1], epochs=epochs), options)
    assert isinstance(method, Dnfer)
    return method


def kl(p: list[float], q: list[float]) -> float:
    return sum(a * math.log2(a / b) for a, b in zip(p, q, strict=True))


def test_by_hand() -> None:
    """Weak: 0.8 and 0.5 pass 0.5 and 0.3, 0.4 does not. Strong: 0.6, 0.4 and 0.5 all reach 0.4."""
    method = made({"alpha": 0.25, "warm_up": 0.0})
    losses = method.loss(batch_of(WEAK, LABELS, extra=(WEAK, STRONG)), Given(1.0))
    weak = -(math.log(0.8) + math.log(0.5)) / 2
    strong = -(math.log(0.6) + math.log(0.4) + math.log(0.5)) / 3
    rows = [(a.exp().flatten().tolist(), b.exp().flatten().tolist()) for a, b in zip(WEAK, STRONG, strict=True)]
    con = sum(kl(p, q) + kl(q, p) for p, q in rows) / 3
    assert losses.parts["cls"].item() == pytest.approx((weak + strong) / 2)
    assert losses.parts["con"].item() == pytest.approx(con)
    assert losses.parts["kept"].item() == pytest.approx(5 / 6)
    assert losses.total.item() == pytest.approx(0.75 * (weak + strong) / 2 + 0.25 * con)


def test_the_warm_up_takes_all_labels_and_no_consistency() -> None:
    method = made({"alpha": 0.25})
    losses = method.loss(batch_of(WEAK, LABELS, extra=(WEAK, STRONG)), Given(1.0))
    weak = -(math.log(0.8) + math.log(0.4) + math.log(0.5)) / 3
    strong = -(math.log(0.6) + math.log(0.4) + math.log(0.5)) / 3
    assert losses.total.item() == pytest.approx((weak + strong) / 2)
    assert losses.parts["kept"].item() == 1.0


SHARES = [(0.125, 40, 5), (0.125, 3, 1), (0.125, 12, 2), (0.0, 40, 0), (1.0, 4, 4)]
SHARES += [(0.07, 100, 7), (0.14, 50, 7), (0.28, 25, 7), (0.071, 100, 8)]  # the first three products of floats are 7.000000000000001


@pytest.mark.parametrize(("share", "epochs", "warm"), SHARES)
def test_the_warm_up_is_a_share_of_the_epochs_rounded_up(share: float, epochs: int, warm: int) -> None:
    method = made({"warm_up": share}, epochs)
    found = []
    for epoch in range(epochs):
        method.start_epoch(epoch)
        found.append(method.warming)
    assert found == [epoch < warm for epoch in range(epochs)]


def test_where_no_face_passes_all_count() -> None:
    x = logits_of([[0.7, 0.2, 0.1], [0.2, 0.7, 0.1]])  # labelled the other way round: 0.2 < 0.45 twice
    losses = made({"warm_up": 0.0}).loss(batch_of(x, [1, 0], extra=(x, x)), Given(1.0))
    assert losses.parts["cls"].item() == pytest.approx(-math.log(0.2))
    assert losses.parts["kept"].item() == 1.0


def test_faces_left_out_have_gradient_by_the_consistency_alone() -> None:
    weak, strong = WEAK.clone().requires_grad_(), STRONG.clone().requires_grad_()
    losses = made({"warm_up": 0.0, "alpha": 0.0}).loss(batch_of(WEAK, LABELS, extra=(weak, strong)), Given(1.0))
    losses.total.backward()
    assert weak.grad is not None
    assert [bool(weak.grad[n].any()) for n in range(3)] == [True, False, True]
    weak.grad = strong.grad = None
    made({"warm_up": 0.0}).loss(batch_of(WEAK, LABELS, extra=(weak, strong)), Given(1.0)).total.backward()
    assert weak.grad is not None
    assert strong.grad is not None
    assert weak.grad[1].any()  # the consistency teaches both pictures
    assert strong.grad[1].any()


def test_the_head_learns_ten_times_as_fast(setting: Setting, tiny: Callable[[], nn.Module]) -> None:
    model = create_method("dnfer", setting, {}).prepare(tiny())
    groups = build_optimizer(model, TrainConfig()).param_groups
    scale = {id(p): group["lr_scale"] for group in groups for p in group["params"]}
    assert {scale[id(p)] for p in model.head.parameters()} == {10.0}
    assert {scale[id(p)] for p in model.backbone.parameters()} == {1.0}
    with pytest.raises(ModelError, match="head"):
        create_method("dnfer", setting, {}).prepare(nn.Linear(3, 4))


def test_a_run_is_told_what_does_nothing() -> None:
    (note,) = made({}).notes()
    told = set(re.findall(r"--[a-z-]+", note))
    assert told == {f"--{field.name.replace('_', '-')}" for field in dataclasses.fields(Augmentation)}
    assert {"--hflip", "--rand-augment"} < told


def test_learns_with_wrong_labels_after_the_warm_up(setting: Setting, tiny: Callable[[], nn.Module], faces: Callable[..., Batch]) -> None:
    method = create_method("dnfer", setting, {}).double()
    model = method.prepare(tiny())
    right = complete(method, faces(64))
    wrong = right.labels.clone()
    wrong[:8] = (wrong[:8] + 1) % 4
    optimiser = torch.optim.Adam(model.parameters(), lr=0.03)
    for epoch in (0, 1):
        method.start_epoch(epoch)
        for _ in range(25):
            losses = method.loss(dataclasses.replace(right, labels=wrong), model)
            optimiser.zero_grad()
            losses.total.backward()
            optimiser.step()
    assert 0.8 < losses.parts["kept"].item() < 0.95  # an eighth is wrong
    assert (model(right.x).logits.argmax(1) == right.labels).double().mean() > 0.95
