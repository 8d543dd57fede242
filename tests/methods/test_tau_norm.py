"""tau-normalisation: the head row by row, the taus by epoch, a resume, and the starts that are refused."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from evenface.errors import ConfigError, ModelError
from evenface.methods import Batch, Setting, create_method
from evenface.methods.tau_norm import TauNorm
from evenface.model_folder import load_model, save_model
from evenface.models import networks
from evenface.models.classifier import Classifier, build_classifier


Start = Callable[..., tuple[TauNorm, Classifier]]


@pytest.fixture
def start(setting: Setting, finished: Path) -> Start:
    """The method and its prepared network, for a number of epochs."""

    def make(epochs: int = 5, **options: object) -> tuple[TauNorm, Classifier]:
        method = create_method("tau_norm", dataclasses.replace(setting, epochs=epochs, init=str(finished)), options)
        assert isinstance(method, TauNorm)
        model = method.prepare(build_classifier("test_resnet", setting.class_names, 32))
        assert isinstance(model, Classifier)
        return method, model

    return make


def test_backbone_and_head_are_those_of_the_run(start: Start, finished: Path, faces: Callable[..., Batch]) -> None:
    method, model = start(keep_bias=True)
    stored, _ = load_model(finished / "best")
    method.start_epoch(0)  # tau 0
    x = faces(4, size=32).x.float()
    with torch.no_grad():
        assert torch.equal(method.deploy(model).eval()(x).logits, stored(x).logits)
    method, model = start()  # without the bias
    method.start_epoch(0)
    with torch.no_grad():
        torch.testing.assert_close(method.deploy(model).eval()(x).logits, stored(x).logits - stored.head.bias)


@pytest.mark.parametrize(("epoch", "tau"), [(0, 0.0), (1, 0.5), (3, 1.5), (4, 2.0)])
def test_each_row_is_divided_by_its_norm_to_the_tau(epoch: int, tau: float, start: Start, finished: Path) -> None:
    method, model = start(tau_max=2.0)
    stored, _ = load_model(finished / "best")
    method.start_epoch(epoch)
    method.deploy(model)
    for row, before in zip(model.head.weight.tolist(), stored.head.weight.tolist(), strict=True):
        norm = math.sqrt(sum(v * v for v in before))
        assert row == pytest.approx([v / norm**tau for v in before], rel=1e-5)
    assert model.head.bias.tolist() == [0.0] * 4


def test_taus_of_the_epochs(start: Start) -> None:
    method, _ = start(epochs=5)
    assert method.taus() == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert start(epochs=1, tau_max=0.7)[0].taus() == [0.7]
    assert method.tables() == {"tau": [{"epoch": i + 1, "tau": i / 4} for i in range(5)]}
    assert "0, 0.25, 0.5, 0.75, 1 " in method.notes()[0]


def test_an_epoch_has_no_steps_and_nothing_learns_but_the_optimiser_has_something_to_hold(start: Start) -> None:
    method, model = start()
    rows = method.draw(np.zeros(9, dtype=np.int64), np.random.default_rng(0))
    assert rows.shape == (0,)
    assert rows.dtype == np.int64
    assert [name for name, p in model.named_parameters() if p.requires_grad] == ["head.weight"]


def test_a_resumed_run_and_a_moving_average_have_the_same_head(start: Start, setting: Setting) -> None:
    method, model = start()
    average = copy.deepcopy(model)  # as `--ema` keeps one; without steps it is never updated
    for epoch in (0, 1, 2):
        method.start_epoch(epoch)
        method.deploy(model)
    saved, head = (copy.deepcopy(module.state_dict()) for module in (method, model))
    for epoch in (3, 4):
        method.start_epoch(epoch)
        method.deploy(model)
    again = TauNorm(method.options, dataclasses.replace(method.setting, init="gone", goes_on=True))
    other = again.prepare(build_classifier("test_resnet", setting.class_names, 32))
    again.load_state_dict(saved)
    other.load_state_dict(head)
    again.start_epoch(4)
    assert torch.equal(again.deploy(other).get_parameter("head.weight"), model.head.weight)
    assert torch.equal(method.deploy(average).head.weight, model.head.weight)


@pytest.mark.parametrize("init", ["none", "pretrained", "weights.pth"])
def test_a_start_that_is_no_run_is_refused(init: str, setting: Setting, classifier: Callable[..., Classifier]) -> None:
    method = create_method("tau_norm", dataclasses.replace(setting, init=init), {})
    with pytest.raises(ConfigError, match=f"name that run, such as --init runs/x, not --init {init}"):
        method.prepare(classifier())


def test_a_run_that_does_not_fit_is_refused(
    setting: Setting, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, classifier: Callable[..., Classifier]
) -> None:
    def prepare(model: Classifier, init: Path = finished) -> None:
        create_method("tau_norm", dataclasses.replace(setting, init=str(init)), {}).prepare(model)

    with pytest.raises(ConfigError, match=r"holds a test_resnet for 32 px; take --model test_resnet --img-size 32"):
        prepare(classifier(size=64))
    with pytest.raises(ConfigError, match=r"take --model test_resnet --img-size 32"):
        prepare(classifier("test_convnext"))
    with pytest.raises(ModelError, match=r"same classes in the same order"):
        prepare(build_classifier("test_resnet", setting.class_names[::-1], 32))

    class Odd(Classifier):
        kind = "odd"

    monkeypatch.setitem(networks.KINDS, "odd", Odd)
    save_model(tmp_path / "odd", Odd.of(classifier().float()), {}, card="")
    with pytest.raises(ModelError, match=r"a network of the kind 'odd'"):
        prepare(classifier(), tmp_path / "odd")
    (tmp_path / "young").mkdir()
    (tmp_path / "young" / "config.yaml").touch()
    with pytest.raises(ModelError, match=r"has no best model yet"):
        prepare(classifier(), tmp_path / "young")
    (tmp_path / "other").mkdir()
    with pytest.raises(ModelError, match=r"lacks config.json"):
        prepare(classifier(), tmp_path / "other")
