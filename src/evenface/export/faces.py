"""The faces that an export is measured and calibrated with, as the network sees them.

given = read_set(model_path, config, "ferplus", "DIR")
next(faces_of(given, config, "validation").batches(32))      # (32, S, S, 3), uint8 RGB
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from evenface.data.manifest import Manifest
from evenface.data.store import FaceStore, open_store
from evenface.data.synthetic import synthetic_manifest
from evenface.distill.config import METHOD as DISTILLED
from evenface.errors import ConfigError
from evenface.faces.alignment import Alignment
from evenface.labels import CLASSES
from evenface.model_folder import ModelConfig
from evenface.runs.data import data_of, learned_look
from evenface.runs.find import find_model


DRAWN = 40  # faces per class where no data set is named


@dataclasses.dataclass(frozen=True)
class FaceSet:
    """A data set, and the look that its faces are to get: that of those that the model learned from, or None where they are these."""

    manifest: Manifest
    look: Alignment | None


@dataclasses.dataclass(frozen=True)
class Faces:
    """Faces of a store.

    Attributes:
        what: where they come from, in words.
        store: the decoded faces.
        labels: (n,) positions in the model's classes; None where they say nothing about the model.
    """

    what: str
    store: FaceStore
    labels: np.ndarray | None

    def __len__(self) -> int:
        return len(self.store)

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Faces (n, S, S, 3), uint8 RGB."""
        pixels = self.store.gather(rows).expand(-1, 3, -1, -1).permute(0, 2, 3, 1)
        found: np.ndarray = pixels.contiguous().numpy()
        return found

    def batches(self, size: int = 32) -> Iterator[np.ndarray]:
        """All of them in their order, `size` at a time."""
        for start in range(0, len(self), size):
            yield self.take(np.arange(start, min(start + size, len(self))))


def read_set(model_path: Path, config: ModelConfig, dataset: str | None, data_dir: str | None) -> FaceSet | None:
    """The data set of that name, else the one that the run of this model was trained on, else None.

    Raises:
        ConfigError, DataError: it cannot be read.
        LabelError: it has other classes than the model.
    """
    settings, run, _ = find_model(model_path)
    loose = settings is None or (settings.method == DISTILLED and settings.unlabelled is not None)  # a student of pictures without a set
    if dataset is None and loose:
        if data_dir is not None:
            raise ConfigError("--data-dir says where a data set lies, but not which one; name it with --dataset.")
        return None
    manifest, _, own = data_of(settings, run, dataset, data_dir, config, "validation")
    return FaceSet(manifest, None if own else learned_look(config))


def faces_of(given: FaceSet, config: ModelConfig, split: str, workers: int = 2) -> Faces:
    """A split of a data set."""
    store = open_store(given.manifest.split(split), config.img_size, workers=workers, look=given.look)
    order = {name: i for i, name in enumerate(config.class_names)}
    labels = np.array([order[label] for label in store.manifest.table["label"].to_pylist()], dtype=np.int64)
    return Faces(f"{len(store):,} faces of {given.manifest.name} ({split})", store, labels)


def calibration_batches(given: FaceSet, config: ModelConfig, count: int, seed: int) -> Iterator[np.ndarray]:
    """Faces of the training split, chosen at random, (n, S, S, 3), uint8 RGB; n is the same for all batches, 32 at most.

    Raises:
        DataError: the data set has no training split.
    """
    train = given.manifest.split("train")
    chosen = np.sort(np.random.default_rng(seed).choice(len(train), min(count, len(train)), replace=False))
    faces = faces_of(dataclasses.replace(given, manifest=train.take(chosen)), config, "train")
    return faces.batches(next(size for size in range(32, 0, -1) if len(faces) % size == 0))


def drawn_faces(config: ModelConfig, why: str) -> Faces:
    """A few hundred drawn faces, for a model whose data set is not at hand; their labels say nothing about it."""
    names = [name for name in config.class_names if name in CLASSES] or list(CLASSES)
    manifest = synthetic_manifest({"validation": dict.fromkeys(names, DRAWN)})
    store = open_store(manifest, config.img_size, mode="memory", look=learned_look(config))
    return Faces(f"{len(store):,} drawn faces, since {why}", store, None)
