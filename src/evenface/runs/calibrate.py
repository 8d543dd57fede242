"""Calibrating a model that stands there already: a run of an older version, or a model that is to be used on other faces.

    found = calibrate("runs/x")                                                      # on the validation split of its own data
    calibrate("model_folder", dataset="folder", data_dir="my_faces")                 # on faces like those that it will see
    found.calibration.temperature, found.priors["balanced"]["mean_recall"]

The weights are not touched; the calibration goes into `config.json`, and the card is written anew. A run calibrates its best model itself
while it trains, unless it chose the epoch on test.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from evenface import zoo
from evenface.calibration import PRIORS, Calibration, as_logits, class_calibration_errors, fit_calibration, require_every_class
from evenface.data.store import open_store
from evenface.devices import resolve_device, resolve_precision
from evenface.errors import ConfigError
from evenface.evaluation.evaluate import predict, require_sizes
from evenface.evaluation.metrics import confusion_matrix, scores
from evenface.files import require_writable
from evenface.model_folder import ModelConfig, load_model, rewrite, standing
from evenface.runs.card import model_card, renew_card
from evenface.runs.data import data_of, learned_look
from evenface.runs.find import find_model
from evenface.training.folder import hold


@dataclasses.dataclass(frozen=True)
class CalibrationReport:
    """What `calibrate` fitted, and what it brings on the faces that it was fitted on.

    Attributes:
        model: the model folder.
        calibration: as it stands there now.
        class_errors: class -> calibration error of its score, 0 to 1: before, and with temperature and bias.
        priors: prior -> `overall` and `mean_recall` of the decisions under it, 0 to 1; "train" only where the model tells its counts.
    """

    model: Path
    calibration: Calibration
    class_errors: dict[str, tuple[float, float]]
    priors: dict[str, dict[str, float]]


def calibrate(
    target: str | os.PathLike[str],
    *,
    dataset: str | None = None,
    data_dir: str | None = None,
    split: str = "validation",
    device: str = "auto",
    precision: str = "fp32",
    batch_size: int = 256,
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> CalibrationReport:
    """Fits the calibration of a run's best model, or of a model folder, and writes it there.

    Args:
        dataset, data_dir: by default the run's own; a model folder that belongs to no run needs them.
        split: faces that the model has not learned from. What was fitted on test flatters the model's scores on test.

    Raises:
        ConfigError: neither a run nor a model folder, one that ships, no data set, or the training faces.
        DataError: what is missing or broken, a class without a face, or a damaged `card.json`.
        LabelError: the data set has other classes than the model.
        ModelError: a broken model.
        StorageError: the model folder cannot be written.
        TrainingError: the run is being trained at this moment.
    """
    if split == "train":
        raise ConfigError("A model is surer of the faces that it has learned from than of new ones; calibrate it on --split validation.")
    require_sizes(batch_size, workers)
    config, run, folder = find_model(Path(target))
    if folder.resolve().is_relative_to(zoo.PRETRAINED):
        raise ConfigError(
            f"{folder.name} ships with evenface and stays as it is; run `evenface models pack {folder.name} my_model` and calibrate that."
        )
    chosen = resolve_device(device)
    kind, _ = resolve_precision(precision, chosen)
    # Else a training that goes on could put the weights of its next best epoch beside the calibration of this one.
    with contextlib.nullcontext() if config is None else hold(run):
        model, about = load_model(folder)
        manifest, settings, own_data = data_of(config, run, dataset, data_dir, about, split)
        part = manifest.split(split)
        require_every_class(part.counts(), split)  # told now, as a place that cannot be written, and not after the work
        require_writable(standing(folder))
        model_card(folder)  # or a damaged file beside it would leave the new calibration with the card of the former one
        look = None if own_data else learned_look(about)
        store = open_store(part, about.img_size, device=chosen, mode=settings.store, workers=workers, look=look)
        found = predict(model.to(chosen), store, batch_size=batch_size, device=chosen, precision=kind, progress=progress)
        position = {name: i for i, name in enumerate(about.class_names)}
        labels = np.array([position[label] for label in store.manifest.table["label"].to_pylist()], dtype=np.int64)
        calibration = fit_calibration(as_logits(found), labels, about.class_names, split=split, dataset=manifest.name)
        about = dataclasses.replace(about, calibration=calibration.to_dict())
        rewrite(folder, about)
        renew_card(folder)
    return report(folder, about, calibration, as_logits(found), labels)


def report(folder: Path, about: ModelConfig, calibration: Calibration, logits: np.ndarray, labels: np.ndarray) -> CalibrationReport:
    """What a calibration brings on given faces: logits (n, L), labels (n,)."""
    here = about.scores(logits, calibration.prior)  # as frequent as on these faces: softmax(z / T + b)
    before, after = (class_calibration_errors(p, labels) for p in (dataclasses.replace(about, calibration=None).scores(logits), here))
    errors = {name: (float(a), float(b)) for name, a, b in zip(about.class_names, before, after, strict=True)}
    priors = {}
    for prior in PRIORS if about.train_counts is not None else ("model", "balanced"):
        decided = scores(confusion_matrix(labels, about.scores(logits, prior).argmax(axis=1), len(about.class_names)))
        priors[prior] = {"overall": float(decided.overall), "mean_recall": float(decided.mean_recall)}
    return CalibrationReport(folder, calibration, errors, priors)
