"""The kept answers of a study: what they bring back, and what they do not pretend to have."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from evenface import zoo
from evenface.errors import ConfigError, DataError, ModelError
from evenface.evaluation.records import read_metrics, read_predictions, write_metrics
from evenface.models import init
from evenface.models.init import model_folder_of
from evenface.runs.compare import compare
from evenface.runs.evaluate import evaluate
from evenface.study import Recipe, Run, Scoring, collect, plan, read_recipe, state_of
from evenface.study.estimate import estimate_study
from evenface.study.kept import keep, names_in, restore
from evenface.study.state import minutes

from .test_leaderboard import CLASSES, TRUE, ask, finish
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
    assert keep(runs, file, Scoring("test")) == 4
    table = pq.read_table(file)
    assert table.column_names == ["id", "label", "duplicate_of_train", *answers]
    for name, given in answers.items():
        assert table[name].to_pylist() == [CLASSES[i] for i in given]

    shutil.rmtree(recipe.output)
    assert restore(runs, file, Scoring("test")).taken == runs[:4]
    assert [state_of(run, Scoring("test")).done for run in runs] == [True] * 4 + [False] * 2
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
    assert keep(runs, file, Scoring("test")) == 5
    assert keep(runs[:1], file, Scoring("test")) == 5
    assert restore(runs, file, Scoring("test")).taken == []


def test_minutes_and_the_epochs_log_come_back_and_no_path(study: tuple[Recipe, list[Run]], file: Path, monkeypatch: Any) -> None:
    recipe, runs = study
    finish(runs[0])
    monkeypatch.setattr("evenface.study.kept.minutes", lambda folder: 12.5)
    keep(runs, file, Scoring("test"))
    assert str(recipe.output).encode() not in file.read_bytes()
    shutil.rmtree(recipe.output)
    restore(runs, file, Scoring("test"))
    assert minutes(runs[0].folder) == 12.5
    assert (runs[0].folder / "log.csv").read_text() == "epoch\n1\n2\n"
    assert json.loads((runs[0].folder / "environment.json").read_text())["packages"] == {"torch": "2.9"}


@pytest.mark.parametrize("damaged", [None, b"{", b"\xff"])
def test_a_run_whose_records_are_damaged_is_kept_without_them(damaged: bytes | None, study: tuple[Recipe, list[Run]], file: Path) -> None:
    recipe, runs = study
    answers = finish(runs[0])
    (runs[0].folder / "log.csv").write_bytes(b"\xffpoch\n1\n2\n")
    record = runs[0].folder / "environment.json"
    record.unlink()
    if damaged is not None:
        record.write_bytes(damaged)
    assert keep(runs, file, Scoring("test")) == 1
    shutil.rmtree(recipe.output)
    assert restore(runs, file, Scoring("test")).taken == runs[:1]
    assert (read_predictions(runs[0].folder / "predictions-test.parquet").predicted == answers).all()
    assert state_of(runs[0], Scoring("test")).done


def chain(tmp_path: Path) -> list[Run]:
    """ce <- mid <- last, which each start from the one before."""
    runs = {"ce": {}, "mid": {"method": "ce", "after": "ce"}, "last": {"method": "rbcf", "after": "mid"}}
    values = {"base": {"epochs": 2}, "runs": runs, "output": str(tmp_path / "runs")}
    (tmp_path / "chain.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    return plan(read_recipe(tmp_path / "chain.yaml"))


def finish_as(run: Run, name: str, **changes: Any) -> np.ndarray:
    """As `finish`, which knows three names, for a run of any."""
    return finish(dataclasses.replace(run, name=name), **changes)


def test_what_others_must_start_from_is_trained_anew(tmp_path: Path, file: Path) -> None:
    runs = chain(tmp_path)
    for run in runs[:2]:
        finish_as(run, "ce")
    keep(runs, file, Scoring("test"))
    shutil.rmtree(tmp_path / "runs")
    assert restore(runs, file, Scoring("test")).taken == []  # the last wants mid, and that wants ce
    assert restore(runs[:2], file, Scoring("test"), write=False).taken == runs[:2]
    assert not (tmp_path / "runs").exists()
    assert restore(runs[:2], file, Scoring("test")).taken == runs[:2]  # as with --only
    assert restore(runs, file, Scoring("test")).taken == []
    assert not any(run.folder.exists() for run in runs), "no weights, so they make room for a training"
    for run in runs:
        finish_as(run, "rbcf")
    keep(runs, file, Scoring("test"))
    shutil.rmtree(tmp_path / "runs")
    assert restore(runs, file, Scoring("test")).taken == runs


def test_a_start_whose_weights_were_not_kept_says_so(tmp_path: Path, file: Path) -> None:
    runs = chain(tmp_path)
    finish_as(runs[0], "ce")
    keep(runs[:1], file, Scoring("test"))
    shutil.rmtree(tmp_path / "runs")
    restore(runs[:1], file, Scoring("test"))
    with pytest.raises(ModelError, match="only the answers were kept, not the weights; remove the folder and train it again"):
        model_folder_of(runs[0].folder / "best")


def test_answers_under_a_prior_have_a_file_of_their_own(study: tuple[Recipe, list[Run]], file: Path, tmp_path: Path) -> None:
    recipe, runs = study
    fair, other = Scoring(prior="balanced"), tmp_path / "balanced.parquet"
    for run in runs[:2]:
        finish(run)
    answers = ask(runs[0])
    assert (keep(runs, file, Scoring()), keep(runs, other, fair)) == (2, 1)
    with pytest.raises(ConfigError, match="holds answers on test, and the recipe scores on test, --prior balanced; name another file"):
        restore(runs, file, fair)
    shutil.rmtree(recipe.output)
    restore(runs, file, Scoring())
    said: list[str] = []
    found = restore(runs, other, fair, write=False, say=said.append)
    assert (found.taken, found.dropped) == (runs[:1], runs[1:2])  # of the second there is neither a model nor an answer
    assert said == [f"{runs[1]}: its folder has no weights, and {other} no answers on test, --prior balanced; it is trained anew"]
    assert restore(runs, other, fair, train=False).taken == runs[:1]
    assert (read_predictions(runs[0].folder / "predictions-test-balanced.parquet").predicted == answers).all()
    assert [state_of(run, scoring).done for run in runs[:2] for scoring in (Scoring(), fair)] == [True, True, True, False]
    assert restore(runs, file, Scoring()).taken == []  # and nothing of the other answers is lost
    assert state_of(runs[0], fair).done


def test_a_run_with_its_weights_is_started_from(tmp_path: Path, file: Path) -> None:
    runs = chain(tmp_path)
    for run in runs[:2]:
        finish_as(run, "ce")
    keep(runs, file, Scoring("test"))
    shutil.rmtree(runs[0].folder)
    assert restore(runs, file, Scoring("test")).taken == runs[:1]  # nobody starts from it any more: mid is done
    assert (runs[1].folder / "best" / "model.safetensors").exists()


def test_runs_on_other_pictures_of_the_same_names_have_a_file_of_their_own(study: tuple[Recipe, list[Run]], file: Path) -> None:
    _, runs = study
    for run, pictures in zip(runs[:3], ({"test": "a b"}, {"test": "c b"}, {"test": "c d", "train": "e f"}), strict=True):
        finish(run)
        about = json.loads((run.folder / "environment.json").read_text())
        (run.folder / "environment.json").write_text(json.dumps({**about, "pictures": pictures}))
    assert keep(runs[:2], file, Scoring("test")) == 2  # other files, the same pixels
    with pytest.raises(
        DataError, match=r"kept\.parquet holds answers for other pictures, of the same names, than those of .*; take another"
    ):
        keep(runs[:3], file, Scoring("test"))
    assert names_in(file) == {run.folder.name for run in runs[:2]}


def test_each_run_has_its_own_duplicates_of_train(study: tuple[Recipe, list[Run]], file: Path) -> None:
    """They depend on what it learned from."""
    recipe, runs = study
    flags = [np.arange(100) < 30, np.arange(100) % 10 == 0]
    for run, duplicates in zip(runs[:2], flags, strict=True):
        finish(run, duplicates)
    before = [read_metrics(run.folder / "metrics-test.json")["duplicates_of_train"] for run in runs[:2]]
    keep(runs, file, Scoring("test"))
    shutil.rmtree(recipe.output)
    restore(runs, file, Scoring("test"))
    for run, duplicates, metrics in zip(runs[:2], flags, before, strict=True):
        assert (read_predictions(run.folder / "predictions-test.parquet").duplicates == duplicates).all()
        again = read_metrics(run.folder / "metrics-test.json")["duplicates_of_train"]
        assert (again["n"], again["overall"]) == (metrics["n"], metrics["overall"])


def test_restored_runs_go_into_another_file_too_and_faces_in_any_order(study: tuple[Recipe, list[Run]], file: Path, tmp_path: Path) -> None:
    recipe, runs = study
    answers = finish(runs[0])
    keep(runs, file, Scoring("test"))
    shutil.rmtree(recipe.output)
    restore(runs, file, Scoring("test"))
    other = tmp_path / "other.parquet"
    finish(runs[1])
    place = runs[1].folder / "predictions-test.parquet"
    table = pq.read_table(place)
    pq.write_table(table.take(list(range(99, -1, -1))), place)
    assert keep(runs, other, Scoring("test")) == 2
    kept = pq.read_table(other)
    assert kept[runs[0].folder.name].to_pylist() == [CLASSES[i] for i in answers]
    assert kept[runs[1].folder.name].to_pylist() == table["predicted"].to_pylist()
    minutes_of = [json.loads(pq.read_schema(place).field(3).metadata[b"run"])["minutes"] for place in (file, other)]
    assert minutes_of[0] == minutes_of[1]


def test_processes_that_keep_into_one_file_lose_nothing(tmp_path: Path, recipe: Path, file: Path) -> None:
    runs = plan(read_recipe(recipe))
    for run in runs:
        finish(run)
    with ThreadPoolExecutor(6) as pool:  # each opens the folder for itself, as a process does
        list(pool.map(lambda run: keep([run], file, Scoring("test")), runs))
    assert len(pq.read_table(file).column_names) == 3 + 6


def test_a_restored_run_is_compared_and_says_that_it_has_no_weights(study: tuple[Recipe, list[Run]], file: Path, tmp_path: Path) -> None:
    recipe, runs = study
    pair = [runs[0], runs[2]]
    for run in pair:
        finish(run)
    keep(runs, file, Scoring("test"))
    shutil.rmtree(recipe.output)
    restore(runs, file, Scoring("test"))
    comparison, counts = compare([run.folder for run in pair], resamples=50)
    assert len(comparison.methods) == 2
    assert counts == {"happiness": 9, "neutral": 10, "fear": 1}
    for use in (evaluate, zoo.model_path, init.model_folder_of):
        with pytest.raises(ModelError, match="only the answers were kept, not the weights; remove the folder and train it again"):
            use(runs[0].folder)
    with pytest.raises(ModelError, match="only the answers were kept"):
        zoo.model_path(runs[0].folder / "best")
    states = [state_of(run, Scoring("test")) for run in runs]
    assert estimate_study(runs, states, jobs=1).minutes == {}  # nothing of another machine's time


def test_what_does_not_fit_is_told(study: tuple[Recipe, list[Run]], file: Path, recipe: Path, tmp_path: Path) -> None:
    _, runs = study
    assert restore(runs, file, Scoring("test")).taken == []
    assert keep(runs, file, Scoring("test")) == 0
    assert not file.exists()
    finish(runs[0])
    keep(runs, file, Scoring("test"))
    with pytest.raises(ConfigError, match="holds answers on test, and the recipe scores on test, --tta flip"):
        restore(runs, file, Scoring("test", "flip"))
    table = pq.read_table(file)
    other = tmp_path / "other.parquet"
    pq.write_table(table.slice(1), other)
    with pytest.raises(DataError, match="answers for other faces"):
        keep(runs, other, Scoring("test"))
    renamed = table.set_column(table.column_names.index("id"), "id", pa.array([f"another/{i}" for i in range(len(table))]))
    pq.write_table(renamed.replace_schema_metadata(table.schema.metadata), other)  # not a face of them is known
    with pytest.raises(DataError, match="answers for other faces"):
        keep(runs, other, Scoring("test"))
    mixed = [runs[0], dataclasses.replace(runs[2], config=dataclasses.replace(runs[2].config, classes=8))]
    with pytest.raises(ConfigError, match="cannot share a table"):
        keep(mixed, file, Scoring("test"))
    pq.write_table(table.replace_schema_metadata({}), other)
    with pytest.raises(DataError, match="cannot be read as the kept answers"):
        restore(runs, other, Scoring("test"))
    other.write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match="cannot be read as the kept answers"):
        keep(runs, other, Scoring("test"))
    shutil.rmtree(runs[0].folder)
    bare = table.schema.field(3).remove_metadata()
    pq.write_table(table.cast(table.schema.set(3, bare)), other)
    with pytest.raises(DataError, match="no usable record of ce-s0-"):
        restore(runs, other, Scoring("test"))
    assert not (runs[0].folder / "config.yaml").exists()


def test_a_place_that_cannot_be_written_is_told_before_anything_is_trained(study: tuple[Recipe, list[Run]], tmp_path: Path) -> None:
    _, runs = study
    (tmp_path / "file").write_text("")
    for place, why in ((tmp_path, "is a folder"), (tmp_path / "file" / "kept.parquet", "is no folder that you may write in")):
        with pytest.raises(ConfigError, match=why):
            restore(runs, place, Scoring("test"))
    assert restore(runs, tmp_path / "new" / "kept.parquet", Scoring("test")).taken == []


def test_answers_of_other_settings_are_told_and_trained_anew(study: tuple[Recipe, list[Run]], file: Path) -> None:
    """A default that has changed since, so that the hash is the same and the run is not."""
    recipe, runs = study
    for run in runs[:2]:
        finish(run)
    keep(runs, file, Scoring("test"))
    shutil.rmtree(recipe.output)
    table = pq.read_table(file)
    facts = json.loads(table.field(3).metadata[b"run"])
    facts["settings"]["weight_decay"] = 0.123
    changed = table.schema.set(3, table.schema.field(3).with_metadata({"run": json.dumps(facts)}))
    pq.write_table(table.cast(changed), file)
    told: list[str] = []
    assert restore(runs, file, Scoring("test"), say=told.append).taken == [runs[1]]
    assert told == [f"ce s0: {file} has answers of weight_decay 0.123, not 0.0001; it is trained anew"]
    assert not runs[0].folder.exists()
    finish(runs[0])
    keep(runs, file, Scoring("test"))
    shutil.rmtree(recipe.output)
    assert restore(runs, file, Scoring("test"), say=told.append).taken == runs[:2]
    assert len(told) == 1


def test_answers_from_another_start_are_told_and_trained_anew(recipe: Path, file: Path, tmp_path: Path) -> None:
    values = yaml.safe_load(recipe.read_text())
    values["base"]["init"] = str(tmp_path / "start.pth")
    recipe.write_text(yaml.safe_dump(values, sort_keys=False))
    (tmp_path / "start.pth").write_bytes(b"weights")
    run = plan(read_recipe(recipe))[0]
    finish(run)
    metrics = read_metrics(run.folder / "metrics-test.json")
    write_metrics(run.folder / "metrics-test.json", {**metrics, "init_sha256": hashlib.sha256(b"weights").hexdigest()})
    keep([run], file, Scoring("test"))
    shutil.rmtree(run.folder)
    assert restore([run], file, Scoring("test"), write=False).taken == [run]
    (tmp_path / "start.pth").write_bytes(b"trained for longer")
    told: list[str] = []
    assert restore([run], file, Scoring("test"), say=told.append).taken == []
    assert told == [f"ce s0: {file} has answers of another start, and {tmp_path / 'start.pth'} has changed; it is trained anew"]
    (tmp_path / "start.pth").unlink()  # not here, so that nothing can be said of it
    assert restore([run], file, Scoring("test")).taken == [run]


def test_what_makes_room_is_told_and_nothing_does_where_none_is_trained(tmp_path: Path, file: Path) -> None:
    runs = chain(tmp_path)
    finish_as(runs[0], "ce")
    keep(runs, file, Scoring("test"))
    assert names_in(file) == {runs[0].folder.name}
    assert names_in(tmp_path / "none.parquet") == set()
    shutil.rmtree(tmp_path / "runs")
    assert restore(runs, file, Scoring("test")) == ([], [])
    assert restore(runs, file, Scoring("test"), train=False) == (runs[:1], [])
    assert restore(runs, file, Scoring("test"), write=False) == ([], runs[:1])
    assert runs[0].folder.exists()
    assert restore(runs, file, Scoring("test")) == ([], runs[:1])
    assert not runs[0].folder.exists()
    file.write_bytes(b"no table")
    with pytest.raises(DataError, match="cannot be read as the kept answers"):
        names_in(file)
