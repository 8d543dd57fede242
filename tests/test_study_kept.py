"""The kept answers of a study: what they bring back, and what they do not pretend to have."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from evenface.errors import ConfigError, DataError, ModelError
from evenface.evaluation.records import read_metrics, read_predictions
from evenface.runs import compare, evaluate
from evenface.study import Recipe, Run, collect, plan, read_recipe, state_of
from evenface.study.kept import keep, restore
from evenface.study.state import minutes

from .test_leaderboard import CLASSES, TRUE, finish
from .test_leaderboard import recipe as recipe  # a fixture


@pytest.fixture
def study(recipe: Path) -> tuple[Recipe, list[Run]]:
    read = read_recipe(recipe)
    return read, plan(read)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "kept.parquet"


def test_a_machine_without_the_folders_has_the_same_table(study: tuple[Recipe, list[Run]], file: Path) -> None:
    recipe, runs = study
    answers = {run.folder.name: finish(run) for run in runs[:4]}
    before = collect(recipe, runs, resamples=100)
    metrics = {run.folder: read_metrics(run.folder / "metrics-test.json") for run in runs[:4]}
    assert keep(runs, file, "test", "none") == 4
    table = pq.read_table(file)
    assert table.column_names == ["id", "label", "duplicate_of_train", *answers]
    for name, given in answers.items():
        assert table[name].to_pylist() == [CLASSES[i] for i in given]

    shutil.rmtree(recipe.output)
    assert restore(runs, file, "test", "none") == runs[:4]
    assert [state_of(run, "test", "none").done for run in runs] == [True] * 4 + [False] * 2
    after = collect(recipe, runs, resamples=100)
    assert after.missing == before.missing
    assert after.train_counts == {"happiness": 9, "neutral": 10, "fear": 1}
    for old, new in zip(before.comparison.methods, after.comparison.methods, strict=True):
        assert (old.method, old.seeds, list(old.recall), old.ci95) == (new.method, new.seeds, list(new.recall), new.ci95)
    assert before.comparison.pairs == after.comparison.pairs
    for run in runs[:4]:
        again = read_metrics(run.folder / "metrics-test.json")
        assert again["confusion"] == metrics[run.folder]["confusion"]
        assert again["epoch"] == 2
    assert (read_predictions(runs[0].folder / "predictions-test.parquet").true == TRUE).all()

    finish(runs[4])  # one more here, and the file has five: its own four and this one
    assert keep(runs, file, "test", "none") == 5
    assert keep(runs[:1], file, "test", "none") == 5
    assert restore(runs, file, "test", "none") == []


def test_minutes_and_the_epochs_log_come_back_and_no_path(study: tuple[Recipe, list[Run]], file: Path, monkeypatch: Any) -> None:
    recipe, runs = study
    finish(runs[0])
    monkeypatch.setattr("evenface.study.kept.minutes", lambda folder: 12.5)
    keep(runs, file, "test", "none")
    assert str(recipe.output).encode() not in file.read_bytes()
    shutil.rmtree(recipe.output)
    restore(runs, file, "test", "none")
    assert minutes(runs[0].folder) == 12.5
    assert (runs[0].folder / "log.csv").read_text() == "epoch\n1\n2\n"
    assert json.loads((runs[0].folder / "environment.json").read_text())["packages"] == {"torch": "2.9"}


def test_a_run_that_another_must_start_from_is_trained_anew(tmp_path: Path, file: Path) -> None:
    values = {"base": {"epochs": 2}, "runs": {"ce": {}, "rbcf": {"method": "rbcf", "after": "ce"}}, "output": str(tmp_path / "runs")}
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(values))
    first, then = plan(read_recipe(tmp_path / "small.yaml"))
    finish(first)
    keep([first, then], file, "test", "none")
    shutil.rmtree(tmp_path / "runs")
    assert restore([first, then], file, "test", "none") == []
    assert restore([first], file, "test", "none") == [first]
    finish(then)
    keep([first, then], file, "test", "none")
    shutil.rmtree(tmp_path / "runs")
    assert restore([first, then], file, "test", "none") == [first, then]


def test_a_restored_run_is_compared_and_says_that_it_has_no_weights(study: tuple[Recipe, list[Run]], file: Path, tmp_path: Path) -> None:
    recipe, runs = study
    pair = [runs[0], runs[2]]
    for run in pair:
        finish(run)
    keep(runs, file, "test", "none")
    shutil.rmtree(recipe.output)
    restore(runs, file, "test", "none")
    comparison, counts = compare([run.folder for run in pair], resamples=50)
    assert len(comparison.methods) == 2
    assert counts == {"happiness": 9, "neutral": 10, "fear": 1}
    with pytest.raises(ModelError, match=r"model\.safetensors"):
        evaluate(runs[0].folder)


def test_what_does_not_fit_is_told(study: tuple[Recipe, list[Run]], file: Path, recipe: Path, tmp_path: Path) -> None:
    _, runs = study
    assert restore(runs, file, "test", "none") == []
    assert keep(runs, file, "test", "none") == 0
    assert not file.exists()
    finish(runs[0])
    keep(runs, file, "test", "none")
    with pytest.raises(ConfigError, match="holds answers on test, and the recipe scores on test-flip"):
        restore(runs, file, "test", "flip")
    table = pq.read_table(file)
    other = tmp_path / "other.parquet"
    pq.write_table(table.slice(1), other)
    with pytest.raises(DataError, match="answers for other faces"):
        keep(runs, other, "test", "none")
    pq.write_table(table.replace_schema_metadata({}), other)
    with pytest.raises(DataError, match="cannot be read as the kept answers"):
        restore(runs, other, "test", "none")
    other.write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match="cannot be read as the kept answers"):
        keep(runs, other, "test", "none")
    shutil.rmtree(runs[0].folder)
    bare = table.schema.field(3).remove_metadata()
    pq.write_table(table.cast(table.schema.set(3, bare)), other)
    with pytest.raises(DataError, match="no usable record of ce-s0-"):
        restore(runs, other, "test", "none")
    assert not (runs[0].folder / "config.yaml").exists()


def test_other_settings_under_the_same_name_are_told(study: tuple[Recipe, list[Run]], file: Path) -> None:
    """A default that has changed since, so that the hash is the same and the run is not."""
    recipe, runs = study
    finish(runs[0])
    keep(runs, file, "test", "none")
    shutil.rmtree(recipe.output)
    table = pq.read_table(file)
    facts = json.loads(table.field(3).metadata[b"run"])
    facts["settings"]["weight_decay"] = 0.123
    changed = table.schema.set(3, table.schema.field(3).with_metadata({"run": json.dumps(facts)}))
    pq.write_table(table.cast(changed), file)
    with pytest.raises(ConfigError, match=r"was trained with weight_decay 0\.123"):
        restore(runs, file, "test", "none")
