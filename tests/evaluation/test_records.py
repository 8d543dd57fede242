"""Predictions and metrics survive their files, follow the contract and refuse what cannot be right."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import stats
from sklearn import metrics as sk

from evenface.errors import DataError, LabelError, StorageError
from evenface.evaluation.intervals import bootstrap_scores
from evenface.evaluation.records import Predictions, read_metrics, read_predictions, summarise, write_metrics, write_predictions


NAMES = ("happiness", "fear", "disgust")


def answers(n: int = 40, seed: int = 0) -> Predictions:
    rng = np.random.default_rng(seed)
    true = rng.integers(0, 3, n)
    probabilities = rng.dirichlet(np.ones(3), n) + 0.5 * np.eye(3)[true]
    probabilities = (probabilities / probabilities.sum(axis=1, keepdims=True)).astype(np.float32)
    ids = tuple(f"face-{i}" for i in range(n))
    return Predictions(ids, true, probabilities.argmax(axis=1), probabilities, np.arange(n) % 8 == 0, NAMES)


def summary(p: Predictions, **provenance: Any) -> dict[str, Any]:
    options = {"dataset": "made", "split": "test", "resamples": 200}
    return summarise(p.true, p.predicted, p.class_names, p.duplicates, provenance=provenance, **options)  # type: ignore[arg-type]


def test_predictions_round_trip(tmp_path: Path) -> None:
    path, made = tmp_path / "runs" / "predictions-test.parquet", answers()
    write_predictions(path, made)
    found = read_predictions(path)
    for field in dataclasses.fields(Predictions):
        np.testing.assert_array_equal(getattr(found, field.name), getattr(made, field.name))
    table = pq.read_table(path)
    assert table.column_names == ["id", "label", "predicted", "duplicate_of_train", "p_happiness", "p_fear", "p_disgust"]
    assert [str(kind) for kind in table.schema.types] == ["string", "string", "string", "bool", "float", "float", "float"]
    assert table["label"].to_pylist() == [NAMES[i] for i in made.true]
    assert os.listdir(path.parent) == [path.name]  # nothing left aside


def test_summary_follows_the_contract() -> None:
    p = answers()
    metrics = summary(p, seeds=[0], init="none", protocol="validation")
    contract = {"schema_version", "dataset", "split", "n", "class_names", "confusion", "overall", "mean_recall", "macro_f1"}
    assert contract | {"per_class", "ci95", "duplicates_of_train", "seeds", "init", "protocol"} <= set(metrics)
    assert metrics["schema_version"] == 1
    assert metrics["confusion"] == sk.confusion_matrix(p.true, p.predicted).tolist()
    assert metrics["overall"] == pytest.approx(sk.accuracy_score(p.true, p.predicted))
    assert metrics["mean_recall"] == pytest.approx(sk.balanced_accuracy_score(p.true, p.predicted))
    assert metrics["macro_f1"] == pytest.approx(sk.f1_score(p.true, p.predicted, average="macro"))
    intervals = bootstrap_scores(p.true, p.predicted, 3, resamples=200)
    assert metrics["ci95"] == {name: list(ends) for name, ends in intervals.items()}
    for i, name in enumerate(NAMES):
        row, here = metrics["per_class"][name], p.true == i
        hits, n = int((p.predicted[here] == i).sum()), int(here.sum())
        expected = stats.binomtest(hits, n).proportion_ci(method="wilson")
        assert row["n"] == n
        assert row["recall"] == pytest.approx(hits / n)
        assert row["ci95"] == pytest.approx([expected.low, expected.high])


def test_duplicates_are_counted_and_scored_apart() -> None:
    p = answers()
    again = summary(p)["duplicates_of_train"]
    rest = ~p.duplicates
    assert again["n"] == 5
    assert again["overall"] == pytest.approx((p.true == p.predicted)[p.duplicates].mean())
    assert again["without"]["n"] == 35
    assert again["without"]["overall"] == pytest.approx(sk.accuracy_score(p.true[rest], p.predicted[rest]))
    assert again["without"]["mean_recall"] == pytest.approx(sk.balanced_accuracy_score(p.true[rest], p.predicted[rest]))
    assert set(again["without"]["ci95"]) == {"overall", "mean_recall", "macro_f1"}
    none = summary(dataclasses.replace(p, duplicates=np.zeros(40, dtype=bool)))
    assert none["duplicates_of_train"] == {
        "n": 0,
        "overall": None,
        "ci95": None,
        "without": {"n": 40, **{key: none[key] for key in ("overall", "mean_recall", "macro_f1", "ci95")}},
    }
    everything = summary(dataclasses.replace(p, duplicates=np.ones(40, dtype=bool)))["duplicates_of_train"]
    assert everything["without"] is None


def test_what_does_not_exist_is_null(tmp_path: Path) -> None:
    metrics = summarise([0, 0, 1], [0, 1, 1], NAMES, [False] * 3, dataset="made", split="test", resamples=50)
    assert metrics["classes_without_images"] == ["disgust"]
    assert metrics["per_class"]["disgust"] == {"n": 0, "recall": None, "precision": 0.0, "f1": None, "ci95": None}
    path = tmp_path / "metrics-test.json"
    write_metrics(path, {**metrics, "odd": [float("nan"), np.float32("inf"), np.int64(3), np.array([1.0, np.nan]), Path("a")]})
    assert "NaN" not in path.read_text()
    assert json.loads(path.read_text())["odd"] == [None, None, 3, [1.0, None], "a"]


def test_metrics_round_trip(tmp_path: Path) -> None:
    path, metrics = tmp_path / "metrics-test.json", summary(answers(), command="evenface evaluate")
    write_metrics(path, metrics)
    assert read_metrics(path) == metrics
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize(
    ("column", "values", "said"),
    [
        ("id", list(range(40)), "something else than texts in its column id"),
        ("duplicate_of_train", ["no"] * 40, "something else than true or false in its column duplicate_of_train"),
        ("duplicate_of_train", [None] * 40, "something else than true or false in its column duplicate_of_train"),
    ],
)
def test_altered_predictions_are_told(tmp_path: Path, column: str, values: list[Any], said: str) -> None:
    path = tmp_path / "predictions-test.parquet"
    write_predictions(path, answers())
    table = pq.read_table(path)
    pq.write_table(table.set_column(table.column_names.index(column), column, pa.array(values[: len(table)])), path)
    with pytest.raises(DataError, match=said):
        read_predictions(path)


def test_seeds_that_are_no_list_are_told(tmp_path: Path) -> None:
    path = tmp_path / "metrics-test.json"
    write_metrics(path, summary(answers(), seeds=3))
    with pytest.raises(DataError, match="has 3 for its seeds, which are a list"):
        read_metrics(path)


def test_order_of_images_changes_nothing() -> None:
    p = answers()
    order = np.random.default_rng(1).permutation(40)
    other = summarise(p.true[order], p.predicted[order], NAMES, p.duplicates[order], dataset="made", split="test", resamples=200)
    assert other == summary(p)


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "metrics-test.json"
    write_metrics(path, {"a": 1})

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(StorageError, match="disk is full"):
        write_metrics(path, {"a": 2})
    assert json.loads(path.read_text()) == {"a": 1}
    assert os.listdir(tmp_path) == [path.name]


def test_predictions_refuse_what_cannot_be_right() -> None:
    p = answers()
    with pytest.raises(DataError, match="face-1 2 times"):
        dataclasses.replace(p, ids=("face-1", *p.ids[1:]))
    with pytest.raises(DataError, match="39 ids"):
        dataclasses.replace(p, ids=p.ids[1:])
    with pytest.raises(DataError, match="softmax"):
        dataclasses.replace(p, probabilities=p.probabilities * 2)
    with pytest.raises(DataError, match="softmax"):
        dataclasses.replace(p, probabilities=np.full_like(p.probabilities, np.nan))
    with pytest.raises(LabelError, match="from 2 to 4"):
        dataclasses.replace(p, predicted=p.predicted + 2)
    with pytest.raises(DataError, match="may not hold overall"):
        summary(p, overall=1.0)
    with pytest.raises(DataError, match="39 duplicate flags"):
        summarise(p.true, p.predicted, NAMES, p.duplicates[1:], dataset="made", split="test")


def test_files_that_are_not_ours(tmp_path: Path) -> None:
    path = tmp_path / "x"
    for read in (read_predictions, read_metrics):
        with pytest.raises(DataError, match="evenface evaluate RUN"):
            read(path)
    path.write_text("not a file of ours")
    for read in (read_predictions, read_metrics):
        with pytest.raises(DataError, match="cannot be read"):
            read(path)
    path.write_text('{"schema_version": 2}')
    with pytest.raises(DataError, match="schema_version 1"):
        read_metrics(path)
    path.write_text('{"schema_version": 1, "n": 3}')
    with pytest.raises(DataError, match="lacks dataset, split"):
        read_metrics(path)
    pq.write_table(pa.table({"id": ["a"], "label": ["fear"]}), path)
    with pytest.raises(DataError, match="lacks predicted, duplicate_of_train"):
        read_predictions(path)
    pq.write_table(pa.table({"id": ["a"], "label": ["joy"], "predicted": ["fear"], "duplicate_of_train": [False], "p_fear": [1.0]}), path)
    with pytest.raises(LabelError, match="joy"):
        read_predictions(path)
    no_text = pa.array([b"\xd5"], pa.binary()).view(pa.string())  # what a damaged byte makes of a name
    whole: dict[str, Any] = {"id": ["a"], "label": ["fear"], "predicted": ["fear"], "duplicate_of_train": [False], "p_fear": [1.0]}
    for damage in ({"id": no_text}, {"p_fear": ["much"]}):
        pq.write_table(pa.table({**whole, **damage}), path)
        with pytest.raises(DataError, match="cannot be read as predictions"):
            read_predictions(path)
    twice = pa.Table.from_arrays([pa.array(value) for value in (*whole.values(), [1.0])], names=[*whole, "p_fear"])
    pq.write_table(twice, path)
    with pytest.raises(DataError, match="cannot be read as predictions"):
        read_predictions(path)
