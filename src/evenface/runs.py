"""Scoring runs and model folders, and putting runs side by side.

evaluation = evaluate("runs/x", split="test")         # writes predictions-test.parquet and metrics-test.json into runs/x
comparison = compare(["runs/ce", "runs/rbcf"])
"""

from __future__ import annotations

import csv
import dataclasses
import os
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evenface.data.duplicates import duplicates_of_train
from evenface.data.manifest import Manifest
from evenface.data.store import open_store
from evenface.devices import resolve_device, resolve_precision
from evenface.errors import ConfigError, ModelError
from evenface.evaluation.compare import Comparison, RunPredictions, compare_runs, method_labels
from evenface.evaluation.evaluate import predict
from evenface.evaluation.metrics import AGGREGATES
from evenface.evaluation.records import Predictions, read_predictions, summarise, write_metrics, write_predictions
from evenface.labels import require_same
from evenface.model_folder import CONFIG, ModelConfig, load_model, read_config, standing
from evenface.training.config import TrainConfig, load_config
from evenface.training.data import load_manifest, selection_split


TTA = ("none", "flip")
_NO_METHOD = ("seed", "output", "device", "workers", "store", "save_minutes", "tensorboard", "data_dir", "precision")


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found and where it wrote it; `metrics` is the content of metrics-<split>.json."""

    metrics: dict[str, Any]
    train_counts: dict[str, int] | None
    metrics_file: Path
    predictions_file: Path


def evaluate(
    target: str | os.PathLike[str],
    *,
    split: str = "test",
    dataset: str | None = None,
    data_dir: str | None = None,
    tta: str = "none",
    output: str | os.PathLike[str] | None = None,
    device: str = "auto",
    precision: str = "fp32",
    batch_size: int = 256,
    workers: int = 2,
    command: Sequence[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Scores a run (its best epoch) or a model folder on one split.

    Args:
        dataset, data_dir: by default the run's own; a model folder needs them.
        tta: "flip" averages the probabilities of each face and its mirror; its files are named `...-<split>-flip...`.
        output: where the two files go; by default the run folder (or the model folder's). A run's scores on another data set than its own
            are named `...-<dataset>-<split>...`, so that they do not take the place of those on its own.

    Raises:
        ConfigError: neither a run nor a model folder, no data set to score on, or an output that is a file.
        LabelError: the data set has other classes than the model.
        DataError, ModelError: what is missing or broken.
    """
    if tta not in TTA:
        raise ConfigError(f"--tta is one of {', '.join(TTA)}, not '{tta}'.")
    folder = Path(target)
    config, model_path = _find(folder)
    where = Path(output) if output is not None else folder
    if where.is_file():
        raise ConfigError(f"{where} is a file; -o/--output names the folder for the two files.")
    chosen = resolve_device(device)
    kind, _ = resolve_precision(precision, chosen)
    model, about = load_model(model_path)
    own_data = config is not None and dataset in (None, config.dataset)
    if own_data:
        assert config is not None
        settings = config if data_dir is None else dataclasses.replace(config, data_dir=data_dir)
    else:
        if dataset is None:
            raise ConfigError(f"{folder} is a model without its data; say what to score it on with --dataset and --data-dir.")
        classes: Any = 8 if len(about.class_names) == 8 else 7
        settings = TrainConfig(
            dataset=dataset, data_dir=data_dir, classes=classes, protocol="paper" if split != "validation" else "validation"
        )
    manifest = load_manifest(settings)
    require_same(about.class_names, manifest.class_names, f"the data set '{manifest.name}'")
    part = manifest.split(split)
    store = open_store(part, about.img_size, device=chosen, mode=settings.store, workers=workers)
    probabilities = predict(
        model.to(chosen), store, batch_size=batch_size, device=chosen, precision=kind, flip=tta == "flip", progress=progress
    )
    predictions = _predictions(store.manifest, manifest, split, about, probabilities, workers)
    provenance = {
        "command": shlex.join(command),
        "run": folder.resolve().name,
        "seeds": [] if config is None else [config.seed],
        "model": about.architecture,
        "method": about.method,
        "init": about.init,
        "init_sha256": (about.init or {}).get("sha256"),
        "tta": tta,
        "unreadable": list(store.unreadable),
        "selection": about.details.get("selection"),
        "epoch": about.details.get("epoch"),
    }
    if config is not None and own_data:
        provenance |= {"protocol": config.protocol, "optimistic": split == selection_split(config)}
        if config.protocol == "paper":
            provenance["paper"] = _as_papers_report(folder / "log.csv")
    metrics = summarise(
        predictions.true,
        predictions.predicted,
        about.class_names,
        predictions.duplicates,
        dataset=manifest.name,
        split=split,
        provenance=provenance,
    )
    stem = split if tta == "none" else f"{split}-{tta}"
    if config is not None and not own_data:
        stem = f"{dataset}-{stem}"
    metrics_file, predictions_file = where / f"metrics-{stem}.json", where / f"predictions-{stem}.parquet"
    write_predictions(predictions_file, predictions)
    write_metrics(metrics_file, metrics)
    return Evaluation(metrics, about.train_counts, metrics_file, predictions_file)


def compare(
    runs: Sequence[str | os.PathLike[str]],
    *,
    split: str = "test",
    tta: str = "none",
    without_duplicates: bool = False,
    resamples: int = 10_000,
) -> tuple[Comparison, dict[str, int] | None]:
    """Runs that were evaluated on the same split, side by side; the first one's method is the baseline.

    Runs that differ in nothing but their seed are one method. Returns the comparison and the first run's training faces per class.

    Raises:
        ConfigError: a folder that is no run, or a run without predictions on that split.
        DataError, LabelError: runs on different images or classes.
    """
    if tta not in TTA:
        raise ConfigError(f"--tta is one of {', '.join(TTA)}, not '{tta}'.")
    stem = split if tta == "none" else f"{split}-{tta}"
    options, found, counts = [], [], None
    for entry in runs:
        folder = Path(entry)
        config, model_path = _find(folder)
        if config is None:
            raise ConfigError(f"{folder} is a model folder; compare takes run folders, which know their seed and settings.")
        file = folder / f"predictions-{stem}.parquet"
        if not file.exists():
            flag = "" if tta == "none" else f" --tta {tta}"
            raise ConfigError(f"{folder} has not been scored on {split} yet; run: evenface evaluate {folder} --split {split}{flag}")
        about = read_config(model_path)
        counts = counts or about.train_counts
        settings = {k: v for k, v in dataclasses.asdict(config).items() if k not in ("method", "method_options")}
        method = dict(about.method or {"name": config.method})
        options.append({**settings, "method": method.pop("name"), **method})
        found.append((folder, config.seed, read_predictions(file)))
    labels = method_labels(options, ignore=_NO_METHOD)
    table = [RunPredictions.of(str(folder), label, seed, p) for (folder, seed, p), label in zip(found, labels, strict=True)]
    return compare_runs(table, without_duplicates=without_duplicates, resamples=resamples), counts


def _find(folder: Path) -> tuple[TrainConfig | None, Path]:
    """The config and model folder of a run, or (None, folder) of a model folder."""
    if (folder / "config.yaml").is_file():
        if not standing(folder / "best").is_dir():
            raise ModelError(f"The run {folder} has no best model yet; let it finish an epoch: evenface train --resume {folder}")
        return load_config(folder / "config.yaml"), folder / "best"
    if (folder / CONFIG).is_file():
        return None, folder
    what = "does not exist" if not folder.exists() else "is neither a run (config.yaml) nor a model folder (config.json)"
    raise ConfigError(f"{folder} {what}; give the folder of a run, such as runs/x.")


def _predictions(part: Manifest, whole: Manifest, split: str, about: ModelConfig, probabilities: np.ndarray, workers: int) -> Predictions:
    position = {name: i for i, name in enumerate(about.class_names)}
    true = np.array([position[label] for label in part.table["label"].to_pylist()], dtype=np.int64)
    flags = dict(zip(whole.split(split).ids(), duplicates_of_train(whole, split, workers), strict=True))
    duplicates = np.array([bool(flags[name]) for name in part.ids()], dtype=bool)
    return Predictions(tuple(part.ids()), true, probabilities.argmax(axis=1), probabilities, duplicates, about.class_names)


def _as_papers_report(log: Path) -> dict[str, Any] | None:
    """Scores of test epochs the ways papers give them: the last one, the best one (by the run's `select`), the mean of the last five."""
    if not log.exists():
        return None
    rows = list(csv.DictReader(log.read_text().splitlines()))
    if not rows:
        return None

    def mean(chosen: list[dict[str, str]]) -> dict[str, Any]:
        found = {name: sum(float(row[f"test_{name}"]) for row in chosen) / len(chosen) for name in AGGREGATES}
        return {"epochs": [int(row["epoch"]) for row in chosen], **found}

    return {"last": mean(rows[-1:]), "best": mean([row for row in rows if row["best"] == "True"][-1:]), "last_5": mean(rows[-5:])}
