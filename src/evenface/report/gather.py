"""What a report is made of: the runs that were named, and their scores on a split, aligned.

    runs, notes = find_runs(["runs/ce-s*", "runs/rbcf-s0"])
    scores, missing = read_scores(runs, "test", "none", "model")

A folder of runs (a study's) stands for the runs in it, cross-entropy first, which makes it the baseline. A model that belongs to no run
keeps its scores beside the report. A folder of scores (another tool's answers) stands for itself, and a folder of such folders for them.
"""

from __future__ import annotations

import csv
import dataclasses
import glob
import hashlib
import math
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evenface import zoo
from evenface.errors import ConfigError, DataError
from evenface.evaluation.compare import Comparison, RunPredictions, compare_runs
from evenface.evaluation.records import Predictions, Scoring, read_metrics, read_predictions
from evenface.model_folder import WEIGHTS, ModelConfig, is_backbone, read_config, standing
from evenface.report.data import Data
from evenface.report.tables import class_order
from evenface.runs.find import find_model
from evenface.runs.labels import labels_of, names_of
from evenface.runs.scored import all_metrics, command_for, files_in, of_tool, other_pictures
from evenface.training.config import TrainConfig, load_config
from evenface.training.environment import environment_of


OWN = Data()
"""Each run's own data, or whatever a model without a run was scored on."""


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """A run, a model that belongs to none, or scores that belong to none.

    Attributes:
        name: as it is shown.
        target: what `evenface evaluate` takes; the folder of scores.
        scores: the folder of its stored scores.
        config: how it was trained; None where there is no run.
        about: what the model folder says; None for a folder of scores, of which nothing else is known.
        label: of the method; runs with one label are its seeds.
        seed: of the training; None where it is not known.
    """

    name: str
    target: str
    scores: Path
    config: TrainConfig | None
    about: ModelConfig | None
    label: str
    seed: int | None

    @property
    def epoch(self) -> int | None:
        """The epoch that was kept."""
        return None if self.about is None else self.about.details.get("epoch")

    @property
    def is_tool(self) -> bool:
        """Whether these are another tool's answers, which stand as they are, whatever view or prior is asked for."""
        return self.about is None and of_tool(all_metrics(self.scores))

    @property
    def class_names(self) -> tuple[str, ...]:
        """(L,) in the model's order."""
        if self.about is not None:
            return tuple(self.about.class_names)
        return tuple(next(iter(all_metrics(self.scores).values()))["class_names"])

    def environment(self) -> dict[str, Any]:
        """`environment.json`; empty where there is none."""
        return environment_of(self.scores)

    def log(self) -> list[dict[str, float]]:
        """The rows of `log.csv`, numbers only; none where there is no log that can be read. A row without its epoch is left out."""
        try:
            text = (self.scores / "log.csv").read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return []
        return [row for row in map(_numbers, csv.DictReader(text.splitlines())) if "epoch" in row]


@dataclasses.dataclass(frozen=True, eq=False)
class Scores:
    """The stored scores of K runs on one split. Classes stand by falling number of training faces, images in the first run's order.

    Attributes:
        split: train, validation or test.
        dataset: its name.
        runs: K runs.
        class_names: (L,).
        ids: (n,).
        true: (n,) positions in `class_names`.
        predicted: (K, n).
        probabilities: (K, n, L) float32.
        duplicates: (n,) bool, the image stands in train pixel for pixel.
        metrics: each run's metrics.json.
        comparison: of the methods.
        without: the same without those duplicates; None where there are none, or nothing else.
        others: two runs, by name, whose scores are of other pictures under the same ids; None where all are of the same.
    """

    split: str
    dataset: str
    runs: tuple[Run, ...]
    class_names: tuple[str, ...]
    ids: tuple[str, ...]
    true: NDArray[np.int64]
    predicted: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    duplicates: NDArray[np.bool_]
    metrics: tuple[dict[str, Any], ...]
    comparison: Comparison
    without: Comparison | None
    others: tuple[str, str] | None

    @property
    def methods(self) -> list[tuple[str, list[int]]]:
        """Label and places of the runs of each method, by seed; the baseline first."""
        place = {run.name: i for i, run in enumerate(self.runs)}
        return [(m.method, [place[name] for name in m.runs]) for m in self.comparison.methods]

    @property
    def n(self) -> list[int]:
        """Images of each class."""
        return list(self.comparison.n)

    @property
    def optimistic(self) -> bool:
        """Whether they are no estimate for new faces: a model learned from these, or has its epoch or calibration from them."""
        return any(bool(m.get("optimistic")) for m in self.metrics)


def find_runs(entries: Sequence[str], beside: Path) -> tuple[list[Run], list[str]]:
    """The runs that the words of a command line mean, and sentences on what was passed over.

    Args:
        entries: runs, model folders, names of models that ship, folders of scores, folders of runs or of such folders, patterns with *
            or ?.
        beside: folder for the scores of models without a run.

    Raises:
        ConfigError: a word that means nothing.
        ModelError: a run without a best model, or a broken one.
    """
    notes: list[str] = []
    paths: list[Path] = []
    for entry in entries:
        for path in _expanded(entry):
            if path != Path(entry) and is_backbone(path / "best"):
                notes.append(f"A start without a head, and left out: {path}.")
                continue
            several = path.is_dir() and not _is_one(path)
            inside = sorted(path.glob("*/config.yaml")) if several else []
            scored = _scored(path, notes) if several else []
            ready = [file.parent for file in inside if (standing(file.parent / "best") / WEIGHTS).is_file()]
            starts = [run for run in ready if is_backbone(run / "best")]
            ready = [run for run in ready if run not in starts]
            ready.sort(key=lambda run: load_config(run / "config.yaml").method != "ce")  # the natural baseline; stable for the others
            if inside and not ready and not starts and not scored:
                raise ConfigError(f"None of the {len(inside)} runs in {path} has a model; let one finish an epoch.")
            waiting = [file.parent.name for file in inside if file.parent not in (*ready, *starts)]
            if waiting:
                notes.append(f"Without a model, and left out: {', '.join(waiting)} in {path}.")
            if starts:
                notes.append(f"Starts without a head, and left out: {', '.join(run.name for run in starts)} in {path}.")
            paths += [*ready, *scored] or [path] * (not starts)
    paths = list(dict.fromkeys(paths))
    if not paths:
        raise ConfigError(f"There is no model in {', '.join(entries)}; starts without a head have no scores.")
    found = {path: find_model(path) for path in paths if not all_metrics(path)}
    abouts = {path: read_config(model) for path, (_, _, model) in found.items()}
    known = [(run, config, abouts[path]) for path, (config, run, _) in found.items() if config is not None]
    labels = labels_of(known) if known else []
    alone = [path for path in paths if path not in found or found[path][0] is None]
    names = names_of(alone, taken={*labels, *(str(folder) for folder, _, _ in known)})
    of_runs, of_others = iter(labels), iter(names)
    runs: dict[str, Run] = {}
    for path in paths:
        config, folder, model = found.get(path, (None, path, None))
        if config is not None:
            run = Run(str(folder), str(folder), folder, config, abouts[path], next(of_runs), config.seed)
        else:
            name = next(of_others)
            scores = folder if model is None else beside / f"{model.name}-{_digest(model)}"
            run = Run(name, str(path), scores, None, abouts.get(path), name, None if model is not None else _seed(folder))
        runs.setdefault(run.name, run)  # a run, and its `best` once more
    return list(runs.values()), notes


def stored(run: Run, split: str, tta: str, prior: str, data: Data = OWN) -> tuple[Path, Path] | None:
    """Its files of predictions and metrics on a split of the data; None where they are missing, of other faces, or those of a model that
    is no longer its best.
    """
    place, scoring = data.of(run, split), Scoring(split, tta, prior)
    if run.about is None:
        found = files_in(run.scores, scoring)
        if found is None:
            return None
        predictions, metrics = found
        then = read_metrics(metrics)
    else:
        name = f"{place.prefix}{scoring.stem}"
        predictions, metrics = run.scores / f"predictions-{name}.parquet", run.scores / f"metrics-{name}.json"
        if not predictions.is_file() or not metrics.is_file():
            return None
        then = read_metrics(metrics)
        if then.get("epoch") != run.epoch or (prior != "model" and then.get("calibration") != run.about.calibration):
            return None
    if place.ids is not None and {*read_predictions(predictions).ids, *then.get("unreadable", ())} != place.ids:
        return None
    return predictions, metrics


def evaluate_command(run: Run, split: str, tta: str, prior: str, data: Data = OWN) -> str:
    """What a user types for the scores that are missing."""
    scoring = Scoring(split, tta, prior)
    if run.about is None:
        return command_for(run.scores, scoring, data.flags() or " --dataset NAME --data-dir DIR")
    where = data.flags() or ("" if run.config is not None else " --dataset NAME --data-dir DIR")
    where += "" if run.config is not None else f" -o {shlex.quote(str(run.scores))}"
    return f"evenface evaluate {shlex.quote(run.target)} --split {split}{scoring.flags}{where}"


def _digest(model: Path) -> str:
    """Tells models of one name apart, so that none is shown with the scores of another."""
    with (standing(model) / WEIGHTS).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:8]


def read_scores(
    runs: Sequence[Run],
    split: str,
    tta: str,
    prior: str,
    *,
    data: Data = OWN,
    resamples: int = 10_000,
) -> tuple[Scores | None, list[Run]]:
    """The scores of the runs that have some on that split (None where none has), and the runs that have none.

    Raises:
        DataError, LabelError: runs on different images, labels or classes.
        ConfigError: a method with one seed twice.
    """
    files = [(run, stored(run, split, tta, prior, data)) for run in runs]
    missing = [run for run, found in files if found is None]
    ready = [(run, found) for run, found in files if found is not None]
    if not ready:
        return None, missing
    members = [run for run, _ in ready]
    metrics = tuple(read_metrics(file) for _, (_, file) in ready)
    predictions = [read_predictions(file) for _, (file, _) in ready]
    names = class_order(predictions[0].class_names, counts_of(members))
    first = _ordered(predictions[0], names, predictions[0].ids)
    table = [RunPredictions.of(run.name, run.label, run.seed or 0, p) for run, p in zip(members, [first, *predictions[1:]], strict=True)]
    finished = {run.label for run in members if run.seed is None}
    comparison = compare_runs(table, resamples=resamples, finished=finished)  # it refuses what cannot be aligned
    aligned = [first, *(_ordered(p, names, first.ids) for p in predictions[1:])]
    duplicates = np.any([p.duplicates for p in aligned], axis=0)
    some = bool(duplicates.any()) and not bool(duplicates.all())
    without = compare_runs(table, without_duplicates=True, resamples=resamples, finished=finished) if some else None
    scores = Scores(
        split,
        str(metrics[0]["dataset"]),
        tuple(members),
        tuple(names),
        first.ids,
        first.true,
        np.stack([p.predicted for p in aligned]),
        np.stack([p.probabilities for p in aligned]),
        duplicates,
        metrics,
        comparison,
        without,
        other_pictures({run.name: (run.scores, each, p.ids) for run, each, p in zip(members, metrics, predictions, strict=True)}),
    )
    return scores, missing


def counts_of(runs: Sequence[Run]) -> dict[str, int] | None:
    """Training faces per class of the first run or model."""
    return next((run.about.train_counts for run in runs if run.about is not None), None)


def _ordered(p: Predictions, names: Sequence[str], ids: Sequence[str]) -> Predictions:
    """The same predictions with these classes and images in this order."""
    if set(p.class_names) != set(names) or set(p.ids) != set(ids):
        return p  # compare_runs says what does not fit
    row = {name: i for i, name in enumerate(p.ids)}
    rows = np.array([row[name] for name in ids], dtype=np.int64)
    columns = np.array([p.class_names.index(name) for name in names], dtype=np.int64)
    place = np.argsort(columns)
    return Predictions(
        tuple(ids), place[p.true[rows]], place[p.predicted[rows]], p.probabilities[rows][:, columns], p.duplicates[rows], tuple(names)
    )


def _expanded(entry: str) -> list[Path]:
    """A pattern's paths, sorted: shells on Windows, and a quoted word, leave that to us. Files among them are passed over."""
    if Path(entry).exists() or not glob.has_magic(entry):
        return [Path(entry)]
    found = [Path(name) for name in sorted(glob.glob(entry)) if Path(name).is_dir()]
    if not found:
        raise ConfigError(f"No folder fits the pattern {entry}; name run folders, such as runs/x.")
    return found


def _scored(path: Path, notes: list[str]) -> list[Path]:
    """The folders of scores in a folder, by name; a sentence on each that cannot be read."""
    found = []
    for folder in sorted(each for each in path.iterdir() if each.is_dir()):
        try:
            found += [folder] * bool(all_metrics(folder))
        except DataError as error:
            notes.append(f"Scores that cannot be read, and left out: {error}")
    return found


def _is_one(path: Path) -> bool:
    """A run, a model folder, the name of a model that ships, or a folder of scores."""
    if not path.exists():
        return str(path) in zoo.shipped()
    return (path / "config.yaml").is_file() or (path / "config.json").is_file() or bool(all_metrics(path))


def _seed(folder: Path) -> int | None:
    """Of the training whose scores, on other data than its own, lie in a folder."""
    return next((int(seed) for metrics in all_metrics(folder).values() for seed in metrics.get("seeds") or ()), None)


def _numbers(row: dict[str, str]) -> dict[str, float]:
    found = {}
    for key, text in row.items():
        try:
            value = float(text)
        except (TypeError, ValueError):
            continue
        if math.isfinite(value):
            found[key] = value
    return found
