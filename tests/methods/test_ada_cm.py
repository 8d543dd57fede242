"""Ada-CM: the three terms by hand, where gradient goes, and the margins from epoch to epoch, also of a resumed run."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from evenface.methods import Batch, Setting, create_method
from evenface.methods.ada_cm import AdaCm

from .conftest import complete
from .given import Given, batch_of, logits_of


SETTING = Setting(("a", "b", "c"), [4, 4, 4], epochs=3)

X = logits_of([[0.9, 0.05, 0.05], [0.7, 0.2, 0.1], [0.2, 0.6, 0.2], [0.8, 0.1, 0.1], [0.1, 0.1, 0.8]])
LABELS = [0, 0, 1, 1, 0]  # rightly: class 0 with 0.9 and 0.7, class 1 with 0.6; class 2 never
WEAK = logits_of([[0.9, 0.05, 0.05], [0.5, 0.4, 0.1], [0.1, 0.3, 0.6], [0.3, 0.4, 0.3]])
OTHER = logits_of([[0.8, 0.1, 0.1], [0.3, 0.6, 0.1], [0.1, 0.1, 0.8], [0.2, 0.4, 0.4]])
STRONG = logits_of([[0.5, 0.25, 0.25], [0.2, 0.3, 0.5], [0.3, 0.3, 0.4], [0.6, 0.2, 0.2]])


def made(options: dict[str, Any]) -> tuple[AdaCm, nn.Module]:
    method = create_method("ada_cm", SETTING, options).double()
    assert isinstance(method, AdaCm)
    model = method.prepare(Given())
    method.start_epoch(0)
    return method, model


def batch(*tensors: Tensor) -> Batch:
    x, weak, other, strong = tensors or (X, WEAK, OTHER, STRONG)
    return batch_of(x, LABELS, pool=(weak, other, strong))


def test_by_hand() -> None:
    """Mean predictions of the four faces: 0.85 for a, 0.5 for b, 0.7 for c, 0.4 for b. At a margin of 0.69 the first and third are sure."""
    method, model = made({"start": 0.69, "temperature": 0.5})
    losses = method.loss(batch(), model)
    cls = -sum(math.log(p) for p in (0.9, 0.7, 0.6, 0.1, 0.1)) / 5
    pseudo = -(math.log(0.5) + math.log(0.4)) / 4  # over all four faces
    z = [v / v.norm() for v in (WEAK[1], WEAK[3], OTHER[1], OTHER[3])]
    near = [[math.exp(float((a * b).sum()) / 0.5) for b in z] for a in z]
    contrast = -sum(math.log(near[i][(i + 2) % 4] / sum(near[i][k] for k in range(4) if k != i)) for i in range(4)) / 4
    for name, value in {"cls": cls, "pseudo": pseudo, "contrast": contrast, "sure": 0.5}.items():
        assert losses.parts[name].item() == pytest.approx(value), name
    assert losses.total.item() == pytest.approx(0.5 * cls + pseudo + 0.1 * contrast)


@pytest.mark.parametrize("lam_s", [0.1, 0.0])
def test_where_gradient_goes(lam_s: float) -> None:
    method, model = made({"start": 0.69, "lam_s": lam_s})
    tensors = [t.clone().requires_grad_() for t in (X, WEAK, OTHER, STRONG)]
    method.loss(batch(*tensors), model).total.backward()
    reached = [[bool(t.grad[n].any()) for n in range(len(t))] if t.grad is not None else [] for t in tensors]
    unsure = [False, bool(lam_s), False, bool(lam_s)]
    assert reached == [[True] * 5, unsure, unsure, [True, False, True, False]]


@pytest.mark.parametrize("margin", [0.0, 0.99])
def test_all_or_none_sure(margin: float) -> None:
    method, model = made({"start": margin})
    losses = method.loss(batch(), model)
    assert losses.parts["sure"].item() == float(margin == 0)
    assert losses.parts["contrast" if margin == 0 else "pseudo"].item() == 0.0
    losses.total.backward()
    assert torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]).isfinite().all()


def test_margins_by_epoch() -> None:
    method, model = made({"start": 0.4})
    assert method.margin.tolist() == pytest.approx([0.4] * 3)
    for _ in range(2):  # two steps with the same faces: the same means
        method.loss(batch(), model)
    assert method.margin.tolist() == pytest.approx([0.4] * 3)  # it stands through the epoch
    method.start_epoch(1)
    level = 0.97 / (1 + math.exp(-1))
    assert method.margin.tolist() == pytest.approx([level * 0.8, level * 0.6, 0.4])
    with torch.no_grad():
        model.scale.zero_()  # from now on every face is 1/3 of each class, the first of them by argmax
    method.loss(batch(), model)
    method.start_epoch(2)
    assert method.margin.tolist() == pytest.approx([0.4] * 3)  # 1/3 of the second epoch alone, and the floor


def test_margins_from_the_average() -> None:
    method, model = made({"start": 0.1, "margin_from": "average"})
    with torch.no_grad():
        model.scale.zero_()
    method.loss(batch(), model)
    method.start_epoch(1)
    level = 0.97 / (1 + math.exp(-1))
    assert method.margin.tolist() == pytest.approx([level * 0.8, level * 0.6, 0.1])  # the average is still the start


def test_a_run_resumed_within_an_epoch_comes_to_the_same_margins() -> None:
    method, model = made({"start": 0.4})
    method.loss(batch(), model)
    method.start_epoch(1)
    method.loss(batch(), model)
    other, again = made({"start": 0.4})
    other.load_state_dict(method.state_dict())
    other.start_epoch(1)  # as the loop does on a resume
    assert torch.equal(other.margin, method.margin)
    for each, network in ((method, model), (other, again)):
        each.loss(batch(), network)
        each.start_epoch(2)
    assert torch.equal(other.margin, method.margin)
    assert method.margin[0] == pytest.approx(0.97 / (1 + math.exp(-2)) * 0.8)


def test_the_average_is_kept(setting: Setting, tiny: Callable[[], nn.Module], faces: Callable[..., Batch]) -> None:
    method = create_method("ada_cm", setting, {}).double()
    assert isinstance(method, AdaCm)
    model = method.prepare(tiny())
    method.start_epoch(0)
    method.loss(complete(method, faces(6)), model).total.backward()
    assert all(p.grad is not None for p in model.parameters())
    before = model.head.weight.detach().clone()
    with torch.no_grad():
        model.head.weight += 1
    method.after_step(model)
    kept = method.deploy(model)
    assert kept is not model
    torch.testing.assert_close(kept.head.weight, before + 0.9)
    assert not any(p.requires_grad for p in kept.parameters())
