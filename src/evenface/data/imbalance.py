"""Imbalanced subsets of a training split, by imbalance factor (Cui et al., CVPR 2019; the paper's Table 6).

    manifest = imbalanced(read_rafdb("RAFDB"), 100)       # train: 4772 1878 1097 531 219 160 47
    imbalance_factor(manifest.counts("train"))            # 101.5

Classes are sorted by their training count, largest first, i = 0 .. C-1.

* Reading A (default, the sentence "n = n_i mu^i"): floor(n_i * mu^i) with mu = (n_0 / n_{C-1} / IF)^(1 / (C-1)).
* Reading B (pure exponential, as the authors' code has it): floor(n_0 * IF^(-i / (C-1))).

Both end at the same smallest class. Because of the floor the factor reached is a little above the one asked for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pyarrow.compute as pc

from evenface.data.manifest import Manifest
from evenface.data.order import shuffled
from evenface.errors import ConfigError, DataError


READINGS = ("A", "B")


def imbalance_factor(counts: Mapping[str, int]) -> float:
    """Largest count over smallest; infinite where a class is empty."""
    smallest = min(counts.values())
    return max(counts.values()) / smallest if smallest else math.inf


def subset_counts(counts: Mapping[str, int], factor: float, reading: str = "A") -> dict[str, int]:
    """How many faces each class keeps, in the order of `counts`.

    Raises:
        ConfigError: an unknown reading, or a factor that the counts cannot reach by leaving faces out.
        DataError: a class is empty.
    """
    if reading not in READINGS:
        raise ConfigError(f"Unknown reading '{reading}' of the imbalance; it is A or B.")
    if not (math.isfinite(factor) and factor >= 1):
        raise ConfigError(f"An imbalance factor is a number of at least 1, not {factor}.")
    own = imbalance_factor(counts)
    if math.isinf(own) or len(counts) < 2:
        raise DataError("An imbalanced subset needs at least two classes and faces in each.")
    ranked = sorted(counts, key=lambda name: -counts[name])  # stable: equal counts keep the order of the classes
    steps = len(ranked) - 1
    slack = 1e-9  # an exact whole number must not be floored to the one below by rounding
    if reading == "A":
        if factor < own * (1 - slack):
            raise ConfigError(
                f"The training split is already imbalanced by {own:.2f}; reading A needs a factor of at least that, not {factor:g}."
            )
        mu = (own / factor) ** (1 / steps)
        kept = {name: math.floor(counts[name] * mu**i + slack) for i, name in enumerate(ranked)}
    else:
        kept = {name: math.floor(counts[ranked[0]] * factor ** (-i / steps) + slack) for i, name in enumerate(ranked)}
        short = [name for name in ranked if kept[name] > counts[name]]
        if short:
            name = short[0]
            raise ConfigError(
                f"Reading B at factor {factor:g} needs {kept[name]} faces of {name}, there are {counts[name]}; take a larger factor."
            )
    if kept[ranked[-1]] < 1:
        raise ConfigError(f"A factor of {factor:g} leaves no face of {ranked[-1]}; take at most {counts[ranked[0]]}.")
    return {name: kept[name] for name in counts}


def imbalanced(manifest: Manifest, factor: float, reading: str = "A", seed: int = 0) -> Manifest:
    """The manifest with its train split thinned out; rows keep their order, other splits are untouched.

    Which faces of a class stay depends on their ids and the seed only, so a subset holds every subset of a larger factor.

    Raises:
        ConfigError, DataError: see `subset_counts`; there is no train split.
    """
    before = manifest.split("train").counts()
    kept = subset_counts(before, factor, reading)
    rows = np.arange(len(manifest))
    labels = np.array(manifest.table["label"].to_pylist(), dtype=object)
    train = np.array(pc.equal(manifest.table["split"], "train").to_pylist(), dtype=bool)
    ids = np.array(manifest.ids(), dtype=object)
    keep = ~train
    for name, count in kept.items():
        members = rows[train & (labels == name)]
        keep[members[shuffled(ids[members], seed, "imbalance")[:count]]] = True
    after = ", ".join(f"{name} {kept[name]}" for name in sorted(kept, key=lambda name: -kept[name]))
    note = (
        f"Train was thinned to imbalance factor {factor:g} (reading {reading}, seed {seed}): {sum(kept.values())} of "
        f"{sum(before.values())} faces, {after}; the factor reached is {imbalance_factor(kept):.1f}."
    )
    thinned = manifest.take(np.flatnonzero(keep))
    return thinned.replace(thinned.table, notes=(*manifest.notes, note))
