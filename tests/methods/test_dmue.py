"""DMUE: the parts of its loss, which branch learns from which faces, the ramps, the sampler, and the plain network that is left."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from evenface.errors import ModelError
from evenface.losses import class_similarities, gram_error, latent_distribution, latent_error, leave_one_out_cross_entropy
from evenface.methods import Batch, Setting, create_method
from evenface.model_folder import load_model, save_model
from evenface.models.classifier import Classifier
from evenface.training.config import TrainConfig
from evenface.training.optim import build_optimizer


Make = Callable[..., Batch]
Model = Callable[..., Classifier]


def started(setting: Setting, classifier: Model, **options: Any) -> tuple[Any, Any]:
    """The method and its network, whose branches differ, in evaluation mode."""
    torch.manual_seed(0)
    method = create_method("dmue", setting, options).double()
    model = method.prepare(classifier())
    for name, p in model.named_parameters():
        if ".copies." in name:
            p.data += 0.05 * torch.randn_like(p)
    method.start_epoch(0)
    return method, model.eval()


@pytest.mark.parametrize("gram", ["features", "logits"])
def test_the_parts_are_the_terms_of_the_branches_answers(gram: str, setting: Setting, classifier: Model, faces: Make) -> None:
    method, model = started(setting, classifier, gram=gram)
    batch = faces(9, size=32)
    with torch.no_grad():
        grids = model.grid(batch.x).chunk(5)
        main, *others = (grid.mean((2, 3)) for grid in grids)
        z = model.head(main)
        aux = torch.stack([method.heads[c](others[c]) for c in range(4)])
        beside = torch.cat([class_similarities(main, batch.labels, 4), F.one_hot(batch.labels, 4)], 1)
        score = method.confidence(beside).sigmoid()
        expected = {
            "cls": F.cross_entropy(score * z, batch.labels),
            "soft": latent_error(z, batch.labels, latent_distribution(aux, batch.labels, 1.2)),
            "gram": gram_error(torch.stack(others) if gram == "features" else aux, main, batch.labels),
            "aux": leave_one_out_cross_entropy(aux, batch.labels),
        }
    losses = method.loss(batch, model)
    torch.testing.assert_close(losses.parts, expected)
    up = math.exp(-5)
    total = up * (expected["cls"] + 0.5 * expected["soft"] + 1000 * expected["gram"]) + expected["aux"]
    torch.testing.assert_close(losses.total.detach(), total)


def test_a_branch_does_not_learn_from_its_own_class_nor_the_main_branch_from_any(setting: Setting, classifier: Model, faces: Make) -> None:
    method, model = started(setting, classifier, w=0.0, gamma=0.0)
    batch = dataclasses.replace(faces(6, size=32), labels=torch.full((6,), 2))
    method.up = 0.0
    method.loss(batch, model).total.backward()
    trained = [any(p.grad is not None and p.grad.any() for p in head.parameters()) for head in method.heads]
    assert trained == [True, True, False, True]
    stage = next(m for m in model.modules() if type(m).__name__ == "Branches")
    moved = [any(p.grad is not None and p.grad.any() for p in part.parameters()) for part in stage.copies]
    assert moved == [False, True, True, False, True]  # the first is the main branch


@pytest.mark.parametrize("one_class", [False, True])
def test_every_parameter_has_a_gradient_whatever_the_batch(one_class: bool, setting: Setting, classifier: Model, faces: Make) -> None:
    method, model = started(setting, classifier)
    batch = faces(8, size=32)
    labels = torch.zeros(8, dtype=torch.int64) if one_class else batch.labels
    method.loss(dataclasses.replace(batch, labels=labels), model.train()).total.backward()
    parameters = [*model.parameters(), *method.parameters()]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in parameters)


@pytest.mark.parametrize(("ramp", "epochs"), [(0.25, 36), (0.25, 3), (0.0, 4), (2.0, 5)])
def test_ramps(ramp: float, epochs: int, setting: Setting) -> None:
    method: Any = create_method("dmue", dataclasses.replace(setting, epochs=epochs), {"ramp": ramp})
    a = ramp * epochs
    for e in range(epochs):
        method.start_epoch(e)
        assert method.up == pytest.approx(1.0 if e >= a else math.exp(-5 * (1 - e / a) ** 2))
        assert method.down == pytest.approx(1.0 if e <= a or a == 0 else math.exp(-((1 - a / e) ** 2)))


def test_faces_are_drawn_so_that_classes_are_even(setting: Setting) -> None:
    labels = np.repeat([0, 1, 2, 3], [6000, 500, 2000, 3500])
    drawn = create_method("dmue", setting, {}).draw(labels, np.random.default_rng(0))
    shares = np.bincount(labels[drawn], minlength=4) / len(drawn)
    np.testing.assert_allclose(shares, 0.25, atol=4 * math.sqrt(0.25 * 0.75 / len(labels)))
    plain = create_method("dmue", setting, {"sampler": "shuffle"}).draw(labels, np.random.default_rng(0))
    assert sorted(plain.tolist()) == list(range(len(labels)))


def test_heads_learn_at_ten_times_the_rate(setting: Setting, classifier: Model) -> None:
    method, model = started(setting, classifier)
    optimizer = build_optimizer(nn.ModuleList([model, method]), TrainConfig())
    scales = {id(p): group["lr_scale"] for group in optimizer.param_groups for p in group["params"]}
    heads = [*model.head.parameters(), *method.parameters()]
    assert {scales[id(p)] for p in heads} == {10.0}
    assert {scales[id(p)] for p in model.backbone.parameters()} == {1.0}


def test_what_is_left_is_the_main_branch_as_a_plain_classifier(setting: Setting, classifier: Model, faces: Make, tmp_path: Path) -> None:
    method, model = started(setting, classifier)
    x = faces(4, size=32).x
    names = set(model.state_dict())
    plain = method.deploy(model)
    assert set(plain.state_dict()) == set(classifier().state_dict())
    with torch.no_grad():
        main = model.grid(x)[:4].mean((2, 3))
        torch.testing.assert_close(plain(x).features, main)
        torch.testing.assert_close(plain(x).logits, model.head(main))
        assert set(model.state_dict()) == names  # the trained network is as it was
        model.head.bias += 1.0
        torch.testing.assert_close(plain(x).logits, model.head(main))  # the same weights, not a copy
        save_model(tmp_path / "m", plain.float(), {}, card="")
        again, about = load_model(tmp_path / "m")
        assert about.network == {"kind": "linear"}
        torch.testing.assert_close(again(x.float()).logits, plain(x.float()).logits)


def test_an_average_of_the_network_can_be_deployed(setting: Setting, classifier: Model, faces: Make) -> None:
    method, model = started(setting, classifier)
    average = torch.optim.swa_utils.AveragedModel(model)
    x = faces(4, size=32).x
    with torch.no_grad():
        expected = method.deploy(model)(x).logits
        model.head.bias += 1.0
        torch.testing.assert_close(method.deploy(average.module)(x).logits, expected)


def test_state_survives(setting: Setting, classifier: Model, faces: Make) -> None:
    method, model = started(setting, classifier)
    batch = faces(6, size=32)
    saved: tuple[dict[str, Tensor], ...] = copy.deepcopy((method.state_dict(), model.state_dict()))
    before = method.loss(batch, model).total
    torch.manual_seed(1)
    other = create_method("dmue", setting, {}).double()
    network: Any = other.prepare(classifier()).eval()
    other.start_epoch(0)
    assert not torch.equal(other.loss(batch, network).total, before)
    other.load_state_dict(saved[0])
    network.load_state_dict(saved[1])
    assert torch.equal(other.loss(batch, network).total, before)


def test_two_classes_are_refused() -> None:
    with pytest.raises(ModelError, match="three classes"):
        create_method("dmue", Setting(("a", "b"), [3, 4], epochs=2), {})
