"""What an epoch is judged by: a function of the model to keep, asked once when the epoch is done.

    judge = ByExpressions(store, "validation", "mean_recall", device, "fp32")
    judge(model).scores["mean_recall"], judge(model).value

A training that learns something else than expressions brings a judge of its own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Protocol

import numpy as np
import torch

from evenface.calibration import Calibration, as_logits, fit_calibration
from evenface.data.store import FaceStore
from evenface.errors import DataError
from evenface.evaluation.evaluate import predict
from evenface.evaluation.metrics import confusion_matrix, scores
from evenface.models.classifier import Classifier


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What an epoch is worth.

    Attributes:
        scores: by name, for the log; the loss (`loss`) and what a person is shown (all others, 0 to 1).
        value: the best epoch is the one with the largest.
        calibration: of the model, where one was fitted.
        answers: true and predicted positions of the classes, (n,) each, for the card; None where no labels were asked for.
    """

    scores: Mapping[str, float]
    value: float
    calibration: Calibration | None = None
    answers: tuple[np.ndarray, np.ndarray] | None = None


class Judge(Protocol):
    """Asked in every process of a distributed run, with the same model; gives the same verdict in all."""

    def __call__(self, model: Classifier) -> Verdict: ...


class ByExpressions:
    """By how well the model tells the expressions of a split apart.

    Args:
        select: the score that picks the best epoch: mean_recall, overall or macro_f1.
        rank, world: this process's share of the work.
    """

    def __init__(
        self, store: FaceStore, split: str, select: str, device: torch.device, precision: str, rank: int = 0, world: int = 1
    ) -> None:
        self.store, self.split, self.select = store, split, select
        self.device, self.precision, self.rank, self.world = device, precision, rank, world
        self.labels = store.manifest.targets()

    def __call__(self, model: Classifier) -> Verdict:
        probabilities = predict(model, self.store, device=self.device, precision=self.precision, rank=self.rank, world=self.world)
        predicted = probabilities.argmax(1)
        result = scores(confusion_matrix(self.labels, predicted, probabilities.shape[1]))
        picked = probabilities[np.arange(len(probabilities)), self.labels]
        found = {"loss": float(-np.log(np.maximum(picked, 1e-12)).mean())}
        found |= {name: float(getattr(result, name)) for name in ("overall", "mean_recall", "macro_f1")}
        return Verdict(found, float(getattr(result, self.select)), self._calibration(probabilities), (self.labels, predicted))

    def _calibration(self, probabilities: np.ndarray) -> Calibration | None:
        """On the split that chooses the epoch; None where that is test, of which nothing may be learned."""
        if self.split == "test":
            return None
        manifest = self.store.manifest
        try:
            return fit_calibration(as_logits(probabilities), self.labels, manifest.class_names, split=self.split, dataset=manifest.name)
        except DataError:  # `evenface calibrate` says which class; a model without a calibration is whole
            return None
