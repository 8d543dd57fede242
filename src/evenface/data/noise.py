"""Label noise on request: symmetric, seeded, in the train split only.

    noisy = symmetric_noise(manifest, 0.3)         # exactly round(0.3 n) of the n train labels are now wrong

A flipped label is drawn uniformly from the *other* classes, so `rate` is the share of wrong labels (not, as in papers that draw from all
classes, of redrawn ones, of which one in L stays right). What stood there before is kept in the column `clean_label`.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from evenface.data.manifest import Manifest
from evenface.data.order import rank, shuffled
from evenface.errors import ConfigError


def symmetric_noise(manifest: Manifest, rate: float, seed: int = 0) -> Manifest:
    """Flips round(rate * n) train labels; the rows flipped at a smaller rate are among them, with the same wrong label.

    Raises:
        ConfigError: a rate outside [0, 1], soft labels (a flip means nothing to a distribution), or fewer than two classes.
        DataError: there is no train split.
    """
    if not 0 <= rate <= 1:
        raise ConfigError(f"A noise rate is between 0 and 1, not {rate}.")
    if "soft" in manifest.table.column_names:
        raise ConfigError("Label noise needs hard labels, and this set has vote distributions; choose labels majority or max.")
    if len(manifest.class_names) < 2:
        raise ConfigError("Label noise needs at least two classes.")
    manifest.split("train")  # raises where there is none
    labels = manifest.table["label"].to_pylist()
    train = np.array([split == "train" for split in manifest.table["split"].to_pylist()])
    ids = np.array(manifest.ids(), dtype=object)
    rows = np.flatnonzero(train)
    count = round(rate * len(rows))
    flipped = rows[shuffled(ids[rows], seed, "noise")[:count]]
    step = rank(ids[flipped], seed, "noise-class") % np.uint64(len(manifest.class_names) - 1) + np.uint64(1)  # 1 .. L-1: never itself
    clean = list(labels)
    index = {name: i for i, name in enumerate(manifest.class_names)}
    for row, by in zip(flipped.tolist(), step.tolist(), strict=True):
        labels[row] = manifest.class_names[(index[labels[row]] + by) % len(index)]
    table = manifest.table.set_column(manifest.table.column_names.index("label"), "label", pa.array(labels, pa.string()))
    if "clean_label" not in table.column_names:  # where labels were noisy before, the cleaner ones stay
        table = table.append_column("clean_label", pa.array(clean, pa.string()))
    note = f"{count} of {len(rows)} train labels were flipped to another class (symmetric noise, rate {rate:g}, seed {seed})."
    return manifest.replace(table, notes=(*manifest.notes, note))
