"""The answers of a study's finished runs in one small file, for machines that are lent for an hour and keep nothing.

    restore(runs, Path("kept.parquet"), "test", "none")      # their folders, with scores and without weights
    keep(runs, Path("kept.parquet"), "test", "none")         # with those that are done now

A row per face: `id`, `label` and `duplicate_of_train` as in a predictions file, and a column per run, named as its folder, with the
expression that it answered. What else the tables are made of (epoch, minutes, versions, settings) is metadata of the column.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from evenface.errors import ConfigError, DataError, EvenfaceError
from evenface.evaluation.records import Predictions, read_metrics, stem_of, summarise, write_metrics, write_predictions
from evenface.files import write_aside, write_text
from evenface.model_folder import CONFIG, read_config
from evenface.study.plan import Run, matter
from evenface.study.state import MINUTES, PLACED, minutes, state_of


_FACES = ["id", "label", "duplicate_of_train"]
_ABOUT = ("schema_version", "architecture", "class_names", "mean", "std", "img_size", "train_counts", "method", "dataset", "evenface")
_SCORES = ("dataset", "seeds", "model", "tta", "prior", "selection", "epoch", "optimistic")
_MADE = ("evenface", "device", "precision", "packages", "train_counts", "data_ids")


def restore(runs: Sequence[Run], file: Path, split: str, tta: str) -> list[Run]:
    """Makes the folders of the runs that the file has and the disk has not; returns these runs.

    A restored run is scored: it is not trained again, and stands in the tables. It has no weights, so a run that another one of `runs`
    must still start from is left out, and trained anew.

    Raises:
        ConfigError: the file is of another split or way of scoring, or a run in it had other settings than the recipe now means.
        DataError: a damaged file.
    """
    if not file.is_file():
        return []
    table = _read(file, split, tta)
    there = {run.folder for run in runs if (run.folder / "config.yaml").is_file()}
    to_come = [run for run in runs if run.folder not in there and run.folder.name not in table.column_names]
    needed = {run.after for run in to_come} | {run.after for run in runs if run.folder in there and not state_of(run, split, tta).done}
    wanted = [run for run in runs if run.folder not in there | needed and run.folder.name in table.column_names]
    for run in wanted:
        _make(run, table, file, stem_of(split, tta))
        state_of(run, split, tta)  # says so where its settings were others
    return wanted


def keep(runs: Sequence[Run], file: Path, split: str, tta: str) -> int:
    """Writes the answers of the runs that are done beside those that the file has already; returns how many runs it has now.

    Raises:
        ConfigError: the file is of another split or way of scoring.
        DataError: a damaged file, or one with the answers for other faces.
        StorageError: it cannot be written.
    """
    faces: pa.Table | None = None
    columns: dict[str, tuple[pa.Array, dict[bytes, bytes]]] = {}
    if file.is_file():
        table = _read(file, split, tta)
        faces = table.select(_FACES)
        columns = {name: (_whole(table[name]), table.field(name).metadata) for name in table.column_names if name not in _FACES}
    for run in runs:
        if (run.folder / MINUTES).is_file() or not state_of(run, split, tta).done:
            continue
        found = pq.read_table(run.folder / f"predictions-{stem_of(split, tta)}.parquet", columns=[*_FACES, "predicted"])
        if faces is None:
            faces = found.select(_FACES)
        elif not faces.select(["id", "label"]).equals(found.select(["id", "label"])):
            raise DataError(f"{file} holds answers for other faces than those of {run.folder}; keep these runs in another file.")
        columns[run.folder.name] = _whole(found["predicted"]), {b"run": json.dumps(_facts(run, split, tta)).encode()}
    if faces is not None:
        fields = [pa.field(name, faces.schema.field(name).type) for name in _FACES]
        fields += [pa.field(name, pa.string(), metadata=facts) for name, (_, facts) in columns.items()]
        arrays = [_whole(faces[name]) for name in _FACES] + [answers for answers, _ in columns.values()]
        schema = pa.schema(fields, metadata={b"evenface": json.dumps({"split": split, "tta": tta}).encode()})
        table = pa.Table.from_arrays(arrays, schema=schema)
        write_aside(file, lambda out: pq.write_table(table, out, compression="zstd", compression_level=19))
    return len(columns)


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def _facts(run: Run, split: str, tta: str) -> dict[str, Any]:
    """What of a run's folder is kept beside its answers; no path of the machine that trained it."""
    about = read_config(run.folder / "best")
    metrics = read_metrics(run.folder / f"metrics-{stem_of(split, tta)}.json")
    environment = json.loads((run.folder / "environment.json").read_text(encoding="utf-8"))
    return {
        "settings": {name: value for name, value in matter(run.config).items() if name not in PLACED},
        "minutes": minutes(run.folder),
        "log": (run.folder / "log.csv").read_text(encoding="utf-8"),
        "environment": {name: environment[name] for name in _MADE if name in environment},
        "model": {name: getattr(about, name) for name in _ABOUT} | {name: about.details.get(name) for name in ("epoch", "selection")},
        "scores": {name: metrics[name] for name in _SCORES if name in metrics},
    }


def _make(run: Run, table: pa.Table, file: Path, stem: str) -> None:
    """The folder of a run from its column."""
    try:
        facts = json.loads(table.field(run.folder.name).metadata[b"run"])
        settings, model, scores = facts["settings"], facts["model"], dict(facts["scores"])
        names = tuple(model["class_names"])
        place = {name: index for index, name in enumerate(names)}
        true, answers = (np.array([place[each] for each in table[name].to_pylist()]) for name in ("label", run.folder.name))
        predictions = Predictions(
            ids=tuple(table["id"].to_pylist()),
            true=true,
            predicted=answers,
            probabilities=np.eye(len(names), dtype=np.float32)[answers],
            duplicates=table["duplicate_of_train"].to_numpy().astype(bool),
            class_names=names,
        )
        config = dataclasses.replace(run.config, **{name: value for name, value in settings.items() if hasattr(run.config, name)})
        texts = {"log.csv": facts["log"], "environment.json": _json(facts["environment"]), f"best/{CONFIG}": _json(model)}
        texts |= {MINUTES: _json({"minutes": facts["minutes"]}), "config.yaml": config.to_yaml()}
    except (KeyError, TypeError, ValueError, EvenfaceError) as error:
        raise DataError(f"{file} has no usable record of {run.folder.name} ({error}); move it away to train that run anew.") from error
    data, split = scores.pop("dataset", ""), stem.partition("-")[0]
    metrics = summarise(true, answers, names, predictions.duplicates, dataset=data, split=split, provenance=scores)
    write_predictions(run.folder / f"predictions-{stem}.parquet", predictions)
    write_metrics(run.folder / f"metrics-{stem}.json", metrics)
    for name, text in texts.items():  # config.yaml last: with it the folder is a run
        write_text(run.folder / name, text)


def _read(file: Path, split: str, tta: str) -> pa.Table:
    try:
        table = pq.read_table(file)
        about = json.loads((table.schema.metadata or {})[b"evenface"])
        was = about["split"], about["tta"]
    except (OSError, pa.ArrowInvalid, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{file} cannot be read as the kept answers of a study ({error}); name another file.") from error
    if was != (split, tta):
        raise ConfigError(f"{file} holds answers on {stem_of(*was)}, and the recipe scores on {stem_of(split, tta)}; name another file.")
    return table


def _json(values: Any) -> str:
    return json.dumps(values, indent=1) + "\n"
