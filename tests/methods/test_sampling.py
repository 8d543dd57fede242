"""Class probabilities by hand, and the rows that are drawn by them."""

from __future__ import annotations

import numpy as np
import pytest

from evenface.methods._sampling import class_counts, class_probabilities, draw_rows, progressive_probabilities


LABELS = np.repeat([0, 1, 3], [60, 5, 35])  # no face of class 2


@pytest.mark.parametrize(
    ("q", "expected"),
    [(1, [0.60, 0.05, 0, 0.35]), (0, [1 / 3, 1 / 3, 0, 1 / 3]), (-1, [7 / 103, 84 / 103, 0, 12 / 103])],  # 1/60 : 1/5 : 1/35
)
def test_probabilities_by_hand(q: float, expected: list[float]) -> None:
    assert class_probabilities([60, 5, 0, 35], q).tolist() == pytest.approx(expected)


def test_square_root_and_progressive_by_hand() -> None:
    assert class_probabilities([64, 4, 16], 0.5).tolist() == pytest.approx([8 / 14, 2 / 14, 4 / 14])
    assert progressive_probabilities([60, 20], 0.0).tolist() == pytest.approx([0.75, 0.25])
    assert progressive_probabilities([60, 20], 0.4).tolist() == pytest.approx([0.65, 0.35])
    assert progressive_probabilities([60, 20], 1.0).tolist() == pytest.approx([0.5, 0.5])


def test_rows_come_as_often_as_their_class_should() -> None:
    n = 40_000
    rows = draw_rows(LABELS, np.array([0.2, 0.5, 0.0, 0.3]), n, np.random.default_rng(0))
    assert rows.shape == (n,)
    assert rows.dtype == np.int64
    shares = class_counts(LABELS[rows], 4) / n
    assert shares == pytest.approx([0.2, 0.5, 0.0, 0.3], abs=4 * 0.0025)  # four standard deviations of a share
    for c in (0, 1, 3):
        times = np.bincount(rows, minlength=len(LABELS))[c == LABELS]
        assert times.max() - times.min() == 1  # each face once more or once less than another of its class


def test_no_face_comes_again_before_its_class_is_used_up() -> None:
    rows = draw_rows(LABELS, np.array([1.0, 1.0, 0.0, 1.0]), 200, np.random.default_rng(1))
    for c, size in ((0, 60), (1, 5), (3, 35)):
        own = rows[LABELS[rows] == c]
        rounds = [own[i : i + size] for i in range(0, len(own), size)]
        assert all(len(set(some.tolist())) == len(some) for some in rounds)
    first, second = (rows[LABELS[rows] == 1][i : i + 5].tolist() for i in (0, 5))
    assert first != second
    assert sorted(first) == sorted(second)


def test_a_class_without_faces_is_never_drawn_and_the_generator_is_the_only_chance() -> None:
    even = np.full(4, 0.25)
    rows = draw_rows(LABELS, even, 3000, np.random.default_rng(2))
    assert class_counts(LABELS[rows], 4) / 3000 == pytest.approx([1 / 3, 1 / 3, 0, 1 / 3], abs=0.04)
    assert np.array_equal(rows, draw_rows(LABELS, even, 3000, np.random.default_rng(2)))
    assert not np.array_equal(rows, draw_rows(LABELS, even, 3000, np.random.default_rng(3)))
    assert len(draw_rows(LABELS, even, 0, np.random.default_rng(0))) == 0
