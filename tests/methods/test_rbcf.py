"""The paper's method against equation 7 written out, and what its switches turn it into."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from evenface.errors import ConfigError
from evenface.methods import Batch, Setting, create_method
from evenface.models.output import Output


Make = Callable[..., Batch]
Model = Callable[[], nn.Module]
Result = tuple[torch.Tensor, dict[str, torch.Tensor], list[torch.Tensor]]  # total, parts, gradients


def gradients(model: nn.Module) -> list[torch.Tensor]:
    return [p.grad.clone() for p in model.parameters() if p.grad is not None]


def run(name: str, options: dict[str, Any], setting: Setting, tiny: Model, batch: Batch) -> Result:
    method, model = create_method(name, setting, options), tiny()
    method.prepare(model)
    losses = method.loss(batch, model)
    losses.total.backward()
    return losses.total.detach(), losses.parts, gradients(model)


def test_equation_7_by_numpy(setting: Setting, tiny: Model, faces: Make) -> None:
    batch, model = faces(6), tiny()
    total, parts, _ = run("rbcf", {}, setting, tiny, batch)
    beta = 0.999
    b = np.array([(1 - beta) / (1 - beta**n) for n in setting.counts])
    b = b * 4 / b.sum()
    cls = rbf = 0.0
    with torch.no_grad():
        views = [model(batch.x), model(batch.second)]
    for out in views:
        for z, y in zip(out.logits.numpy(), batch.labels.tolist(), strict=True):
            p = np.exp(z[y]) / np.exp(z).sum()
            cls += -np.log(p) / 6
            rbf += -b[y] * (1 - p) ** 2 * np.log(p) / 6
    a, back = views[0].maps.numpy(), views[1].maps.numpy()[:, :, :, ::-1]
    rbc = sum(b[k] * ((a[:, k] - back[:, k]) ** 2).mean() for k in range(4))
    assert parts["cls"].item() == pytest.approx(cls)
    assert parts["rbc"].item() == pytest.approx(rbc, rel=1e-5)
    assert parts["rbf"].item() == pytest.approx(rbf, rel=1e-5)
    assert total.item() == pytest.approx(cls + 0.1 * rbc + 0.5 * rbf, rel=1e-5)


IDENTITIES = {
    "eac": ({}, {"weights": "none", "rbc_norm": "mean_all", "lam": 5.0, "mu": 0.0, "cls_views": "original"}),
    "rbc": ({}, {"mu": 0.0}),
    "rbf": ({}, {"lam": 0.0}),
    "ce": ({"cls_views": "both"}, {"lam": 0.0, "mu": 0.0}),
    "mek": ({"epsilon": 0.0}, {"weights": "inverse_mek", "mu": 0.0, "cls_views": "original"}),
}


# MEK's smooth labels take the place of votes, so it is compared without.
@pytest.mark.parametrize(
    ("name", "votes"), [(name, votes) for name in IDENTITIES for votes in (False, True) if not (votes and name == "mek")]
)
def test_other_methods_are_rbcf_with_its_switches_set(name: str, votes: bool, setting: Setting, tiny: Model, faces: Make) -> None:
    theirs, ours = IDENTITIES[name]
    batch = faces(votes=votes)
    total, parts, grads = run(name, theirs, setting, tiny, batch)
    total_rbcf, parts_rbcf, grads_rbcf = run("rbcf", ours, setting, tiny, batch)
    torch.testing.assert_close(total, total_rbcf)
    torch.testing.assert_close(parts, parts_rbcf)
    torch.testing.assert_close(grads, grads_rbcf)


def test_the_focal_method_is_the_focus_term(setting: Setting, tiny: Model, faces: Make) -> None:
    _, focal, _ = run("focal", {"weights": "effective", "cls_views": "both"}, setting, tiny, faces())
    _, rbcf, _ = run("rbcf", {}, setting, tiny, faces())
    torch.testing.assert_close(focal["cls"], rbcf["rbf"])


@pytest.mark.parametrize(
    ("options", "views"),
    [
        ({}, 2),
        ({"cls_views": "original"}, 2),
        ({"cls_views": "original", "lam": 0.0}, 2),
        ({"cls_views": "original", "lam": 0.0, "rbf_views": "original"}, 1),
        ({"cls_views": "original", "lam": 0.0, "mu": 0.0}, 1),
        ({"lam": 0.0, "mu": 0.0}, 2),
    ],
)
def test_a_second_view_only_where_it_is_used(options: dict[str, Any], views: int, setting: Setting) -> None:
    assert create_method("rbcf", setting, options).views == views


@pytest.mark.parametrize("detach", [True, False])
def test_consistency_reaches_the_head_only_when_asked(detach: bool, setting: Setting, tiny: Model, faces: Make) -> None:
    method, model = create_method("rbcf", setting, {"detach_maps": detach}), tiny()
    wrapped = nn.Module()
    wrapped.module = model  # as a wrapper for several processes holds it
    method.prepare(wrapped)
    batch = faces()
    first, second = method.forward_views(batch, model)
    method.terms(batch, first, second)["rbc"][1].backward()  # type: ignore[operator]
    head = model.head.weight.grad  # type: ignore[union-attr]
    assert (head is None) is detach
    assert gradients(model.backbone)  # type: ignore[arg-type]


def test_a_model_that_always_detaches_says_so(setting: Setting) -> None:
    create_method("rbcf", setting, {}).prepare(nn.Linear(2, 2))
    with pytest.raises(ConfigError, match="detach_maps"):
        create_method("rbcf", setting, {"detach_maps": False}).prepare(nn.Linear(2, 2))


def test_consistency_is_zero_for_a_model_that_mirrors(setting: Setting, faces: Make) -> None:
    class Mirrors(nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
            maps = torch.cat([x, x[:, :1]], 1)
            return Output(maps.mean((2, 3)), maps, maps.mean((2, 3)))

    assert create_method("rbcf", setting, {}).loss(faces(), Mirrors()).parts["rbc"].item() == 0


def test_soft_labels_enter_the_cross_entropy_only(setting: Setting, tiny: Model, faces: Make) -> None:
    _, hard, _ = run("rbcf", {}, setting, tiny, faces())
    _, soft, _ = run("rbcf", {}, setting, tiny, faces(votes=True))
    assert hard["cls"] != soft["cls"]
    assert hard["rbf"] == soft["rbf"]
    assert hard["rbc"] == soft["rbc"]


def test_trains_under_autocast_in_float32(setting: Setting, tiny: Model, faces: Make) -> None:
    batch = faces(4)
    assert batch.second is not None
    batch = dataclasses.replace(batch, x=batch.x.float(), second=batch.second.float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = create_method("rbcf", setting, {}).loss(batch, tiny().float())
    assert losses.total.dtype == torch.float32
    assert all(part.dtype == torch.float32 for part in losses.parts.values())
