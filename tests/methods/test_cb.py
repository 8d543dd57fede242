"""Class-balanced forms: the bias that the one-against-rest forms start with, and the forms against the losses."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from evenface.errors import ModelError
from evenface.losses import cb_focal, cb_sigmoid, cb_softmax, class_weights
from evenface.methods import Batch, Setting, create_method
from evenface.training.config import TrainConfig
from evenface.training.optim import build_optimizer


Make = Callable[..., Batch]
Model = Callable[[], nn.Module]


@pytest.mark.parametrize("form", ["sigmoid", "focal"])
def test_every_output_starts_at_one_over_the_classes(form: str, setting: Setting, tiny: Model) -> None:
    model = tiny()
    create_method("cb", setting, {"form": form}).prepare(model)
    bias = model.head.bias  # type: ignore[union-attr]
    assert torch.sigmoid(bias).tolist() == pytest.approx([1 / 4] * 4)  # type: ignore[arg-type]
    assert bias.tolist() == pytest.approx([-math.log(3)] * 4)  # type: ignore[operator]
    assert bias.requires_grad
    optimizer = build_optimizer(model, TrainConfig(optimizer="adam", weight_decay=0.1))
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert [decay[id(p)] for p in model.parameters()] == [0.0 if p is bias else 0.1 for p in model.parameters()]


def test_the_softmax_form_leaves_the_head_alone(setting: Setting, tiny: Model) -> None:
    model, before = tiny(), tiny()
    create_method("cb", setting, {}).prepare(model)
    torch.testing.assert_close(model.state_dict(), before.state_dict())


@pytest.mark.parametrize(
    ("method", "options", "idle"),
    [
        ("cb", {"gamma": 5.0}, ["--gamma does nothing with --form softmax."]),
        ("cb", {"gamma": 5.0, "form": "focal"}, []),
        ("cb", {"weights": "inverse", "beta": 0.9}, ["--beta does nothing with --weights inverse."]),
        ("focal", {"beta": 0.9, "normalize": "none"}, [f"--{name} does nothing with --weights none." for name in ("beta", "normalize")]),
        ("focal", {"beta": 0.9, "weights": "effective"}, []),
        ("focal", {}, []),
        ("mek", {"normalize": "sum_to_C"}, ["--normalize does nothing with --weights inverse_mek."]),
        ("mek", {"normalize": "sum_to_C", "weights": "inverse"}, []),
        ("rbcf", {"weights": "none", "beta": 0.5}, ["--beta does nothing with --weights none."]),
    ],
)
def test_options_without_effect_are_told(method: str, options: dict[str, Any], idle: list[str], setting: Setting) -> None:
    assert [note for note in create_method(method, setting, options).notes() if "does nothing with" in note] == idle


def test_a_model_without_such_a_head_is_refused(setting: Setting) -> None:
    with pytest.raises(ModelError, match="linear head of 4 outputs"):
        create_method("cb", setting, {"form": "sigmoid"}).prepare(nn.Linear(3, 5))


@pytest.mark.parametrize("form", ["softmax", "sigmoid", "focal"])
def test_each_form_is_its_loss_with_beta_09999(form: str, setting: Setting, tiny: Model, faces: Make) -> None:
    model, batch = tiny(), faces()
    weights = torch.tensor(class_weights(setting.counts, beta=0.9999))
    loss = {"softmax": cb_softmax, "sigmoid": cb_sigmoid, "focal": cb_focal}[form]
    expected = loss(model(batch.x).logits, batch.labels, weights)
    value = create_method("cb", setting, {"form": form}).loss(batch, model).total
    torch.testing.assert_close(value, expected, rtol=1e-5, atol=0)
