"""The run folder of a distillation, and what its `best` holds: a backbone to start from, or a whole model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import safetensors.torch

from evenface._version import __version__
from evenface.calibration import Calibration
from evenface.data.manifest import Manifest
from evenface.distill.config import options_of
from evenface.distill.teachers import ModelTeachers, Teacher
from evenface.methods.base import Method
from evenface.model_folder import BACKBONE, CARD, CONFIG, SCHEMA_VERSION, WEIGHTS, write_folder
from evenface.models.classifier import Classifier
from evenface.training.config import TrainConfig
from evenface.training.folder import RunFolder
from evenface.training.judge import Verdict


_CARD = """\
---
library_name: evenface
tags: [facial-expression-recognition, distillation]
---

# {model} taught by {teacher}

A {model} that has learned the {learned} of its teacher from faces without labels, at {size} px. It is no classifier: start a
training from it with `evenface train --model {model} --init FOLDER`.

| | |
|---|---|
| teacher | {teacher} (sha256 {sha256}) |
| faces | {dataset}: {n:,}, their labels not looked at |
| licence of the images | {licence} |
| start | {init} |
| epoch | {epoch} of {epochs}: {by} {value:.3f} on faces that were held out |
| seed | {seed} |

Made with evenface {version}.
"""


class DistillFolder(RunFolder):
    """A run folder whose best model is a backbone, or a model that was taught by models."""

    verb = "distill"

    def __init__(self, config: TrainConfig, manifest: Manifest, train: Manifest, init: dict[str, Any], teacher: Teacher) -> None:
        super().__init__(config, manifest, train, "validation", init)
        self.teacher = teacher
        self.faces = len(train)

    def details(self, method: Method, epoch: int, value: float, calibration: Calibration | None = None) -> dict[str, Any]:
        """As of a training, with the teachers. The faces per class that count are those that the teachers saw labels of."""
        found = super().details(method, epoch, value, calibration)
        found["train_counts"] = self.teacher.train_counts if isinstance(self.teacher, ModelTeachers) else None
        found["teachers"] = [source.to_dict() for source in self.teacher.sources]
        found["selection"]["by"] = options_of(self.config).judged_by
        return found

    def save_best(self, model: Classifier, method: Method, epoch: int, verdict: Verdict) -> None:
        """Keeps the student of the best epoch so far."""
        if isinstance(self.teacher, ModelTeachers):
            super().save_best(model, method, epoch, verdict)
            return
        details = self.details(method, epoch, verdict.value)
        (source,) = self.teacher.sources
        by = details["selection"]["by"]
        card = _CARD.format(
            model=model.backbone.name,
            size=model.backbone.img_size,
            learned="face descriptors" if by == "cosine" else "maps",
            teacher=source.name,
            sha256=source.sha256[:12],
            dataset=self.manifest.name,
            n=self.faces,
            licence=self.manifest.licence,
            init=self.init.get("summary", self.config.init),
            epoch=epoch,
            epochs=self.config.epochs,
            by=by.replace("_", " "),
            value=verdict.value,
            seed=self.config.seed,
            version=__version__,
        )
        save_backbone(self.path / "best", model, details, card)

    def renew_card(self, minutes: float) -> None:
        """The card of a model once more; that of a backbone says nothing of the run's end."""
        if isinstance(self.teacher, ModelTeachers):
            super().renew_card(minutes)


def save_backbone(folder: Path, model: Classifier, details: dict[str, Any], card: str) -> None:
    """Writes a folder that `--init` takes: the backbone's weights, named as in a model folder, with what it expects of a face.

    Raises:
        ModelError: a folder of that name that is no such folder.
        StorageError: it cannot be written; the former one is untouched.
    """
    backbone = model.backbone
    config = {
        "schema_version": SCHEMA_VERSION,
        "kind": BACKBONE,
        "architecture": backbone.name,
        "mean": backbone.mean,
        "std": backbone.std,
        "img_size": backbone.img_size,
        **details,
        "evenface": __version__,
    }
    tensors = {f"backbone.{name}": value.detach().cpu().contiguous() for name, value in backbone.state_dict().items()}
    text = json.dumps(config, indent=1, ensure_ascii=False) + "\n"
    write_folder(folder, {WEIGHTS: safetensors.torch.save(tensors), CONFIG: text.encode(), CARD: card.encode()})
