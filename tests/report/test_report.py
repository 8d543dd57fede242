"""`evenface report` from its words to the files: what stands on the page, what does not, and what is refused in one line."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import recall_score

from evenface.cli.main import main
from evenface.errors import ModelError
from evenface.evaluation.records import read_metrics, read_predictions
from evenface.report.report import Report, write_report

from .conftest import NAMES, Made, ids_of, make_run


QUICK = {"resamples": 100, "device": "cpu"}
ONE = ("summary", "classes", "confusion", "ranking", "calibration", "training", "data", "mistakes", "doubtful", "class-maps", "reproduce")


def anchors(page: Path) -> list[str]:
    return re.findall(r'<section id="([^"]+)"', page.read_text(encoding="utf-8"))


def plain(page: Path) -> str:
    """The words of the page."""
    body = page.read_text(encoding="utf-8").partition("<body>")[2]
    return " ".join(re.sub(r"<[^>]+>", " ", body).split())


@pytest.fixture(scope="module")
def one(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Report:
    return write_report([str(made.one)], tmp_path_factory.mktemp("one") / "report.html", command=["evenface", "report"], **QUICK)


@pytest.fixture(scope="module")
def many(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Report:
    return write_report(made.all, tmp_path_factory.mktemp("many") / "report.html", splits=["test"], **QUICK)


def test_the_report_of_one_training(one: Report, made: Made) -> None:
    assert anchors(one.page) == list(ONE)
    metrics = read_metrics(made.one / "metrics-test.json")
    text = plain(one.page)
    low, high = metrics["ci95"]["mean_recall"]
    assert f"mean recall {100 * metrics['mean_recall']:.1f} % [{100 * low:.1f}, {100 * high:.1f}]" in text
    assert "47 test faces of folder" in text
    assert "rbcf on folder" in text
    assert "A note." in text
    assert "evenface train --method rbcf --seed 0" in text
    assert "One training says nothing of the spread" in text
    assert "optimistic" in text
    assert one.notes == ()


def test_several_trainings_are_compared(many: Report) -> None:
    assert anchors(many.page) == [ONE[0], "methods", *ONE[1:]]
    text = plain(many.page)
    assert "2 methods, 4 trainings" in text
    assert "Against ce" in text
    assert "McNemar" in text


def test_every_figure_has_its_three_files_and_every_table_is_listed(one: Report, many: Report) -> None:
    for made in (one, many):
        names = [file.name for file in made.folder.iterdir()]
        figures = {name.removesuffix(".png") for name in names if name.endswith(".png")}
        assert len(figures) >= 9
        for name in figures:
            assert {f"{name}.svg", f"{name}.csv"} <= set(names)
        text = plain(made.page)
        assert all(name.removesuffix(".csv") in text for name in names if name.endswith(".csv"))
        assert made.page.read_text(encoding="utf-8").count("<svg") == len(figures)


def test_the_mistakes_are_the_mistakes(one: Report, made: Made) -> None:
    p = read_predictions(made.one / "predictions-test.parquet")
    wrong = [(p.ids[i], float(p.probabilities[i].max())) for i in range(len(p.ids)) if p.predicted[i] != p.true[i]]
    wrong.sort(key=lambda pair: -pair[1])
    rows = list(csv.DictReader((one.folder / "mistakes-test.csv").read_text().splitlines()))
    assert [row["id"] for row in rows] == [name for name, _ in wrong]
    assert [float(row["p_answer"]) for row in rows] == pytest.approx([score for _, score in wrong])
    assert f"{len(wrong)} of 47 test faces are wrong" in plain(one.page)
    shown = re.findall(r'alt="face labelled (\w+), taken for (\w+)"', one.page.read_text(encoding="utf-8"))
    assert all(label != answer for label, answer in shown)
    assert shown


def test_the_doubtful_labels_are_those_of_all_trainings(many: Report, made: Made) -> None:
    runs = [read_predictions(Path(folder) / "predictions-test.parquet") for folder in made.all]
    given = {name: np.mean([p.probabilities[i, p.true[i]] for p in runs]) for i, name in enumerate(ids_of("test"))}
    rows = list(csv.DictReader((many.folder / "doubtful-test.csv").read_text().splitlines()))
    assert [row["id"] for row in rows] == sorted(given, key=lambda name: given[name])
    assert [float(row["doubt"]) for row in rows] == pytest.approx([1 - given[row["id"]] for row in rows], abs=1e-5)


def test_the_classes_csv(one: Report, made: Made) -> None:
    p = read_predictions(made.one / "predictions-test.parquet")
    rows = list(csv.DictReader((one.folder / "classes-test.csv").read_text().splitlines()))
    recalls = dict(zip(NAMES, recall_score(p.true, p.predicted, average=None), strict=True))
    assert [row["class"] for row in rows] == ["happiness", "anger", "fear"]
    assert [float(row["recall"]) for row in rows] == pytest.approx([recalls[row["class"]] for row in rows])
    assert sum(float(row["called"]) for row in rows) == 47


def test_the_weights_are_those_of_the_method(one: Report) -> None:
    rows = list(csv.DictReader((one.folder / "counts.csv").read_text().splitlines()))
    raw = np.array([(1 - 0.9) / (1 - 0.9**n) for n in (20, 9, 4)])  # equation 6, beta 0.9
    assert [float(row["weight"]) for row in rows] == pytest.approx(3 * raw / raw.sum())


def test_without_faces_no_face_is_shown_or_named(made: Made, tmp_path: Path) -> None:
    page, former = tmp_path / "report.html", tmp_path / "report_files" / "mistakes-test.csv"
    former.parent.mkdir()
    former.write_text("id\ntest/fear/0.png\n")
    write_report([str(made.one)], page, with_faces=False, splits=["test"], **QUICK)
    assert anchors(page) == [name for name in ONE if name not in ("mistakes", "doubtful", "class-maps")]
    text = page.read_text(encoding="utf-8")
    assert "<img" not in text
    for file in (page, *(tmp_path / "report_files").glob("*.csv")):
        content = file.read_text(encoding="utf-8")
        assert not [name for name in ids_of("test") + ids_of("validation") if name in content], file.name


@pytest.mark.slow
def test_faces_that_are_not_found_are_told(squares: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(squares, tmp_path / "data"))
    run = make_run(tmp_path / "run", data, "rbcf")
    shutil.rmtree(data)
    made = write_report([str(run)], tmp_path / "report.html", **QUICK)
    assert "The faces are not shown, for the data set was not found; say where it lies with --data-dir." in plain(made.page)
    assert "<img" not in made.page.read_text(encoding="utf-8")
    moved = write_report([str(run)], tmp_path / "report.html", data_dir=str(squares), **QUICK)
    assert "<img" in moved.page.read_text(encoding="utf-8")


@pytest.mark.slow
def test_other_faces_are_not_shown_as_these(squares: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(squares, tmp_path / "data"))
    run = make_run(tmp_path / "run", data, "rbcf")
    (data / "test/fear/0.png").rename(data / "test/anger/99.png")
    made = write_report([str(run)], tmp_path / "report.html", **QUICK)
    assert "has other faces or labels (such as test/fear/0.png)" in plain(made.page)


@pytest.mark.slow
def test_a_face_that_cannot_be_read(squares: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(squares, tmp_path / "data"))
    run = make_run(tmp_path / "run", data, "rbcf", skill=-2.0)
    for file in (data / "test").glob("*/*.png"):
        file.write_bytes(b"no picture")
    text = plain(write_report([str(run)], tmp_path / "report.html", **QUICK).page)
    assert "(cannot be read)" in text


@pytest.mark.slow
def test_the_names_of_a_run_are_no_markup(made: Made, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(made.one, tmp_path / "<script>alert(1)<script>"))
    made_page = write_report([str(folder)], tmp_path / "report.html", with_faces=False, **QUICK).page.read_text(encoding="utf-8")
    assert "<script" not in made_page
    assert "&lt;script&gt;" in made_page


@pytest.mark.slow
def test_what_is_missing_is_scored_only_where_it_is_asked_for(squares: Path, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", squares, "ce", splits=("validation",))
    made = write_report([str(run)], tmp_path / "report.html", **QUICK)
    assert "There are no scores on test; to have them here: evenface evaluate" in plain(made.page)
    assert not (run / "metrics-test.json").exists()
    made = write_report([str(run)], tmp_path / "report.html", splits=["test"], workers=1, **QUICK)
    assert "47 test faces" in plain(made.page)
    assert read_metrics(run / "metrics-test.json")["n"] == 47


@pytest.mark.slow
def test_a_model_without_a_run(made: Made, squares: Path, tmp_path: Path) -> None:
    shutil.copytree(made.one / "best", tmp_path / "model")
    how: dict[str, Any] = {"dataset": "folder", "data_dir": str(squares), "workers": 1, **QUICK}
    found = write_report([str(tmp_path / "model")], tmp_path / "report.html", splits=["test"], **how)
    (scored,) = (tmp_path / "report_files/scores").glob("model-*")
    assert (scored / "predictions-test.parquet").is_file()
    assert "training" not in anchors(found.page)  # it has no log
    assert "class-maps" in anchors(found.page)
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == ["README.md", "config.json", "model.safetensors"]
    again = write_report([str(tmp_path / "model")], tmp_path / "report.html", **QUICK)  # the scores are there now
    assert "The faces are not shown" in plain(again.page)


@pytest.mark.slow
def test_scores_of_other_faces_or_of_another_model_are_not_shown_as_these(
    made: Made, squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both times the page, the name of the model and the split are the same. Where new scores cannot be made, the former stay."""

    def failing(*_: object, **__: object) -> None:
        raise ModelError("no luck")

    few = Path(shutil.copytree(squares, tmp_path / "few"))
    (few / "test/happiness/0.png").unlink()
    for name, run in (("a", made.one), ("b", made.ce[1])):
        shutil.copytree(run / "best", tmp_path / name / "model")
    page, how = tmp_path / "report.html", {"dataset": "folder", "splits": ["test"], "with_faces": False, "workers": 1, **QUICK}
    first = plain(write_report([str(tmp_path / "a/model")], page, data_dir=str(squares), **how).page)  # type: ignore[arg-type]
    assert "47 test faces of squares" in first
    (scores,) = (tmp_path / "report_files/scores").glob("model-*")
    before = {path.name: path.read_bytes() for path in scores.iterdir()}
    with monkeypatch.context() as broken:
        broken.setattr("evenface.report.report.evaluate", failing)
        with pytest.raises(ModelError):
            write_report([str(tmp_path / "a/model")], page, data_dir=str(few), **how)  # type: ignore[arg-type]
    assert {path.name: path.read_bytes() for path in scores.iterdir()} == before
    other = plain(write_report([str(tmp_path / "a/model")], page, data_dir=str(few), **how).page)  # type: ignore[arg-type]
    assert "46 test faces of few" in other
    write_report([str(tmp_path / "b/model")], page, data_dir=str(few), **how)  # type: ignore[arg-type]
    files = sorted((tmp_path / "report_files/scores").glob("model-*/predictions-test.parquet"))
    scores = [read_predictions(file).probabilities for file in files]
    assert len(scores) == 2
    assert not np.array_equal(*scores)


@pytest.mark.slow
def test_a_run_on_other_faces_of_a_folder(made: Made, squares: Path, tmp_path: Path) -> None:
    """Its own scores keep their place; the command on the page is the one that was typed, which says where those faces lie."""
    run = Path(shutil.copytree(made.one, tmp_path / "run"))
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("dataset: folder", "dataset: ferplus"))
    few = Path(shutil.copytree(squares, tmp_path / "few"))
    (few / "test/happiness/0.png").unlink()
    typed = ["evenface", "report", str(run), "--dataset", "folder"]
    how = {"dataset": "folder", "data_dir": str(few), "splits": ["test"], "workers": 1, "command": typed, **QUICK}
    found = write_report([str(run)], tmp_path / "report.html", **how)  # type: ignore[arg-type]
    text = plain(found.page)
    assert "46 test faces of few" in text
    assert "Scored with: evenface report" in text
    assert "class-maps" in anchors(found.page)
    assert read_metrics(run / "metrics-test.json")["n"] == 47


@pytest.mark.slow
def test_a_run_that_lacks_a_split_is_left_out_there(made: Made, squares: Path, tmp_path: Path) -> None:
    late = make_run(tmp_path / "late", squares, "rbcf", splits=("validation",))
    found = write_report([str(made.ce[0]), str(late)], tmp_path / "report.html", with_faces=False, **QUICK)
    assert len(found.notes) == 1
    assert f"evenface evaluate {late} --split test" in found.notes[0]
    assert f"evenface evaluate {late} --split test" in plain(found.page)


@pytest.mark.slow
def test_old_runs_without_an_environment(made: Made, tmp_path: Path) -> None:
    run = Path(shutil.copytree(made.one, tmp_path / "run"))
    (run / "environment.json").unlink()
    (run / "log.csv").unlink()
    config = json.loads((run / "best/config.json").read_text())
    for key in ("train_counts", "init", "selection", "method"):
        del config[key]
    (run / "best/config.json").write_text(json.dumps(config))
    found = write_report([str(run)], tmp_path / "report.html", **QUICK)
    assert "It is not known how many faces of each class" in plain(found.page)
    assert "training" not in anchors(found.page)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere"], "nowhere does not exist"),
        (["RUN", "-o", "report.txt"], "names the page"),
        (["RUN", "--split", "dev"], "Unknown split 'dev'"),
        (["RUN", "--split", "test, test"], "--split names test twice"),
        (["RUN", "--resamples", "5"], "--resamples lies between 100"),
        (["RUN", "--resamples", "1000000000000"], "and 100000, beyond which"),
        (["RUN", "--device", "banana"], "Unknown device 'banana'"),
        (["RUN", "-o", "\udcff.html"], "is no UTF-8, which a page is written in"),
        (["RUN", "--prior", "balanced"], "evenface evaluate RUN --split test --prior balanced"),
        (["RUN", "-b", "0"], "--batch-size"),
    ],
)
def test_what_cannot_work_is_one_line(
    words: list[str], said: str, made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    code = main(["report", *(word.replace("RUN", str(made.one)) for word in words)])
    error = capsys.readouterr().err
    assert code == 2
    assert error.count("\n") == 1
    assert said.replace("RUN", str(made.one)) in error
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_command_writes_and_says_where(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["report", str(made.one), "--no-faces", "--resamples", "100"]) == 0
    out = capsys.readouterr().out
    assert "report.html" in out
    assert "report_files" in out
    assert (tmp_path / "report.html").is_file()
