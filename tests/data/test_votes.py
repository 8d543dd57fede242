"""The vote rules on handmade votes, and against a slow loop."""

from __future__ import annotations

import numpy as np
import pytest

from evenface.data.votes import VOTES, distribution, majority, maximum
from evenface.labels import BASIC, CLASSES


#        ne ha su sa an di fe co un NF   majority    max
HANDMADE = [
    ((9, 1, 0, 0, 0, 0, 0, 0, 0, 0), "neutral", "neutral"),
    ((5, 5, 0, 0, 0, 0, 0, 0, 0, 0), None, "neutral"),  # a tie at exactly 50 %
    ((5, 3, 2, 0, 0, 0, 0, 0, 0, 0), None, "neutral"),  # exactly 50 %
    ((5, 3, 1, 1, 0, 0, 0, 0, 0, 0), "neutral", "neutral"),  # 5 of 8 once the slips are gone
    ((1, 1, 1, 1, 1, 1, 1, 1, 1, 1), None, "neutral"),  # single votes only
    ((0, 1, 1, 1, 1, 1, 1, 1, 1, 1), None, "happiness"),
    ((0, 0, 4, 0, 0, 0, 0, 0, 0, 6), None, None),  # NF has the majority
    ((0, 0, 0, 0, 4, 0, 0, 0, 4, 2), None, "anger"),  # as many for unknown: the first wins
    ((0, 0, 0, 0, 0, 2, 3, 0, 5, 0), None, None),
    ((0, 0, 0, 0, 0, 6, 0, 0, 2, 2), "disgust", "disgust"),  # unknown and NF count in the total
    ((0, 0, 0, 0, 0, 5, 0, 0, 3, 2), None, "disgust"),
    ((0, 0, 0, 1, 0, 0, 0, 8, 0, 1), "contempt", "contempt"),
    ((0, 0, 0, 0, 0, 0, 0, 0, 0, 0), None, "neutral"),
]
HAND = np.array([votes for votes, _, _ in HANDMADE])


def names(columns: np.ndarray) -> list[str | None]:
    return [None if c < 0 else VOTES[c] for c in columns]


def test_the_rules_by_hand() -> None:
    assert names(majority(HAND)) == [label for _, label, _ in HANDMADE]
    assert names(maximum(HAND)) == [label for _, _, label in HANDMADE]


def slow_majority(votes: list[int]) -> str | None:
    kept = [v if v > 1 else 0 for v in votes]
    for name, v in zip(VOTES[:8], kept, strict=False):
        if v > sum(kept) / 2:
            return name
    return None


def slow_shares(votes: list[int], classes: tuple[str, ...]) -> list[float]:
    kept = {name: v if v > 1 else 0 for name, v in zip(VOTES, votes, strict=True)}
    inside = [kept[name] for name in classes]
    rivals = [v for name, v in kept.items() if name not in classes]
    return [v / sum(inside) if max(inside) > max(rivals) else 0.0 for v in inside]


@pytest.mark.parametrize("classes", [BASIC, CLASSES])
def test_the_rules_against_a_loop(classes: tuple[str, ...]) -> None:
    random = np.random.default_rng(0).multinomial(10, [0.3, 0.2, 0.1, 0.1, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05], size=500)
    votes = np.concatenate([HAND, random])
    assert names(majority(votes)) == [slow_majority(v) for v in votes.tolist()]
    np.testing.assert_allclose(distribution(votes, classes), [slow_shares(v, classes) for v in votes.tolist()], atol=1e-6)
