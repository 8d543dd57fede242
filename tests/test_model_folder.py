"""A model folder gives back the same model, or says what is wrong with it."""

from __future__ import annotations

import dataclasses
import errno
import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from evenface._version import __version__
from evenface.calibration import Calibration
from evenface.errors import ModelError, StorageError
from evenface.model_folder import ModelConfig, learned_whole, load_model, read_card, read_config, rewrite, save_model
from evenface.models.classifier import Classifier, build_classifier


TINY = "test_resnet"  # timm's own miniature
NAMES = ("neutral", "fear", "disgust")
DETAILS: dict[str, Any] = {
    "dataset": "ferplus",
    "data_licence": "research only",
    "train_counts": {"neutral": 30, "fear": 2, "disgust": 1},
    "method": {"name": "rbcf", "lam": 0.1},
    "init": {"source": "none", "sha256": None},
    "epoch": 3,
}


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    torch.manual_seed(0)
    model = build_classifier(TINY, NAMES, 64)
    return model.to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload, no-any-return]


@pytest.fixture
def folder(classifier: Classifier, tmp_path: Path) -> Path:
    save_model(tmp_path / "best", classifier, DETAILS, "# card")
    return tmp_path / "best"


def test_round_trip_is_exact(classifier: Classifier, folder: Path) -> None:
    random_state = torch.get_rng_state()
    loaded, config = load_model(folder)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert not loaded.training
    x = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        for ours, theirs in zip(loaded(x), classifier(x), strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    state = classifier.state_dict()
    assert all(torch.equal(v, state[k]) for k, v in loaded.state_dict().items())
    assert torch.equal(loaded.mean, classifier.mean)
    assert loaded.class_names == config.class_names == NAMES
    assert (config.architecture, config.img_size, config.dataset, config.alignment) == (TINY, 64, "ferplus", None)
    assert (config.train_counts, config.method, config.init) == (DETAILS["train_counts"], DETAILS["method"], DETAILS["init"])
    assert config.details == {"epoch": 3}
    assert config.evenface == __version__


def test_the_files_are_plain(classifier: Classifier, folder: Path) -> None:
    assert sorted(p.name for p in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    assert [p.name for p in folder.parent.iterdir()] == ["best"]
    values = json.loads((folder / "config.json").read_text())
    assert values["schema_version"] == 1
    assert values["class_names"] == list(NAMES)
    assert values["mean"] == pytest.approx(list(classifier.backbone.mean))
    assert (folder / "README.md").read_text() == "# card"


def test_running_statistics_and_other_means_travel(tmp_path: Path) -> None:
    model = build_classifier(TINY, NAMES, 64)
    model.backbone.mean = (0.1, 0.2, 0.3)
    model.mean.copy_(torch.tensor([0.1, 0.2, 0.3]).view(1, 3, 1, 1))
    model(torch.rand(4, 3, 64, 64))
    save_model(tmp_path / "m", model, {}, "")
    loaded, config = load_model(tmp_path / "m")
    assert config.mean == (0.1, 0.2, 0.3)
    assert torch.equal(loaded.mean, model.mean)
    x = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(loaded(x).logits, model.eval()(x).logits)


def test_what_a_method_attached_is_left_out(tmp_path: Path) -> None:
    model = build_classifier(TINY, NAMES, 64)
    model.extra = torch.nn.Linear(2, 2)
    save_model(tmp_path / "m", model, {}, "")
    assert not [k for k in load_file(tmp_path / "m" / "model.safetensors") if k.startswith("extra")]
    load_model(tmp_path / "m")


def test_saving_again_replaces(classifier: Classifier, folder: Path) -> None:
    for name in ("model.onnx", "card.json", ".config.json.1f2e3d4c.part"):  # of the former model, and of a process that was killed
        (folder / name).touch()
    save_model(folder, classifier, {**DETAILS, "epoch": 4}, "# second")
    assert load_model(folder)[1].details == {"epoch": 4}
    assert sorted(p.name for p in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    assert [p.name for p in folder.parent.iterdir()] == ["best"]


@pytest.mark.parametrize("stop_at", [1, 2])
def test_killed_between_the_renames_a_whole_model_remains(
    classifier: Classifier, folder: Path, monkeypatch: pytest.MonkeyPatch, stop_at: int
) -> None:
    class Killed(BaseException):
        pass

    calls = 0
    replace = os.replace

    def dying(source: Path, target: Path) -> None:
        nonlocal calls
        calls += 1
        if calls == stop_at:
            raise Killed
        replace(source, target)

    monkeypatch.setattr(os, "replace", dying)
    with pytest.raises(Killed):
        save_model(folder, classifier, {**DETAILS, "epoch": 4}, "")
    monkeypatch.undo()
    assert load_model(folder)[1].details == {"epoch": 3}
    save_model(folder, classifier, {**DETAILS, "epoch": 5}, "")
    assert load_model(folder)[1].details == {"epoch": 5}
    assert [p.name for p in folder.parent.iterdir()] == ["best"]


def test_a_full_disk_leaves_the_former_model(classifier: Classifier, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="disk is full"):
        save_model(folder, classifier, {**DETAILS, "epoch": 4}, "")
    assert load_model(folder)[1].details == {"epoch": 3}
    assert [p.name for p in folder.parent.iterdir()] == ["best"]


def test_a_folder_that_is_no_model_is_never_replaced(classifier: Classifier, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").touch()
    with pytest.raises(ModelError, match="not a model folder"):
        save_model(tmp_path / "photos", classifier, {}, "")
    (tmp_path / "photos" / "config.json").write_text("{}")  # as many a project has one
    with pytest.raises(ModelError, match="not a model folder"):
        save_model(tmp_path / "photos", classifier, {}, "")
    assert (tmp_path / "photos" / "a.jpg").exists()


def test_what_somebody_else_put_into_a_model_folder_is_never_deleted(classifier: Classifier, folder: Path) -> None:
    (folder / "thesis").mkdir()
    (folder / "thesis" / "main.tex").write_text("x", encoding="utf-8")
    (folder / "a.jpg").write_bytes(b"picture")
    (folder / "model.onnx").write_bytes(b"of the former weights")
    save_model(folder, classifier, {**DETAILS, "epoch": 4}, "")
    assert json.loads((folder / "config.json").read_text(encoding="utf-8"))["epoch"] == 4
    assert (folder / "thesis" / "main.tex").read_text(encoding="utf-8") == "x"
    assert (folder / "a.jpg").read_bytes() == b"picture"
    assert not (folder / "model.onnx").exists()


def test_links_in_a_model_folder_stay_links_and_a_killed_save_loses_nothing(classifier: Classifier, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (folder / "data").symlink_to(tmp_path / "far")
    (folder / "gone").symlink_to(tmp_path / "nowhere")
    (folder / "a.jpg").write_bytes(b"picture")
    folder.rename(folder.with_name(f".{folder.name}.old"))  # as a save leaves it that was killed between its two renames
    save_model(folder, classifier, DETAILS, "")
    assert (folder / "data").readlink() == tmp_path / "far"
    assert (folder / "gone").readlink() == tmp_path / "nowhere"
    assert (folder / "a.jpg").read_bytes() == b"picture"


def test_missing_parts_are_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"is not there; a model folder holds model\.safetensors and config\.json"):
        load_model(tmp_path / "absent")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"lacks model\.safetensors"):
        load_model(folder)


def test_weights_that_do_not_fit_are_named(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    bias = tensors.pop("head.bias")
    save_file({**tensors, "head.offset": bias, "head.weight": torch.zeros(8, 96)}, folder / "model.safetensors")
    with pytest.raises(ModelError, match=r"lacks head\.bias; .*unknown head\.offset; .*head\.weight \(8, 96\) for \(3, 96\)"):
        load_model(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 2}, "schema_version is 2"),
        ({"class_names": ["fear", "fear"]}, "class_names"),
        ({"class_names": "fear"}, "class_names"),
        ({"class_names": ["neutral", "fear"], "train_counts": None}, r"head\.weight"),
        ({"img_size": "64"}, "img_size"),
        ({"std": [1, 1, 0]}, "std"),
        ({"mean": [1, 1]}, "mean"),
        ({"mean": [float("nan")] * 3}, "mean is .*; it must be three numbers"),
        ({"std": [1, 1, float("inf")]}, "std is .*; it must be three positive numbers"),
        ({"std": [1, 1, 10**400]}, "std is .*; it must be three positive numbers"),
        ({"train_counts": {"neutral": -1, "fear": 1, "happiness": 1}}, "train_counts"),
        ({"train_counts": {"joy": 3}}, "train_counts"),
        ({"method": "rbcf"}, "method"),
        ({"dataset": 3}, "dataset"),
        ({"weights_dtype": "int8"}, "weights_dtype is 'int8'; it must be float32 or float16"),
        ({"calibration": {"temperature": 1.0}}, "calibration in the model's config lacks bias"),
        ({"alignment": 5}, "model's config, alignment is 5: An alignment is a template's name or a table"),
        ({"alignment": [1]}, r"model's config, alignment is \[1\]"),
        ({"alignment": {"template": ["box"]}}, r"model's config, alignment is \{'template': \['box'\]\}"),
        ({"alignment": {"template": "arcfase"}}, "model's config, alignment is .*did you mean 'arcface'"),
        ({"alignment": {"template": "box", "angle": 3}}, "model's config, alignment is .*has no angle"),
        ({"calibration": {}}, "lacks bias"),
        ({"calibration": 2.0}, "calibration is 2.0"),
        ({"architecture": "resnet81"}, "did you mean 'resnet18'"),
    ],
)
def test_a_wrong_config_is_refused(folder: Path, change: dict[str, Any], message: str) -> None:
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**values, **change}))
    with pytest.raises(ModelError, match=message):
        load_model(folder)


def test_a_broken_config_is_refused(folder: Path) -> None:
    for content, message in [("{", "not JSON"), ("[]", "table"), ("{}", "lacks architecture, class_names")]:
        (folder / "config.json").write_text(content)
        with pytest.raises(ModelError, match=message):
            load_model(folder)


def test_what_the_classifier_knows_cannot_be_set(classifier: Classifier, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="may not set class_names"):
        save_model(tmp_path / "m", classifier, {"class_names": NAMES}, "")
    with pytest.raises(ModelError, match="JSON cannot hold"):
        save_model(tmp_path / "m", classifier, {"score": float("nan")}, "")
    assert list(tmp_path.iterdir()) == []


def test_the_config_is_frozen() -> None:
    config = ModelConfig("resnet18", NAMES, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), 64)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.img_size = 3  # type: ignore[misc]
    assert ModelConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


FITTED = Calibration(
    2.0, {"neutral": 0.5, "fear": -0.25, "disgust": -0.25}, 3.0, {"neutral": 0.5, "fear": 0.25, "disgust": 0.25}, "validation", 8,
    (1.0, 0.9, 0.8), (0.2, 0.1, 0.1),
)  # fmt: skip


def test_a_calibration_travels_and_gives_scores(classifier: Classifier, tmp_path: Path) -> None:
    save_model(tmp_path / "m", classifier, {**DETAILS, "calibration": FITTED.to_dict()}, "# card")
    config = load_model(tmp_path / "m")[1]
    assert config.fitted == FITTED
    z = [2.0, 1.0, 0.0]
    found = config.scores([z], "balanced")[0]
    raised = [math.exp(v / 2 + b) / old for v, b, old in zip(z, (0.5, -0.25, -0.25), (0.5, 0.25, 0.25), strict=True)]
    assert found.tolist() == pytest.approx([value / sum(raised) for value in raised])
    powers = [math.exp(v / 3) for v in z]
    assert config.scores([z])[0].tolist() == pytest.approx([value / sum(powers) for value in powers])


def test_a_calibration_of_other_classes_is_refused(folder: Path) -> None:
    values = json.loads((folder / "config.json").read_text())
    other = {**FITTED.to_dict(), "bias": {"neutral": 0.5, "fear": -0.5}, "prior": {"neutral": 0.5, "fear": 0.5}}
    (folder / "config.json").write_text(json.dumps({**values, "calibration": other}))
    with pytest.raises(ModelError, match=r"calibration is .* it must be one of the model's classes"):
        read_config(folder)


def test_a_folder_of_an_earlier_version_has_none_of_the_later_fields(folder: Path) -> None:
    values = json.loads((folder / "config.json").read_text())
    for name in ("calibration", "weights_dtype"):
        del values[name]
    (folder / "config.json").write_text(json.dumps(values))
    config = load_model(folder)[1]
    assert (config.fitted, config.weights_dtype, config.details) == (None, "float32", {"epoch": 3})


def test_rewriting_leaves_the_weights(folder: Path) -> None:
    before = (folder / "model.safetensors").stat()
    rewrite(folder, dataclasses.replace(read_config(folder), calibration=FITTED.to_dict()))
    after = (folder / "model.safetensors").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert load_model(folder)[1].fitted == FITTED
    assert load_model(folder)[1].details == {"epoch": 3}
    assert read_card(folder) == "# card"
    assert sorted(p.name for p in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]


def test_a_card_in_another_encoding_can_be_read(folder: Path) -> None:
    (folder / "README.md").write_bytes(b"# Caf\xe9")
    assert read_card(folder) == "# Caf\ufffd"


def test_weights_kept_in_float16_are_float32_again(tmp_path: Path) -> None:
    model = build_classifier(TINY, NAMES, 64)
    model(torch.rand(4, 3, 64, 64) * 100)  # running statistics that float16 would round
    variance = next(name for name, _ in model.named_buffers() if name.endswith("running_var"))
    model.get_buffer(variance)[0] = 1e6  # and that it could not tell
    save_model(tmp_path / "m", model, {**DETAILS, "weights_dtype": "float16"}, "")
    kept = load_file(tmp_path / "m" / "model.safetensors")
    names = {name for name, _ in model.named_parameters()}
    assert all(value.dtype == (torch.float16 if name in names else model.state_dict()[name].dtype) for name, value in kept.items())
    loaded, config = load_model(tmp_path / "m")
    assert config.weights_dtype == "float16"
    for name, value in loaded.state_dict().items():
        ours = model.state_dict()[name]
        assert value.dtype == ours.dtype
        assert torch.equal(value, ours.half().float() if name in names else ours)


def test_weights_that_float16_cannot_tell_are_refused(tmp_path: Path) -> None:
    model = build_classifier(TINY, NAMES, 64)
    with torch.no_grad():
        model.head.weight[0, 0] = 70000.0
    with pytest.raises(ModelError, match=r"head\.weight hold values that float16 cannot tell; keep this model in float32"):
        save_model(tmp_path / "m", model, {"weights_dtype": "float16"}, "")
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("values", [{"method": "dino"}, {"teachers": 3, "init": "x"}, {"init": {"learned_whole": "ferplus"}}, {}])
def test_configs_of_other_makers_tell_of_no_test_faces(values: dict[str, Any]) -> None:
    assert learned_whole(values) == ()
