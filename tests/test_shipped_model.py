"""The model that ships: small enough, whole, and as good as its card says."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest
import torch

from evenface import Recognizer, calibrate, evaluate, zoo
from evenface.errors import ConfigError
from evenface.labels import BASIC
from evenface.model_folder import load_model, read_config
from evenface.report.tables import metrics_notes
from evenface.runs.card import model_card
from evenface.study import plan, read_recipe


NAME = "ferplus-rbf"


def test_it_is_the_default_and_small() -> None:
    folder = zoo.model_path(zoo.default_model())
    assert folder.name == NAME
    assert sum(file.stat().st_size for file in folder.iterdir()) < 12e6
    config = read_config(folder)
    assert set(config.class_names) == set(BASIC)
    assert config.fitted is not None
    assert config.alignment == {"template": "fer2013", "margin": 0.0, "resolution": 48, "grey": True}
    assert "research" in config.details["licence"]


def test_its_card_names_no_place_and_tells_what_it_must() -> None:
    card = zoo.read_card(zoo.model_path(NAME))
    for words in ("research", "must not be used to judge", "seed", "mean recall", "disgust", "stand in train pixel for pixel"):
        assert words in card


def test_its_card_is_what_its_facts_say() -> None:
    """Written by `evenface.pack` from the run, and by nobody since."""
    folder = zoo.model_path(NAME)
    assert model_card(NAME) == (folder / "README.md").read_text(encoding="utf-8")
    assert zoo.sha256_of(folder / "README.md") == json.loads((folder / "card.json").read_text())["card_sha256"]
    assert not re.search(r"(?<![\w.:/~])/\w+/", (folder / "card.json").read_text())  # no place on anybody's machine


def test_the_recipe_trains_it_again() -> None:
    """The settings on its card, which were written by the run, are those of the recipe, and the recipe's comment names the run."""
    path = Path(__file__).resolve().parents[1] / "recipes" / "ship_ferplus.yaml"
    runs = {run.base: run for run in plan(read_recipe(path))}
    settings = json.loads((zoo.model_path(NAME) / "card.json").read_text())["run"]["settings"]
    ours = runs[NAME.removeprefix("ferplus-")].config
    assert {name: getattr(ours, name) for name in settings} == settings
    beside = dataclasses.asdict(runs["ce"].config)
    differ = {name for name, value in dataclasses.asdict(ours).items() if beside[name] != value}
    assert differ == {"method", "method_options", "output"}
    folder = runs[NAME.removeprefix("ferplus-")].folder
    assert path.read_text().count(f"runs/ship_ferplus/{folder.name}") == 2


def test_it_answers_for_a_photo_without_any_setting() -> None:
    data = pytest.importorskip("skimage.data", reason="needs scikit-image for a photo")
    photo = data.astronaut()
    (face,) = Recognizer.from_pretrained(device="cpu").predict(photo)
    assert face.label == "happiness"
    assert 150 < face.box[0] < 200 < face.box[2] < 290


def test_a_mirror_changes_little() -> None:
    data = pytest.importorskip("skimage.data", reason="needs scikit-image for a photo")
    recognizer = Recognizer.from_pretrained(device="cpu")
    first, second = recognizer.predict([data.astronaut(), data.astronaut()[:, ::-1].copy()])
    assert dict(first[0].scores) == pytest.approx(dict(second[0].scores), abs=0.05)


def test_its_answer_for_a_picture_is_the_same_in_any_batch() -> None:
    """With its detector, whose candidates go through the networks together."""
    data = pytest.importorskip("skimage.data", reason="needs scikit-image for a photo")
    photo = data.astronaut()
    pictures = [photo, photo[:300], photo[::2, ::2].copy(), photo[:, ::-1].copy(), photo[40:, 30:]]
    recognizer = Recognizer.from_pretrained(device="cpu")
    for picture, together in zip(pictures, recognizer.predict(pictures), strict=True):
        alone = recognizer.predict(picture)
        assert len(alone) == len(together) > 0
        for one, other in zip(alone, together, strict=True):
            assert one.box == pytest.approx(other.box, abs=1e-3)
            assert dict(one.scores) == pytest.approx(dict(other.scores), abs=1e-5)


@pytest.mark.slow
def test_it_has_the_published_validation_scores(shared: Path, tmp_path: Path) -> None:
    """Those of its card, which were computed before its weights were halved: a few decisions of 3,186 may differ."""
    data = str(shared / "data" / "ferplus")
    found = evaluate(zoo.model_path(NAME), split="validation", dataset="ferplus", data_dir=data, output=tmp_path, device="cpu")
    assert found.metrics["n"] == 3186
    assert "cut_out" not in found.metrics
    assert found.metrics["overall"] == pytest.approx(0.890, abs=0.0015)
    assert found.metrics["mean_recall"] == pytest.approx(0.823, abs=0.0085)  # one disgusted face of 24 is 0.6 points


def test_its_weights_are_finite() -> None:
    model, _ = load_model(zoo.model_path(NAME))
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())


def test_it_is_scored_by_its_name_and_not_written_to(tmp_path: Path) -> None:
    """On nine drawn faces per class, which it has never seen the like of."""
    from evenface.data.synthetic import synthetic_manifest

    counts = {"validation": dict.fromkeys(BASIC, 9), "train": dict.fromkeys(BASIC, 1)}
    synthetic_manifest(counts, size=48, seed=5).save(tmp_path / "drawn.parquet")
    given = {"dataset": "manifest", "data_dir": str(tmp_path / "drawn.parquet"), "split": "validation", "device": "cpu"}
    found = evaluate(NAME, output=tmp_path / "scores", **given)
    assert found.metrics["n"] == 63
    assert found.metrics["overall"] > 2 / 7
    assert found.metrics["cut_out"]["set"] is None
    assert found.metrics["trained_on"] == "ferplus"
    notes = metrics_notes(found.metrics)
    assert any("learned from faces cut out as fer2013; how these are is not known." in note for note in notes)
    with pytest.raises(ConfigError, match="-o/--output"):
        evaluate(NAME, **given)
    with pytest.raises(ConfigError, match="stays as it is"):
        calibrate(NAME, **given)
    with pytest.raises(ConfigError, match="models list"):
        evaluate("ferplus-rbcg", output=tmp_path, **given)
