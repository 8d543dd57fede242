"""Scoring runs and model folders, and putting runs side by side.

evaluation = evaluate("runs/x", split="test")         # writes predictions-test.parquet and metrics-test.json into runs/x
evaluate("runs/x", prior="balanced")                  # the same for faces of which every expression is equally likely
comparison = compare(["runs/ce", "runs/rbcf"])
"""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from evenface import zoo
from evenface.answers import require_own_place
from evenface.calibration import PRIORS, as_logits
from evenface.cards import folder as cards
from evenface.cards.page import card
from evenface.data.duplicates import duplicates_of_train
from evenface.data.manifest import Manifest
from evenface.data.store import open_store
from evenface.devices import resolve_device, resolve_precision
from evenface.errors import ConfigError, ModelError, unknown_name
from evenface.evaluation.aggregate import DECIMALS, expert_weights, weighted
from evenface.evaluation.compare import Comparison, RunPredictions, compare_runs
from evenface.evaluation.evaluate import predict, predict_experts, require_sizes
from evenface.evaluation.metrics import AGGREGATES
from evenface.evaluation.records import (
    Evaluation,
    Predictions,
    optimistic_notes,
    read_metrics,
    read_predictions,
    summarise,
    why_optimistic,
    write_metrics,
    write_predictions,
)
from evenface.evaluation.records import Scoring as Scoring
from evenface.files import require_writable
from evenface.model_folder import CONFIG, ModelConfig, load_model, read_config, standing
from evenface.models.experts import Experts
from evenface.run_data import data_of, learned_look, other_cuts
from evenface.run_labels import labels_of, other_pictures
from evenface.scored import scored_in
from evenface.training.checkpoint import minutes
from evenface.training.config import TrainConfig, load_config


TTA = ("none", "flip", "experts")


def evaluate(
    target: str | os.PathLike[str],
    *,
    split: str = "test",
    dataset: str | None = None,
    data_dir: str | None = None,
    tta: str = "none",
    prior: str = "model",
    output: str | os.PathLike[str] | None = None,
    device: str = "auto",
    precision: str = "fp32",
    batch_size: int = 256,
    workers: int = 2,
    command: Sequence[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Scores a run (its best epoch) or a model folder on one split; the card of a run's model is written anew with it.

    Args:
        dataset, data_dir: by default the run's own (also for its `best` folder); any other model folder needs them.
        tta: "flip" averages the probabilities of each face and its mirror; "experts" weights the experts of a network by how much they
            agree on face and mirror. The files are named `...-<split>-flip...` and `...-<split>-experts...`.
        prior: "model" is the model's own answer, its softmax as it is; "train", "half" and "balanced" are the scores, and with them the
            decision, under that prior (`evenface.calibration`). The files are named `...-<split>-balanced...`, `...-<split>-flip-train...`.
        output: where the two files go; by default the run folder. A model folder that belongs to no run needs it. A run's scores on other
            data than its own are named `...-<data set>-<split>...`, so that they do not take the place of those on its own. Its own are
            those whose training faces are the run's, wherever they lie.

    Raises:
        ConfigError: neither a run nor a model folder, no data set to score on, an output that is a file, `experts` on a network without,
            or a `batch_size` or `workers` below 1.
        LabelError: the data set has other classes than the model.
        DataError, ModelError: what is missing or broken, or data of the run's own that have changed since.
        StorageError: the scores cannot be written there.
    """
    if tta not in TTA:
        raise ConfigError(f"--tta is one of {', '.join(TTA)}, not '{tta}'.")
    if prior not in PRIORS:
        raise ConfigError(unknown_name("prior", prior, PRIORS))
    require_sizes(batch_size, workers)
    config, run, model_path = find_model(Path(target))
    if output is None and config is None:
        raise ConfigError(f"{run.name} is a model without a run; say with -o/--output where the scores go, since they name every face.")
    where = Path(output) if output is not None else run
    require_own_place(where, run)
    chosen = resolve_device(device)
    kind, _ = resolve_precision(precision, chosen)
    model, about = load_model(model_path)
    if tta == "experts" and not isinstance(model, Experts):
        raise ConfigError(
            "--tta experts weights the experts of a network that has several (--method ride or sade); "
            f"that of {run} is of the kind '{model.kind}'."
        )
    about.scores(np.zeros((1, len(about.class_names))), prior)  # refused now and not after the work, where it lacks what the prior needs
    require_writable(where)
    manifest, settings, own_data = data_of(config, run, dataset, data_dir, about, split)
    how: dict[str, Any] = {"mode": settings.store, "workers": workers, "look": None if own_data else learned_look(about)}
    store = open_store(manifest.split(split), about.img_size, device=chosen, **how)
    how = {"batch_size": batch_size, "device": chosen, "precision": kind, "progress": progress}
    weights: dict[str, Any] = {}
    if tta == "experts":
        face, mirror = predict_experts(cast(Experts, model.to(chosen)), store, **how)
        found = expert_weights(face, mirror)
        weights = {"expert_weights": [round(float(w), DECIMALS) for w in found]}
        probabilities: np.ndarray = weighted(face, found)
    else:
        probabilities = predict(model.to(chosen), store, flip=tta == "flip", **how)
    if prior != "model":
        probabilities = about.scores(as_logits(probabilities), prior).astype(np.float32)
    predictions = _predictions(store.manifest, manifest, split, about, probabilities, workers)
    provenance = {
        "command": shlex.join(command),
        "run": run.resolve().name,
        "seeds": [] if config is None else [config.seed],
        "model": about.architecture,
        "method": about.method,
        "init": about.init,
        "init_sha256": (about.init or {}).get("sha256"),
        "tta": tta,
        "prior": prior,
        **({} if prior == "model" else {"calibration": about.calibration}),
        **weights,
        "unreadable": list(store.unreadable),
        "selection": about.details.get("selection"),
        "epoch": about.details.get("epoch"),
    }
    if not own_data and (cuts := other_cuts(about, manifest)):
        provenance |= {"cut_out": cuts}
    if own_data and config is not None:
        provenance |= {"protocol": config.protocol}
        if config.protocol == "paper" and Scoring(split, tta, prior) == Scoring("test"):  # which the epochs of log.csv were scored as
            provenance["paper"] = _as_papers_report(run / "log.csv")
    same_data = own_data or (config is None and manifest.name == about.dataset)
    fitted_here = prior != "model" and about.fitted is not None and (about.fitted.dataset, about.fitted.split) == (manifest.name, split)
    met = manifest.name in about.learned_whole
    known = same_data and (split == "train" or chosen_on(about, split))
    provenance |= {"optimistic": known or fitted_here or met, **({"learned_from": True} if met else {})}
    metrics = summarise(
        predictions.true,
        predictions.predicted,
        about.class_names,
        predictions.duplicates,
        dataset=manifest.name,
        split=split,
        provenance=provenance,
    )
    stem = Scoring(split, tta, prior).stem
    if config is not None and not own_data:
        stem = f"{manifest.name}-{stem}"
    metrics_file, predictions_file = where / f"metrics-{stem}.json", where / f"predictions-{stem}.parquet"
    write_predictions(predictions_file, predictions)
    write_metrics(metrics_file, metrics)
    if config is not None and where.resolve() == run.resolve():
        cards.renew(model_path, run, minutes=minutes(run))
    return Evaluation(metrics, about.train_counts, metrics_file, predictions_file)


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
    written to (`evaluate` or `evenface.answers.score_answers` with `output`) stands for itself; another tool's answers stand as they are,
    whatever `tta` and `prior` ask of the others.
    Returns the comparison and the first run's training faces per class.

    Raises:
        ConfigError: neither a run nor a folder of scores, or no predictions on that split.
        DataError, LabelError: runs on different images or classes.
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
    tools, finished = [], []
    for entry in runs:
        found = scored_in(Path(entry), scoring)
        if found is not None:  # the folder's name stands for the method
            name = Path(entry).resolve().name
            table.append(RunPredictions.of(str(entry), name, next(iter(found.metrics.get("seeds") or [0])), found.predictions))
            whys[str(entry)] = why_optimistic(found.metrics)
            tools += [name] * found.tool
            finished += [name] * (found.tool or not found.metrics.get("seeds"))
            continue
        config, folder, model_path = find_model(Path(entry))
        if config is None or folder != Path(entry):
            raise ConfigError(
                f"{entry} is a model without scores beside it; score it with: evenface evaluate {entry} --dataset SET --data-dir DIR "
                f"--split {split}{scoring.flags} -o SCORES, and compare the folder SCORES."
            )
        file = folder / f"predictions-{stem}.parquet"
        if not is_scored(folder, split, tta, prior):
            since = "trained on" if prior == "model" else "trained on or calibrated"
            what = f"has been {since} since it was scored on {split}" if file.exists() else f"has not been scored on {split} yet"
            raise ConfigError(f"{folder} {what}; run: evenface evaluate {folder} --split {split}{scoring.flags}")
        about = read_config(model_path, weights=False)
        counts = counts or about.train_counts
        whys[str(folder)] = why_optimistic(read_metrics(folder / f"metrics-{stem}.json"))
        options.append((folder, config, about))
        table.append(RunPredictions.of(str(folder), "", config.seed, read_predictions(file)))
    labels = iter(labels_of(options) if options else ())
    table = [run if run.method else dataclasses.replace(run, method=next(labels)) for run in table]
    comparison = compare_runs(table, without_duplicates=without_duplicates, resamples=resamples, finished=finished)
    notes = [*comparison.notes, *optimistic_notes(whys, "these very images")]
    if tools and scoring.flags:
        notes.append(f"{', '.join(tools)}: another tool's answers, which stand as they are, without{scoring.flags}.")
    if odd := other_pictures([folder for folder, _, _ in options]):
        notes.append(f"{odd[1]} was trained and scored on other pictures of these faces than {odd[0]}.")
    return dataclasses.replace(comparison, notes=tuple(notes)), counts


def model_card(target: str | os.PathLike[str]) -> str:
    """The model card of a run or a model folder as it would be written now, with all that is known of it.

    Raises:
        ConfigError, ModelError: neither a run nor a model folder, or a broken one.
    """
    config, run, folder = find_model(Path(target))
    return card(cards.facts_of(folder, run, minutes=minutes(run)) if config is not None else cards.facts_of(folder, None))


def renew_card(target: str | os.PathLike[str]) -> Path:
    """Writes the model card of a run or a model folder anew, and returns its path; see `evenface.cards.folder.renew`.

    Raises:
        ConfigError, ModelError: neither a run nor a model folder, a broken one, or one that ships.
        StorageError: it cannot be written.
    """
    config, run, folder = find_model(Path(target))
    _require_own(folder)
    return cards.renew(folder, run, minutes=minutes(run)) if config is not None else cards.renew(folder)


def keep_notes(target: str | os.PathLike[str], file: str | os.PathLike[str]) -> Path:
    """Takes the words of a Markdown file over into `notes.md` of a run or a model folder, for its card; returns its path.

    Raises:
        ConfigError, ModelError: neither a run nor a model folder, a broken one, or one that ships.
        DataError: no such file, or no text.
        StorageError: it cannot be written.
    """
    config, run, folder = find_model(Path(target))
    _require_own(folder)
    return cards.keep_notes(Path(file), run if config is not None else folder)


def _require_own(folder: Path) -> None:
    if folder.resolve().is_relative_to(zoo.PRETRAINED):
        raise ConfigError(f"{folder.name} ships with evenface and stays as it is; copy its folder ({folder}) and write into the copy.")


def is_scored(run: Path, split: str, tta: str, prior: str = "model") -> bool:
    """Whether a run has scores on that split, and they are those of the model that is its best one now (and of its calibration).

    A damaged file says that it has none, so that it is scored anew.
    """
    stem = Scoring(split, tta, prior).stem
    metrics, about = run / f"metrics-{stem}.json", standing(run / "best") / CONFIG
    if not (run / f"predictions-{stem}.parquet").is_file() or not metrics.is_file() or not about.is_file():
        return False
    try:
        then, now = (json.loads(file.read_text(encoding="utf-8")) for file in (metrics, about))
    except ValueError:
        return False
    keys = ("epoch",) if prior == "model" else ("epoch", "calibration")
    return isinstance(then, dict) and isinstance(now, dict) and all(then.get(key) == now.get(key) for key in keys)


def find_model(folder: Path) -> tuple[TrainConfig | None, Path, Path]:
    """Config, folder and model folder of a run, which may be named by its `best` too; or (None, folder, folder) of any other model, which
    may be the name of one that ships.
    """
    if not folder.exists() and str(folder) in zoo.shipped():
        folder = zoo.model_path(str(folder))
        return None, folder, folder
    if (folder / "config.yaml").is_file():
        if not standing(folder / "best").is_dir():
            raise ModelError(zoo.no_model(folder))
        return load_config(folder / "config.yaml"), folder, folder / "best"
    if (standing(folder) / CONFIG).is_file():
        run = folder.parent / "config.yaml"
        if folder.name == "best" and run.is_file():
            return load_config(run), folder.parent, folder
        return None, folder, folder
    what = "does not exist" if not folder.exists() else "is neither a run (config.yaml) nor a model folder (config.json)"
    raise ConfigError(f"{folder} {what}; give the folder of a run, such as runs/x, or a name of `evenface models list`.")


def chosen_on(about: ModelConfig, split: str) -> bool:
    """Whether the model's epoch was chosen on that split."""
    selection = about.details.get("selection")
    return isinstance(selection, dict) and selection.get("split") == split


def _predictions(part: Manifest, whole: Manifest, split: str, about: ModelConfig, probabilities: np.ndarray, workers: int) -> Predictions:
    position = {name: i for i, name in enumerate(about.class_names)}
    true = np.array([position[label] for label in part.table["label"].to_pylist()], dtype=np.int64)
    flags = dict(zip(whole.split(split).ids(), duplicates_of_train(whole, split, workers), strict=True))
    duplicates = np.array([bool(flags[name]) for name in part.ids()], dtype=bool)
    return Predictions(tuple(part.ids()), true, probabilities.argmax(axis=1), probabilities, duplicates, about.class_names)


def _as_papers_report(log: Path) -> dict[str, Any] | None:
    """Scores of test epochs the ways papers give them: the last one, the best one (by the run's `select`), the mean of the last five (of
    all, where there are fewer).
    """
    if not log.exists():
        return None
    rows = list(csv.DictReader(log.read_text().splitlines()))
    if not rows:
        return None

    def mean(chosen: list[dict[str, str]]) -> dict[str, Any]:
        found = {name: sum(float(row[f"test_{name}"]) for row in chosen) / len(chosen) for name in AGGREGATES}
        return {"epochs": [int(row["epoch"]) for row in chosen], **found}

    return {"last": mean(rows[-1:]), "best": mean([row for row in rows if row["best"] == "True"][-1:]), "last_5": mean(rows[-5:])}
