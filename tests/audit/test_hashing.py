"""Candidates against a comparison of each with each."""

from __future__ import annotations

import numpy as np
import pytest

from evenface.audit.hashing import candidates


def smooth(rng: np.random.Generator, n: int) -> np.ndarray:
    """Random pictures with structure of some pixels, on one common ground, as faces are."""
    ground = np.add.outer(np.sin(np.arange(16) / 3), np.cos(np.arange(16) / 4)) * 40
    coarse = rng.normal(0, 40, (n, 4, 4)).repeat(4, axis=1).repeat(4, axis=2)
    return np.clip(128 + ground + coarse + rng.normal(0, 8, (n, 16, 16)), 0, 255).astype(np.uint8)


def by_brute_force(thumbs: np.ndarray) -> set[tuple[int, int]]:
    flat = [t.astype(float).ravel() for t in thumbs]
    turned = [t[:, ::-1].astype(float).ravel() for t in thumbs]
    return {
        (i, j)
        for i in range(len(thumbs))
        for j in range(i + 1, len(thumbs))
        if max(np.corrcoef(flat[i], flat[j])[0, 1], np.corrcoef(flat[i], turned[j])[0, 1]) >= 0.9
    }


def test_few_pictures_are_compared_each_with_each() -> None:
    rng = np.random.default_rng(0)
    thumbs = smooth(rng, 60)
    for row in range(0, 60, 6):
        thumbs[row + 1] = np.clip(thumbs[row, :, ::-1] * 0.8 + 20 + rng.normal(0, 2, (16, 16)), 0, 255)
    expected = by_brute_force(thumbs)
    assert len(expected) >= 10
    assert {(int(i), int(j)) for i, j in candidates(thumbs)} == expected


@pytest.mark.parametrize("n", [0, 1])
def test_nothing_to_compare(n: int) -> None:
    assert candidates(np.zeros((n, 16, 16), np.uint8)).shape == (0, 2)


def test_twins_are_found_among_many() -> None:
    """More pictures than a window holds; a twin is mirrored, brighter or blurred."""
    rng = np.random.default_rng(1)
    thumbs = smooth(rng, 6000)
    planted = []
    for kind, row in enumerate(range(0, 6000, 60)):
        one = thumbs[row].astype(float)
        other = (one[:, ::-1], one * 0.7 + 30, (one + np.roll(one, 1, 0)) / 2)[kind % 3]
        thumbs[row + 31] = np.clip(other + rng.normal(0, 2, (16, 16)), 0, 255)
        like = max(np.corrcoef(one.ravel(), t.astype(float).ravel())[0, 1] for t in (thumbs[row + 31], thumbs[row + 31][:, ::-1]))
        if like >= 0.9:
            planted.append((row, row + 31))
    assert len(planted) >= 90
    found = {(int(i), int(j)) for i, j in candidates(thumbs)}
    assert len(set(planted) - found) <= 2
    assert all(i < j for i, j in found)


def test_the_same_pairs_every_time() -> None:
    thumbs = smooth(np.random.default_rng(2), 700)
    assert np.array_equal(candidates(thumbs), candidates(thumbs))
