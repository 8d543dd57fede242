"""Runs, other models and other tools side by side, on the faces of one split that all were scored on.

comparison, counts = compare(["runs/ce", "runs/rbcf"])
compare(["runs/rbcf", "scores/ferplus-rbf"], tta="flip", prior="half")
"""

from __future__ import annotations

import dataclasses
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evenface.calibration import PRIORS
from evenface.errors import ConfigError, unknown_name
from evenface.evaluation.compare import Comparison, RunPredictions, compare_runs
from evenface.evaluation.records import Scoring, optimistic_notes, read_metrics, read_predictions, why_optimistic
from evenface.model_folder import ModelConfig, read_config
from evenface.runs.evaluate import TTA
from evenface.runs.find import find_model, is_scored
from evenface.runs.labels import labels_of, names_of, other_pictures
from evenface.runs.scored import Scored, scored_in
from evenface.runs.scored import other_pictures as scored_on_others
from evenface.training.config import TrainConfig


def compare(
    runs: Sequence[str | os.PathLike[str]],
    *,
    split: str = "test",
    tta: str = "none",
    prior: str = "model",
    without_duplicates: bool = False,
    resamples: int = 10_000,
) -> tuple[Comparison, dict[str, int] | None]:
    """Runs that were evaluated on the same split, side by side; the first one's method is the baseline.

    Runs that differ in nothing but their seed are one method. A folder that the scores of a model or of another tool's answers were
    written to (`evaluate` or `score_answers` with `output`) stands for itself; another tool's answers stand as they are, whatever `tta`
    and `prior` ask of the others.
    Returns the comparison and the first run's training faces per class.

    Raises:
        ConfigError: neither a run nor a folder of scores, or no predictions on that split.
        DataError, LabelError: runs on different images or classes, or a damaged file.
    """
    if tta not in TTA:
        raise ConfigError(f"--tta is one of {', '.join(TTA)}, not '{tta}'.")
    if prior not in PRIORS:
        raise ConfigError(unknown_name("prior", prior, PRIORS))
    if isinstance(runs, str | os.PathLike):
        raise ConfigError(f"compare takes a list of folders, such as ['{os.fspath(runs)}', 'runs/other'].")
    scoring = Scoring(split, tta, prior)
    stem = scoring.stem
    options: list[tuple[Path, TrainConfig, ModelConfig]] = []
    table: list[RunPredictions] = []
    counts: dict[str, int] | None = None
    whys: dict[str, str] = {}
    apart: dict[int, Scored] = {}  # by place in the table
    scored: dict[str, tuple[Path, Mapping[str, Any], tuple[str, ...]]] = {}
    for place, entry in enumerate(runs):
        found = scored_in(Path(entry), scoring)
        if found is not None:
            apart[place] = found
            table.append(RunPredictions.of(str(entry), "", next(iter(found.metrics.get("seeds") or [0])), found.predictions))
            whys[str(entry)] = why_optimistic(found.metrics)
            scored[str(entry)] = Path(entry), found.metrics, found.predictions.ids
            continue
        config, folder, model_path = find_model(Path(entry))
        if config is None or folder != Path(entry):
            raise ConfigError(
                f"{entry} is a model without scores beside it; score it with: evenface evaluate {shlex.quote(str(entry))} "
                f"--dataset SET --data-dir DIR --split {split}{scoring.flags} -o SCORES, and compare the folder SCORES."
            )
        file = folder / f"predictions-{stem}.parquet"
        if not is_scored(folder, split, tta, prior):
            since = "trained on" if prior == "model" else "trained on or calibrated"
            metrics = folder / f"metrics-{stem}.json"
            there = file.exists() and metrics.exists()
            if there:
                read_metrics(metrics)  # a damaged one is told as such
            what = f"has been {since} since it was scored on {scoring}" if there else f"has not been scored on {scoring} yet"
            raise ConfigError(f"{folder} {what}; run: evenface evaluate {shlex.quote(str(folder))} --split {split}{scoring.flags}")
        about = read_config(model_path, weights=False)
        counts = counts or about.train_counts
        predictions = read_predictions(file)
        scored[str(folder)] = folder, read_metrics(folder / f"metrics-{stem}.json"), predictions.ids
        whys[str(folder)] = why_optimistic(scored[str(folder)][1])
        options.append((folder, config, about))
        table.append(RunPredictions.of(str(folder), "", config.seed, predictions))
    labels = labels_of(options) if options else []
    names = names_of([Path(runs[place]) for place in apart], taken=labels)  # the folder's name stands for the method
    of_runs, of_folders = iter(labels), iter(names)
    table = [dataclasses.replace(run, method=next(of_folders if place in apart else of_runs)) for place, run in enumerate(table)]
    tools = [name for name, found in zip(names, apart.values(), strict=True) if found.tool]
    finished = [name for name, found in zip(names, apart.values(), strict=True) if found.tool or not found.metrics.get("seeds")]
    comparison = compare_runs(table, without_duplicates=without_duplicates, resamples=resamples, finished=finished)
    notes = [*comparison.notes, *optimistic_notes(whys, "these very images")]
    if tools and scoring.flags:
        notes.append(f"{', '.join(tools)}: another tool's answers, which stand as they are, without{scoring.flags}.")
    if odd := other_pictures([folder for folder, _, _ in options]):
        notes.append(f"{odd[1]} was trained and scored on other pictures of these faces than {odd[0]}.")
    elif others := scored_on_others(scored):
        notes.append(
            f"{others[1]} was scored on other pictures than {others[0]}, though they have the same names: no test of the models alone."
        )
    return dataclasses.replace(comparison, notes=tuple(notes)), counts
