"""Answers of another tool, scored on the same faces and with the same intervals as a model, and compared with models.

    score_answers("deepface.csv", dataset="ferplus", data_dir=DIR, output="scores/deepface")
    compare(["runs/rbcf", "scores/deepface"])

The file is a CSV or a Parquet table with a row per face: `id`, as the data set names it (`Manifest.ids`), and either a column per
expression (`p_fear` or `fear`; probabilities, percent or any numbers from 0 on) or `label`, the decision. Names may be aliases (`happy`).
"""

from __future__ import annotations

import os
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from evenface.data.duplicates import duplicates_of_train
from evenface.data.pictures import pictures_of
from evenface.errors import ConfigError, DataError, LabelError
from evenface.evaluation.records import (
    Evaluation,
    Predictions,
    Scoring,
    summarise,
    write_metrics,
    write_predictions,
)
from evenface.files import require_writable
from evenface.labels import canonical
from evenface.model_folder import CONFIG
from evenface.runs.scored import require_one_source
from evenface.training.config import TrainConfig
from evenface.training.data import load_manifest


SUFFIXES = (".csv", ".parquet")


def require_own_place(where: Path, run: Path | None = None) -> None:
    """Scores go into the run's own folder or into one that is no run, whose scores they would replace.

    Raises:
        ConfigError: a file, a model folder, or the folder of another run.
    """
    if where.is_file():
        raise ConfigError(f"{where} is a file; -o/--output names the folder for the two files.")
    if (where / CONFIG).is_file():
        raise ConfigError(f"{where} is a model folder, to be given away, and scores name every face; name another one with -o/--output.")
    if (where / "config.yaml").is_file() and (run is None or where.resolve() != run.resolve()):
        raise ConfigError(f"{where} is a run, whose own scores would be replaced; name another folder with -o/--output.")


def is_answers(target: Path) -> bool:
    """Whether a target of `evenface evaluate` is a file of answers."""
    return target.suffix.lower() in SUFFIXES and not target.is_dir()


def score_answers(
    file: str | os.PathLike[str],
    *,
    dataset: str,
    data_dir: str | None = None,
    split: str = "test",
    output: str | os.PathLike[str],
    workers: int = 2,
    command: Sequence[str] = (),
) -> Evaluation:
    """Scores a file of answers on one split of a data set; writes `metrics-<split>.json` and `predictions-<split>.parquet`.

    Faces of other splits in the file are left alone. Expressions that the data set does not have are left out, and what is left decides.

    Raises:
        ConfigError: an output that is a file, or that has the scores of another tool, a model or another data set.
        DataError: no such file, a face of the split without an answer or with two, columns missing or given twice, or a face of which
            all scores are for expressions that the data set lacks.
        LabelError: a decision that is none of the data set's expressions.
        StorageError: the scores cannot be written there.
    """
    path, where = Path(file), Path(output)
    require_own_place(where)
    require_writable(where)
    table = _read(path)
    protocol: Any = "validation" if split == "validation" else "paper"  # nothing is set aside but where it is asked for
    manifest = load_manifest(TrainConfig(dataset=dataset, data_dir=data_dir, protocol=protocol))
    stem = Scoring(split, "none").stem
    files = where / f"metrics-{stem}.json", where / f"predictions-{stem}.parquet"
    require_one_source(files[0], dataset=manifest.name, answers=path.name)
    part, names = manifest.split(split), manifest.class_names
    rows = _rows_of(part.ids(), table, path, f"{manifest.name} {split}")
    probabilities = _probabilities(table.take(pa.array(rows)), names, path)
    duplicates = np.asarray(duplicates_of_train(manifest, split, workers), dtype=bool)
    predictions = Predictions(tuple(part.ids()), part.targets(), probabilities.argmax(axis=1), probabilities, duplicates, names)
    about = {
        "command": shlex.join(command),
        "run": where.resolve().name,
        "answers": path.name,
        "seeds": [],
        "tta": "none",
        "prior": "model",
        "pictures": pictures_of(manifest, [split])[split],
    }
    metrics = summarise(predictions.true, predictions.predicted, names, duplicates, dataset=manifest.name, split=split, provenance=about)
    write_predictions(files[1], predictions)
    write_metrics(files[0], metrics)
    return Evaluation(metrics, manifest.counts("train") if "train" in manifest.splits else None, *files)


def _read(path: Path) -> pa.Table:
    try:
        if path.suffix.lower() == ".parquet":
            table = pq.read_table(path)
        else:
            with pacsv.open_csv(path) as rows:
                text = {name: pa.string() for name in rows.schema.names if name.strip() in ("id", "label")}
            table = pacsv.read_csv(path, convert_options=pacsv.ConvertOptions(column_types=text))
        table = table.rename_columns([name.strip() for name in table.column_names])
    except FileNotFoundError:
        raise DataError(f"There is no {path}; give a run, a model folder, or a table of answers (.csv, .parquet).") from None
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(f"{path} cannot be read as a table ({str(error).splitlines()[0]}).") from error
    if "id" not in table.column_names:
        raise DataError(f"{path} needs a column `id` with the data set's name of each face; it has {', '.join(table.column_names)}.")
    _columns(table, path)  # refused before the data are read
    return table


def _columns(table: pa.Table, path: Path) -> dict[str, str]:
    """The names of the columns that count, by what they hold: `id`, `label` or an expression."""
    found: dict[str, str] = {}
    for column in table.column_names:
        try:
            what = column if column in ("id", "label") else canonical(column.removeprefix("p_"))
        except LabelError:
            continue  # a column of something else
        if what in found:
            both = f"the column {column} twice" if column == found[what] else f"two columns for {what}, {found[what]} and {column}"
            raise DataError(f"{path} has {both}; leave one out.")
        found[what] = column
    return found


def _rows_of(ids: Sequence[str], table: pa.Table, path: Path, what: str) -> list[int]:
    """The row of each face."""
    given = [str(name) for name in table["id"].to_pylist()]
    place = {name: row for row, name in enumerate(given)}
    missing = [name for name in ids if name not in place]
    if missing:
        raise DataError(
            f"{path} has no answer for {len(missing)} of the {len(ids)} faces of {what}, such as {missing[0]}; give one for each."
        )
    counts = Counter(given)
    twice = next((name for name in ids if counts[name] > 1), None)
    if twice is not None:
        raise DataError(f"{path} answers {counts[twice]} times for the face {twice}; give one answer for each.")
    return [place[name] for name in ids]


def _probabilities(table: pa.Table, names: Sequence[str], path: Path) -> np.ndarray:
    """(n, L) float32, each row sums to 1; 0 and 1 where only decisions are given."""
    columns = _columns(table, path)
    absent = [name for name in names if name not in columns]
    if not absent:
        scores = np.stack([_numbers(table, columns[name], path) for name in names], axis=1)
        sums = scores.sum(axis=1, keepdims=True)
        lacking = {name: column for name, column in columns.items() if name not in (*names, "id", "label")}
        _require_kept(table, lacking, np.flatnonzero((scores == 0).all(axis=1)), path)
        if not (np.isfinite(scores).all() and (scores >= 0).all() and (sums > 0).all()):
            raise DataError(f"{path}: the scores of a face must be numbers from 0 on that are not all 0; give probabilities, not logits.")
        shares: np.ndarray = scores / sums
        return shares.astype(np.float32)
    if "label" not in table.column_names:
        raise DataError(f"{path} needs a column for each expression or a column `label`; it lacks {', '.join(absent)}.")
    position = {name: index for index, name in enumerate(names)}
    decided = np.zeros((table.num_rows, len(names)), np.float32)
    for row, label in enumerate(table["label"].to_pylist()):
        try:
            name = canonical(str(label))
        except LabelError as error:
            raise LabelError(f"{path} answers '{'' if label is None else label}' for the face {table['id'][row]}. {error}") from error
        if name not in position:
            raise LabelError(f"{path} answers {label}, which is none of the data set's expressions {', '.join(names)}.")
        decided[row, position[name]] = 1.0
    return decided


def _require_kept(table: pa.Table, lacking: Mapping[str, str], empty: np.ndarray, path: Path) -> None:
    """Refuses faces of which a tool says nothing but expressions that the data set lacks.

    Args:
        lacking: expression -> column of those.
        empty: rows whose scores for the data set's own expressions are all 0.
    """
    given = {name: _numbers(table, column, path)[empty] > 0 for name, column in lacking.items()} if empty.size else {}
    only = [name for name, there in given.items() if there.any()]
    if only:
        faces = empty[np.any([given[name] for name in only], axis=0)]
        raise DataError(
            f"{path} answers only {' or '.join(only)}, which the data set lacks, for {len(faces)} of {table.num_rows} faces, such as "
            f"{table['id'][int(faces[0])]}; give one of the data set's expressions a score above 0 there."
        )


def _numbers(table: pa.Table, column: str, path: Path) -> np.ndarray:
    """(n,) float64."""
    try:
        found: np.ndarray = table[column].to_numpy().astype(np.float64)
    except (ValueError, TypeError, pa.ArrowInvalid) as error:
        raise DataError(f"{path}: the columns of the expressions must hold numbers ({error}).") from error
    return found
