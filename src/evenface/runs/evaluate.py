"""Scoring a run or a model folder on one split.

evaluation = evaluate("runs/x", split="test")         # writes predictions-test.parquet and metrics-test.json into runs/x
evaluate("runs/x", prior="balanced")                  # the same for faces of which every expression is equally likely
"""

from __future__ import annotations

import contextlib
import csv
import os
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from evenface.calibration import PRIORS, as_logits
from evenface.cards import folder as cards
from evenface.data.duplicates import duplicates_of_train
from evenface.data.manifest import Manifest
from evenface.data.pictures import pictures_of
from evenface.data.store import open_store
from evenface.devices import resolve_device, resolve_precision
from evenface.errors import ConfigError, DataError, unknown_name
from evenface.evaluation.aggregate import DECIMALS, expert_weights, weighted
from evenface.evaluation.evaluate import predict, predict_experts, require_sizes
from evenface.evaluation.metrics import AGGREGATES
from evenface.evaluation.records import Evaluation, Predictions, Scoring, read_metrics, summarise, write_metrics, write_predictions
from evenface.files import require_writable
from evenface.model_folder import ModelConfig, load_model
from evenface.models.experts import Experts
from evenface.runs.answers import require_own_place
from evenface.runs.data import data_of, learned_look, other_cuts
from evenface.runs.find import chosen_on, find_model
from evenface.runs.scored import require_one_source
from evenface.training.checkpoint import minutes
from evenface.training.config import TrainConfig


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
            a `batch_size` or `workers` below 1, or scores of another model, another tool or another data set in the place of these.
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
        raise ConfigError(f"{target} is a model without a run; say with -o/--output where the scores go, since they name every face.")
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
    others = config is not None and not own_data  # beside which the scores of yet other data may lie
    stem = Scoring(split, tta, prior).stem
    stem = f"{manifest.name}-{stem}" if others else stem
    metrics_file, predictions_file = where / f"metrics-{stem}.json", where / f"predictions-{stem}.parquet"
    if others:
        _require_same_place(metrics_file, settings)
    require_one_source(metrics_file, dataset=manifest.name, run=run.resolve().name)
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
        "pictures": pictures_of(manifest, [split])[split],
        "selection": about.details.get("selection"),
        "epoch": about.details.get("epoch"),
    }
    if others:
        provenance |= {"data_dir": settings.data_dir and str(Path(settings.data_dir).resolve())}
    if not own_data and (cuts := other_cuts(about, manifest)):
        provenance |= {"cut_out": cuts}
    if own_data and config is not None:
        provenance |= {"protocol": config.protocol}
        if config.protocol == "paper" and Scoring(split, tta, prior) == Scoring("test"):  # which the epochs of log.csv were scored as
            provenance["paper"] = _as_papers_report(run / "log.csv")
    same_data = own_data or manifest.name == about.dataset
    provenance |= {} if same_data or about.dataset is None else {"trained_on": about.dataset}
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
    write_predictions(predictions_file, predictions)
    write_metrics(metrics_file, metrics)
    if config is not None and where.resolve() == run.resolve():
        cards.renew(model_path, run, minutes=minutes(run))
    return Evaluation(metrics, about.train_counts, metrics_file, predictions_file)


def _require_same_place(file: Path, settings: TrainConfig) -> None:
    """Scores on one data set are not replaced by those on another that happens to have the same name."""
    before = None
    with contextlib.suppress(DataError):  # none, or a damaged one, which is written anew
        before = read_metrics(file).get("data_dir")
    now = settings.data_dir and str(Path(settings.data_dir).resolve())
    if before is not None and before != now:
        raise ConfigError(
            f"{file} has the scores on the faces in {before}, which have the same name as those in {now}; "
            "name another folder for these with -o, or remove that file."
        )


def _predictions(part: Manifest, whole: Manifest, split: str, about: ModelConfig, probabilities: np.ndarray, workers: int) -> Predictions:
    position = {name: i for i, name in enumerate(about.class_names)}
    true = np.array([position[label] for label in part.table["label"].to_pylist()], dtype=np.int64)
    flags = dict(zip(whole.split(split).ids(), duplicates_of_train(whole, split, workers), strict=True))
    duplicates = np.array([bool(flags[name]) for name in part.ids()], dtype=bool)
    return Predictions(tuple(part.ids()), true, probabilities.argmax(axis=1), probabilities, duplicates, about.class_names)


def _as_papers_report(log: Path) -> dict[str, Any] | None:
    """Scores of test epochs the ways papers give them: the last one, the best one (by the run's `select`), the mean of the last five (of
    all, where there are fewer); None where there is no log that can be read.
    """

    def mean(chosen: list[dict[str, str]]) -> dict[str, Any]:
        found = {name: sum(float(row[f"test_{name}"]) for row in chosen) / len(chosen) for name in AGGREGATES}
        return {"epochs": [int(row["epoch"]) for row in chosen], **found}

    with contextlib.suppress(OSError, KeyError, TypeError, ValueError, ZeroDivisionError):
        rows = list(csv.DictReader(log.read_text(encoding="utf-8").splitlines()))
        return {"last": mean(rows[-1:]), "best": mean([row for row in rows if row["best"] == "True"][-1:]), "last_5": mean(rows[-5:])}
    return None
