"""The faces that a run or a model is scored on: its own, wherever they lie now, or others, and how those differ from what it has learned.

manifest, settings, own = data_of(config, run, "ferplus", "elsewhere/ferplus", about, "test")
"""

from __future__ import annotations

import contextlib
import dataclasses
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evenface.data.manifest import Manifest
from evenface.data.pictures import pictures_of, same_pictures
from evenface.distill.config import METHOD as DISTILLED
from evenface.distill.config import options_of
from evenface.distill.faces import read_faces
from evenface.errors import ConfigError, DataError
from evenface.faces.alignment import Alignment
from evenface.labels import require_same, size_of
from evenface.model_folder import ModelConfig
from evenface.training.config import TrainConfig
from evenface.training.data import load_manifest
from evenface.training.environment import pictures_in, train_ids
from evenface.training.folder import train_fingerprint


def data_of(
    config: TrainConfig | None, run: Path, dataset: str | None, data_dir: str | None, about: ModelConfig, split: str
) -> tuple[Manifest, TrainConfig, bool]:
    """The faces to score on, the settings that they were read with, and whether they are the run's own.

    Raises:
        ConfigError: no data set to score on.
        LabelError: it has other classes than the model.
    """
    manifest, settings, own = _read(config, run, dataset, data_dir, about, split)
    require_same(about.class_names, manifest.class_names, f"the data set '{manifest.name}'")
    return manifest, settings, own


def _read(
    config: TrainConfig | None, run: Path, dataset: str | None, data_dir: str | None, about: ModelConfig, split: str
) -> tuple[Manifest, TrainConfig, bool]:
    classes = size_of(about.class_names)
    if config is not None and dataset in (None, config.dataset) and not (config.method == DISTILLED and config.unlabelled is not None):
        taught = config.method == DISTILLED
        settings = dataclasses.replace(config, classes=classes) if taught else config  # a student has the classes of its teachers

        def read(settings: TrainConfig) -> tuple[Manifest, bool]:
            manifest = load_manifest(settings)
            learned = read_faces(settings, options_of(settings), about.class_names) if taught else manifest
            return manifest, train_ids(run) == train_fingerprint(learned) and _same_pictures(run, learned, split)

        if data_dir is None:
            manifest, own = read(settings)
            if not own and train_ids(run):
                where = "" if config.data_dir is None else f", with --data-dir {shlex.quote(config.data_dir)}"
                raise DataError(
                    f"The faces of {manifest.name} are not those that {run} was trained with: they have changed since. "
                    f"Take them as other data{where}."
                )
            return manifest, settings, True
        settings = dataclasses.replace(settings, data_dir=str(Path(data_dir).resolve()))
        with contextlib.suppress(ConfigError, DataError):  # on other data these settings may not work, and do not apply
            manifest, own = read(settings)
            if own:
                return manifest, settings, True
    name = dataset or (config.dataset if config is not None else None)
    if name is None:
        raise ConfigError(f"{run} is a model without its data; say what to score it on with --dataset and --data-dir.")
    manifest, settings = other_data(name, data_dir, about.class_names, split)
    listed = None if config is None else config.exclude
    if listed is not None and not Path(listed).is_file() and manifest.name == about.dataset:  # perhaps its own, perhaps not
        raise ConfigError(f"{run} learned without the faces of {listed}, which is not here; put that list back to score it on '{name}'.")
    return manifest, settings, False


def other_data(dataset: str, data_dir: str | None, class_names: Sequence[str], split: str) -> tuple[Manifest, TrainConfig]:
    """Faces that are no run's own, with as many classes as are named, and the settings that they were read with."""
    protocol: Any = "validation" if split == "validation" else "paper"  # nothing is set aside but where it is asked for
    settings = TrainConfig(dataset=dataset, data_dir=data_dir, classes=size_of(class_names), protocol=protocol)
    return load_manifest(settings), settings


def _same_pictures(run: Path, manifest: Manifest, split: str) -> bool:
    """Whether the faces that it learned from and those to score on look as they did when the run was trained."""
    before = pictures_in(run)
    return same_pictures(before, pictures_of(manifest, [name for name in manifest.splits if name in before and name in ("train", split)]))


def learned_look(about: ModelConfig) -> Alignment | None:
    """How the faces that a model learned from look: faces of other data are turned to grey and to their resolution, as `predict` does."""
    return None if about.alignment is None else Alignment.from_dict(about.alignment)


def other_cuts(about: ModelConfig, manifest: Manifest) -> dict[str, Any] | None:
    """How the model's faces were cut out and how these are, where that differs; None where it does not, or the model's is not known."""
    if about.alignment is None:
        return None
    learned, given = (None if each is None else Alignment.from_dict(each) for each in (about.alignment, manifest.alignment))
    if learned is not None and given is not None and (learned.template, learned.margin) == (given.template, given.margin):
        return None
    return {"model": about.alignment, "set": manifest.alignment}
