"""A small model learns the answers of one or several expression models, and is a whole model itself.

    t     = mean_k softmax(z_k(x) / T)                          the teachers' mean probabilities
    total = T^2 mean KL(t || softmax(z(x) / T)) + w_m direction(A(x), mean_k A_k(x))

A are class maps, with their mean over the classes taken off (it moves no probability), all on the coarsest of the grids. The teachers see
the same augmented picture as the student, and no label is looked at: a patient student of consistent teachers needs none (Beyer et al.:
Knowledge distillation, a good teacher is patient and consistent, CVPR 2022).
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from evenface import losses
from evenface.data.store import FaceStore
from evenface.distill.config import METHOD, DistillOptions
from evenface.distill.teachers import ModelTeachers, coarser
from evenface.evaluation.evaluate import answers
from evenface.methods.base import Batch, Losses, Method, Options, Setting
from evenface.models.classifier import Classifier
from evenface.models.grids import spread
from evenface.training.judge import Verdict


class LearnAnswers(Method):
    """The loss above, for the training loop."""

    name = METHOD
    options: Any

    def __init__(self, options: DistillOptions, setting: Setting, teacher: ModelTeachers) -> None:
        super().__init__(Options(), setting)
        self.options = options
        self._teacher = (teacher,)  # in a tuple, so that it is not saved with the run's state

    @property
    def teacher(self) -> ModelTeachers:
        return self._teacher[0]

    def loss(self, batch: Batch, model: nn.Module) -> Losses:
        temperature = self.options.temperature
        target, maps = self.teacher(batch.x, temperature)
        out = model(batch.x)
        parts = {"answers": losses.answers(out.logits, target, temperature)}
        total = parts["answers"]
        if self.options.weight_of_maps > 0:
            size = coarser(out.maps, maps)
            parts["map"] = losses.direction(_relative(spread(out.maps, size)), _relative(spread(maps, size)))
            total = total + self.options.weight_of_maps * parts["map"]
        return Losses(total, {name: value.detach() for name, value in parts.items()})

    def describe(self) -> dict[str, Any]:
        named = {"teacher": [source.name for source in self.teacher.sources], "map_weight": self.options.weight_of_maps}
        return {"name": self.name, **dataclasses.asdict(self.options), **named}


def _relative(maps: Tensor) -> Tensor:
    return maps - maps.mean(dim=1, keepdim=True)


class ByAnswers:
    """Judges a student by faces that it does not learn from.

    loss        the mean KL divergence of its probabilities from the teachers'
    agreement   how often it decides as they do; picks the best epoch
    """

    def __init__(self, store: FaceStore, method: LearnAnswers, device: torch.device, precision: str) -> None:
        self.store, self.device, self.precision = store, device, precision
        self.rows = np.arange(len(store))
        found = answers(method.teacher, lambda x: method.teacher(x)[0], store, self.rows, 64, device, precision, None)
        self.target = torch.cat(found).clone()

    def __call__(self, model: Classifier) -> Verdict:
        logits = torch.cat(answers(model, lambda x: model(x).logits.float(), self.store, self.rows, 256, self.device, self.precision, None))
        agreement = float((logits.argmax(1) == self.target.argmax(1)).float().mean())
        return Verdict({"loss": float(losses.divergence(logits, self.target)), "agreement": agreement}, agreement)
