from __future__ import annotations

import hashlib

import numpy as np

from evenface.data.order import rank, shuffled


IDS = [f"train_{i:05d}" for i in range(2000)]


def test_the_number_is_the_hash_and_so_the_same_everywhere() -> None:
    expected = int.from_bytes(hashlib.blake2b(b"subset:3:train_00007", digest_size=8).digest(), "little")
    assert rank(["train_00007"], 3, "subset")[0] == expected


def test_rank_is_uniform_and_seeds_and_purposes_are_independent() -> None:
    u = rank(IDS, 0, "a").astype(np.float64) / 2**64
    assert abs(u.mean() - 0.5) < 0.03
    for other in (rank(IDS, 1, "a"), rank(IDS, 0, "b")):
        assert abs(np.corrcoef(u, other.astype(np.float64))[0, 1]) < 0.08


def test_shuffled_is_a_permutation_that_does_not_see_the_row_order() -> None:
    forwards = [IDS[i] for i in shuffled(IDS, 0, "a")]
    backwards = [IDS[::-1][i] for i in shuffled(IDS[::-1], 0, "a")]
    assert forwards == backwards
    assert sorted(forwards) == IDS
    assert forwards != IDS
