"""Comparing runs that are scored: which are seeds of one method, which cannot be compared, and what the reader must be told."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from sklearn.metrics import balanced_accuracy_score

from evenface.cli.main import main
from evenface.errors import ConfigError, DataError
from evenface.report.tables import methods_table, metrics_notes
from evenface.runs.answers import score_answers
from evenface.runs.calibrate import calibrate
from evenface.runs.compare import compare
from evenface.runs.evaluate import evaluate
from evenface.training.config import load_config
from evenface.training.run import train

from .conftest import CLASSES, faces


def test_seeds_that_go_on_from_their_own_first_runs_are_one_method(run: Path, tmp_path: Path) -> None:
    """As `crt` of seed s from `ce` of seed s; a first run of other settings makes another method."""
    copies = []
    for seed, rate in ((0, 1e-4), (1, 1e-4), (2, 5e-4)):
        first, second = tmp_path / f"first{seed}", tmp_path / f"second{seed}"
        for folder, changes in ((first, {"lr": rate}), (second, {"init": str(first / "best")})):
            shutil.copytree(run, folder)
            config = yaml.safe_load((folder / "config.yaml").read_text())
            (folder / "config.yaml").write_text(yaml.safe_dump({**config, **changes, "seed": seed}))
        evaluate(second, device="cpu")
        copies.append(second)
    comparison, _ = compare(copies[:2])
    assert [m.seeds for m in comparison.methods] == [(0, 1)]
    comparison, _ = compare(copies)
    assert [m.seeds for m in comparison.methods] == [(0, 1), (2,)]  # told apart by what they started from
    assert [m.method.rpartition("init=")[2] for m in comparison.methods] == ["a run of ce (1)", "a run of ce (2)"]


def test_compare_takes_evaluated_runs(run: Path) -> None:
    with pytest.raises(ConfigError, match=r"has not been scored on test yet; run: evenface evaluate .* --split test"):
        compare([run, run])
    evaluate(run, device="cpu")
    other = Path(shutil.copytree(run, run.parent / "seed4"))
    config = (other / "config.yaml").read_text().replace("seed: 3", "seed: 4").replace("method: ce", "method: rbcf")
    (other / "config.yaml").write_text(config)
    about = json.loads((other / "best" / "config.json").read_text())
    (other / "best" / "config.json").write_text(json.dumps(about | {"method": {"name": "rbcf"}}))
    _, counts = compare([run, other], resamples=50)
    assert counts == dict.fromkeys(CLASSES, 8)
    assert not any("Optimistic" in note for note in compare([run, other], resamples=50)[0].notes)
    for folder in (run, other):
        evaluate(folder, split="validation", device="cpu")
    notes = compare([run, other], split="validation", resamples=50)[0].notes
    assert "Optimistic: the epoch was chosen on these very images; not an estimate for new faces." in notes
    metrics = json.loads((other / "metrics-validation.json").read_text())
    (other / "metrics-validation.json").write_text(json.dumps(metrics | {"optimistic": False}))
    notes = compare([run, other], split="validation", resamples=50)[0].notes
    assert f"Optimistic, {run}: the epoch was chosen on these very images; not an estimate for new faces." in notes
    with pytest.raises(ConfigError, match=r"is a model without scores beside it; score it with: evenface evaluate .*best --dataset SET"):
        compare([run, run / "best"])


def test_runs_on_other_faces_are_no_seeds_of_one_method(run: Path) -> None:
    """Two subsets as two manifests differ in `data_dir` only; the same set at another place does not count."""
    evaluate(run, device="cpu")
    other = Path(shutil.copytree(run, run.parent / "seed4"))
    config = yaml.safe_load((other / "config.yaml").read_text())
    (other / "config.yaml").write_text(yaml.safe_dump(config | {"seed": 4, "data_dir": "/elsewhere/faces.parquet"}))
    assert [m.method for m in compare([run, other], resamples=50)[0].methods] == ["ce"]
    about = json.loads((other / "environment.json").read_text())
    (other / "environment.json").write_text(json.dumps(about | {"data_ids": "others"}))
    labels = [m.method for m in compare([run, other], resamples=50)[0].methods]
    assert len(labels) == 2
    assert labels[1] == "ce data_dir=/elsewhere/faces.parquet"


def test_where_the_same_faces_lie_says_nothing_beside_runs_on_others_too(run: Path) -> None:
    """Data, and the list of what is left out of them, that were moved between two seeds; the third run has fewer of the same faces."""
    evaluate(run, device="cpu")
    config, about = yaml.safe_load((run / "config.yaml").read_text()), json.loads((run / "environment.json").read_text())

    def copy(name: str, faces: str, **changes: Any) -> Path:
        folder = Path(shutil.copytree(run, run.parent / name))
        (folder / "config.yaml").write_text(yaml.safe_dump(config | changes))
        (folder / "environment.json").write_text(json.dumps(about | {"data_ids": faces}))
        return folder

    def compared(*runs: Path) -> dict[str, tuple[int, ...]]:
        return {m.method: m.seeds for m in compare(runs, resamples=50)[0].methods}

    here, there = {"data_dir": "/here/faces", "exclude": "/here/out.csv"}, {"data_dir": "/there/faces", "exclude": "/there/out.csv"}
    first, moved = copy("first", "all", **here, seed=0), copy("moved", "all", **there, seed=1)
    fewer = copy("fewer", "some", **there, seed=0, imbalance=50.0)
    assert compared(first, moved) == {"ce": (0, 1)}
    assert compared(first, moved, fewer) == {"ce imbalance=None": (0, 1), "ce imbalance=50.0": (0,)}
    altered = copy("altered", "others", **there, seed=2)  # another list under the same name
    assert compared(first, moved, altered) == {"ce faces=set 1": (0, 1), "ce faces=set 2": (2,)}


def test_runs_on_other_pictures_of_the_same_faces_are_no_seeds_of_one_method(run: Path) -> None:
    evaluate(run, device="cpu")
    other = Path(shutil.copytree(run, run.parent / "seed4"))
    config, about = yaml.safe_load((other / "config.yaml").read_text()), json.loads((other / "environment.json").read_text())
    (other / "config.yaml").write_text(yaml.safe_dump(config | {"seed": 4}))
    assert set(about["pictures"]) == {"train", "validation", "test"}

    def compared(pictures: dict[str, str] | None, data_dir: str = config["data_dir"]) -> tuple[list[str], list[str]]:
        (other / "environment.json").write_text(json.dumps({**about, "pictures": pictures}))
        (other / "config.yaml").write_text(yaml.safe_dump(config | {"seed": 4, "data_dir": data_dir}))
        found, _ = compare([run, other], resamples=50)
        return [m.method for m in found.methods], [note for note in found.notes if "other pictures" in note]

    assert compared(about["pictures"]) == (["ce"], [])
    assert compared(None) == (["ce"], [])  # a run of an older evenface does not say
    blurred = {**about["pictures"], "train": "0123456789abcdef fedcba9876543210"}
    told = [f"{other} was trained and scored on other pictures of these faces than {run}."]
    assert compared(blurred, "/blurred/faces.parquet")[0][1] == "ce data_dir=/blurred/faces.parquet"
    assert compared(blurred) == (["ce faces=set 1", "ce faces=set 2"], told)  # altered where they lie
    half = {**about["pictures"], "train": f"0123456789abcdef {about['pictures']['train'].split()[1]}"}  # other files, the same pixels
    assert compared(half) == (["ce"], [])


def test_runs_of_another_precision_are_another_method(run: Path) -> None:
    evaluate(run, device="cpu")
    other = Path(shutil.copytree(run, run.parent / "bf16"))
    config = yaml.safe_load((other / "config.yaml").read_text())
    (other / "config.yaml").write_text(yaml.safe_dump(config | {"precision": "bf16"}))
    assert [m.method for m in compare([run, other], resamples=50)[0].methods] == ["ce precision=fp32", "ce precision=bf16"]


@pytest.mark.parametrize(("place", "code", "told"), [("folder", 2, "names a file"), ("file/comparison.json", 1, "cannot be written")])
def test_a_comparison_that_cannot_be_kept_is_told_before_the_work(
    place: str, code: int, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def work(*_: Any, **__: Any) -> None:
        raise AssertionError("too late")

    monkeypatch.setattr("evenface.runs.compare.compare", work)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    assert main(["compare", "a", "b", "-o", str(tmp_path / place)]) == code
    assert told in capsys.readouterr().err


def test_compare_refuses_scores_of_an_older_model(run: Path) -> None:
    evaluate(run, device="cpu")
    assert len(compare([run], resamples=50)[0].methods) == 1
    about = json.loads((run / "best" / "config.json").read_text())
    (run / "best" / "config.json").write_text(json.dumps(about | {"epoch": about["epoch"] + 1}))
    with pytest.raises(ConfigError, match=r"has been trained on since it was scored on test; run: evenface evaluate .* --split test"):
        compare([run], resamples=50)


def test_scores_that_are_damaged_or_half_there_are_told_as_such(run: Path) -> None:
    evaluate(run, device="cpu")
    metrics = run / "metrics-test.json"
    for text in ("[1]", "{", '{"epoch": 1}'):
        metrics.write_text(text)
        with pytest.raises(DataError, match=r"metrics-test\.json .*write it again with: evenface evaluate"):
            compare([run], resamples=50)
    metrics.unlink()
    with pytest.raises(ConfigError, match="has not been scored on test yet"):
        compare([run], resamples=50)


def test_compare_under_a_prior(run: Path) -> None:
    with pytest.raises(ConfigError, match=r"run: evenface evaluate .* --split test --prior balanced"):
        compare([run], prior="balanced", resamples=50)
    own, under = evaluate(run, device="cpu"), evaluate(run, device="cpu", prior="balanced")
    for prior, found in (("model", own), ("balanced", under)):
        assert compare([run], prior=prior, resamples=50)[0].methods[0].mean("overall") == found.metrics["overall"]
    about = json.loads((run / "best" / "config.json").read_text())
    (run / "best" / "config.json").write_text(json.dumps(about | {"calibration": None}))
    assert compare([run], resamples=50)[0].methods[0].mean("overall") == own.metrics["overall"]
    with pytest.raises(ConfigError, match="has been trained on or calibrated since it was scored"):
        compare([run], prior="balanced", resamples=50)
    with pytest.raises(ConfigError, match="Unknown prior"):
        compare([run], prior="flat")


def test_what_a_prior_brings_to_one_model_and_to_several(run: Path, tmp_path: Path) -> None:
    """Each reading is a method; the paired test is that of scikit-learn's recalls, and a tool stands there once."""
    second = Path(shutil.copytree(run, tmp_path / "second"))
    config = yaml.safe_load((second / "config.yaml").read_text())
    (second / "config.yaml").write_text(yaml.safe_dump({**config, "seed": 1}))
    found = {prior: [evaluate(each, device="cpu", prior=prior) for each in (run, second)] for prior in ("model", "half", "balanced")}
    comparison, _ = compare([run, second], prior=["model", "half", "balanced"], resamples=100)
    method = comparison.methods[0].method
    assert [m.method for m in comparison.methods] == [method, f"{method} --prior half", f"{method} --prior balanced"]
    for pair, prior in zip(comparison.pairs, ("half", "balanced"), strict=True):
        recalls = []
        for each in (*found["model"], *found[prior]):
            table = pq.read_table(each.predictions_file)
            recalls.append(balanced_accuracy_score(table["label"].to_pylist(), table["predicted"].to_pylist()))
        assert pair.baseline == method
        assert pair.seeds == (1, 3)
        assert pair.mean_recall.value == pytest.approx(sum(recalls[2:]) / 2 - sum(recalls[:2]) / 2)
        assert pair.mcnemar
    evaluate(run, device="cpu", tta="flip")
    comparison, _ = compare([run], tta=("none", "flip"), resamples=100)
    assert [m.method for m in comparison.methods] == [method, f"{method} --tta flip"]
    evaluate(run, device="cpu", tta="flip", prior="half")
    comparison, _ = compare([run], tta="flip", prior=["model", "half"], resamples=100)
    assert [m.method for m in comparison.methods] == [method, f"{method} --prior half"]  # what all have in common names none
    told = [note for note in comparison.notes if note.startswith("A method with one seed")]
    assert len(told) == 1

    ids, true = (pq.read_table(found["model"][0].predictions_file)[name].to_pylist() for name in ("id", "label"))
    (tmp_path / "right.csv").write_text("\n".join(["id,label", *(f"{i},{name}" for i, name in zip(ids, true, strict=True))]))
    faces(CLASSES).save(tmp_path / "tiny.parquet")
    score_answers(tmp_path / "right.csv", dataset="manifest", data_dir=str(tmp_path / "tiny.parquet"), output=tmp_path / "right")
    comparison, _ = compare([run, tmp_path / "right"], prior=["model", "balanced"], resamples=100)
    assert [m.method for m in comparison.methods] == [method, "right", f"{method} --prior balanced"]
    assert "right: another tool's answers, which stand as they are." in comparison.notes

    for given, why in (
        ({"prior": ["model", "model"]}, "Give each prior once"),
        ({"prior": []}, "at least one of .*balanced.*; got none"),
        ({"prior": ["model", "flat"]}, "Unknown prior 'flat'"),
        ({"prior": None}, "Unknown prior 'None'"),
        ({"tta": ["none", "mirror"]}, "Unknown view"),
        ({"tta": ["none", "flip"], "prior": ["model", "balanced"]}, "run: evenface evaluate .* --split test --tta flip --prior balanced"),
    ):
        with pytest.raises(ConfigError, match=why):
            compare([run], **given)


def test_several_priors_from_the_command_line(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for prior in ("model", "half"):
        evaluate(run, device="cpu", prior=prior)
    assert main(["compare", str(run), "--prior", "model,half", "--resamples", "100"]) == 0
    assert "--prior half" in capsys.readouterr().out
    assert main(["compare", str(run), "--prior", "model,"]) == 2
    assert "Unknown prior ''" in capsys.readouterr().err


def test_what_cannot_work_is_told_in_python_too(run: Path) -> None:
    with pytest.raises(ConfigError, match=r"takes a list of folders, such as \['.*run', 'runs/other'\]"):
        compare(str(run))
    for use in (evaluate, calibrate):
        with pytest.raises(ConfigError, match="batch_size and workers are at least 1, not 0 and 2"):
            use(run, batch_size=0)
    with pytest.raises(ConfigError, match="Unknown prior 'None'; known are"):
        evaluate(run, prior=None)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="train takes a TrainConfig"):
        train({"dataset": "synthetic"})  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [99, 3_000_000_000])
def test_how_often_faces_are_drawn_has_bounds(count: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "a", "--resamples", str(count)]) == 2
    assert "--resamples lies between 100" in capsys.readouterr().err


def test_a_run_is_compared_with_another_tools_answers(run: Path, tmp_path: Path) -> None:
    evaluate(run, split="test", device="cpu")
    data = load_config(run / "config.yaml").data_dir
    true = pq.read_table(run / "predictions-test.parquet")["label"].to_pylist()
    ids = pq.read_table(run / "predictions-test.parquet")["id"].to_pylist()
    lines = ["id,label", *(f"{name},{label}" for name, label in zip(ids, true, strict=True))]
    (tmp_path / "right.csv").write_text("\n".join(lines) + "\n")
    score_answers(tmp_path / "right.csv", dataset="manifest", data_dir=data, output=tmp_path / "right")
    comparison, _ = compare([run, tmp_path / "right"])
    assert [m.method for m in comparison.methods] == ["ce", "right"]
    assert comparison.methods[1].mean("overall") == 1.0
    evaluate(run, split="test", device="cpu", tta="flip")
    comparison, _ = compare([run, tmp_path / "right"], tta="flip")
    assert comparison.methods[1].mean("overall") == 1.0
    assert any("with one seed" in note for note in comparison.notes)  # the run
    assert not any("with one seed" in note for note in compare([tmp_path / "right"], resamples=50)[0].notes)
    assert "right: another tool's answers, which stand as they are, without --tta flip." in comparison.notes


def test_a_model_without_a_run_is_compared_by_its_folder_of_scores(run: Path, tmp_path: Path) -> None:
    """As one that ships: the folder's name stands for it, and what was not scored that way is told."""
    model = Path(shutil.copytree(run / "best", tmp_path / "model"))
    given = {"dataset": "manifest", "data_dir": load_config(run / "config.yaml").data_dir, "device": "cpu"}
    evaluate(model, **given, output=tmp_path / "shipped")
    own, again = evaluate(run, device="cpu"), evaluate(model, **given, output=tmp_path / "second")
    comparison, counts = compare([tmp_path / "shipped", run, tmp_path / "second"], resamples=50)
    assert [m.method for m in comparison.methods] == ["shipped", "ce", "second"]
    assert {m.mean("mean_recall") for m in comparison.methods} == {own.metrics["mean_recall"]} == {again.metrics["mean_recall"]}
    assert counts == dict.fromkeys(CLASSES, 8)
    assert methods_table(comparison).footer[-1] == ("seeds", "", "-", "3", "-")
    with pytest.raises(ConfigError, match=r"shipped has no scores on test, --tta flip; run: evenface evaluate MODEL .*--tta flip -o "):
        compare([tmp_path / "shipped"], tta="flip")
    with pytest.raises(ConfigError, match="is a model folder, to be given away"):
        evaluate(model, **given, output=model)


def test_scores_in_a_folder_named_as_a_method_are_no_seed_of_it(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor are those in two folders of one name; a folder that is named twice stays one."""
    model = Path(shutil.copytree(run / "best", tmp_path / "model"))
    given = {"dataset": "manifest", "data_dir": load_config(run / "config.yaml").data_dir, "device": "cpu"}
    for name in ("a/ce", "b/ce", "ce"):
        evaluate(model, **given, output=tmp_path / name)
    evaluate(run, device="cpu")
    monkeypatch.chdir(tmp_path)
    for entries, labels in (
        ([run, "a/ce"], ["ce", "a/ce"]),
        ([run, "ce"], ["ce", str(tmp_path / "ce")]),
        (["a/ce", "b/ce"], ["a/ce", "b/ce"]),
        (["b/ce"], ["ce"]),
    ):
        found = compare(entries, resamples=50)[0]
        assert [(m.method, len(m.seeds)) for m in found.methods] == [(label, 1) for label in labels]
    assert any("with one seed" in note for note in compare([run, "a/ce"], resamples=50)[0].notes)  # the run
    with pytest.raises(ConfigError, match="leave one out"):
        compare(["a/ce", tmp_path / "a" / "ce", "b/ce"], resamples=50)


def test_scores_of_runs_on_other_data_are_compared_by_their_folders(run: Path, tmp_path: Path) -> None:
    """Their files are named after the data: other-test."""
    for name in ("other", "third"):
        part = faces(CLASSES).split("test")
        part.replace(part.table, name=name).save(tmp_path / f"{name}.parquet")
    folders = [tmp_path / "ours", tmp_path / "theirs"]
    how: dict[str, Any] = {"dataset": "manifest", "device": "cpu"}
    for folder, prior in zip(folders, ("model", "balanced"), strict=True):
        evaluate(run, **how, data_dir=str(tmp_path / "other.parquet"), output=folder)
        found = evaluate(run, **how, data_dir=str(tmp_path / "other.parquet"), prior=prior, output=folder)
        assert found.metrics_file.name.startswith("metrics-other-test")
    assert [m.method for m in compare(folders, resamples=50)[0].methods] == ["ours", "theirs"]
    assert compare(folders[1:], prior="balanced", resamples=50)[0].methods[0].mean("overall") == found.metrics["overall"]
    with pytest.raises(ConfigError, match="ours has no scores on test, --prior balanced"):
        compare(folders, prior="balanced", resamples=50)
    evaluate(run, **how, data_dir=str(tmp_path / "third.parquet"), output=folders[0])
    with pytest.raises(ConfigError, match=r"ours has scores on test of several data sets \(other, third\); give each a folder of its own"):
        compare(folders, resamples=50)


def test_scores_on_other_pictures_of_the_same_names_are_told(run: Path, tmp_path: Path) -> None:
    data = Path(str(load_config(run / "config.yaml").data_dir))
    given: dict[str, Any] = {"dataset": "manifest", "device": "cpu"}
    evaluate(run, device="cpu")
    evaluate(run / "best", **given, data_dir=str(data), output=tmp_path / "same")
    table = pq.read_table(data)
    images = table["image"].to_pylist()
    place = table["split"].to_pylist().index("test")
    images[place] = {**images[place], "bytes": images[place - 1]["bytes"]}  # one picture is another
    other = table.set_column(
        table.column_names.index("image"), table.schema.field("image"), pa.array(images, table.schema.field("image").type)
    )
    pq.write_table(other, tmp_path / "other.parquet")
    evaluate(run / "best", **given, data_dir=str(tmp_path / "other.parquet"), output=tmp_path / "other")
    told = f"{tmp_path / 'other'} was scored on other pictures than {run}, though they have the same names: no test of the models alone."
    assert [note for note in compare([run, tmp_path / "other"], resamples=50)[0].notes if "other pictures" in note] == [told]
    assert not any("other pictures" in note for note in compare([run, tmp_path / "same"], resamples=50)[0].notes)
    (answers,) = (tmp_path / "other").glob("predictions-*.parquet")
    pq.write_table((whole := pq.read_table(answers)).take(list(range(len(whole)))[::-1]), answers)  # in this order nothing is known
    assert not any("other pictures" in note for note in compare([run, tmp_path / "other"], resamples=50)[0].notes)
    pq.write_table(whole, answers)
    (file,) = (tmp_path / "other").glob("metrics-*.json")
    metrics = json.loads(file.read_text())
    del metrics["pictures"]  # as an older evenface left it
    file.write_text(json.dumps(metrics))
    assert not any("other pictures" in note for note in compare([run, tmp_path / "other"], resamples=50)[0].notes)


def test_another_tools_answers_may_be_where_one_stands(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = evaluate(run, device="cpu")
    table = pq.read_table(found.predictions_file).select(["id", "label"])
    (tmp_path / "tool").mkdir()
    pq.write_table(table, tmp_path / "answers.parquet")
    score_answers(
        tmp_path / "answers.parquet", dataset="manifest", data_dir=load_config(run / "config.yaml").data_dir, output=tmp_path / "tool"
    )
    monkeypatch.chdir(tmp_path / "tool")
    for entries, names in (([run, "."], ["ce", "tool"]), ([".", run], ["tool", "ce"])):
        assert [m.method for m in compare(entries, resamples=50)[0].methods] == names


def test_training_faces_say_nothing_of_new_ones(run: Path) -> None:
    found = evaluate(run, split="train", device="cpu")
    assert found.metrics["optimistic"] is True
    assert metrics_notes(found.metrics)[-1] == "Optimistic: the model learned on these train images; not an estimate for new faces."
    assert (
        compare([run], split="train", resamples=50)[0]
        .notes[-1]
        .endswith("the model learned on these very images; not an estimate for new faces.")
    )
    card = (run / "best" / "README.md").read_text()
    assert "None of these faces stands in train" not in card.partition("## Scores on train")[2]


def test_a_calibration_on_these_very_images_is_told_when_runs_are_compared(run: Path) -> None:
    calibrate(run, split="test", device="cpu")
    evaluate(run, prior="balanced", device="cpu")
    notes = compare([run], prior="balanced", resamples=50)[0].notes
    assert notes[-1] == "Optimistic: the epoch was chosen or the calibration fitted on these very images; not an estimate for new faces."


def test_seeds_stay_together_when_their_folder_is_renamed(run: Path, tmp_path: Path) -> None:
    place = tmp_path / "old"
    for seed in (0, 1):
        for name, changes in ((f"first{seed}", {}), (f"second{seed}", {"init": str(place / f"first{seed}")})):
            shutil.copytree(run, place / name)
            config = yaml.safe_load((place / name / "config.yaml").read_text())
            (place / name / "config.yaml").write_text(yaml.safe_dump({**config, **changes, "seed": seed}))
        evaluate(place / f"second{seed}", device="cpu")
    place.rename(tmp_path / "new")
    assert [m.seeds for m in compare([tmp_path / "new" / f"second{s}" for s in (0, 1)], resamples=50)[0].methods] == [(0, 1)]


def test_a_run_that_was_made_anew_from_what_came_of_it(run: Path, tmp_path: Path) -> None:
    """Each of the two names the other as its start."""
    for name, other, seed in (("a", "b", 0), ("b", "a", 1)):
        shutil.copytree(run, tmp_path / name)
        config = yaml.safe_load((tmp_path / name / "config.yaml").read_text())
        (tmp_path / name / "config.yaml").write_text(yaml.safe_dump({**config, "init": str(tmp_path / other), "seed": seed}))
        evaluate(tmp_path / name, device="cpu")
    assert [m.seeds for m in compare([tmp_path / "a", tmp_path / "b"], resamples=50)[0].methods] == [(0,), (1,)]


def test_runs_called_as_a_start_are_none(run: Path, tmp_path: Path) -> None:
    for name in ("none", "pretrained"):
        shutil.copytree(run, tmp_path / name)
        config = yaml.safe_load((tmp_path / name / "config.yaml").read_text())
        (tmp_path / name / "config.yaml").write_text(yaml.safe_dump({**config, "init": name, "seed": len(name)}))
        evaluate(tmp_path / name, device="cpu")
    found = compare([tmp_path / "none", tmp_path / "pretrained"], resamples=50)[0].methods
    assert [m.method.rpartition("init=")[2] for m in found] == ["none", "pretrained"]
