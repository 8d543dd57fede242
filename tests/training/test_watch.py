"""The maps that a run keeps of watched faces: what they hold, that they change nothing, and that a stopped run goes on with them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from evenface.data.manifest import Manifest
from evenface.data.store import open_store
from evenface.errors import ConfigError, DataError
from evenface.methods import METHODS, get_method
from evenface.methods.base import Method
from evenface.model_folder import load_model
from evenface.training import watch
from evenface.training.config import TrainConfig, from_dict
from evenface.training.run import assemble, resume, train
from evenface.training.watch import read_watched


Settings = Callable[..., TrainConfig]
IDS = "validation-004,validation-000"


def files_of(run: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((run / "watched").iterdir())}


def test_watching_changes_no_bit_of_the_run(settings: Settings, assert_same: Callable[..., None], whole: Path) -> None:
    config = settings(watch=IDS)
    train(config)
    assert_same(whole, config.folder)
    assert list(files_of(config.folder)) == ["epoch-0000.npz", "epoch-0001.npz", "epoch-0002.npz"]
    assert not (whole / "watched").exists()


def test_what_is_kept_is_what_the_network_says(settings: Settings, tiny_set: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "_BATCH", 1)
    config = settings(watch=IDS, epochs=1, img_size=64)
    train(config)
    start, after = read_watched(config.folder)
    assert (start.number, after.number) == (0, 1)
    assert after.ids == ("validation-004", "validation-000")
    assert after.split == "validation"
    part = Manifest.load(tiny_set).split("validation")
    rows = [part.ids().index(name) for name in after.ids]
    assert after.labels == tuple(part.table["label"].to_pylist()[row] for row in rows)
    model, about = load_model(config.folder / "best")  # after the only epoch
    assert after.class_names == about.class_names
    x = open_store(part, 64, mode="memory").gather(np.array(rows)).float() / 255
    with torch.no_grad():
        out, mirror = model(x), model(x.flip(-1))
    np.testing.assert_allclose(after.maps, out.maps.numpy(), atol=1e-5)
    np.testing.assert_allclose(after.scores, out.logits.softmax(1).numpy(), atol=1e-6)
    np.testing.assert_allclose(after.mirror_maps[..., 0], mirror.maps.numpy()[..., -1], atol=1e-5)
    assert not np.allclose(start.maps, after.maps)


@pytest.mark.parametrize("how", ["stop", pytest.param("kill", marks=pytest.mark.slow)])
def test_a_stopped_run_goes_on_with_them(settings: Settings, at_step: Callable[..., type[BaseException]], how: str) -> None:
    config = settings(watch="1", epochs=3)
    train(config)
    whole = files_of(config.folder)
    broken = settings(watch="1", epochs=3, output="broken")
    killed = at_step(6, how)  # in the second epoch of 4 steps
    with pytest.raises(BaseException) as caught:  # noqa: PT011
        train(broken)
    assert how == "stop" or isinstance(caught.value, killed)
    assert list(files_of(broken.folder)) == ["epoch-0000.npz", "epoch-0001.npz"]
    at_step(0)
    resume(broken.folder)
    assert files_of(broken.folder) == whole


def test_test_is_never_looked_at(settings: Settings) -> None:
    config = settings(watch="1", epochs=1, protocol="paper")
    train(config)
    found = read_watched(config.folder)[-1]
    assert found.split == "train"
    assert all(name.startswith("train-") for name in found.ids)
    assert sorted(found.labels) == sorted(set(found.labels))  # one of each class
    assert len(found.ids) == 3


@pytest.mark.parametrize("name", [name for name in METHODS if get_method(name).deploy is not Method.deploy])
def test_what_a_method_deploys_can_be_watched_from_its_start(name: str, settings: Settings, whole: Path) -> None:
    loop = assemble(settings(watch="1", method=name, epochs=2, **({"init": str(whole / "best")} if name == "tau_norm" else {})))
    assert loop.watched is not None
    loop.watched.save(loop.model_to_keep(), 0, torch.device("cpu"))
    assert np.isfinite(read_watched(loop.folder.path)[0].maps).all()


@pytest.mark.parametrize(
    ("which", "word"), [("validation-04", "did you mean 'validation-0"), ("0", "at least 1"), ("test-001", "Unknown id"), (65, "13 faces")]
)
def test_a_wrong_face_is_told_before_anything_is_made(which: Any, word: str, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "MOST", 12)
    with pytest.raises(ConfigError, match=word):
        train(settings(watch=which))
    assert not settings().folder.exists()


def test_a_number_may_be_one_in_yaml() -> None:
    assert from_dict({"watch": 2}, "x.yaml").watch == 2
    with pytest.raises(ConfigError, match="--watch"):
        from_dict({"watch": 1.5}, "x.yaml")
    with pytest.raises(ConfigError, match="--watch"):
        from_dict({"watch": True}, "x.yaml")


def test_it_names_no_other_run_of_a_study() -> None:
    from evenface.study.plan import matter

    assert matter(TrainConfig(watch="1")) == matter(TrainConfig())


def test_a_run_without_and_a_damaged_file(settings: Settings, whole: Path) -> None:
    with pytest.raises(ConfigError, match="--watch 1"):
        read_watched(whole)
    config = settings(watch="1", epochs=1)
    train(config)
    file = config.folder / "watched" / "epoch-0001.npz"
    for content in (b"", file.read_bytes()[:-200], b"not a zip at all"):
        file.write_bytes(content)
        with pytest.raises(DataError, match=r"epoch-0001\.npz is damaged"):
            read_watched(config.folder)
