"""Another tool's answers are scored as a model's are: scikit-learn's numbers, and a clear line for what does not fit."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from evenface.cli.main import main
from evenface.data.manifest import build
from evenface.errors import ConfigError, DataError, LabelError, StorageError
from evenface.evaluation.records import read_predictions
from evenface.runs.answers import score_answers
from evenface.runs.compare import compare


CLASSES = ("happiness", "neutral", "sadness")
COUNTS = {"train": 6, "test": 30}


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Where the faces are: 30 to test on, of which the first stands in train."""
    random = np.random.default_rng(0)
    columns: dict[str, list[Any]] = {"id": [], "split": [], "label": [], "image": []}
    for split, count in COUNTS.items():
        for i in range(count):
            file = io.BytesIO()
            Image.fromarray(random.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(file, "PNG")
            columns["id"].append(f"{split}/{i}")
            columns["split"].append(split)
            columns["label"].append(CLASSES[i % 3])
            columns["image"].append(columns["image"][0] if (split, i) == ("test", 0) else file.getvalue())
    path = tmp_path_factory.mktemp("faces") / "tiny.parquet"
    build(columns, CLASSES, name="tiny").save(path)
    return {"dataset": "manifest", "data_dir": str(path)}


TRUE = [CLASSES[i % 3] for i in range(30)]
DECIDED = [CLASSES[(i % 3 + (i % 5 == 0)) % 3] for i in range(30)]


def percent(i: int) -> dict[str, float]:
    """As DeepFace gives them: aliases, percent, and expressions that the data set lacks, here with the highest score of all."""
    rest = {"happiness": "happy", "neutral": "neutral", "sadness": "sad"}
    return {rest[name]: 40.0 if name == DECIDED[i] else 4.0 for name in ("sadness", "happiness", "neutral")} | {"fear": 52.0}


def write(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def by_score() -> list[dict[str, Any]]:
    rows = [{"id": f"test/{i}", **percent(i)} for i in range(30)]
    return [*rows[::-1], {"id": "train/0", "happy": 1, "neutral": 1, "sad": 1, "fear": 1}]


def by_label() -> list[dict[str, Any]]:
    return [{"id": f"test/{i}", "face": 0, "label": name.replace("sadness", " Sad")} for i, name in enumerate(DECIDED)]


@pytest.mark.parametrize("make", [by_score, by_label])
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_the_numbers_are_scikit_learns(make: Any, suffix: str, given: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / f"tool{suffix}"
    if suffix == ".csv":
        write(file, make())
    else:
        pq.write_table(pa.Table.from_pylist(make()), file)
    found = score_answers(file, **given, output=tmp_path / "scores" / "tool")
    m = json.loads(found.metrics_file.read_text())
    assert m["overall"] == pytest.approx(accuracy_score(TRUE, DECIDED))
    assert m["mean_recall"] == pytest.approx(balanced_accuracy_score(TRUE, DECIDED))
    assert m["macro_f1"] == pytest.approx(f1_score(TRUE, DECIDED, average="macro"))
    assert (m["n"], m["answers"], m["run"], m["duplicates_of_train"]["n"]) == (30, file.name, "tool", 1)
    assert found.train_counts == {"happiness": 2, "neutral": 2, "sadness": 2}
    kept = read_predictions(found.predictions_file)
    assert [kept.class_names[i] for i in kept.predicted] == DECIDED
    if make is by_score:
        assert kept.probabilities.max(axis=1) == pytest.approx(np.full(30, 40 / 48), abs=1e-6)


def test_two_tools_are_compared(given: dict[str, Any], tmp_path: Path) -> None:
    perfect = [{"id": f"test/{i}", "label": name} for i, name in enumerate(TRUE)]
    for name, rows in (("theirs", by_label()), ("perfect", perfect)):
        score_answers(write(tmp_path / f"{name}.csv", rows), **given, output=tmp_path / name)
    comparison, counts = compare([tmp_path / "theirs", tmp_path / "perfect"])
    (pair,) = comparison.pairs
    assert (pair.baseline, pair.method) == ("theirs", "perfect")
    assert pair.mean_recall.value == pytest.approx(1 - balanced_accuracy_score(TRUE, DECIDED))
    assert counts is None
    again, _ = compare([tmp_path / "theirs", tmp_path / "perfect"], prior="balanced")  # of a model that is compared with them
    assert (again.pairs, comparison.pairs[0]) == (comparison.pairs, pair)
    assert "theirs, perfect: another tool's answers, which stand as they are, without --prior balanced." in again.notes
    with pytest.raises(ConfigError, match="has no scores on validation"):
        compare([tmp_path / "theirs", tmp_path / "perfect"], split="validation")


def without(rows: list[dict[str, Any]], *names: str) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key not in names} for row in rows]


only_contempt = {"sad": 0, "happy": 0, "neutral": 0, "fear": 0, "contempt": 7}

WRONG = [
    (lambda: without(by_label(), "id"), DataError, "needs a column `id`"),
    (lambda: by_label()[2:], DataError, "no answer for 2 of the 30 faces of tiny test, such as test/0"),
    (lambda: [*by_label(), by_label()[4]], DataError, "answers 2 times for the face test/4"),
    (lambda: without(by_score(), "sad"), DataError, "it lacks sadness"),
    (lambda: [{**row, "sad": -1.0} for row in by_score()], DataError, "not logits"),
    (lambda: [{**row, "sad": 0, "happy": 0, "neutral": 0, "fear": 0} for row in by_score()], DataError, "not all 0"),
    (
        lambda: [{**row, "contempt": 0, **(only_contempt if row["id"] in ("test/3", "test/8") else {})} for row in by_score()],
        DataError,
        "answers only contempt, which the data set lacks, for 2 of 30 faces, such as test/3; give one",
    ),
    (lambda: [{**row, "p_fear": 1} for row in by_score()], DataError, "has two columns for fear, fear and p_fear; leave one out"),
    (lambda: [{**row, "happiness": 1} for row in by_score()], DataError, "has two columns for happiness, happy and happiness"),
    (lambda: [{**row, "sad": "much"} for row in by_score()], DataError, "must hold numbers"),
    (lambda: [{**row, "label": "fear"} for row in by_label()], LabelError, "answers fear, which is none"),
    (lambda: [{**row, "label": "tired"} for row in by_label()], LabelError, "answers 'tired' for the face test/0. Unknown expression"),
    (lambda: [{**row, "label": ""} if row["id"] == "test/7" else row for row in by_label()], LabelError, "answers '' for the face test/7."),
]


@pytest.mark.parametrize(("make", "error", "message"), WRONG, ids=[message for _, _, message in WRONG])
def test_what_does_not_fit_is_told_and_nothing_is_written(
    make: Any, error: type[Exception], message: str, given: dict[str, Any], tmp_path: Path
) -> None:
    file = write(tmp_path / "tool.csv", make())
    with pytest.raises(error, match=message.replace("(", r"\(")):
        score_answers(file, **given, output=tmp_path / "scores")
    assert not (tmp_path / "scores").exists()


@pytest.mark.parametrize(("make", "column"), [(by_score, "sad"), (by_score, "id"), (by_label, "label")])
def test_a_column_that_comes_twice_is_named(make: Any, column: str, given: dict[str, Any], tmp_path: Path) -> None:
    file = write(tmp_path / "tool.csv", [{**row, "": "", "again": row[column]} for row in make()])
    head, rest = file.read_text().split("\n", 1)
    file.write_text(f"{head.replace('again', column)}\n{rest}")
    with pytest.raises(DataError, match=rf"tool\.csv has the column {column} twice; leave one out\."):
        score_answers(file, **given, output=tmp_path / "scores")


def test_a_column_of_something_else_may_come_twice(given: dict[str, Any], tmp_path: Path) -> None:
    file = write(tmp_path / "tool.csv", [{**row, "face ": 0} for row in by_label()])
    file.write_text(file.read_text().replace("face ", "face", 1))
    assert score_answers(file, **given, output=tmp_path / "scores").metrics["overall"] == pytest.approx(accuracy_score(TRUE, DECIDED))


@pytest.mark.parametrize("make", [by_score, by_label])
def test_spaces_behind_the_commas_mean_nothing(make: Any, given: dict[str, Any], tmp_path: Path) -> None:
    rows = make()
    spaced, plain = tmp_path / "spaced.csv", write(tmp_path / "plain.csv", rows)
    spaced.write_text("".join(", ".join(line) + "\n" for line in csv.reader(plain.read_text().splitlines())))
    there, expected = (score_answers(file, output=tmp_path / file.stem, **given) for file in (spaced, plain))
    assert (
        read_predictions(there.predictions_file).probabilities.tolist()
        == read_predictions(expected.predictions_file).probabilities.tolist()
    )


def test_a_place_that_cannot_be_written_is_told_before_the_data_are_read(
    given: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(*_: Any, **__: Any) -> None:
        raise AssertionError("too late")

    monkeypatch.setattr("evenface.runs.answers.load_manifest", work)
    file = write(tmp_path / "tool.csv", by_label())
    with pytest.raises(StorageError, match="cannot be written"):
        score_answers(file, **given, output=file / "scores")


def test_from_the_command_line(given: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, scores = str(write(tmp_path / "tool.csv", by_score())), str(tmp_path / "scores")
    data = ["--dataset", "manifest", "--data-dir", given["data_dir"]]
    assert main(["evaluate", file, *data, "-o", scores]) == 0
    assert "mean recall" in capsys.readouterr().out
    for words, told in (
        (["evaluate", file, "-o", scores], "--dataset and --data-dir"),
        (["evaluate", file, *data], "the folder -o"),
        (["evaluate", file, *data, "-o", scores, "--prior", "balanced"], "leave out --prior."),
        (["evaluate", file, *data, "-o", scores, "--device", "cpu", "-b", "8"], "leave out --device, --batch-size."),
        (["evaluate", file, *data, "-o", scores, "--tta", "flip", "--precision", "bf16"], "leave out --tta, --precision."),
        (["evaluate", file, *data, "-o", file], "is a file"),
        (["evaluate", str(tmp_path / "no.csv"), *data, "-o", scores], "There is no"),
        (["compare", scores, scores], "leave one out"),
        (["compare", scores, "--split", "validation"], "has no scores on validation; run: evenface evaluate ANSWERS.csv --dataset SET"),
    ):
        assert main(words) in (1, 2)
        answer = capsys.readouterr()
        assert told in answer.err
        assert "Traceback" not in answer.err
