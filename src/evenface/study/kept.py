"""The answers of a study's finished runs in one small file, for machines that are lent for an hour and keep nothing.

    restore(runs, Path("kept.parquet"), Scoring("test"))      # their folders, with scores and without weights
    keep(runs, Path("kept.parquet"), Scoring("test"))         # with those that are done now

A row per face: `id`, `label` and `duplicate_of_train` (of the first run) as in a predictions file, and a column per run, named as its
folder, with the expression that it answered. What else the tables are made of (epoch, minutes, versions, settings; its duplicates, where it
learned from other faces) is metadata of the column.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from evenface.data.pictures import same_pictures
from evenface.errors import ConfigError, DataError, EvenfaceError, ModelError
from evenface.evaluation.records import Predictions, Scoring, read_metrics, summarise, write_metrics, write_predictions
from evenface.files import write_aside, write_text
from evenface.locks import alone_in
from evenface.model_folder import CONFIG, WEIGHTS, read_config
from evenface.models.init import model_folder_of
from evenface.study.plan import Run, matter, starts_from_file
from evenface.study.recipe import check_one_set
from evenface.study.schedule import Say
from evenface.study.state import minutes, state_of
from evenface.training.config import PLACED, TrainConfig
from evenface.training.environment import environment_of
from evenface.zoo import KEPT, sha256_of


_FACES = ["id", "label", "duplicate_of_train"]
_ABOUT = ("schema_version", "architecture", "class_names", "mean", "std", "img_size", "train_counts", "method", "dataset", "evenface")
_SCORES = (
    "dataset", "seeds", "model", "tta", "prior", "calibration", "selection", "epoch", "optimistic", "learned_from", "init_sha256",
)  # fmt: skip
_MADE = ("evenface", "device", "precision", "packages", "train_counts", "data_ids", "pictures")


class Restored(NamedTuple):
    """Runs that were taken from the file, and restored ones that made room again for a training."""

    taken: list[Run]
    dropped: list[Run]


def restore(
    runs: Sequence[Run],
    file: Path,
    scoring: Scoring,
    *,
    write: bool = True,
    train: bool = True,
    say: Say = lambda text: None,
) -> Restored:
    """Makes the folders of the runs that the file has and the disk has not.

    A restored run is scored: it is not trained again, and stands in the tables. It has no weights, so a run that another one of `runs`
    must still start from is not restored but trained anew, in place of a folder that was restored before.

    Args:
        write: False only tells which runs they would be.
        train: False where nothing will be trained, so that every run that the file has may be restored.
        say: takes a line about each run whose answers are of other settings than the recipe means now; it is trained anew.

    Raises:
        ConfigError: the file is of another split or way of scoring, or cannot be written, which is better known before a training.
        DataError: a damaged file.
    """
    _check_place(file)
    if not file.is_file():
        return Restored([], [])
    table = _read(file, scoring)
    kept, start = set(), functools.cache(_start)  # which the seeds of a study share
    for run in runs:
        if run.folder.name in table.column_names:
            changed = _changed(run, _facts_of(table, run, file), start)
            if changed is None:
                kept.add(run.folder)
            elif not (run.folder / "config.yaml").is_file():
                say(f"{run}: {file} has answers of {changed}; it is trained anew")
    light = {run.folder for run in runs if (run.folder / KEPT).is_file()}
    here = {run.folder for run in runs if (run.folder / "config.yaml").is_file()} - light
    scored = {run.folder for run in runs if (run.folder in here or run.folder in light) and state_of(run, scoring).done}
    done = scored | kept
    to_train = {run.folder for run in runs} - done if train else set()
    while needed := {run.after for run in runs if run.folder in to_train and run.after is not None} & (light | kept) - here - to_train:
        to_train |= needed
    dropped = [run for run in runs if run.folder in light & to_train]
    taken = [run for run in runs if run.folder in kept - here - scored - to_train]
    for run in dropped:
        if run.folder not in scored:
            say(f"{run}: its folder has no weights, and {file} no answers on {scoring}; it is trained anew")
    if write:
        keep(dropped, file, scoring)
        for run in dropped:
            shutil.rmtree(run.folder)
        for run in taken:
            _make(run, table, file, scoring.stem)
    return Restored(taken, dropped)


def names_in(file: Path) -> set[str]:
    """The folders' names of the runs whose answers the file has; none where it is not there.

    Raises:
        DataError: a damaged file.
    """
    if not file.is_file():
        return set()
    try:
        return set(pq.read_schema(file).names) - set(_FACES)
    except (OSError, pa.ArrowInvalid) as error:
        raise _unreadable(file, error) from error


def keep(runs: Sequence[Run], file: Path, scoring: Scoring) -> int:
    """Writes the answers of the runs that are done beside those that the file has already; returns how many runs it has now.

    Processes that keep into the same file wait for one another.

    Raises:
        ConfigError: the file is of another split or way of scoring, or the runs are not all scored on the same faces.
        DataError: a damaged file, or one with the answers for other faces.
        StorageError: it cannot be written.
    """
    check_one_set({str(run): dataclasses.asdict(run.config) for run in runs}, scoring.split)
    ready = [run for run in runs if state_of(run, scoring).done]
    if not ready:
        return 0
    file.parent.mkdir(parents=True, exist_ok=True)
    with alone_in(file.parent):
        faces: pa.Table | None = None
        columns: dict[str, tuple[pa.Array, dict[bytes, bytes]]] = {}
        if file.is_file():
            table = _read(file, scoring)
            faces = table.select(_FACES)
            columns = {name: (_whole(table[name]), table.field(name).metadata) for name in table.column_names if name not in _FACES}
        for run in ready:
            if (run.folder / KEPT).is_file() and run.folder.name in columns:
                continue
            found = pq.read_table(run.folder / f"predictions-{scoring.stem}.parquet", columns=[*_FACES, "predicted"])
            if faces is None:
                faces = found.select(_FACES)
            rows = {name: row for row, name in enumerate(found["id"].to_pylist())}
            found = found.take(pa.array([rows.get(name) for name in faces["id"].to_pylist()], pa.int64()))
            if len(rows) != len(faces) or not faces.select(["id", "label"]).equals(found.select(["id", "label"])):
                raise DataError(f"{file} holds answers for other faces than those of {run.folder}; keep these runs in another file.")
            facts = _facts(run, scoring)
            for _, others in columns.values():
                _require_same_pictures(run, facts, others, scoring, file)
            if found["duplicate_of_train"] != faces["duplicate_of_train"]:  # it learned from other faces than the first run
                facts["duplicates"] = np.flatnonzero(found["duplicate_of_train"].to_numpy()).tolist()
            columns[run.folder.name] = _whole(found["predicted"]), {b"run": json.dumps(facts).encode()}
        assert faces is not None, "of a run that is ready"
        fields = [pa.field(name, faces.schema.field(name).type) for name in _FACES]
        fields += [pa.field(name, pa.string(), metadata=facts) for name, (_, facts) in columns.items()]
        arrays = [_whole(faces[name]) for name in _FACES] + [answers for answers, _ in columns.values()]
        schema = pa.schema(fields, metadata={b"evenface": json.dumps(scoring._asdict()).encode()})
        table = pa.Table.from_arrays(arrays, schema=schema)
        write_aside(file, lambda out: pq.write_table(table, out, compression="zstd", compression_level=19))
    return len(columns)


def _check_place(file: Path) -> None:
    folder = next(each for each in file.absolute().parents if each.exists())
    if file.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        why = "is a folder" if file.is_dir() else f"cannot be written, since {folder} is no folder that you may write in"
        raise ConfigError(f"{file} {why}; name a file for the kept answers.")


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def _facts(run: Run, scoring: Scoring) -> dict[str, Any]:
    """What of a run's folder is kept beside its answers; no path of the machine that trained it."""
    about = read_config(run.folder / "best", weights=False)
    metrics = read_metrics(run.folder / f"metrics-{scoring.stem}.json")
    environment = environment_of(run.folder)
    start = {} if run.after is not None or not starts_from_file(run.config) else {"start": metrics.get("init_sha256")}
    return {
        "settings": {name: value for name, value in matter(run.config).items() if name not in PLACED},
        "minutes": minutes(run.folder),
        "log": (run.folder / "log.csv").read_text(encoding="utf-8", errors="replace"),
        "environment": {name: environment[name] for name in _MADE if name in environment},
        "model": {name: getattr(about, name) for name in _ABOUT}
        | ({} if scoring.prior == "model" else {"calibration": about.calibration})
        | {name: about.details.get(name) for name in ("epoch", "selection")}
        | ({"init": {"learned_whole": about.learned_whole}} if about.learned_whole else {}),
        "scores": {name: metrics[name] for name in _SCORES if name in metrics},
        **start,
    }


def _require_same_pictures(run: Run, facts: Mapping[str, Any], others: Mapping[bytes, bytes], scoring: Scoring, file: Path) -> None:
    try:
        theirs = json.loads(others[b"run"])["environment"].get("pictures", {})
    except (KeyError, TypeError, ValueError, AttributeError):  # told when it is restored
        return
    mine = facts["environment"].get("pictures", {})
    scored = [{each: hashes for each, hashes in pictures.items() if each == scoring.split} for pictures in (mine, theirs)]
    if not same_pictures(*scored):
        raise DataError(
            f"{file} holds answers for other pictures, of the same names, than those of {run.folder}; take another file for these."
        )


def _facts_of(table: pa.Table, run: Run, file: Path) -> dict[str, Any]:
    try:
        facts = json.loads(table.field(run.folder.name).metadata[b"run"])
        return dict(facts) | {"settings": dict(facts["settings"])}
    except (KeyError, TypeError, ValueError) as error:
        raise _unusable(file, run, error) from error


def _changed(run: Run, facts: Mapping[str, Any], start: Callable[[str], str | None]) -> str | None:
    """What was another when the answers were kept, as text: a default that has changed since, or the file that the run starts from."""
    now, default = matter(run.config), TrainConfig()
    for name, was in facts["settings"].items():
        if name in now and was != now[name]:
            return f"{name} {was!r}, not {now[name]!r}"
    if facts.get("start") is not None and start(run.config.init) not in (None, facts["start"]):
        return f"another start, and {run.config.init} has changed"
    new = [name for name in now if name not in facts["settings"] and name not in PLACED and now[name] != getattr(default, name)]
    return f"before there was {new[0]}" if new else None


def _start(init: str) -> str | None:
    """The SHA-256 of the weights that a start names; None where they are not here."""
    path = Path(init).expanduser()
    with contextlib.suppress(ModelError):
        folder = model_folder_of(path)
        path = path if folder is None else folder / WEIGHTS
    return sha256_of(path) if path.is_file() else None


def _make(run: Run, table: pa.Table, file: Path, stem: str) -> None:
    """The folder of a run from its column."""
    facts = _facts_of(table, run, file)
    try:
        model, scores = facts["model"], dict(facts["scores"])
        names = tuple(model["class_names"])
        place = {name: index for index, name in enumerate(names)}
        true, answers = (np.array([place[each] for each in table[name].to_pylist()]) for name in ("label", run.folder.name))
        duplicates = table["duplicate_of_train"].to_numpy().astype(bool)
        if "duplicates" in facts:
            duplicates = np.zeros(len(true), dtype=bool)
            duplicates[facts["duplicates"]] = True
        predictions = Predictions(
            ids=tuple(table["id"].to_pylist()),
            true=true,
            predicted=answers,
            probabilities=np.eye(len(names), dtype=np.float32)[answers],
            duplicates=duplicates,
            class_names=names,
        )
        standing = run.folder / "best" / CONFIG  # with the calibration of answers under another prior
        if standing.is_file():
            model = json.loads(standing.read_text(encoding="utf-8")) | model
        texts = {"log.csv": facts["log"], "environment.json": _json(facts["environment"]), f"best/{CONFIG}": _json(model)}
        texts |= {KEPT: _json({"minutes": facts["minutes"]}), "config.yaml": run.config.to_yaml()}
    except (KeyError, IndexError, TypeError, ValueError, EvenfaceError) as error:
        raise _unusable(file, run, error) from error
    data, split = scores.pop("dataset", ""), stem.partition("-")[0]
    metrics = summarise(true, answers, names, duplicates, dataset=data, split=split, provenance=scores)
    write_predictions(run.folder / f"predictions-{stem}.parquet", predictions)
    write_metrics(run.folder / f"metrics-{stem}.json", metrics)
    for name, text in texts.items():  # config.yaml last: with it the folder is a run
        write_text(run.folder / name, text)


def _unusable(file: Path, run: Run, error: Exception) -> DataError:
    return DataError(f"{file} has no usable record of {run.folder.name} ({error}); move it away to train its runs anew.")


def _read(file: Path, scoring: Scoring) -> pa.Table:
    try:
        table = pq.read_table(file)
        about = json.loads((table.schema.metadata or {})[b"evenface"])
        was = Scoring(**about)
    except (OSError, pa.ArrowInvalid, KeyError, TypeError, ValueError) as error:
        raise _unreadable(file, error) from error
    if was != scoring:
        raise ConfigError(f"{file} holds answers on {was}, and the recipe scores on {scoring}; name another file.")
    return table


def _unreadable(file: Path, error: Exception) -> DataError:
    return DataError(f"{file} cannot be read as the kept answers of a study ({error}); name another file.")


def _json(values: Any) -> str:
    return json.dumps(values, indent=1) + "\n"
