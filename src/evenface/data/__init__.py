"""Data sets by name: every reader yields the one `Manifest`.

    from evenface.data import load_dataset
    manifest = load_dataset("ferplus", "path/to/ferplus", classes=7, labels="majority")

Each reader is a plain function of a folder; `DATASETS` is the whole registry.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from evenface.data.affectnet import read_affectnet
from evenface.data.ferplus import left_out_ferplus, read_ferplus
from evenface.data.folder import read_folder
from evenface.data.manifest import Manifest
from evenface.data.rafdb import read_rafdb
from evenface.data.table import read_table
from evenface.errors import ConfigError, unknown_name


__all__ = ["DATASETS", "Manifest", "load_dataset", "load_left_out"]


def _synthetic(root: Path | None, *, classes: int = 7) -> Manifest:
    from evenface.data.synthetic import read_synthetic  # it draws: kept out of the way of those who only read

    return read_synthetic(root, classes=classes)


DATASETS: dict[str, Callable[..., Manifest]] = {
    "affectnet": read_affectnet,
    "ferplus": read_ferplus,
    "folder": read_folder,
    "manifest": read_table,
    "rafdb": read_rafdb,
    "synthetic": _synthetic,
}
"""Name -> reader. A reader takes the folder, `classes`, `labels` where the set has votes, `original` where it has both pictures."""

LEFT_OUT: dict[str, Callable[..., pa.Table]] = {"ferplus": left_out_ferplus}
"""Name -> what gives the rows that the reader leaves out, for the audit: id, split, reason and image."""

WITHOUT_FOLDER = frozenset({"synthetic"})
WITH_VOTES = frozenset({"ferplus"})
WITH_ORIGINALS = frozenset({"rafdb"})
"""Sets that come as cropped faces and as the pictures around them."""
WITHOUT_CONTEMPT = frozenset({"rafdb"})
"""Sets that have 7 classes only."""


def load_dataset(name: str, data_dir: str | Path | None, *, classes: int = 7, labels: str = "majority", original: bool = False) -> Manifest:
    """Reads a data set by its name.

    Args:
        name: a key of `DATASETS`.
        data_dir: the folder (or file) that holds it; None for the synthetic set, which is drawn.
        classes: 7, or 8 with contempt.
        labels: how votes become labels; only for sets with votes (FERPlus).
        original: the whole pictures in place of the cropped faces, where the set has both (RAF-DB).

    Raises:
        ConfigError: an unknown name, an option that the set does not have, or no folder.
        DataError: the folder does not hold the set; the message ends with the tree that was looked for.
    """
    if name not in DATASETS:
        raise ConfigError(unknown_name("dataset", name, DATASETS))
    if classes not in (7, 8):
        raise ConfigError(f"Expression sets have 7 or 8 classes here, not {classes}; give --classes 7 or 8.")
    options: dict[str, object] = {"classes": classes}
    if name in WITH_VOTES:
        options["labels"] = labels
    elif labels != "majority":
        raise ConfigError(f"The data set '{name}' has no votes, so labels '{labels}' means nothing there; leave the option out.")
    if name in WITH_ORIGINALS:
        options["original"] = original
    if data_dir is None and name not in WITHOUT_FOLDER:
        raise ConfigError(f"The data set '{name}' needs its folder; give it with --data-dir DIR.")
    return DATASETS[name](None if data_dir is None else Path(data_dir), **options)


def load_left_out(name: str, data_dir: str | Path | None, *, classes: int = 7, labels: str = "majority") -> pa.Table | None:
    """The rows of a set that `load_dataset` with the same arguments leaves out: id, split, reason and image; None where its reader does not
    say (its notes count them). Its errors are those of `load_dataset`.
    """
    if name not in LEFT_OUT or data_dir is None:
        return None
    return LEFT_OUT[name](Path(data_dir), classes=classes, labels=labels)
