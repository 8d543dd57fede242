"""Words of a command line become runs, and their scores are aligned whatever the order in the files."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from evenface import zoo
from evenface.errors import ConfigError, DataError, ModelError
from evenface.evaluation.records import Predictions, read_predictions, write_predictions
from evenface.report.data import Data
from evenface.report.gather import evaluate_command, find_runs, read_scores, stored
from evenface.runs.evaluate import evaluate

from .conftest import NAMES, Made, ids_of, make_run, true_of


def names(entries: list[str], beside: Path = Path("beside")) -> list[str]:
    return [Path(run.name).name for run in find_runs(entries, beside)[0]]


def test_a_folder_of_runs_and_a_pattern_stand_for_their_runs(made: Made) -> None:
    everything = ["ce-s0", "ce-s1", "rbcf-s0", "rbcf-s1"]
    assert names([str(made.root)]) == everything
    assert names([str(made.root / "rbcf-*")]) == everything[2:]
    assert names([str(made.rbcf[1]), str(made.root / "*")]) == ["rbcf-s1", "ce-s0", "ce-s1", "rbcf-s0"]
    assert names([str(made.one), str(made.one / "best")]) == ["rbcf-s0"]


def test_in_a_folder_cross_entropy_is_the_baseline(made: Made, tmp_path: Path) -> None:
    for name, source in (("a", made.rbcf[0]), ("b", made.ce[0]), ("c", made.rbcf[1])):
        shutil.copytree(source, tmp_path / name)
    assert names([str(tmp_path)]) == ["b", "a", "c"]


def test_runs_that_are_not_ready_are_told(made: Made, tmp_path: Path) -> None:
    shutil.copytree(made.one, tmp_path / "ready")
    shutil.copytree(made.one, tmp_path / "waiting")
    shutil.rmtree(tmp_path / "waiting" / "best")
    runs, notes = find_runs([str(tmp_path)], tmp_path)
    assert [Path(run.name).name for run in runs] == ["ready"]
    assert len(notes) == 1
    assert "waiting" in notes[0]
    with pytest.raises(ModelError, match="no best model yet"):
        find_runs([str(tmp_path / "waiting")], tmp_path)
    shutil.rmtree(tmp_path / "ready")
    with pytest.raises(ConfigError, match="None of the 1 runs"):
        find_runs([str(tmp_path)], tmp_path)


@pytest.mark.parametrize("entry", ["nowhere", "nowhere/*", "."])
def test_words_that_mean_nothing(entry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError):
        find_runs([entry], tmp_path)


def test_a_model_without_a_run_keeps_its_scores_beside_the_report(made: Made, tmp_path: Path) -> None:
    shutil.copytree(made.one / "best", tmp_path / "model")
    (run,), _ = find_runs([str(tmp_path / "model")], tmp_path / "scores")
    assert run.config is None
    digest = hashlib.sha256((tmp_path / "model" / "model.safetensors").read_bytes()).hexdigest()
    assert run.scores == tmp_path / "scores" / f"model-{digest[:8]}"
    assert f"-o {run.scores}" in evaluate_command(run, "test", "none", "model")
    (shipped,), _ = find_runs([zoo.default_model()], tmp_path)
    assert shipped.label == zoo.default_model()


def test_two_models_of_one_name_are_two(made: Made, tmp_path: Path) -> None:
    paths = [str(shutil.copytree(run / "best", tmp_path / name / "model")) for name, run in (("a", made.one), ("b", made.ce[1]))]
    runs, _ = find_runs([*paths, paths[0]], tmp_path)
    assert [run.target for run in runs] == paths
    assert runs[0].label != runs[1].label
    assert runs[0].scores != runs[1].scores


def test_a_model_named_as_a_method_or_a_run_is_no_seed_of_it(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = str(shutil.copytree(made.one / "best", tmp_path / "models" / "ce"))
    monkeypatch.chdir(tmp_path)
    shutil.copytree(made.ce[1], "ce")
    runs, _ = find_runs(["models/ce", "ce"], tmp_path)
    assert [(run.name, run.label) for run in runs] == [("models/ce", "models/ce"), ("ce", "ce")]
    runs[0].scores.mkdir(parents=True)
    for name in ("predictions-test.parquet", "metrics-test.json"):
        shutil.copy(Path("ce") / name, runs[0].scores)
    scores, _ = read_scores(runs, "test", "none", "model", resamples=100)
    assert scores is not None
    assert scores.methods == [("models/ce", [0]), ("ce", [1])]
    assert scores.comparison.finished == ("models/ce",)
    assert find_runs([model], tmp_path)[0][0].label == "ce"


def test_scores_stand_by_falling_training_count_and_by_id(made: Made, squares: Path, tmp_path: Path) -> None:
    """One of two runs has its images backwards and its classes in another order."""
    first = make_run(tmp_path / "first", squares, "ce", 0)
    second = Path(shutil.copytree(first, tmp_path / "second"))
    config = second / "config.yaml"
    config.write_text(config.read_text().replace("\nseed: 0\n", "\nseed: 1\n"))
    p = read_predictions(second / "predictions-test.parquet")
    order, classes = np.arange(len(p.ids))[::-1], [2, 0, 1]
    place = np.argsort(classes)
    turned = Predictions(
        tuple(p.ids[i] for i in order), place[p.true[order]], place[p.predicted[order]], p.probabilities[order][:, classes],
        p.duplicates[order], tuple(NAMES[c] for c in classes),
    )  # fmt: skip
    write_predictions(second / "predictions-test.parquet", turned)
    runs, _ = find_runs([str(first), str(second)], tmp_path)
    scores, missing = read_scores(runs, "test", "none", "model", resamples=100)
    assert scores is not None
    assert not missing
    assert scores.class_names == ("happiness", "anger", "fear")  # 20, 9 and 4 training faces
    assert scores.n == [30, 12, 5]
    assert scores.ids == ids_of("test")
    assert [scores.class_names[t] for t in scores.true] == [NAMES[t] for t in true_of("test")]
    assert (scores.probabilities[0] == scores.probabilities[1]).all()
    assert (scores.predicted[0] == scores.predicted[1]).all()
    assert (scores.probabilities[0][:, 0] == p.probabilities[:, 2]).all()
    assert (scores.predicted[0] == scores.probabilities[0].argmax(axis=1)).all()
    assert scores.methods == [("ce", [0, 1])]


def test_scores_of_a_former_best_model_are_missing(squares: Path, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", squares)
    config = folder / "best" / "config.json"
    config.write_text(config.read_text().replace('"epoch": 2', '"epoch": 3'))
    runs, _ = find_runs([str(folder)], tmp_path)
    assert read_scores(runs, "test", "none", "model") == (None, runs)


def test_runs_on_other_images_are_refused(squares: Path, tmp_path: Path) -> None:
    a, b = make_run(tmp_path / "a", squares, "ce"), make_run(tmp_path / "b", squares, "rbcf")
    shutil.copy(b / "predictions-validation.parquet", b / "predictions-test.parquet")
    runs, _ = find_runs([str(a), str(b)], tmp_path)
    with pytest.raises(DataError, match="different images"):
        read_scores(runs, "test", "none", "model")


def test_a_log_that_was_broken(made: Made, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(made.one, tmp_path / "run"))
    (run,), _ = find_runs([str(folder)], tmp_path)
    (folder / "log.csv").write_text("epoch,validation_loss\n1,0.5\n,0.4\n2,nan\n")
    assert run.log() == [{"epoch": 1.0, "validation_loss": 0.5}, {"epoch": 2.0}]
    (folder / "log.csv").write_bytes(b"\xff\xfe")
    assert run.log() == []


def test_the_data_that_were_named_and_no_others(squares: Path, tmp_path: Path) -> None:
    run_folder = make_run(tmp_path / "run", squares)
    other = tmp_path / "other"
    shutil.copytree(squares, other)
    shutil.rmtree(other / "train" / "fear")  # so that they are not the run's own
    Path(shutil.copytree(other / "train" / "anger", other / "train" / "fear"))
    for file in (other / "test" / "anger").iterdir():
        file.rename(file.with_name(f"other-{file.name}"))
    (run,), _ = find_runs([str(run_folder)], tmp_path)
    own = run_folder / "metrics-test.json"
    assert stored(run, "test", "none", "model") == (run_folder / "predictions-test.parquet", own)
    for data in (Data("folder", str(squares)), Data(None, str(squares))):
        assert (stored(run, "test", "none", "model", data) or ("", ""))[1] == own
    for data in (Data("folder", str(other)), Data(None, str(other))):
        assert stored(run, "test", "none", "model", data) is None
        assert evaluate_command(run, "test", "none", "model", data).endswith(f"--data-dir {other}")
    evaluate(run_folder, dataset="folder", data_dir=str(other), device="cpu")
    files = stored(run, "test", "none", "model", Data("folder", str(other)))
    assert files is not None
    assert files[1] == run_folder / "metrics-other-test.json"
    more = other / "test" / "fear" / "late.png"
    more.write_bytes(next((other / "test" / "fear").iterdir()).read_bytes())  # one face more than was scored
    assert stored(run, "test", "none", "model", Data("folder", str(other))) is None
    with pytest.raises(DataError, match="does not exist"):
        stored(run, "test", "none", "model", Data("folder", str(tmp_path / "typo")))
    namesake = tmp_path / "elsewhere" / "other"  # another set of that name
    shutil.copytree(other, namesake)
    for file in (namesake / "test" / "anger").iterdir():
        file.rename(file.with_name(f"third-{file.name}"))
    assert stored(run, "test", "none", "model", Data("folder", str(namesake))) is None


def test_starts_without_a_head_are_left_out(made: Made, tmp_path: Path) -> None:
    for name in ("start", "run"):
        shutil.copytree(made.one, tmp_path / "runs" / name)
    config = tmp_path / "runs" / "start" / "best" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "kind": "backbone"}))
    for entry in (tmp_path / "runs", tmp_path / "runs" / "*"):
        runs, notes = find_runs([str(entry)], tmp_path)
        assert [run.scores.name for run in runs] == ["run"]
        assert len(notes) == 1
        assert "without a head" in notes[0]
        assert "start" in notes[0]
    with pytest.raises(ModelError, match="backbone without a head"):
        find_runs([str(tmp_path / "runs" / "start")], tmp_path)
    with pytest.raises(ConfigError, match="starts without a head have no scores"):
        find_runs([str(tmp_path / "runs" / "st*")], tmp_path)
