"""Scoring a run and a model folder: the files of the contract, the same bytes each time, and a clear line for what does not fit."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image, ImageFilter
from sklearn.metrics import balanced_accuracy_score, confusion_matrix

from evenface import zoo
from evenface.data.manifest import IMAGE_TYPE, Manifest
from evenface.errors import ConfigError, DataError, LabelError, ModelError, StorageError
from evenface.labels import BASIC
from evenface.model_folder import read_config
from evenface.runs.answers import score_answers
from evenface.runs.calibrate import calibrate
from evenface.runs.evaluate import evaluate
from evenface.runs.find import find_model

from .conftest import CLASSES, faces, probabilities


def test_the_files_hold_what_the_contract_names(run: Path) -> None:
    found = evaluate(run, split="test", device="cpu", command=["evenface", "evaluate", "run"])
    assert found.predictions_file == run / "predictions-test.parquet"
    assert found.metrics_file == run / "metrics-test.json"
    table = pq.read_table(found.predictions_file)
    assert table.column_names == ["id", "label", "predicted", "duplicate_of_train", *(f"p_{name}" for name in CLASSES)]
    assert table["id"].to_pylist() == [f"test-{i}" for i in range(12)]
    assert [i for i, again in enumerate(table["duplicate_of_train"].to_pylist()) if again] == [3, 7]
    probabilities = np.stack([table[f"p_{name}"].to_numpy() for name in CLASSES], axis=1)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    true, predicted = table["label"].to_pylist(), table["predicted"].to_pylist()
    assert predicted == [CLASSES[i] for i in probabilities.argmax(axis=1)]
    metrics = json.loads(found.metrics_file.read_text())
    assert metrics == json.loads(json.dumps(found.metrics))
    assert metrics["confusion"] == confusion_matrix(true, predicted, labels=CLASSES).tolist()
    assert metrics["mean_recall"] == pytest.approx(balanced_accuracy_score(true, predicted))
    assert (metrics["n"], metrics["dataset"], metrics["split"], metrics["class_names"]) == (12, "tiny", "test", list(CLASSES))
    assert metrics["duplicates_of_train"]["n"] == 2
    assert metrics["duplicates_of_train"]["without"]["n"] == 10
    expected = {"seeds": [3], "command": "evenface evaluate run", "run": "run", "protocol": "validation", "optimistic": False, "epoch": 1}
    assert {key: metrics[key] for key in expected} == expected
    assert metrics["selection"]["split"] == "validation"
    assert found.train_counts == dict.fromkeys(CLASSES, 8)


def test_twice_gives_the_same_bytes_whatever_the_workers(run: Path) -> None:
    def files() -> list[bytes]:
        return [(run / name).read_bytes() for name in ("predictions-test.parquet", "metrics-test.json")]

    evaluate(run, device="cpu")
    first = files()
    evaluate(run, device="cpu", workers=3)
    assert files() == first
    evaluate(run, device="cpu", batch_size=5)
    again = json.loads((run / "metrics-test.json").read_text())
    assert again["confusion"] == json.loads(first[1])["confusion"]


def test_flip_has_files_of_its_own(run: Path) -> None:
    evaluate(run, device="cpu", tta="flip")
    assert {path.name for path in run.glob("*-test*")} == {"predictions-test-flip.parquet", "metrics-test-flip.json"}
    assert json.loads((run / "metrics-test-flip.json").read_text())["tta"] == "flip"
    flip, plain = (probabilities(file) for file in (run / "predictions-test-flip.parquet", evaluate(run, device="cpu").predictions_file))
    turned = _saved_again(faces(CLASSES), "PNG", lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    turned.replace(turned.table, name="mirrored").save(run.parent / "mirrored.parquet")
    mirror = probabilities(evaluate(run, dataset="manifest", data_dir=str(run.parent / "mirrored.parquet"), device="cpu").predictions_file)
    np.testing.assert_allclose(flip, (plain + mirror) / 2, atol=1e-5)
    assert np.abs(flip - plain).max() > 1e-3
    with pytest.raises(ConfigError, match=r"--tta is one of none, flip, experts, not 'mirror'"):
        evaluate(run, tta="mirror")


def test_the_split_that_chose_the_epoch_is_optimistic(run: Path) -> None:
    assert evaluate(run, split="validation", device="cpu").metrics["optimistic"] is True


def test_another_data_set_does_not_take_the_place_of_the_own(run: Path, tmp_path: Path) -> None:
    for split in ("train", "test"):
        for i, name in enumerate(CLASSES):
            folder = tmp_path / "other" / split / name
            folder.mkdir(parents=True)
            Image.new("RGB", (40, 40), (80 * i, 0, 0)).save(folder / "a.png")
    own = evaluate(run, device="cpu")
    other = evaluate(run, dataset="folder", data_dir=str(tmp_path / "other"), device="cpu")
    assert other.metrics_file == run / "metrics-other-test.json"
    assert other.metrics["n"] == 3
    assert json.loads(own.metrics_file.read_text())["n"] == 12


def test_other_faces_of_the_same_reader_are_told_from_the_own(run: Path, tmp_path: Path) -> None:
    evaluate(run, device="cpu")
    whole = faces(CLASSES)
    whole.save(tmp_path / "moved.parquet")
    assert evaluate(run, data_dir=str(tmp_path / "moved.parquet"), device="cpu").metrics_file == run / "metrics-test.json"
    fewer = whole.take(range(1, len(whole)))
    fewer.replace(fewer.table, name="fewer").save(tmp_path / "fewer.parquet")
    other = evaluate(run, data_dir=str(tmp_path / "fewer.parquet"), device="cpu")
    assert other.metrics_file == run / "metrics-fewer-test.json"
    assert "protocol" not in other.metrics
    assert json.loads((run / "metrics-test.json").read_text())["dataset"] == "tiny"


def test_data_of_one_name_do_not_take_each_others_place(run: Path, tmp_path: Path) -> None:
    few = faces(CLASSES)
    places = [tmp_path / place / "few.parquet" for place in ("a", "b")]
    for kept, place in zip((len(few) - 1, len(few) - 2), places, strict=True):
        part = few.take(range(len(few) - kept, len(few)))
        place.parent.mkdir()
        part.replace(part.table, name="few").save(place)
    first = evaluate(run, data_dir=str(places[0]), device="cpu")
    evaluate(run, data_dir=str(places[0]), device="cpu")  # the same once more
    before = first.metrics_file.read_bytes(), first.predictions_file.read_bytes()
    with pytest.raises(ConfigError, match=r"have the same name as those in .* name another folder for these with -o, or remove that file"):
        evaluate(run, data_dir=str(places[1]), device="cpu")
    assert before == (first.metrics_file.read_bytes(), first.predictions_file.read_bytes())
    assert evaluate(run, data_dir=str(places[1]), output=tmp_path / "scores", device="cpu").metrics_file.is_file()
    for damaged in (b"{", None):
        first.metrics_file.write_bytes(damaged) if damaged is not None else first.metrics_file.unlink()
        assert evaluate(run, data_dir=str(places[1]), device="cpu").metrics_file == first.metrics_file


def test_a_set_of_test_faces_alone_can_be_scored(run: Path, tmp_path: Path) -> None:
    only = faces(CLASSES).split("test")
    only.save(tmp_path / "only.parquet")
    found = evaluate(run / "best", dataset="manifest", data_dir=str(tmp_path / "only.parquet"), output=tmp_path / "scores", device="cpu")
    assert found.metrics["n"] == 12
    assert found.metrics["duplicates_of_train"]["n"] == 0


def test_what_a_run_left_out_of_its_own_faces_is_no_matter_of_others(run: Path, tmp_path: Path) -> None:
    """Settings that cannot work on the other set do not apply to it."""
    (tmp_path / "out.txt").write_text("train-0\n")
    config = yaml.safe_load((run / "config.yaml").read_text())
    (run / "config.yaml").write_text(yaml.safe_dump({**config, "exclude": str(tmp_path / "out.txt"), "label_noise": 0.2}))
    part = faces(CLASSES).split("test")
    part.save(tmp_path / "others.parquet")
    found = evaluate(run, dataset="manifest", data_dir=str(tmp_path / "others.parquet"), device="cpu")
    assert found.metrics["n"] == 12
    (run / "config.yaml").write_text(yaml.safe_dump({**config, "data_dir": str(tmp_path / "nowhere.parquet")}))
    with pytest.raises(DataError):  # where the run's own faces are meant, it is told
        evaluate(run, device="cpu")


def test_a_model_folder_needs_data_and_a_place(run: Path, tmp_path: Path) -> None:
    model = Path(shutil.copytree(run / "best", tmp_path / "model"))
    with pytest.raises(ConfigError, match=r"say with -o/--output where the scores go"):
        evaluate(model)
    with pytest.raises(ConfigError, match=r"is a model without its data; say what to score it on with --dataset"):
        evaluate(model, output=tmp_path / "scores")
    faces(CLASSES).save(tmp_path / "tiny.parquet")
    data = str(tmp_path / "tiny.parquet")
    found = evaluate(model, dataset="manifest", data_dir=data, output=tmp_path / "scores", device="cpu")
    assert found.metrics["confusion"] == evaluate(run, device="cpu").metrics["confusion"]
    assert {path.name for path in (tmp_path / "scores").iterdir()} == {"metrics-test.json", "predictions-test.parquet"}
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"is a file; -o/--output names the folder"):
        evaluate(run, output=tmp_path / "file", device="cpu")


def test_the_scores_of_another_run_are_not_replaced(run: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(run, tmp_path / "other"))
    before = {path.name for path in other.iterdir()}
    with pytest.raises(ConfigError, match="is a run, whose own scores would be replaced; name another folder"):
        evaluate(run, output=other, device="cpu")
    with pytest.raises(ConfigError, match="is a run, whose own scores"):
        score_answers(tmp_path / "right.csv", dataset="manifest", output=other)
    assert {path.name for path in other.iterdir()} == before
    assert evaluate(run, output=run, device="cpu").metrics_file.parent == run


def test_one_folder_has_the_scores_of_one_model_on_one_data_set(run: Path, tmp_path: Path) -> None:
    model, another = (Path(shutil.copytree(run / "best", tmp_path / name)) for name in ("model", "another"))
    answers = tmp_path / "tool.csv"
    faces(CLASSES).save(tmp_path / "tiny.parquet")
    names = [(row["id"], row["label"]) for row in faces(CLASSES).split("test").table.to_pylist()]
    answers.write_text("\n".join(["id,label", *(f"{name},{label}" for name, label in names)]), encoding="utf-8")
    given = {"dataset": "manifest", "data_dir": str(tmp_path / "tiny.parquet")}
    scores = tmp_path / "scores"
    evaluate(model, **given, output=scores, device="cpu")
    before = {path: path.read_bytes() for path in scores.iterdir()}
    told = r"has the scores of model on tiny; name another folder for those of {} on tiny with -o"
    with pytest.raises(ConfigError, match=told.format("another")):
        evaluate(another, **given, output=scores, device="cpu")
    with pytest.raises(ConfigError, match=told.format("another")):  # not beside them either: a folder is compared as one model
        evaluate(another, **given, output=scores, device="cpu", tta="flip")
    with pytest.raises(ConfigError, match=told.format("tool.csv")):
        score_answers(answers, **given, output=scores)
    elsewhere = replace(faces(CLASSES), name="faces_of_others")
    elsewhere.save(tmp_path / "other.parquet")
    with pytest.raises(ConfigError, match="those of model on faces_of_others with"):
        evaluate(model, dataset="manifest", data_dir=str(tmp_path / "other.parquet"), output=scores, device="cpu")
    assert {path: path.read_bytes() for path in scores.iterdir()} == before
    evaluate(model, **given, output=scores, device="cpu", tta="flip")
    (scores / "metrics-test.json").write_text("{", encoding="utf-8")  # what is damaged is written anew
    evaluate(model, **given, output=scores, device="cpu")
    assert {path: path.read_bytes() for path in scores.iterdir() if path in before} == before

    tools = tmp_path / "tools"
    score_answers(answers, **given, output=tools)
    score_answers(answers, **given, output=tools)  # corrected answers of the same name
    of_train = answers.rename(tmp_path / "tool-v2.csv")
    for source, name in ((model, "model"), (of_train, "tool-v2.csv")):
        with pytest.raises(ConfigError, match=rf"has the scores of tool.csv on tiny; name another folder for those of {name} on tiny"):
            evaluate(source, **given, output=tools) if source == model else score_answers(source, **given, output=tools)


def test_the_best_folder_of_a_run_stands_for_the_run(run: Path) -> None:
    found = evaluate(str(run / "best"), device="cpu")
    assert found.metrics_file == run / "metrics-test.json"
    assert not list((run / "best").glob("metrics*"))


def test_a_run_and_its_model_may_be_named_from_within(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (run / "best" / "deeper").mkdir()
    for folder, name in ((run, "."), (run, "best"), (run / "best", "."), (run / "best", ".."), (run / "best" / "deeper", "..")):
        monkeypatch.chdir(folder)
        found = evaluate(name, device="cpu")
        assert found.metrics_file.resolve() == run / "metrics-test.json"
        found.metrics_file.unlink()
        assert calibrate(name, device="cpu").calibration.n == 9
    monkeypatch.chdir(shutil.copytree(run / "best", tmp_path / "model"))
    with pytest.raises(ConfigError, match=r"^\. is a model without a run"):
        evaluate(".")


def test_the_split_that_chose_the_epoch_is_optimistic_for_model_folders_too(run: Path, tmp_path: Path) -> None:
    model = Path(shutil.copytree(run / "best", tmp_path / "model"))
    faces(CLASSES).save(tmp_path / "tiny.parquet")
    for split, optimistic in (("validation", True), ("test", False)):
        found = evaluate(
            model, split=split, dataset="manifest", data_dir=str(tmp_path / "tiny.parquet"), output=tmp_path / "s", device="cpu"
        )
        assert found.metrics["optimistic"] is optimistic


def test_other_classes_are_refused(run: Path, tmp_path: Path) -> None:
    faces(BASIC[3:6]).save(tmp_path / "other.parquet")
    with pytest.raises(LabelError, match=BASIC[3]):
        evaluate(run, data_dir=str(tmp_path / "other.parquet"), device="cpu")


def test_what_is_no_run(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"does not exist; give the folder of a run"):
        evaluate(tmp_path / "nothing")
    with pytest.raises(ConfigError, match=r"is neither a run \(config.yaml\) nor a model folder"):
        evaluate(tmp_path)
    shutil.rmtree(run / "best")
    with pytest.raises(ModelError, match=r"no best model yet; let it finish an epoch: evenface train --resume"):
        evaluate(run)


def test_a_prior_has_files_of_its_own(run: Path) -> None:
    """Bayes' rule by a loop, on the model's own answers."""
    plain = probabilities(evaluate(run, device="cpu").predictions_file)
    found = evaluate(run, device="cpu", prior="balanced")
    assert found.metrics_file == run / "metrics-test-balanced.json"
    fitted = read_config(run / "best").fitted
    assert fitted is not None
    assert (fitted.split, fitted.n, fitted.dataset) == ("validation", 9, "tiny")
    for mine, row in zip(probabilities(found.predictions_file), plain, strict=True):
        raised = [p ** (1 / fitted.temperature) * np.exp(fitted.bias[c]) / fitted.prior[c] for p, c in zip(row, CLASSES, strict=True)]
        np.testing.assert_allclose(mine, np.array(raised) / sum(raised), atol=1e-5)
    assert (found.metrics["prior"], found.metrics["calibration"]) == ("balanced", fitted.to_dict())
    assert found.metrics["optimistic"] is False
    assert evaluate(run, device="cpu", prior="train", tta="flip").metrics_file == run / "metrics-test-flip-train.json"
    assert json.loads((run / "metrics-test.json").read_text())["prior"] == "model"
    with pytest.raises(ConfigError, match=r"Unknown prior 'balance'; did you mean 'balanced'"):
        evaluate(run, prior="balance")


def test_the_split_of_the_calibration_is_optimistic_under_a_prior(run: Path) -> None:
    about = json.loads((run / "best" / "config.json").read_text())
    elsewhere = {**about, "selection": {**about["selection"], "split": "another"}}
    (run / "best" / "config.json").write_text(json.dumps(elsewhere))
    assert evaluate(run, split="validation", device="cpu").metrics["optimistic"] is False
    assert evaluate(run, split="validation", device="cpu", prior="balanced").metrics["optimistic"] is True
    assert evaluate(run, split="test", device="cpu", prior="balanced").metrics["optimistic"] is False


def test_own_faces_that_have_changed_are_other_faces(run: Path, tmp_path: Path) -> None:
    whole = faces(CLASSES)
    where = tmp_path / "mine.parquet"
    whole.take(range(1, len(whole))).save(where)
    config = yaml.safe_load((run / "config.yaml").read_text())
    (run / "config.yaml").write_text(yaml.safe_dump({**config, "data_dir": str(where)}))
    for use in (evaluate, calibrate):
        with pytest.raises(DataError, match=r"they have changed since\. Take them as other data, with --data-dir .*mine\.parquet"):
            use(run, device="cpu")
    assert evaluate(run, data_dir=str(where), device="cpu").metrics_file == run / "metrics-tiny-test.json"
    for split, optimistic in (("train", True), ("validation", True), ("test", False)):  # a face less, and the others are the same
        assert evaluate(run, split=split, data_dir=str(where), device="cpu").metrics["optimistic"] is optimistic


def _saved_again(manifest: Manifest, kind: str, alter: Callable[[Image.Image], Image.Image] = lambda image: image) -> Manifest:
    """The same faces under the same ids, each picture altered and written as a file of another kind."""
    pictures = []
    for row in range(len(manifest)):
        file = io.BytesIO()
        alter(Image.open(io.BytesIO(manifest.image_bytes(row)))).save(file, kind)
        pictures.append({"bytes": file.getvalue(), "path": None})
    at = manifest.table.column_names.index("image")
    return manifest.replace(manifest.table.set_column(at, "image", pa.array(pictures, IMAGE_TYPE)))


def test_altered_pictures_of_the_own_faces_do_not_take_the_place_of_their_scores(run: Path, tmp_path: Path) -> None:
    """A model that is tried on blurred copies under the same ids: these are other data, whichever split was altered."""
    own = evaluate(run, device="cpu").metrics_file
    before = own.read_bytes()
    whole = faces(CLASSES)
    blurred = _saved_again(whole, "PNG", lambda image: image.filter(ImageFilter.GaussianBlur(2)))
    tests = whole.table["split"].to_pylist().index("test")
    half = whole.replace(pa.concat_tables([whole.table.slice(0, tests), blurred.table.slice(tests)]))
    for name, manifest in {"blurred": blurred, "half": half}.items():
        manifest.replace(manifest.table, name=name).save(tmp_path / f"{name}.parquet")
        found = evaluate(run, data_dir=str(tmp_path / f"{name}.parquet"), device="cpu")
        assert found.metrics_file == run / f"metrics-{name}-test.json"
    assert own.read_bytes() == before
    assert (
        evaluate(run, split="validation", data_dir=str(tmp_path / "half.parquet"), device="cpu").metrics_file.name
        == "metrics-validation.json"
    )
    _saved_again(whole, "BMP").save(tmp_path / "bitmaps.parquet")  # the same pixels
    assert evaluate(run, data_dir=str(tmp_path / "bitmaps.parquet"), device="cpu").metrics_file == own
    config = yaml.safe_load((run / "config.yaml").read_text())
    (run / "config.yaml").write_text(yaml.safe_dump({**config, "data_dir": str(tmp_path / "half.parquet")}))
    with pytest.raises(DataError, match="they have changed since"):
        evaluate(run, device="cpu")
    about = json.loads((run / "environment.json").read_text())
    (run / "environment.json").write_text(json.dumps({k: v for k, v in about.items() if k != "pictures"}))
    assert evaluate(run, device="cpu").metrics_file == own  # an older evenface wrote down the ids alone


def test_faces_of_other_data_look_as_those_that_the_model_has_learned_from(run: Path, tmp_path: Path) -> None:
    """Coloured ones for a model of grey ones: the answers, and the calibration, are those of the same faces made grey."""
    about = json.loads((run / "best" / "config.json").read_text())
    model = {kind: Path(shutil.copytree(run / "best", tmp_path / kind)) for kind in ("grey", "any")}
    (model["grey"] / "config.json").write_text(json.dumps(about | {"alignment": {"template": "fer2013", "grey": True}}))
    turned = _saved_again(faces(CLASSES), "PNG", lambda image: image.convert("L").convert("RGB"))
    turned.save(tmp_path / "grey.parquet")
    faces(CLASSES).save(tmp_path / "colour.parquet")
    found, biases = {}, {}
    for kind, data in (("grey", "colour"), ("any", "grey"), ("any", "colour")):
        how: dict[str, Any] = {"dataset": "manifest", "data_dir": str(tmp_path / f"{data}.parquet"), "device": "cpu"}
        found[kind, data] = probabilities(evaluate(model[kind], **how, output=tmp_path / f"{kind}_{data}").predictions_file)
        biases[kind, data] = list(calibrate(model[kind], **how).calibration.bias.values())
    for values in (found, biases):
        near, far = (np.abs(np.subtract(values[key], values["any", "grey"])).max() for key in (("grey", "colour"), ("any", "colour")))
        assert near < far / 10, (near, far)
    plain = probabilities(evaluate(run, device="cpu").predictions_file)
    (run / "best" / "config.json").write_text(json.dumps(about | {"alignment": {"template": "fer2013", "grey": True}}))
    np.testing.assert_array_equal(probabilities(evaluate(run, device="cpu").predictions_file), plain)  # its own faces stay as they are


def test_a_list_of_left_out_faces_that_has_gone_is_told(run: Path, tmp_path: Path) -> None:
    config = yaml.safe_load((run / "config.yaml").read_text())
    (run / "config.yaml").write_text(yaml.safe_dump({**config, "exclude": str(tmp_path / "out.txt")}))
    for words in ({}, {"data_dir": config["data_dir"]}):
        with pytest.raises((ConfigError, DataError), match=r"out\.txt"):
            evaluate(run, device="cpu", **words)
    others = faces(CLASSES)
    others.replace(others.table, name="others").save(tmp_path / "others.parquet")
    assert evaluate(run, data_dir=str(tmp_path / "others.parquet"), device="cpu").metrics_file.name == "metrics-others-test.json"


def test_what_cannot_be_kept_is_told_before_the_work(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def work(*_: Any, **__: Any) -> None:
        raise AssertionError("too late")

    monkeypatch.setattr("evenface.runs.evaluate.predict", work)
    monkeypatch.setattr("evenface.runs.calibrate.predict", work)
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        evaluate(run, output=tmp_path / "file" / "scores", device="cpu")
    config = json.loads((run / "best" / "config.json").read_text())
    (run / "best" / "config.json").write_text(json.dumps(config | {"calibration": None, "train_counts": None}))
    with pytest.raises(ModelError, match="The prior 'balanced' needs the training faces"):
        evaluate(run, prior="balanced", device="cpu")
    part = faces(CLASSES)
    kept = [
        i
        for i, (split, label) in enumerate(zip(*(part.table[n].to_pylist() for n in ("split", "label")), strict=True))
        if (split, label) != ("validation", CLASSES[2])
    ]
    part.take(kept).save(tmp_path / "fewer.parquet")
    with pytest.raises(DataError, match=f"The validation split has no face of {CLASSES[2]}"):
        calibrate(run, data_dir=str(tmp_path / "fewer.parquet"), device="cpu")


def test_a_folder_in_the_name_of_a_model_that_ships_hides_it_only_as_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (name,) = zoo.shipped()
    Path(name).mkdir()
    (Path(name) / "metrics-test.json").write_text("{}")  # its scores, perhaps
    assert find_model(Path(name))[2] == zoo.model_path(name)
    assert zoo.model_path(name).parent == zoo.PRETRAINED
    (Path(name) / "config.json").write_text("{}")
    assert find_model(Path(name)) == (None, Path(name), Path(name))
