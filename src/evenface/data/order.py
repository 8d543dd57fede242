"""Seeded order without a random generator: each id is ranked by a hash of itself and the seed.

    rank(["train_00001", "train_00002"], seed=0, purpose="subset")      # array([...], dtype=uint64)

The order is the same on every machine and in every version of NumPy, does not change when rows are added or re-sorted, and the first k
ids of a larger choice are the smaller choice (subsets are nested).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np


def rank(ids: Iterable[str], seed: int, purpose: str) -> np.ndarray:
    """A uniform 64-bit number for each id (n,), uint64. Another `purpose` gives numbers independent of the first."""
    key = f"{purpose}:{seed}:".encode()
    return np.array([int.from_bytes(hashlib.blake2b(key + i.encode(), digest_size=8).digest(), "little") for i in ids], dtype=np.uint64)


def shuffled(ids: Iterable[str], seed: int, purpose: str) -> np.ndarray:
    """Positions (n,), int64, of the ids in seeded order."""
    return np.argsort(rank(ids, seed, purpose), kind="stable").astype(np.int64)
