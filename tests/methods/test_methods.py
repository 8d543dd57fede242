"""What holds for every method: it learns, its loss is a plain mean, its options are described, and one pass is as good as two."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from evenface.methods import METHODS, Batch, Setting, create_method
from evenface.methods._terms import Sum
from evenface.methods.base import Method
from evenface.models.init import load_init

from .conftest import complete


Start = Callable[..., tuple[Method, nn.Module, Callable[..., Batch]]]


# Every way of computing a loss, one row each.
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("ce", {}),
    ("ce", {"cls_views": "both", "label_smoothing": 0.1}),
    ("cb", {}),
    ("cb", {"form": "sigmoid"}),
    ("cb", {"form": "focal", "cls_views": "both"}),
    ("even", {}),
    ("even", {"cls_views": "both", "tau": 1.0}),
    ("focal", {}),
    ("focal", {"weights": "inverse", "cls_views": "both"}),
    ("label_smoothing", {}),
    ("label_smoothing", {"form": "soft", "decay": 0.9}),
    ("label_smoothing", {"form": "soft", "evaluate": "student", "threshold": 0.05}),
    ("label_smoothing", {"form": "teacher", "epsilon": 0.3, "decay": 0.9}),
    ("logit_adjust", {}),
    ("logit_adjust", {"when": "test", "cls_views": "both"}),
    ("balanced_softmax", {}),
    ("balanced_softmax", {"exponent": 0.25, "cls_views": "both"}),
    ("ldam_drw", {}),
    ("ldam_drw", {"start": 0.0, "weights": "inverse"}),
    ("eql", {}),
    ("eql", {"form": "focal", "gamma_b": 1.0, "cls_views": "both"}),
    ("eac", {}),
    ("mek", {}),
    ("mek", {"weights": "effective", "normalize": "sum_to_C"}),
    ("rbc", {}),
    ("rbc", {"rbc_weighting": "inside_square", "rbc_norm": "mean_all"}),
    ("rbf", {}),
    ("rbf", {"rbf_views": "original", "cls_views": "original"}),
    ("rbcf", {}),
    ("rbcf", {"rbc_distance": "abs", "weights": "none"}),
    ("rbcf", {"detach_maps": False, "weights": "inverse", "normalize": "mean_sample_1"}),
    ("pt", {}),
    ("pt", {"pairs": 2, "deployed": "student"}),
    ("ada_cm", {}),
    ("ada_cm", {"margin_from": "average"}),
    ("dnfer", {}),
    ("face2exp", {"deployed": "teacher"}),
    ("face2exp", {"threshold": 0.5, "mu": 2.0, "deployed": "teacher"}),
    ("face2exp", {"finetune": 0.9}),
    ("ran", {}),
    ("scan_cci", {"patches": 2}),
    ("scan_cci", {"masks": "cell", "resample": "none"}),
    ("ride", {}),
    ("ride", {"base": "ce", "experts": 2, "start": 0.0, "divergence": "mean_expert"}),
    ("ride", {"diversity": 0.0, "start": 0.0}),
    ("sade", {}),
    ("sade", {"head": "linear", "tau": 1.0}),
    ("dmue", {}),
    ("dmue", {"ramp": 0.0, "gram": "logits"}),
    ("scn", {}),
    ("scn", {"relabel": "all", "relabel_from": 0.0}),
    ("bbn", {}),
    ("bbn", {"rebalancing": "fresh", "decay_rebalancing": True}),
    ("rul", {}),
    ("rul", {"pairs": "different"}),
    ("resample", {}),
    ("resample", {"sampling": "progressive", "cls_views": "both", "label_smoothing": 0.1}),
    ("mixup", {}),
    ("mixup", {"alpha": 1.0, "lam_per": "batch"}),
    ("cutmix", {}),
    ("remix", {}),
    ("mixaugment", {}),
    ("crt", {}),
    ("tau_norm", {}),
    ("tau_norm", {"keep_bias": True}),
]

REAL = {"crt", "tau_norm", "ldam_drw", "ran", "scan_cci", "ride", "sade", "dmue", "scn", "bbn", "rul"}
"""The methods whose `prepare` needs a real classifier, since it makes another kind of network."""

CONTINUES = {"crt", "tau_norm"}
"""The methods that go on from a finished run."""

IDS = ["-".join([name, *map(str, options.values())]) for name, options in VARIANTS]
each_variant = pytest.mark.parametrize(("name", "options"), VARIANTS, ids=IDS)


@pytest.fixture
def start(
    setting: Setting,
    tiny: Callable[[], nn.Module],
    classifier: Callable[[], nn.Module],
    faces: Callable[..., Batch],
    request: pytest.FixtureRequest,
) -> Callable[..., tuple[Method, nn.Module, Callable[..., Batch]]]:
    """A method with its prepared network, and a maker of the batches that it asks for."""

    def make(name: str, options: dict[str, Any], passes: str = "one", n: int = 32) -> tuple[Method, nn.Module, Callable[..., Batch]]:
        torch.manual_seed(0)
        size = 32 if name in REAL else 16
        labels = faces(n).labels
        own = dataclasses.replace(setting, counts=labels.bincount(minlength=4).tolist(), passes=passes, labels=labels.tolist())
        if name in CONTINUES:
            own = dataclasses.replace(own, init=str(request.getfixturevalue("finished")))
        method = create_method(name, own, options).double()
        network = classifier() if name in REAL else tiny()
        if name in CONTINUES:
            load_init(network, own.init)
        model = method.prepare(network)
        method.start_epoch(0)

        def batch(n: int = n, seed: int = 0, votes: bool = False) -> Batch:
            return complete(method, faces(n, seed, votes, size))

        return method, model, batch

    return make


def test_every_method_is_a_variant() -> None:
    assert {name for name, _ in VARIANTS} == set(METHODS)


@each_variant
def test_learns(name: str, options: dict[str, Any], start: Start) -> None:
    method, model, batch = start(name, options)
    trained = [p for p in [*model.parameters(), *method.parameters()] if p.requires_grad]
    optimiser = torch.optim.Adam(trained, lr=0.003 if name in REAL else 0.03)
    model.train()
    for _ in range(40):
        losses = method.loss(batch(), model)
        optimiser.zero_grad()
        losses.total.backward()
        optimiser.step()
        with torch.no_grad():
            method.after_step(model)
    test = batch(64, seed=1)
    with torch.no_grad():
        accuracy = (method.deploy(model).eval()(test.x).logits.argmax(1) == test.labels).double().mean().item()
    assert accuracy > 0.8  # 0.25 by chance


@each_variant
def test_parts_are_detached_scalars_and_the_total_is_one(name: str, options: dict[str, Any], start: Start) -> None:
    method, model, batch = start(name, options)
    losses = method.loss(batch(), model)
    assert losses.total.shape == ()
    assert losses.total.requires_grad
    assert "cls" in losses.parts
    assert all(part.shape == () and not part.requires_grad for part in losses.parts.values())
    if not isinstance(method, Sum):
        return
    lam, mu = getattr(method.options, "lam", 0.0), getattr(method.options, "mu", 0.0)
    expected = losses.parts["cls"] + lam * losses.parts.get("rbc", 0.0) + mu * losses.parts.get("rbf", 0.0)
    torch.testing.assert_close(losses.total.detach(), expected)


@each_variant
def test_size_weighted_mean_of_the_parts_is_the_whole(name: str, options: dict[str, Any], start: Start) -> None:
    method, model, make = start(name, options)
    model.eval()  # without batch statistics
    if method.batchwise:
        pytest.skip("its loss relates the faces of a batch to one another, and says so")
    batch = make(7, votes=True)

    def part(rows: slice) -> Batch:
        tensors = {f.name: getattr(batch, f.name) for f in dataclasses.fields(batch)}
        cut = {k: v[rows] if isinstance(v, torch.Tensor) else v for k, v in tensors.items()}
        return Batch(**{k: tuple(t[rows] for t in v) if isinstance(v, tuple) else v for k, v in cut.items()})

    whole = method.loss(batch, model).total
    halves = 3 * method.loss(part(slice(0, 3)), model).total + 4 * method.loss(part(slice(3, 7)), model).total
    torch.testing.assert_close(halves / 7, whole)


@each_variant
def test_one_pass_and_two_agree(name: str, options: dict[str, Any], start: Start) -> None:
    totals = []
    for way in ("one", "two"):
        method, model, batch = start(name, options, passes=way, n=8)
        model.eval()  # without batch statistics
        torch.manual_seed(5)
        totals.append(method.loss(batch(), model).total)
        if isinstance(method, Sum) and name not in REAL:
            assert model.passes == (1 if way == "one" else method.views)
    torch.testing.assert_close(totals[0], totals[1])


@pytest.mark.parametrize("name", METHODS)
def test_title_paper_year_and_help_are_there(name: str) -> None:
    cls = METHODS[name]
    assert cls.name == name
    assert cls.title
    assert cls.paper
    assert 1980 < cls.year < 2030
    for field in dataclasses.fields(cls.Options):
        assert field.metadata["help"], field.name
        assert field.default is not dataclasses.MISSING
    assert cls.Options.__dataclass_params__.frozen  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", METHODS)
def test_describe_holds_what_makes_it_again(name: str, setting: Setting) -> None:
    described = create_method(name, setting, {}).describe()
    assert described.pop("name") == name
    assert create_method(name, setting, described).describe() == {"name": name, **described}


@pytest.mark.parametrize("name", ["rbcf", "rbc", "rbf", "mek", "cb"])
def test_weights_are_told_and_the_warning_with_them(name: str, setting: Setting) -> None:
    notes = create_method(name, setting, {}).notes()
    assert "fear" in notes[0]
    assert "max/min" in notes[0]
    even = dataclasses.replace(setting, counts=[9000, 9001, 9000, 9050])
    assert any("nearly uniform" in note for note in create_method(name, even, {}).notes())
    empty = dataclasses.replace(setting, counts=[9, 0, 9, 90])
    assert any("'fear'" in note and "No training face" in note for note in create_method(name, empty, {}).notes())


@pytest.mark.parametrize("name", ["ce", "focal", "eac"])
def test_methods_without_class_weights_have_nothing_to_tell(name: str, setting: Setting) -> None:
    assert create_method(name, setting, {}).notes() == []


UNUSED: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    # what leaves no term with class weights, and what brings one back
    ("even", {"mu": 0.0}, {"mu": 0.1}),
    ("rbf", {"mu": 0.0}, {"mu": 0.1}),
    ("rbc", {"lam": 0.0}, {"lam": 0.1}),
    ("rbcf", {"lam": 0.0, "mu": 0.0}, {"mu": 0.0}),
    ("rbcf", {"lam": 0.0, "mu": 0.0}, {"lam": 0.0}),
]


@pytest.mark.parametrize(("name", "without", "with_"), UNUSED)
def test_weights_that_nothing_uses_are_not_told(
    name: str, without: dict[str, Any], with_: dict[str, Any], setting: Setting, tiny: Callable[[], nn.Module], faces: Callable[..., Batch]
) -> None:
    """Told or not, as the loss does or does not change with the scale of the weights."""
    for options, told in ((without, False), (with_, True), ({**with_, "weights": "none"}, False)):
        method = create_method(name, setting, options)
        assert bool(method.notes()) is told
        if "weights" not in options:
            before = method.loss(faces(), tiny()).total.item()
            method.B *= 2
            assert (method.loss(faces(), tiny()).total.item() != before) is told


def test_mek_always_has_weights_to_tell(setting: Setting) -> None:
    assert "max/min" in create_method("mek", setting, {"lam": 0.0}).notes()[0]


def test_weights_are_a_buffer_that_no_checkpoint_brings(setting: Setting) -> None:
    method = create_method("rbcf", setting, {})
    assert method.B.dtype == torch.float32
    assert "B" in dict(method.named_buffers())
    assert method.state_dict() == {}
