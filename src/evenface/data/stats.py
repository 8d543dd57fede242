"""What `evenface data stats` tells of a data set before anyone trains on it.

    stats = data_stats(load_dataset("ferplus", "path/to/ferplus"))
    stats.counts["train"], stats.weight_ratio, stats.duplicates_of_train       # ..., 8.91, {"validation": 248, "test": 257}

One pass decodes every image (in threads): it finds the unreadable ones, the sizes, and the faces that stand in train pixel for pixel.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pyarrow as pa

from evenface.data.duplicates import scan_images
from evenface.data.imbalance import imbalance_factor
from evenface.data.manifest import Manifest
from evenface.errors import DataError


@dataclasses.dataclass(frozen=True)
class DataStats:
    """The numbers; `to_dict` gives them as plain JSON.

    Attributes:
        name, class_names, notes, licence: of the manifest.
        counts: split -> class -> faces.
        imbalance_factor: largest train class over smallest; infinite where a class is empty, NaN without a train split.
        beta: of the effective number.
        weights: class -> B, effective number scaled to sum to L, over the train counts; empty without a train split.
        weight_ratio: max(B) / min(B) over the classes that have faces.
        warning: why rebalancing would do nothing here (ratio under 1.1), or None.
        unreadable: ids of the images that cannot be decoded.
        duplicates_of_train: split -> faces that also stand in train pixel for pixel, for the splits besides train.
        sizes: `width` and `height` -> (min, median, max) over the readable images.
        ties: split -> rows whose votes (as given) have more than one winner; None where the set has no votes.
    """

    name: str
    class_names: tuple[str, ...]
    counts: dict[str, dict[str, int]]
    imbalance_factor: float
    beta: float
    weights: dict[str, float]
    weight_ratio: float
    warning: str | None
    unreadable: tuple[str, ...]
    duplicates_of_train: dict[str, int]
    sizes: dict[str, tuple[int, float, int]]
    ties: dict[str, int] | None
    notes: tuple[str, ...]
    licence: str

    @property
    def total(self) -> int:
        return sum(sum(per_class.values()) for per_class in self.counts.values())

    def to_dict(self) -> dict[str, Any]:
        """Plain types only; numbers that are not finite become None, for JSON has none."""
        fields = dataclasses.asdict(self)
        for key in ("imbalance_factor", "weight_ratio"):
            if not math.isfinite(fields[key]):
                fields[key] = None
        for key in ("class_names", "unreadable", "notes"):
            fields[key] = list(fields[key])
        fields["sizes"] = {axis: list(numbers) for axis, numbers in self.sizes.items()}
        return {**fields, "total": self.total}


def data_stats(manifest: Manifest, beta: float = 0.999, workers: int | None = None) -> DataStats:
    """Counts, weights, broken images, twins across splits, sizes and vote ties.

    Args:
        manifest: any set; without a train split the weights are left out.
        beta: of the effective number, in [0, 1).
        workers: threads that decode; the number of processors by default.

    Raises:
        ConfigError: beta outside [0, 1).
    """
    # the losses import torch, which a reader of tables does not need
    from evenface.losses.weights import class_weights, uniform_warning, weight_ratio

    splits = manifest.table["split"].to_pylist()
    counts = {split: manifest.counts(split) for split in manifest.splits}
    factor, ratio, weights, warning = math.nan, math.nan, {}, None
    if "train" in counts:
        train = list(counts["train"].values())
        factor = imbalance_factor(counts["train"])
        b = class_weights(train, "effective", beta, "sum_to_C")
        weights = {name: float(value) for name, value in zip(manifest.class_names, b, strict=True)}
        ratio, warning = float(weight_ratio(b)), uniform_warning(b, train)
    notes = manifest.notes
    try:
        tied = vote_ties(manifest)
    except DataError as error:
        tied, notes = None, (*notes, str(error))
    scan = scan_images(manifest, workers)
    ids = manifest.ids()
    twins = scan.in_train(splits)
    here = {split: np.array([s == split for s in splits]) for split in manifest.splits}
    sizes = scan.sizes[scan.readable]
    return DataStats(
        name=manifest.name,
        class_names=manifest.class_names,
        counts=counts,
        imbalance_factor=factor,
        beta=beta,
        weights=weights,
        weight_ratio=ratio,
        warning=warning,
        unreadable=tuple(ids[row] for row in np.flatnonzero(~scan.readable)),
        duplicates_of_train={split: int(twins[rows].sum()) for split, rows in here.items() if split != "train"},
        sizes={
            axis: (int(v.min()), float(np.median(v)), int(v.max())) for axis, v in zip(("width", "height"), sizes.T, strict=True) if len(v)
        },
        ties=None if tied is None else {split: int(tied[rows].sum()) for split, rows in here.items()},
        notes=notes,
        licence=manifest.licence,
    )


def vote_ties(manifest: Manifest) -> np.ndarray | None:
    """Rows in which two or more columns `votes_*` share the most votes, bool (n,); None where there are no such columns.

    Raises:
        DataError: a vote is no number.
    """
    votes = votes_of(manifest)
    if not votes:
        return None
    counts = np.stack(list(votes.values()), axis=1)
    most = counts.max(axis=1, keepdims=True)
    tied: np.ndarray = ((counts == most) & (most > 0)).sum(axis=1) > 1
    return tied


def votes_of(manifest: Manifest) -> dict[str, np.ndarray]:
    """The columns `votes_*`, float64 (n,), by name without `votes_`: counts or shares; a blank cell is no vote.

    Raises:
        DataError: a vote is no number.
    """
    votes = {}
    for name in manifest.table.column_names:
        if not name.startswith("votes_"):
            continue
        try:
            votes[name.removeprefix("votes_")] = np.nan_to_num(manifest.table[name].cast(pa.float64()).to_numpy())
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise DataError(f"The column `{name}` holds something that is no number; mend it to have the votes looked at.") from error
        if not (votes[name.removeprefix("votes_")] >= 0).all():
            raise DataError(f"The column `{name}` holds a vote below 0; mend it to have the votes looked at.")
    return votes
