"""Folders of scores in a report: another tool's answers, or a model's on other data, of which nothing but the scores is there."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
from sklearn.metrics import recall_score

from evenface.cli.main import main
from evenface.errors import ConfigError
from evenface.report.gather import find_runs
from evenface.report.report import write_report
from evenface.runs.answers import score_answers
from evenface.runs.evaluate import evaluate

from .conftest import NAMES, Made, answers, ids_of, true_of
from .test_report import QUICK, anchors, plain


def tool(folder: Path, data: Path, split: str = "test", skill: float = 1.0, decisions: bool = False) -> Path:
    """A tool's answers on the squares, scored into `folder`."""
    p = answers(split, 7, skill)
    table = folder.with_name(f"{folder.name}-{split}.csv")
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        if decisions:
            writer.writerows([("id", "label"), *((name, NAMES[i]) for name, i in zip(ids_of(split), p.argmax(axis=1), strict=True))])
        else:
            writer.writerows([("id", *NAMES), *((name, *map(float, row)) for name, row in zip(ids_of(split), p, strict=True))])
    score_answers(table, dataset="folder", data_dir=str(data), split=split, output=folder)
    return folder


def test_two_tools_beside_a_run(made: Made, squares: Path, tmp_path: Path) -> None:
    scored = [tool(tmp_path / "fer", squares), tool(tmp_path / "deepface", squares, decisions=True)]
    report = write_report([str(made.one), *map(str, scored)], tmp_path / "report.html", splits=["test"], **QUICK)
    text = plain(report.page)
    recall = recall_score(true_of("test"), answers("test", 7, 1.0).argmax(axis=1), average="macro")
    assert f"{100 * recall:.1f}" in text
    assert "3 methods, 3 sets of scores" in text
    assert text.count("mean recall, 47 test faces, seed 0") == 1
    assert "Of fer and deepface the scores alone are here" in text
    assert "Against rbcf" in text
    assert "evenface train --method rbcf" in text.partition("Trained with:")[2]
    maps = (report.folder / "class-maps-test.csv").read_text(encoding="utf-8")
    assert "rbcf" in maps
    assert "fer" not in maps
    average = list(csv.DictReader((report.folder / "average-precision-test.csv").read_text().splitlines()))
    assert {row["method"] for row in average} == {"rbcf", "fer"}
    assert text.count("deepface: decisions without scores, which are left out here.") == 2
    assert "fer has no scores on validation, which one could be fitted on" in text


def test_a_folder_of_scores_of_several_stands_for_them(made: Made, squares: Path, tmp_path: Path) -> None:
    """By name; beside runs in the same folder they come after them, and a folder without any is passed over."""
    (tmp_path / "scores" / "empty").mkdir(parents=True)
    for name in ("fer", "deepface"):
        tool(tmp_path / "scores" / name, squares)
    assert [Path(run.name).name for run in find_runs([str(tmp_path / "scores")], tmp_path)[0]] == ["deepface", "fer"]
    shutil.copytree(made.one, tmp_path / "scores" / "a-run")
    runs, notes = find_runs([str(tmp_path / "scores")], tmp_path)
    assert [Path(run.name).name for run in runs] == ["a-run", "deepface", "fer"]
    assert notes == []
    (tmp_path / "scores" / "fer" / "metrics-test.json").write_text("{")
    runs, (note,) = find_runs([str(tmp_path / "scores")], tmp_path)
    assert [Path(run.name).name for run in runs] == ["a-run", "deepface"]
    assert "left out" in note
    assert "fer" in note


def test_a_tool_as_the_baseline(made: Made, squares: Path, tmp_path: Path) -> None:
    scored = tool(tool(tmp_path / "fer", squares), squares, "validation")
    report = write_report([str(scored), str(made.one)], tmp_path / "report.html", **QUICK)
    text = plain(report.page)
    assert "Against fer" in text
    assert report.page.read_text(encoding="utf-8").count("face labelled") > 20  # where they lie the run tells
    assert "Imbalance factor, the largest training class over the smallest: 5.0" in text  # and what it learned from
    assert "No temperature is known; this one was fitted for the report on its 34 validation faces." in text
    assert report.notes == ()


def test_decisions_alone(squares: Path, tmp_path: Path) -> None:
    scored = tool(tmp_path / "deepface", squares, decisions=True)
    report = write_report([str(scored)], tmp_path / "one.html", prior="half", **QUICK)
    text = plain(report.page)
    assert "One set of scores of deepface, scored on 47 test faces of" in text
    assert text.count("deepface: decisions without scores, which are left out here.") == 2
    assert "The answers of deepface, another tool, stand as they are, whatever prior or view was asked for." in text
    assert "Scored under the prior" not in text
    assert "says nothing of the spread" not in text
    assert ", seed " not in text
    assert "does not tell where its faces lie; name them with --dataset and --data-dir" in text
    assert "training" not in anchors(report.page)
    assert not (report.folder / "average-precision-test.csv").exists()


def test_what_a_folder_of_scores_lacks_is_told(squares: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scored = tool(tmp_path / "fer", squares)
    command = f"evenface evaluate ANSWERS.csv --dataset folder --data-dir {squares} --split validation -o {scored}"
    words = ["report", str(scored), "-o", str(tmp_path / "r.html"), "--split", "validation", "--dataset", "folder", "--data-dir"]
    assert main([*words, str(squares)]) == 2
    assert command in " ".join(capsys.readouterr().err.split())
    other = shutil.copytree(squares, tmp_path / "other")
    shutil.rmtree(other / "test" / "fear")
    (other / "test" / "fear").mkdir()
    shutil.copy(squares / "test" / "fear" / "0.png", other / "test" / "fear" / "0.png")
    with pytest.raises(ConfigError, match="fer has no scores on test of these faces; run: "):
        write_report([str(scored)], tmp_path / "r.html", splits=["test"], dataset="folder", data_dir=str(other), **QUICK)
    assert not (tmp_path / "r.html").exists()


def test_scores_of_a_model_apart_from_it(made: Made, squares: Path, tmp_path: Path) -> None:
    run = shutil.copytree(made.one, tmp_path / "run")
    found = evaluate(run, split="test", output=tmp_path / "scores", device="cpu")
    where = {"dataset": "folder", "data_dir": str(squares)}
    report = write_report([str(tmp_path / "scores")], tmp_path / "report.html", **where, **QUICK)
    text = plain(report.page)
    assert f"mean recall {100 * found.metrics['mean_recall']:.1f} %" in text
    assert "face labelled" in report.page.read_text(encoding="utf-8")
    assert "these are scores without their networks" in text
    flags = f"--dataset folder --data-dir {squares} --split validation -o {tmp_path / 'scores'}"
    assert report.notes == ()
    assert f"evenface evaluate MODEL {flags}" in text


def test_scores_on_other_pictures_of_the_same_names_are_told(squares: Path, tmp_path: Path) -> None:
    scored = [tool(tmp_path / "fer", squares), tool(tmp_path / "deepface", squares, skill=0.5)]
    usual = plain(write_report(list(map(str, scored)), tmp_path / "report.html", splits=["test"], **QUICK).page)
    assert "scored on the same 47 test faces" in usual
    assert "other pictures" not in usual
    metrics = json.loads((scored[1] / "metrics-test.json").read_text())
    (scored[1] / "metrics-test.json").write_text(json.dumps({**metrics, "pictures": "0123456789abcdef fedcba9876543210"}))
    odd = plain(write_report(list(map(str, scored)), tmp_path / "report.html", splits=["test"], **QUICK).page)
    assert "scored on 47 test faces" in odd
    assert "deepface was scored on other pictures than fer, though they have the same names" in odd


def test_nothing_of_an_earlier_report_is_left_beside_the_page(squares: Path, tmp_path: Path) -> None:
    scored = tool(tool(tmp_path / "fer", squares), squares, "validation")
    first = write_report([str(scored)], tmp_path / "report.html", splits=["test", "validation"], **QUICK)
    (first.folder / "my-notes-validation.csv").write_text("mine")
    names = {file.name for file in first.folder.iterdir()}
    assert {"recall-validation.svg", "recall-test.svg"} <= names
    second = write_report([str(scored)], tmp_path / "report.html", splits=["test"], **QUICK)
    left = {file.name for file in second.folder.iterdir()}
    assert left == {name for name in names if "-validation" not in name} | {"my-notes-validation.csv"}
