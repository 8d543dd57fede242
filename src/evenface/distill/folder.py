"""The run folder of a distillation, and what its `best` holds: a backbone to start from, or a whole model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import safetensors.torch

from evenface._version import __version__
from evenface.calibration import Calibration
from evenface.data.manifest import Manifest
from evenface.distill.teachers import ModelTeachers, Teacher
from evenface.errors import ModelError
from evenface.methods.base import Method
from evenface.model_folder import BACKBONE, CARD, CONFIG, SCHEMA_VERSION, WEIGHTS, save_model, write_folder
from evenface.models.classifier import Classifier
from evenface.training.config import TrainConfig
from evenface.training.folder import RunFolder


_CARD = """\
---
library_name: evenface
tags: [facial-expression-recognition, distillation]
---

# {title}

{about}

| | |
|---|---|
| teacher | {teachers} |
| faces | {dataset}: {n:,}, their labels not looked at |
| licence of the images | {licence} |
| start | {init} |
| epoch | {epoch} of {epochs}: {by} {value:.1f} % on faces that were held out |
| seed | {seed} |

Made with evenface {version}. {use}
"""

_START = (
    "It is no classifier. Start a training from it with `evenface train --model {model} --init FOLDER`.",
    "A {model} that has learned the face descriptors of its teacher from faces without labels, at {size} px.",
)
_MODEL = (
    "Score it with `evenface evaluate FOLDER --dataset NAME --data-dir DIR --split test`. It inherits the limits of its teachers: see "
    "their cards. It must not be used to judge people (hiring, policing, education, lie detection, credit), and the European Union's AI "
    "Act forbids emotion inference at work and at school.",
    "A {model} for faces of {size} px that has learned the answers of its teachers.",
)


class DistillFolder(RunFolder):
    """A run folder whose best model is a backbone, or a model that was taught by models."""

    verb = "distill"

    def __init__(self, config: TrainConfig, manifest: Manifest, train: Manifest, init: dict[str, Any], teacher: Teacher) -> None:
        super().__init__(config, manifest, train, "validation", init)
        self.teacher = teacher
        self.faces = len(train)

    def save_best(self, model: Classifier, method: Method, epoch: int, value: float, calibration: Calibration | None = None) -> None:
        """Keeps the student of the best epoch so far."""
        whole = isinstance(self.teacher, ModelTeachers)
        details: dict[str, Any] = {
            "dataset": self.manifest.name,
            "data_licence": self.manifest.licence,
            "alignment": self.manifest.alignment,
            "method": method.describe(),
            "teachers": [{"name": source.name, "sha256": source.sha256} for source in self.teacher.sources],
            "init": self.init,
            "epoch": epoch,
            "selection": {"split": "validation", "by": "agreement" if whole else "cosine", "value": value, "protocol": "validation"},
        }
        card = self._card(model, details)
        if isinstance(self.teacher, ModelTeachers):
            save_model(self.path / "best", model, {**details, "train_counts": self.teacher.train_counts, "calibration": None}, card)
        else:
            save_backbone(self.path / "best", model, details, card)

    def _card(self, model: Classifier, details: dict[str, Any]) -> str:
        backbone = model.backbone
        use, about = _MODEL if isinstance(self.teacher, ModelTeachers) else _START
        names = {"model": backbone.name, "size": backbone.img_size}
        return _CARD.format(
            title=f"{backbone.name} taught by {', '.join(source.name for source in self.teacher.sources)}",
            about=about.format(**names),
            teachers=", ".join(f"{source.name} (sha256 {source.sha256[:12]})" for source in self.teacher.sources),
            dataset=details["dataset"],
            n=self.faces,
            licence=details["data_licence"],
            init=self.init.get("summary", self.config.init),
            epoch=details["epoch"],
            epochs=self.config.epochs,
            by=details["selection"]["by"],
            value=100 * details["selection"]["value"],
            seed=self.config.seed,
            version=__version__,
            use=use.format(**names),
        )


def save_backbone(folder: Path, model: Classifier, details: dict[str, Any], card: str) -> None:
    """Writes a folder that `--init` takes: the backbone's weights, named as in a model folder, with what it expects of a face.

    Raises:
        ModelError: a folder of that name that holds something else.
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
    if folder.exists() and not (folder / CONFIG).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise ModelError(f"{folder} exists and is no backbone; choose another name.")
    text = json.dumps(config, indent=1, ensure_ascii=False) + "\n"
    write_folder(folder, {WEIGHTS: safetensors.torch.save(tensors), CONFIG: text.encode(), CARD: card.encode()})
