"""The table of a study, against scikit-learn's numbers."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, recall_score

from evenface.errors import DataError
from evenface.evaluation.records import read_predictions
from evenface.report.study import study_csv, study_grid, study_grids
from evenface.runs.evaluate import evaluate
from evenface.study import Recipe, Run, Scoring, collect, plan

from ..training.conftest import CLASSES
from .conftest import copied


@pytest.fixture(scope="module")
def result(study: tuple[Recipe, list[Run]]) -> Any:
    return collect(*study, resamples=200)


def test_the_scores_are_means_over_the_seeds(study: tuple[Recipe, list[Run]], result: Any) -> None:
    _, runs = study
    rows = {row["run"]: row for row in csv.DictReader(io.StringIO(study_csv(result.comparison, result.minutes)))}
    assert set(rows) == {"ce", "eac", "crt"}
    expected = {}
    for name, row in rows.items():
        found = [read_predictions(run.folder / "predictions-test.parquet") for run in runs if run.name == name]
        expected[name] = np.mean([balanced_accuracy_score(p.true, p.predicted) for p in found])
        assert float(row["mean_recall"]) == pytest.approx(expected[name])
        assert float(row["mean_recall_low"]) <= expected[name] <= float(row["mean_recall_high"])
        assert float(row["overall"]) == pytest.approx(np.mean([p.true == p.predicted for p in found]))
        fear = np.mean([recall_score(p.true, p.predicted, average=None)[2] for p in found])
        assert float(row[f"recall_{CLASSES[2]}"]) == pytest.approx(fear)
        assert (row["seeds"], row["n"]) == ("0 1", "40")
        assert float(row["minutes"]) > 0
    for name in ("eac", "crt"):
        assert float(rows[name]["gain"]) == pytest.approx(expected[name] - expected["ce"])
        assert 0 < float(rows[name]["p"]) <= float(rows[name]["holm_p"]) <= 1
    assert rows["ce"]["gain"] == ""
    order = [float(row["mean_recall"]) for row in rows.values()]
    assert order == sorted(order, reverse=True)


def test_the_grids_hold_the_same_numbers(result: Any) -> None:
    scores, recalls = study_grids(result.comparison, result.minutes, result.train_counts)
    whole = study_grid(result.comparison, result.minutes, result.train_counts)
    assert max(len(line) for grid in (scores, recalls) for line in grid.text(100).splitlines()) <= 100
    by_name = {method.method: method for method in result.comparison.methods}
    for rows in (scores.rows, recalls.rows, whole.rows):
        assert [row[0] for row in rows] == sorted(by_name, key=lambda name: -by_name[name].mean("mean_recall"))
    for row in scores.rows:
        assert row[1].startswith(f"{100 * by_name[row[0]].mean('mean_recall'):.1f}\n")
    largest = max(result.train_counts, key=result.train_counts.get)
    assert recalls.head[1].startswith(largest)
    column = whole.head.index(next(head for head in whole.head if head.startswith(largest)))
    value = by_name[whole.rows[0][0]].recall[result.comparison.class_names.index(largest)]
    assert whole.rows[0][column].startswith(f"{100 * value:.1f} [")
    assert "Holm p" in whole.head
    assert any("Gain: points of mean recall over ce" in note for note in whole.notes)


def test_scores_on_the_split_of_the_choice_are_told_as_such(study: tuple[Recipe, list[Run]], copy: Run) -> None:
    recipe, _ = study
    assert not any("Optimistic" in note for note in collect(recipe, [copy], resamples=50).notes)
    evaluate(copy.folder, split="validation", device="cpu", workers=1)
    chosen = dataclasses.replace(recipe, scoring=Scoring("validation"))
    assert any(
        note.startswith("Optimistic: the epoch was chosen on the validation") for note in collect(chosen, [copy], resamples=50).notes
    )


def test_scores_on_training_faces_are_told_as_such(study: tuple[Recipe, list[Run]], copy: Run) -> None:
    recipe, _ = study
    evaluate(copy.folder, split="train", device="cpu", workers=1)
    notes = collect(dataclasses.replace(recipe, scoring=Scoring("train")), [copy], resamples=50).notes
    assert notes[-1] == "Optimistic: the model learned on the train images themselves; not an estimate for new faces."


def test_a_run_that_is_optimistic_by_itself_is_named(study: tuple[Recipe, list[Run]], tmp_path: Path) -> None:
    """Such as one whose start was distilled on the test images too."""
    recipe, runs = study
    copies = plan(recipe, output=tmp_path, only=["ce", "eac"], seeds=[0])
    for copy in copies:
        shutil.copytree(runs[0].folder.parent / copy.folder.name, copy.folder)
    metrics = copies[1].folder / "metrics-test.json"
    metrics.write_text(json.dumps(json.loads(metrics.read_text()) | {"optimistic": True, "learned_from": True}))
    notes = collect(recipe, copies, resamples=50).notes
    assert [note for note in notes if "Optimistic" in note] == [
        "Optimistic, eac s0: the model learned, without labels, on the test images themselves; not an estimate for new faces."
    ]


def test_a_part_of_the_runs(study: tuple[Recipe, list[Run]], copy: Run, tmp_path: Path) -> None:
    recipe, runs = study
    part = [run for run in runs if run.name != "ce"]
    found = collect(recipe, part, resamples=100)
    assert found.comparison.pairs == ()
    assert any("ce, the first run of the recipe, is not among the runs here" in note for note in found.notes)
    assert "gain" not in study_grid(found.comparison, found.minutes).head
    assert [row["gain"] for row in csv.DictReader(io.StringIO(study_csv(found.comparison, found.minutes)))] == ["", ""]
    late = copied(study, tmp_path, lr=0.5)
    late = dataclasses.replace(late, config=dataclasses.replace(late.config, seed=5))
    assert collect(recipe, [copy, late], resamples=100).missing == ("ce s5",)
    with pytest.raises(DataError, match="No run of the study 'tiny' has been scored on test yet"):
        collect(recipe, [late])
