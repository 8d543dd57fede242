"""Whole distillations: what they learn, what they leave, how they go on, and where they refuse."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file

from evenface import zoo
from evenface.data.store import to_float
from evenface.distill.answers import LearnAnswers
from evenface.distill.config import options_of, with_whole_paths
from evenface.distill.descriptors import LearnDescriptors, evenly, nearest
from evenface.distill.run import assemble, distill, resume
from evenface.distill.teachers import FaceTeacher, ModelTeachers
from evenface.errors import ConfigError, LabelError, ModelError
from evenface.labels import BASIC, CLASSES
from evenface.methods.base import Batch
from evenface.model_folder import load_model
from evenface.models.classifier import build_classifier
from evenface.models.init import load_init
from evenface.runs.compare import compare
from evenface.runs.evaluate import evaluate
from evenface.training.config import TrainConfig
from evenface.training.loop import Loop
from evenface.training.run import train

from .conftest import model_folder


Settings = Callable[..., TrainConfig]


def log_of(folder: Path) -> list[dict[str, float]]:
    return [{k: float(v) for k, v in row.items() if k != "best"} for row in csv.DictReader((folder / "log.csv").read_text().splitlines())]


class Killed(BaseException):
    pass


def kill_at(monkeypatch: pytest.MonkeyPatch, epoch: int, step: int) -> None:
    plain = Loop.step

    def stepped(self: Loop, *args: Any, **more: Any) -> dict[str, torch.Tensor]:
        if (self.state.epoch, self.state.step) == (epoch, step):
            self._save()
            raise Killed
        return plain(self, *args, **more)

    monkeypatch.setattr(Loop, "step", stepped)


# -------------------- what is computed


def batch_of(x: torch.Tensor) -> Batch:
    return Batch(x, None, torch.zeros(len(x), dtype=torch.int64), None, torch.arange(len(x)), lambda maps: maps)


def test_the_loss_of_descriptors_by_hand(settings: Settings) -> None:
    """From the teacher's and the student's features, the means taken by a loop over the training faces."""
    loop = assemble(settings(model="resnet10t", img_size=64, descriptor_weight=0.5, map_weight=2.0))
    method, student = loop.method, loop.plain.model.eval()
    assert isinstance(method, LearnDescriptors)
    faces = to_float(loop.train.gather(np.arange(len(loop.train))))
    teacher = FaceTeacher(103)
    said = [teacher(face[None]) for face in faces]
    mean, mean_map = sum(d for d, _ in said) / len(said), sum(m for _, m in said) / len(said)
    torch.testing.assert_close(method.mean_descriptor, mean[0], atol=1e-4, rtol=1e-4)

    with torch.no_grad():
        found = method.loss(batch_of(faces[:5]), student)
        grid = student.backbone((faces[:5] - student.mean) / student.std)  # (5, 512, 2, 2)
        lift: Any = student.lift
        parts = [0.0, 0.0]
        share = torch.tensor([[2 / 3, 1 / 3, 0], [0, 1 / 3, 2 / 3]])
        for i in range(5):
            d = lift.descriptor.weight @ grid[i].mean((1, 2)) + lift.descriptor.bias
            m = torch.einsum("oc,chw->ohw", lift.map.weight[:, :, 0, 0], grid[i]) + lift.map.bias[:, None, None]
            target = share @ (said[i][1] - mean_map)[0] @ share.T  # of 3 x 3 cells, two for one and a half each
            assert target.shape == (256, 2, 2) == m.shape
            for k, (a, b) in enumerate([(d, (said[i][0] - mean)[0]), (m.flatten(), target.flatten())]):
                parts[k] += 1 - float(a @ b / a.norm() / b.norm())
    assert found.parts["descriptor"].item() == pytest.approx(parts[0] / 5, abs=1e-4)
    assert found.parts["map"].item() == pytest.approx(parts[1] / 5, abs=1e-4)
    assert found.total.item() == pytest.approx((0.5 * parts[0] + 2 * parts[1]) / 5, abs=1e-3)


def test_the_judge_of_descriptors_by_loops(settings: Settings) -> None:
    loop = assemble(settings())
    method, student = loop.method, loop.plain.model
    assert isinstance(method, LearnDescriptors)
    verdict = loop.judge(student)
    store: Any = loop.judge.store  # type: ignore[attr-defined]
    faces = to_float(store.gather(np.arange(len(store))))
    with torch.no_grad():
        student.eval()
        lift: Any = student.lift
        mine = [lift.descriptor(student.grid(face[None]).mean((2, 3)))[0] for face in faces]
        theirs = [method.teacher(face[None])[0][0] - method.mean_descriptor for face in faces]
    cosines = [float(F.cosine_similarity(a, b, dim=0)) for a, b in zip(mine, theirs, strict=True)]
    assert verdict.value == verdict.scores["cosine"] == pytest.approx(sum(cosines) / len(cosines), abs=1e-4)
    same = 0
    for i in range(len(faces)):
        near = [
            max((j for j in range(len(faces)) if j != i), key=lambda j: float(F.cosine_similarity(them[i], them[j], dim=0)))
            for them in (mine, theirs)
        ]
        same += near[0] == near[1]
    assert verdict.scores["agreement"] == pytest.approx(same / len(faces))


@pytest.mark.parametrize("size", [32, 224])
def test_the_judge_of_maps_by_loops(settings: Settings, size: int) -> None:
    """Without a weight of descriptors; the student's grid is finer than the teacher's 3 x 3 at 224 px."""
    loop = assemble(settings(descriptor_weight=0.0, model="resnet10t", img_size=size))
    method, student = loop.method, loop.plain.model
    assert isinstance(method, LearnDescriptors)
    verdict = loop.judge(student)
    store: Any = loop.judge.store  # type: ignore[attr-defined]
    faces = to_float(store.gather(np.arange(len(store))))
    cosines = []
    with torch.no_grad():
        student.eval()
        lift: Any = student.lift
        for face in faces:
            mine = lift.map(student.grid(face[None]))[0]
            theirs = method.teacher(face[None])[1][0] - method.mean_map
            side = min(mine.shape[-1], theirs.shape[-1])
            a, b = (F.adaptive_avg_pool2d(F.interpolate(m[None], scale_factor=21, mode="nearest"), side).flatten() for m in (mine, theirs))
            cosines.append(float(a @ b / a.norm() / b.norm()))
    assert (mine.shape[-1] > theirs.shape[-1]) == (size == 224)
    assert verdict.value == verdict.scores["map_cosine"] == pytest.approx(sum(cosines) / len(cosines), abs=1e-4)
    assert verdict.scores["loss"] == pytest.approx(1 - verdict.value)


def test_the_card_the_log_and_the_folder_name_what_was_judged(settings: Settings) -> None:
    said = {"cosine": ("the face descriptors of", "2: cosine "), "map_cosine": ("the maps of", "2: map cosine ")}
    for by, weight in (("cosine", 1.0), ("map_cosine", 0.0)):
        result = distill(settings(output=by, descriptor_weight=weight))
        log = log_of(result.folder)
        best = max(row[f"validation_{by}"] for row in log)
        assert (result.by, result.best) == (by, best)
        assert (f"validation_{'map_' if weight else ''}cosine" in log[0], "validation_agreement" in log[0]) == (False, by == "cosine")
        selection = json.loads((result.folder / "best" / "config.json").read_text())["selection"]
        assert (selection["by"], selection["value"]) == (by, best)
        card = (result.folder / "best" / "README.md").read_text()
        assert all(words in card for words in said[by])
        assert resume(result.folder).by == by


def test_nearest_and_evenly() -> None:
    vectors = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 2.0], [0.2, 1.0]])
    assert nearest(vectors).tolist() == [1, 0, 3, 2]
    assert evenly(5, 10).tolist() == [0, 1, 2, 3, 4]
    assert evenly(101, 3).tolist() == [0, 50, 100]


def test_the_loss_of_answers_by_hand(settings: Settings, models: list[str]) -> None:
    loop = assemble(settings(tuple(models), temperature=2.0, map_weight=0.5))
    method, student = loop.method, loop.plain.model.eval()
    assert isinstance(method, LearnAnswers)
    x = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = method.loss(batch_of(x), student)
        out = student(x)
        said = [load_model(name)[0](x) for name in models]
        divergence = distance = 0.0
        for n in range(4):
            t = sum((each.logits[n] / 2).softmax(0) for each in said) / 2
            q = (out.logits[n] / 2).softmax(0)
            divergence += float((t * (t / q).log()).sum())
            a, b = out.maps[n], sum(each.maps[n] for each in said) / 2
            a, b = (a - a.mean(0)).flatten(), (b - b.mean(0)).flatten()
            distance += 1 - float(a @ b / a.norm() / b.norm())
    assert found.parts["answers"].item() == pytest.approx(4 * divergence / 4, abs=1e-4)
    assert found.parts["map"].item() == pytest.approx(distance / 4, abs=1e-4)
    assert found.total.item() == pytest.approx(divergence + 0.5 * distance / 4, abs=1e-4)


# -------------------- what a run leaves


def test_a_backbone_learns_and_is_a_start(settings: Settings) -> None:
    config = settings(epochs=8, lr=3e-3, jitter=0.0, hflip=0.0, scale=0.0, shift=0.0)
    result = distill(config)
    log = log_of(result.folder)
    assert log[-1]["train_descriptor"] < 0.6 * log[0]["train_descriptor"]
    assert log[-1]["train_map"] < 0.8 * log[0]["train_map"]
    assert result.best == max(row["validation_cosine"] for row in log) > log[0]["validation_cosine"] + 0.3
    assert result.by == "cosine"

    fresh = build_classifier("test_resnet", ("a", "b"), 32)
    report = load_init(fresh, str(result.folder))
    assert report.matched == report.total
    assert [*report.missing, *report.reshaped, *report.unexpected, *report.head] == []
    about = json.loads((result.folder / "best" / "config.json").read_text())
    assert about["kind"] == "backbone"
    assert about["teachers"][0]["name"] == "dlib-face"
    weights = load_file(result.folder / "best" / "model.safetensors")
    for name, value in fresh.backbone.state_dict().items():
        torch.testing.assert_close(value, weights[f"backbone.{name}"], rtol=0, atol=0)

    with pytest.raises(ModelError, match="does not fit the backbone 'resnet10t'"):
        load_init(build_classifier("resnet10t", ("a", "b"), 32), str(result.folder))
    with pytest.raises(ModelError, match="backbone without a head"):
        evaluate(result.folder)


def test_a_student_learns_the_answers_and_is_a_model(settings: Settings, models: list[str]) -> None:
    config = settings(tuple(models), epochs=8, lr=3e-3, jitter=0.0, hflip=0.0, scale=0.0, shift=0.0)
    result = distill(config)
    log = log_of(result.folder)
    assert log[-1]["train_answers"] < 0.3 * log[0]["train_answers"]
    assert result.best == max(row["validation_agreement"] for row in log) >= 0.5
    model, about = load_model(result.folder / "best")
    assert about.train_counts is None  # the teachers' differ
    found = evaluate(result.folder, split="test", device="cpu")
    assert found.metrics["n"] == 12
    assert model.class_names == about.class_names


def test_scores_on_faces_that_were_learned_from_are_optimistic(settings: Settings, models: list[str]) -> None:
    apart = distill(settings(tuple(models), output="apart", epochs=1)).folder
    assert evaluate(apart, split="test", device="cpu").metrics["optimistic"] is False
    met = distill(settings(tuple(models), output="met", epochs=1, all_splits=True)).folder
    where = settings().data_dir
    for data_dir in (None, where):  # named or not, it is the same set
        found = evaluate(met, split="test", device="cpu", data_dir=data_dir)
        assert (found.metrics["optimistic"], found.metrics["learned_from"], found.metrics_file.name) == (True, True, "metrics-test.json")
    assert evaluate(apart, split="validation", device="cpu", data_dir=where).metrics["optimistic"] is True  # its epoch was chosen there
    card = (met / "best" / "README.md").read_text()
    assert "(optimistic: the model learned, without labels, on these faces)" in card
    assert "Optimistic: the model learned, without labels, on these test faces; no estimate for new ones." in card
    assert "the model learned, without labels, on these very images" in compare([met])[0].notes[-1]


def test_a_student_of_unlabelled_faces_has_no_data_of_its_own_to_be_scored_on(
    settings: Settings, models: list[str], tmp_path: Path
) -> None:
    for i in range(8):
        (tmp_path / "loose").mkdir(exist_ok=True)
        Image.new("RGB", (32, 32), (30 * i, 9, 90)).save(tmp_path / "loose" / f"{i}.png")
        place = tmp_path / "mine" / "test" / BASIC[i % 7]
        place.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 32), (9, 30 * i, 9)).save(place / f"{i}.png")
    student = distill(settings(tuple(models), unlabelled=str(tmp_path / "loose"), val_fraction=0.3, epochs=1)).folder
    found = evaluate(student, data_dir=str(tmp_path / "mine"), device="cpu")
    assert found.metrics_file.name == "metrics-mine-test.json"
    assert found.metrics["optimistic"] is False
    with pytest.raises(ConfigError, match="'folder' needs its folder"):
        evaluate(student, device="cpu")


def test_what_comes_from_such_a_model_is_optimistic_too(settings: Settings, models: list[str], tmp_path: Path) -> None:
    backbone = distill(settings(output="backbone", epochs=1, all_splits=True)).folder
    teacher = distill(settings(tuple(models), output="teacher", epochs=1, all_splits=True)).folder
    student = distill(settings((str(teacher), models[0]), output="student", epochs=1)).folder
    config = dataclasses.replace(settings(), method="ce", method_options={}, epochs=1)
    started = {
        name: train(dataclasses.replace(config, init=str(init), output=str(tmp_path / name))).folder
        for name, init in (("first", backbone), ("fair", "none"))
    }
    second = train(dataclasses.replace(config, init=str(started["first"]), output=str(tmp_path / "second"))).folder
    for folder, told in ((student, True), (started["first"], True), (second, True), (started["fair"], False)):
        assert evaluate(folder, split="test", device="cpu").metrics["optimistic"] is told, folder


@pytest.mark.slow  # it draws the synthetic set
def test_a_student_of_teachers_of_eight_classes_is_scored_on_eight(settings: Settings, tmp_path: Path) -> None:
    teacher = model_folder(tmp_path / "eight", 3, CLASSES)
    student = distill(settings((str(teacher),), dataset="synthetic", data_dir=None, epochs=1, val_fraction=0.02)).folder
    assert evaluate(student, split="validation", device="cpu").metrics["class_names"] == list(CLASSES)


def test_the_state_holds_no_teacher(settings: Settings) -> None:
    loop = assemble(settings())
    assert not [name for name in loop.state_dict()["trainee"] if "teacher" in name]
    assert sum("mean_descriptor" in name for name in loop.state_dict()["trainee"]) == 1


# -------------------- going on, and refusing to


@pytest.mark.parametrize("kind", ["faces", "models"])
def test_a_killed_run_goes_on_to_the_same_bits(settings: Settings, models: list[str], monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    teacher = ("dlib-face",) if kind == "faces" else tuple(models)
    whole = distill(settings(teacher, output="whole", erase=0.5))
    with monkeypatch.context() as patch:
        kill_at(patch, 1, 2)
        with pytest.raises(Killed):
            distill(settings(teacher, output="cut", erase=0.5))
    cut = resume(settings(teacher, output="cut").folder)
    assert (cut.folder / "best" / "model.safetensors").read_bytes() == (whole.folder / "best" / "model.safetensors").read_bytes()
    drop = "images_per_second"
    assert [{k: v for k, v in row.items() if k != drop} for row in log_of(cut.folder)] == [
        {k: v for k, v in row.items() if k != drop} for row in log_of(whole.folder)
    ]
    before = (whole.folder / "last.ckpt").read_bytes()
    assert resume(whole.folder).best == whole.best  # a finished one stays as it is
    assert (whole.folder / "last.ckpt").read_bytes() == before


def test_other_settings_are_named_and_a_moved_teacher_goes_on(
    settings: Settings, models: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = settings((models[0],))
    with monkeypatch.context() as patch:
        kill_at(patch, 0, 1)
        with pytest.raises(Killed):
            distill(config)
    kept = config.folder / "config.yaml"
    for changes, told in (
        ({"seed": 3}, "seed is 3 and was 0"),
        ({"method_options": {**config.method_options, "temperature": 2.0}}, "'temperature': 2.0.* and was .*'temperature': 1.0"),
    ):
        kept.write_text(dataclasses.replace(config, **changes).to_yaml())
        with pytest.raises(ConfigError, match=told):
            resume(config.folder)
    (tmp_path / "elsewhere").mkdir()
    teacher = shutil.move(models[0], tmp_path / "elsewhere")
    kept.write_text(dataclasses.replace(config, method_options={**config.method_options, "teacher": (str(teacher),)}).to_yaml())
    assert resume(config.folder).best_epoch >= 1


def test_another_teacher_cannot_take_over(settings: Settings, models: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    kill_at(monkeypatch, 0, 1)
    with pytest.raises(Killed):
        distill(settings((models[0],)))
    shutil.rmtree(models[0])
    model_folder(Path(models[0]), 7)
    with pytest.raises(ModelError, match="not the one that"):
        resume(settings((models[0],)).folder)


def test_what_cannot_be(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Unknown backbone"):
        distill(settings(model="resnet1"))
    assert not settings().folder.exists()
    with pytest.raises(ConfigError, match="--dropout would do nothing"):
        settings(dropout=0.1)
    assert settings(("a",), dropout=0.1).dropout == 0.1
    few = model_folder(tmp_path / "few", 3, ("anger", "fear", "happiness"))
    folder = settings((str(few),), output="taught").folder
    distill(settings((str(few),), output="taught", epochs=1))  # the set's labels do not matter
    with pytest.raises(ConfigError, match="evenface distill --resume"):
        distill(settings((str(few),), output="taught"))
    with pytest.raises(ConfigError, match="evenface distill --resume"):  # whoever comes upon it
        train(dataclasses.replace(TrainConfig.from_preset("tiny"), output=str(folder)))
    with pytest.raises(ConfigError, match="--all-splits would do nothing"):
        settings(unlabelled=str(tmp_path), all_splits=True)
    with pytest.raises(LabelError, match="do not match"):
        evaluate(folder, device="cpu")


def test_a_name_stays_one_where_a_folder_is_called_so(
    settings: Settings, models: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("dlib-face", *zoo.shipped()):
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics-test.json").write_text("{}")  # as `evaluate NAME -o NAME` leaves it
        assert options_of(with_whole_paths(settings((name,)))).teacher == (name,)
    shutil.copytree(models[0], tmp_path / zoo.default_model(), dirs_exist_ok=True)
    found = options_of(with_whole_paths(settings((zoo.default_model(), "teacher1"))))
    assert found.teacher == (str(tmp_path / zoo.default_model()), str(tmp_path / "teacher1"))


def test_the_card_has_the_teachers_hash_and_the_licence_of_its_data(settings: Settings, models: list[str]) -> None:
    config = Path(models[0]) / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "data_licence": "research use only"}))
    folder = distill(settings(tuple(models), epochs=1)).folder
    card = (folder / "best" / "README.md").read_text(encoding="utf-8")
    for model in models:
        assert hashlib.sha256((Path(model) / "model.safetensors").read_bytes()).hexdigest() in card
    assert card.count("their teacher's: research use only") == 1


def test_models_are_read_from_runs_too(settings: Settings, models: list[str]) -> None:
    first = distill(settings((models[0],), epochs=1, output="first"))
    teacher = ModelTeachers([str(first.folder)])
    assert teacher.sources[0].name == "first"
    assert teacher.train_counts == dict.fromkeys(teacher.class_names, 11)
