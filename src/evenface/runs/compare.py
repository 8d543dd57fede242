"""Runs, other models and other tools side by side, on the faces of one split that all were scored on.

comparison, counts = compare(["runs/ce", "runs/rbcf"])
compare(["runs/rbcf", "scores/ferplus-rbf"], tta="flip", prior="half")
compare(["runs/rbcf"], prior=["model", "half", "balanced"])              # what a prior brings to one model, and what it costs
"""

from __future__ import annotations

import dataclasses
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

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


class _Asked(NamedTuple):
    """All that are compared, as they answer under one way of scoring.

    Attributes:
        answers, metrics: of each entry; the methods are still to be named.
        options: folder, settings and best model of those that are runs.
        apart: of those that are no run, by their place among the entries.
        scored: name -> folder, metrics and ids.
        counts: the first run's training faces per class.
    """

    answers: list[RunPredictions]
    metrics: list[Mapping[str, Any]]
    options: list[tuple[Path, TrainConfig, ModelConfig]]
    apart: dict[int, Scored]
    scored: dict[str, tuple[Path, Mapping[str, Any], tuple[str, ...]]]
    counts: dict[str, int] | None


def compare(
    runs: Sequence[str | os.PathLike[str]],
    *,
    split: str = "test",
    tta: str | Sequence[str] = "none",
    prior: str | Sequence[str] = "model",
    without_duplicates: bool = False,
    resamples: int = 10_000,
) -> tuple[Comparison, dict[str, int] | None]:
    """Runs that were evaluated on the same split, side by side; the first one's method is the baseline.

    Runs that differ in nothing but their seed are one method. A folder that the scores of a model or of another tool's answers were
    written to (`evaluate` or `score_answers` with `output`) stands for itself; another tool's answers stand as they are, whatever `tta`
    and `prior` ask of the others.
    Several views or priors, such as `prior=["model", "half"]`, are compared too: each makes a method of its own of every run, named by
    the flags that differ, and the first of all is the baseline.
    Returns the comparison and the first run's training faces per class.

    Raises:
        ConfigError: neither a run nor a folder of scores, no predictions on that split, or a view or prior that is unknown or given twice.
        DataError, LabelError: runs on different images or classes, or a damaged file.
    """
    if isinstance(runs, str | os.PathLike):
        raise ConfigError(f"compare takes a list of folders, such as ['{os.fspath(runs)}', 'runs/other'].")
    views, priors = _several("view (--tta)", tta, TTA), _several("prior", prior, PRIORS)
    ways = [Scoring(split, view, each) for view in views for each in priors]
    asked = [_ask(runs, way) for way in ways]
    options, apart, counts = asked[0].options, asked[0].apart, asked[0].counts
    labels = labels_of(options) if options else []
    names = names_of([Path(runs[place]) for place in apart], taken=labels)  # the folder's name stands for the method
    tools = [name for name, found in zip(names, apart.values(), strict=True) if found.tool]
    of_runs, of_folders = iter(labels), iter(names)
    called = [next(of_folders if place in apart else of_runs) for place in range(len(runs))]
    table: list[RunPredictions] = []
    finished, whys = list(tools), dict[str, str]()
    for way, each in zip(ways, asked, strict=True):
        flags = Scoring(split, way.tta if len(views) > 1 else "none", way.prior if len(priors) > 1 else "model").flags  # that differ
        for label, answers, metrics in zip(called, each.answers, each.metrics, strict=True):
            told = "" if label in tools else flags
            if label in tools and each is not asked[0]:
                continue  # it stands there already
            table.append(dataclasses.replace(answers, method=f"{label}{told}", name=f"{answers.name}{told}"))
            whys[f"{answers.name}{told}"] = why_optimistic(metrics)
        alone = [name for name, found in zip(names, each.apart.values(), strict=True) if not (found.tool or found.metrics.get("seeds"))]
        finished += [f"{name}{flags}" for name in alone]
    comparison = compare_runs(table, without_duplicates=without_duplicates, resamples=resamples, finished=finished)
    notes = [*comparison.notes, *optimistic_notes(whys, "these very images")]
    if tools and any(way.flags for way in ways):
        without = f", without{ways[0].flags}" if len(ways) == 1 else ""
        notes.append(f"{', '.join(tools)}: another tool's answers, which stand as they are{without}.")
    if odd := other_pictures([folder for folder, _, _ in options]):
        notes.append(f"{odd[1]} was trained and scored on other pictures of these faces than {odd[0]}.")
    elif others := next(filter(None, (scored_on_others(each.scored) for each in asked)), None):
        notes.append(
            f"{others[1]} was scored on other pictures than {others[0]}, though they have the same names: no test of the models alone."
        )
    return dataclasses.replace(comparison, notes=tuple(notes)), counts


def _several(what: str, given: str | Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """One or several of the known names, each once."""
    names = tuple(given) if isinstance(given, Sequence) and not isinstance(given, str) else (given,)
    for name in names:
        if name not in known:
            raise ConfigError(unknown_name(what, name, known))
    if len(set(names)) != len(names) or not names:
        raise ConfigError(f"Give each {what} once, at least one of {', '.join(known)}; got {', '.join(names) or 'none'}.")
    return names


def _ask(runs: Sequence[str | os.PathLike[str]], scoring: Scoring) -> _Asked:
    """What all answer, scored that way."""
    asked = _Asked([], [], [], {}, {}, None)
    counts: dict[str, int] | None = None
    stem = scoring.stem
    for place, entry in enumerate(runs):
        found = scored_in(Path(entry), scoring)
        if found is not None:
            asked.apart[place] = found
            asked.answers.append(RunPredictions.of(str(entry), "", next(iter(found.metrics.get("seeds") or [0])), found.predictions))
            asked.metrics.append(found.metrics)
            asked.scored[str(entry)] = Path(entry), found.metrics, found.predictions.ids
            continue
        config, folder, model_path = find_model(Path(entry))
        if config is None or folder != Path(entry):
            raise ConfigError(
                f"{entry} is a model without scores beside it; score it with: evenface evaluate {shlex.quote(str(entry))} "
                f"--dataset SET --data-dir DIR --split {scoring.split}{scoring.flags} -o SCORES, and compare the folder SCORES."
            )
        file = folder / f"predictions-{stem}.parquet"
        if not is_scored(folder, *scoring):
            since = "trained on" if scoring.prior == "model" else "trained on or calibrated"
            metrics = folder / f"metrics-{stem}.json"
            there = file.exists() and metrics.exists()
            if there:
                read_metrics(metrics)  # a damaged one is told as such
            what = f"has been {since} since it was scored on {scoring}" if there else f"has not been scored on {scoring} yet"
            raise ConfigError(f"{folder} {what}; run: evenface evaluate {shlex.quote(str(folder))} --split {scoring.split}{scoring.flags}")
        about = read_config(model_path, weights=False)
        counts = counts or about.train_counts
        predictions = read_predictions(file)
        asked.metrics.append(read_metrics(folder / f"metrics-{stem}.json"))
        asked.scored[str(folder)] = folder, asked.metrics[-1], predictions.ids
        asked.options.append((folder, config, about))
        asked.answers.append(RunPredictions.of(str(folder), "", config.seed, predictions))
    return asked._replace(counts=counts)
