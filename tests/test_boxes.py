"""Boxes that cover each other, counted pixel by pixel and by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from evenface.boxes import overlaps, shared_areas
from evenface.results import Box


def pixels(box: Box) -> set[tuple[int, int]]:
    return {(x, y) for x in range(int(box[0]), int(box[2])) for y in range(int(box[1]), int(box[3]))}


def test_they_are_counted_pixel_by_pixel() -> None:
    rng = np.random.default_rng(0)
    low = rng.integers(0, 12, (9, 2))
    boxes: list[Box] = [tuple(map(float, (*a, *(a + rng.integers(1, 8, 2))))) for a in low]  # type: ignore[misc]
    some, others = boxes[:5], boxes[5:]
    shared, union, smaller = shared_areas(some, others), overlaps(some, others), overlaps(np.array(some), np.array(others), "smaller")
    assert shared.shape == union.shape == smaller.shape == (5, 4)
    for i, j in itertools.product(range(5), range(4)):
        a, b = pixels(some[i]), pixels(others[j])
        assert shared[i, j] == len(a & b)
        assert union[i, j] == pytest.approx(len(a & b) / len(a | b))
        assert smaller[i, j] == pytest.approx(len(a & b) / min(len(a), len(b)))


def test_by_hand() -> None:
    box = (0.0, 0.0, 4.0, 4.0)
    found = overlaps([box], [box, (2, 0, 6, 4), (1, 1, 3, 3), (4, 0, 8, 4), (5, 5, 6, 6)])
    assert found.tolist() == [[1, pytest.approx(8 / 24), pytest.approx(4 / 16), 0, 0]]
    assert overlaps([(0.5, 0, 1.5, 1)], [(1, 0, 2, 1)], "smaller").tolist() == [[0.5]]


def test_none_and_some() -> None:
    assert overlaps([], [(0, 0, 1, 1)]).shape == (0, 1)
    assert shared_areas([(0, 0, 1, 1)], []).shape == (1, 0)
