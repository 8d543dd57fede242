"""The settings of `evenface distill`: those of a training that make sense without labels, and its own.

This module imports no torch, so that `evenface distill --help` answers at once.
"""

from __future__ import annotations

import dataclasses
import math
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evenface.errors import ConfigError
from evenface.training.config import TrainConfig, from_dict, resolved
from evenface.zoo import shipped


METHOD = "distill"
"""What stands as `method` in the run's config.yaml; the options below stand as its `method_options`."""

FACE_TEACHER = "dlib-face"
"""The teacher that gives face descriptors and no expressions."""

DEFAULTS: dict[str, Any] = {
    "epochs": 10, "batch_size": 64, "optimizer": "adamw", "lr": 1e-3, "weight_decay": 0.02, "schedule": "onecycle", "jitter": 0.75,
    "rotate": 12.0, "scale": 0.1, "shift": 0.05, "val_fraction": 0.05,
}  # fmt: skip
"""Where a distillation's defaults differ from a training's."""

NOT_OFFERED = (
    "classes", "labels", "imbalance", "imbalance_reading", "label_noise", "method", "method_options", "view", "passes", "protocol",
    "select", "watch",
)  # fmt: skip
"""Settings of a training that mean something with labels only."""


def _option(default: Any, help: str) -> Any:
    return dataclasses.field(default=default, metadata={"help": help, "group": "teacher"})


@dataclasses.dataclass(frozen=True)
class DistillOptions:
    """What the student learns from, and how much of it.

    Raises:
        ConfigError: no teacher, or a value out of range.
    """

    teacher: tuple[str, ...] = ()
    teacher_size: int | None = _option(
        None, "side in pixels at which the teacher sees a face; default: 150 for dlib-face, a model's own size"
    )
    descriptor_weight: float = _option(1.0, "dlib-face: weight of the face descriptor")
    map_weight: float | None = _option(
        None, "weight of the last map; default: 1 for dlib-face (its features), 0 for models (their class maps)"
    )
    temperature: float = _option(1.0, "models: softens their answers; 1 takes them as they are")
    all_splits: bool = _option(False, "learn from the validation and test faces too; no score on them is fair to compare after that")

    def __post_init__(self) -> None:
        object.__setattr__(self, "teacher", tuple(self.teacher))
        if not self.teacher:
            raise ConfigError(f"A student needs --teacher: {FACE_TEACHER}, or one or more run or model folders.")
        if FACE_TEACHER in self.teacher and len(self.teacher) > 1:
            raise ConfigError(f"'{FACE_TEACHER}' teaches face descriptors, models teach expressions; distil from one kind at a time.")
        if self.teacher_size is not None and self.teacher_size < 16:
            raise ConfigError(f"--teacher-size must be at least 16, not {self.teacher_size}.")
        for name, low in (("descriptor_weight", 0.0), ("map_weight", 0.0), ("temperature", 1e-3)):
            value = getattr(self, name)
            if value is not None and not low <= value < math.inf:
                raise ConfigError(f"--{name.replace('_', '-')} must be a number of at least {low:g}, not {value}.")
        if self.of_faces and self.descriptor_weight == 0 and self.weight_of_maps == 0:
            raise ConfigError("With --descriptor-weight 0 and --map-weight 0 there is nothing to learn; give one of them a weight.")

    @property
    def of_faces(self) -> bool:
        """Whether the teacher tells faces apart, not expressions."""
        return self.teacher == (FACE_TEACHER,)

    @property
    def weight_of_maps(self) -> float:
        return self.map_weight if self.map_weight is not None else float(self.of_faces)

    @property
    def judged_by(self) -> str:
        """The score that picks the best epoch."""
        if not self.of_faces:
            return "agreement"
        return "cosine" if self.descriptor_weight > 0 else "map_cosine"


def make_config(settings: Mapping[str, Any], options: DistillOptions) -> TrainConfig:
    """A run's whole config from settings of a training and the options.

    Raises:
        ConfigError: an unknown setting, a value that cannot work, or one that means nothing without labels.
    """
    for name in settings:
        if name in NOT_OFFERED:
            raise ConfigError(f"A student learns without labels, so the setting '{name}' means nothing; leave it out.")
    own: dict[str, Any] = {}
    if settings.get("unlabelled") is not None:
        if options.all_splits:
            raise ConfigError("--unlabelled is a folder without splits, so --all-splits would do nothing; leave it out.")
        if settings.get("dataset") is not None or settings.get("data_dir") is not None:
            raise ConfigError(
                "--unlabelled is a folder of faces in place of a data set; leave out --dataset and --data-dir, or --unlabelled."
            )
        own = {"dataset": "folder"}  # without its place: what it is scored on has to be said
    config = from_dict({**DEFAULTS, **settings, **own, "method": METHOD, "method_options": dataclasses.asdict(options)}, "settings")
    for name, of_faces in (("descriptor_weight", True), ("temperature", False)):
        if options.of_faces != of_faces and getattr(options, name) != DistillOptions.__dataclass_fields__[name].default:
            kind = f"'{FACE_TEACHER}'" if of_faces else "models"
            raise ConfigError(f"--{name.replace('_', '-')} is for {kind} as the teacher, and would do nothing here; leave it out.")
    if options.of_faces and config.dropout > 0:
        raise ConfigError(f"'{FACE_TEACHER}' teaches a backbone without its head, so --dropout would do nothing; leave it out.")
    return config


def options_of(config: TrainConfig) -> DistillOptions:
    """The options in a run's config.

    Raises:
        ConfigError: a run that is no distillation, or has an option that this version does not know.
    """
    if config.method != METHOD:
        again = f"evenface train --resume {shlex.quote(str(config.folder))}"
        raise ConfigError(f"{config.folder} was not distilled; go on with it: {again}")
    try:
        return DistillOptions(**config.method_options)
    except TypeError as error:
        raise ConfigError(f"The options of the teacher in {config.folder}/config.yaml do not fit: {error}.") from error


def with_whole_paths(config: TrainConfig) -> TrainConfig:
    """The config with whole paths, those of the teachers included."""
    options = options_of(config)
    found = tuple(_whole(name) for name in options.teacher)
    return dataclasses.replace(resolved(config), method_options=dataclasses.asdict(dataclasses.replace(options, teacher=found)))


def _whole(name: str) -> str:
    """The whole path of a teacher that lies in a folder; a name stays one, also where a folder is called so that holds something else."""
    path = Path(name).expanduser()
    if name == FACE_TEACHER or (name in shipped() and not any((path / file).is_file() for file in ("config.yaml", "config.json"))):
        return name
    return str(path.resolve()) if path.exists() else name
