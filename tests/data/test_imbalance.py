from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import pytest

from evenface.data.imbalance import imbalance_factor, imbalanced, subset_counts
from evenface.data.manifest import Manifest
from evenface.errors import ConfigError, DataError


Make = Callable[..., Manifest]
RAFDB = {"surprise": 1290, "fear": 281, "disgust": 717, "happiness": 4772, "sadness": 1982, "anger": 705, "neutral": 2524}
BY_SIZE = ("happiness", "neutral", "sadness", "surprise", "disgust", "anger", "fear")

TABLE = {  # specs 12
    ("A", 50): (4772, 2108, 1382, 751, 349, 286, 95),
    ("A", 100): (4772, 1878, 1097, 531, 219, 160, 47),
    ("A", 150): (4772, 1755, 958, 434, 167, 114, 31),
    ("B", 50): (4772, 2486, 1295, 674, 351, 183, 95),
    ("B", 100): (4772, 2214, 1028, 477, 221, 102, 47),
    ("B", 150): (4772, 2070, 898, 389, 169, 73, 31),
}
TOTALS = {("A", 50): 9743, ("A", 100): 8704, ("A", 150): 8231, ("B", 50): 9856, ("B", 100): 8861, ("B", 150): 8402}


@pytest.mark.parametrize(("reading", "factor"), TABLE)
def test_the_published_subsets_of_rafdb(reading: str, factor: int) -> None:
    kept = subset_counts(RAFDB, factor, reading)
    assert tuple(kept[name] for name in BY_SIZE) == TABLE[reading, factor]
    assert sum(kept.values()) == TOTALS[reading, factor]
    assert list(kept) == list(RAFDB)


def test_the_factors_reached() -> None:
    assert round(imbalance_factor(RAFDB), 2) == 16.98
    assert [round(imbalance_factor(subset_counts(RAFDB, f)), 1) for f in (50, 100, 150)] == [50.2, 101.5, 153.9]
    assert imbalance_factor({"fear": 0, "anger": 2}) == math.inf


def test_only_train_is_thinned_and_rows_keep_their_order(make: Make) -> None:
    rest = {"validation": {"fear": 2, "happiness": 3}, "test": {"fear": 4, "happiness": 5}}
    m = make({"train": {"happiness": 40, "neutral": 40, "fear": 40}, **rest})
    thin = imbalanced(m, 10, "B")
    assert thin.counts("train") == {"happiness": 40, "neutral": 12, "fear": 4}
    for split in rest:
        assert thin.split(split).ids() == m.split(split).ids()
    assert thin.ids() == sorted(thin.ids())
    assert "factor 10 (reading B, seed 0)" in thin.notes[-1]
    assert "56 of 120" in thin.notes[-1]


@pytest.mark.parametrize("reading", ["A", "B"])
def test_subsets_are_nested_seeded_and_blind_to_row_order(make: Make, reading: str) -> None:
    m = make({"train": {"happiness": 60, "neutral": 50, "fear": 40}})
    smaller = [set(imbalanced(m, factor, reading).ids()) for factor in (3, 5, 10, 20)]
    assert all(b < a for a, b in itertools.pairwise(smaller))
    assert set(imbalanced(m, 5, reading, seed=1).ids()) != smaller[1]
    assert imbalanced(m, 5, reading).ids() == imbalanced(m, 5, reading).ids()
    assert set(imbalanced(m.take(range(len(m))[::-1]), 5, reading).ids()) == smaller[1]


def test_an_exact_count_is_not_floored_away() -> None:
    assert subset_counts({"a": 1000, "b": 1000, "c": 1000, "d": 1000}, 1000, "B") == {"a": 1000, "b": 100, "c": 10, "d": 1}
    assert subset_counts(RAFDB, imbalance_factor(RAFDB)) == RAFDB


@pytest.mark.parametrize(
    ("counts", "factor", "reading", "error", "message"),
    [
        (RAFDB, 10, "A", ConfigError, "already imbalanced by 16.98"),
        (RAFDB, 10, "B", ConfigError, "Reading B at factor 10 needs"),
        (RAFDB, 100, "C", ConfigError, "A or B"),
        (RAFDB, 0.5, "B", ConfigError, "at least 1"),
        (RAFDB, float("nan"), "A", ConfigError, "at least 1"),
        (RAFDB, 5000, "A", ConfigError, "no face of fear"),
        ({"fear": 0, "anger": 3}, 5, "A", DataError, "faces in each"),
    ],
)
def test_impossible_factors(counts: dict[str, int], factor: float, reading: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        subset_counts(counts, factor, reading)


def test_without_train_there_is_nothing_to_thin(make: Make) -> None:
    with pytest.raises(DataError, match="no train split"):
        imbalanced(make({"test": {"fear": 2, "anger": 2}}), 2)
