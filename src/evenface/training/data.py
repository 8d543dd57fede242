"""From a config to the faces that a run trains on, chooses its epoch on and is tested on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from evenface.data import load_dataset
from evenface.data.exclude import read_excluded
from evenface.data.imbalance import imbalanced
from evenface.data.manifest import Manifest
from evenface.data.noise import symmetric_noise
from evenface.data.splits import stratified_validation
from evenface.distill.config import METHOD as TAUGHT
from evenface.errors import ConfigError, DataError
from evenface.training.config import TrainConfig


def of_left_out(notes: Sequence[str]) -> list[str]:
    """Those notes on a data set that tell of faces which were left out: missing files, other classes, `--exclude`."""
    return [note for note in notes if "left out" in note.lower()]


def load_manifest(config: TrainConfig) -> Manifest:
    """The data set of a config with all its splits; the same call for training and for evaluation.

    A validation split is set aside from train where the data set has none (not under `--protocol paper`, which trains on all
    of it); after that train is thinned out (`imbalance`) and its labels are flipped (`label_noise`). Validation and test stay as they are.

    Raises:
        DataError: nothing to read, a class without a face in train, no such split.
    """
    manifest = load_dataset(config.dataset, config.data_dir, classes=config.classes, labels=config.labels)
    if config.exclude is not None:
        # a student's list may be of faces that labels cannot decide, and that are not here
        manifest = without(manifest, Path(config.exclude), some=config.method != TAUGHT)
    if config.protocol == "validation" and "validation" not in manifest.splits and "train" in manifest.splits:
        manifest = stratified_validation(manifest, config.val_fraction, seed=config.data_seed)
    if config.imbalance is not None:
        manifest = imbalanced(manifest, config.imbalance, reading=config.imbalance_reading, seed=config.data_seed)
    if config.label_noise:
        manifest = symmetric_noise(manifest, config.label_noise, seed=config.data_seed)
    empty = [name for name, n in manifest.counts("train").items() if n == 0]
    if empty and "train" in manifest.splits:  # a set of test faces alone can be scored
        raise DataError(f"No training face is labelled {' or '.join(empty)}; add some, or train on the classes that have faces.")
    return manifest


def selection_split(config: TrainConfig) -> str:
    """The split that the best epoch is chosen on."""
    return "test" if config.protocol == "paper" else "validation"


def without(manifest: Manifest, path: Path, *, some: bool = True) -> Manifest:
    """The manifest without the ids that a file names, in a form that `evenface.data.exclude` reads; a note says of which splits they were.

    Args:
        some: refuse a file that names no face of the set.

    Raises:
        ConfigError: the file cannot be read, or names no face of the set.
    """
    drop = read_excluded(path)
    keep = np.array([name not in drop for name in manifest.ids()])
    if keep.all() and not some:
        return manifest
    if keep.all():
        raise ConfigError(f"No face of '{manifest.name}' has an id that {path} lists; it holds one id a line, as in the manifest.")
    kept = manifest.take(np.flatnonzero(keep))
    before, after = ({s: sum(m.counts(s).values()) for s in manifest.splits} for m in (manifest, kept))
    fewer = ", ".join(f"{split} {before[split] - after[split]:,}" for split in before if after[split] < before[split])
    note = f"Left out by {path.name}: {fewer}."
    if after.get("test", 0) < before.get("test", 0):
        note += " With fewer test faces it is another benchmark."
    if strange := sorted(drop.difference(manifest.ids())):
        note += f" {len(strange):,} of its {len(drop):,} ids are none of this set, such as {strange[0]}."
    return kept.replace(kept.table, notes=(*manifest.notes, note))
