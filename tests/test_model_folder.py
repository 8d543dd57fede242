"""A model folder gives back the same model, or says what is wrong with it."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from evenface._version import __version__
from evenface.errors import ModelError, StorageError
from evenface.model_folder import ModelConfig, load_model, save_model
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
    (folder / "left_behind.txt").touch()
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
    assert (tmp_path / "photos" / "a.jpg").exists()


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
        ({"train_counts": {"joy": 3}}, "train_counts"),
        ({"method": "rbcf"}, "method"),
        ({"dataset": 3}, "dataset"),
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
