"""Average precision and its intervals against scikit-learn, a slow loop and hand-worked numbers."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from evenface.errors import DataError
from evenface.evaluation.ranking import LEVELS, average_precision, class_rankings, precision_at


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("digits", [1, 8])
def test_average_precision_is_that_of_scikit_learn(seed: int, digits: int) -> None:
    rng = np.random.default_rng(seed)
    positive = rng.random(200) < 0.2
    score = (rng.normal(size=200) + positive).round(digits)  # with one digit there are many ties
    assert average_precision(score, positive) == pytest.approx(average_precision_score(positive, score), abs=1e-6)


def test_by_hand() -> None:
    # ranked: yes (1/1), no, yes (2/3); each face of the class is a half of the recall
    assert average_precision([0.9, 0.5, 0.2], [True, False, True]) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    # a tie comes in as one: at the first threshold three of four are right
    assert average_precision([0.9, 0.9, 0.9, 0.9], [True, True, False, True]) == pytest.approx(0.75)
    assert precision_at([0.9, 0.5, 0.2], [True, False, True], [0.1, 0.5, 0.51, 1.0]).tolist() == pytest.approx([1, 1, 2 / 3, 2 / 3])


def test_nobody_of_the_class() -> None:
    assert np.isnan(average_precision([0.1, 0.2], [False, False]))
    assert np.isnan(precision_at([0.1, 0.2], [False, False], LEVELS)).all()
    with pytest.raises(DataError, match="yes or no per face"):
        average_precision([0.1], [True, False])


def given(seeds: int, n: int = 90) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    true = np.repeat([0, 1, 2], (n // 2, n // 3, n // 6))
    z = rng.normal(size=(seeds, true.size, 3)) + 1.2 * np.eye(3)[true]
    p = np.exp(z)
    return (p / p.sum(axis=2, keepdims=True)).astype(np.float32), true


def test_every_class_over_the_seeds() -> None:
    p, true = given(3)
    found = class_rankings(p, true, resamples=50)
    slow = [[average_precision_score(true == c, each[:, c]) for c in range(3)] for each in p]
    assert found.per_seed == pytest.approx(np.array(slow), abs=1e-6)
    assert found.average_precision == pytest.approx(np.mean(slow, axis=0), abs=1e-6)
    assert found.n.tolist() == [45, 30, 15]
    # a precision at each hundredth of recall: the first threshold, from the top, that finds so many
    order = np.argsort(-p[0][:, 2])
    hits = np.cumsum(true[order] == 2)
    for level, value in zip(LEVELS, class_rankings(p[:1], true, resamples=2).precision[2], strict=True):
        k = next(k for k in range(len(order)) if hits[k] >= level * 15 - 1e-9)
        assert value == pytest.approx(hits[k] / (k + 1))


def test_the_interval_is_that_of_a_slow_bootstrap() -> None:
    p, true = given(1)
    found = class_rankings(p, true, resamples=1500)
    rng = np.random.default_rng(9)
    drawn = []
    for _ in range(600):
        rows = np.concatenate([rng.choice(np.flatnonzero(true == c), (true == c).sum()) for c in range(3)])
        drawn.append([average_precision_score(true[rows] == c, p[0][rows, c]) for c in range(3)])
    slow = np.quantile(drawn, [0.025, 0.975], axis=0).T
    assert found.ci95 == pytest.approx(slow, abs=0.035)  # both are drawn: four standard errors of the quantiles
    assert (found.ci95[:, 0] < found.average_precision).all()
    assert (found.ci95[:, 1] > found.average_precision).all()
