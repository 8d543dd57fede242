"""Paired tests against slow loops, hand-worked numbers and their own error rates."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from evenface.errors import ConfigError, DataError
from evenface.evaluation.paired import Difference, McNemar, bootstrap_p_value, holm, mcnemar_exact, paired_bootstrap


SIZES = np.array([60, 30, 12])
TRUE = np.repeat(np.arange(3), SIZES)


def model(rng: np.random.Generator, hard: NDArray[np.float64], shift: float = 0.0) -> NDArray[np.int64]:
    """Predictions of a training that finds the same images hard as its sisters do."""
    right = rng.normal(size=TRUE.size) + shift > hard
    return np.where(right, TRUE, (TRUE + rng.integers(1, 3, TRUE.size)) % 3)


def mean_recall(predicted: NDArray[np.int64], true: NDArray[np.int64] = TRUE) -> float:
    return float(np.mean([np.mean(predicted[true == c] == c) for c in range(3)]))


def quantile_error(sd: float, resamples: int) -> float:
    return float(np.sqrt(0.025 * 0.975 / resamples) * sd / stats.norm.pdf(1.96))


def test_agrees_with_a_loop_over_images() -> None:
    rng = np.random.default_rng(0)
    hard = rng.normal(-0.5, 1.0, TRUE.size)
    a, b = model(rng, hard), model(rng, hard, 0.4)
    found = paired_bootstrap(TRUE, a, b, 3, resamples=10_000)["mean_recall"]
    assert found.value == pytest.approx(mean_recall(b) - mean_recall(a))
    resamples, slow = 1500, []
    for _ in range(resamples):
        rows = np.concatenate([rng.choice(np.flatnonzero(c == TRUE), SIZES[c]) for c in range(3)])  # one draw for both
        slow.append(mean_recall(b[rows], TRUE[rows]) - mean_recall(a[rows], TRUE[rows]))
    tolerance = 4 * np.hypot(quantile_error(np.std(slow), resamples), quantile_error(np.std(slow), 10_000))
    np.testing.assert_allclose(found.ci95, np.quantile(slow, [0.025, 0.975]), atol=tolerance)
    # Var of the difference, by theory: per class, the variance of d in {-1, 0, 1}, over n and L^2
    d = (b == TRUE).astype(float) - (a == TRUE)
    sd = np.sqrt(sum(d[c == TRUE].var() / SIZES[c] for c in range(3))) / 3
    assert (found.ci95[1] - found.ci95[0]) / (2 * 1.96) == pytest.approx(sd, rel=0.06)


def test_agrees_with_a_loop_over_images_and_seeds() -> None:
    rng = np.random.default_rng(1)
    hard = rng.normal(-0.5, 1.0, TRUE.size)
    a = np.stack([model(rng, hard, shift) for shift in (0.0, 0.5, -0.5)], axis=1)
    b = np.stack([model(rng, hard, shift) for shift in (0.4, 0.9, -0.1)], axis=1)
    seen_a, seen_b = np.array([mean_recall(p) for p in a.T]), np.array([mean_recall(p) for p in b.T])
    resamples = 1200
    slow: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(resamples):
        rows = np.concatenate([rng.choice(np.flatnonzero(c == TRUE), SIZES[c]) for c in range(3)])
        images = np.mean([mean_recall(q[rows], TRUE[rows]) - mean_recall(p[rows], TRUE[rows]) for p, q in zip(a.T, b.T, strict=True)])
        one, other = rng.integers(0, 3, 3), rng.integers(0, 3, 3)
        for paired in (True, False):
            deviation = (seen_b - seen_b.mean())[one].mean() - (seen_a - seen_a.mean())[one if paired else other].mean()
            slow[paired].append(float(images + np.sqrt(3 / 2) * deviation))
    width = {}
    for paired, values in slow.items():
        found = paired_bootstrap(TRUE, a, b, 3, resamples=10_000, pair_seeds=paired)["mean_recall"]
        assert found.value == pytest.approx(seen_b.mean() - seen_a.mean())
        tolerance = 4 * np.hypot(quantile_error(np.std(values), resamples), quantile_error(np.std(values), 10_000))
        np.testing.assert_allclose(found.ci95, np.quantile(values, [0.025, 0.975]), atol=tolerance)
        width[paired] = found.ci95[1] - found.ci95[0]
    assert width[True] < width[False]  # what the seeds share cancels


def test_error_rate_under_no_difference() -> None:
    """250 pairs of equally good models: about 5 % come out with p < 0.05, within four standard errors (and the lattice)."""
    rng = np.random.default_rng(2)
    trials, rejected = 250, 0
    for trial in range(trials):
        hard = rng.normal(-0.5, 1.0, TRUE.size)
        rejected += paired_bootstrap(TRUE, model(rng, hard), model(rng, hard), 3, resamples=300, seed=trial)["mean_recall"].p_value < 0.05
    assert 0.01 < rejected / trials < 0.05 + 4 * np.sqrt(0.05 * 0.95 / trials)


def test_swapping_the_models_turns_the_sign() -> None:
    rng = np.random.default_rng(3)
    hard = rng.normal(-0.5, 1.0, TRUE.size)
    a, b = model(rng, hard), model(rng, hard, 0.3)
    there, back = paired_bootstrap(TRUE, a, b, 3, resamples=4000), paired_bootstrap(TRUE, b, a, 3, resamples=4000)
    for name, difference in there.items():
        assert back[name].value == pytest.approx(-difference.value)
        np.testing.assert_allclose(back[name].ci95, [-difference.ci95[1], -difference.ci95[0]], atol=0.02)


def test_equal_predictions_have_p_one() -> None:
    rng = np.random.default_rng(4)
    a = model(rng, rng.normal(size=TRUE.size))
    for difference in paired_bootstrap(TRUE, a, a, 3, resamples=100).values():
        assert difference == Difference(0.0, (0.0, 0.0), 1.0)


def test_p_value_by_hand() -> None:
    assert bootstrap_p_value([0.1, 0.2, 0.3, -0.1]) == pytest.approx(2 * (1 + 1) / 5)
    assert bootstrap_p_value([0.1] * 99) == pytest.approx(2 / 100)  # never 0
    assert bootstrap_p_value([-0.1] * 99) == pytest.approx(2 / 100)
    assert bootstrap_p_value([0.0, 0.1, 0.2]) == pytest.approx(1.0)
    assert bootstrap_p_value([0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6]) == pytest.approx(2 * 2 / 8)  # a tie is on both sides


def test_mcnemar_by_hand() -> None:
    # b = 2, c = 8: p = 2 (C(10,0) + C(10,1) + C(10,2)) / 2^10 = 112 / 1024
    a = np.array([True] * 2 + [False] * 8 + [True] * 5 + [False] * 3)
    b = np.array([False] * 2 + [True] * 8 + [True] * 5 + [False] * 3)
    found = mcnemar_exact(a, b)
    assert (found.b, found.c) == (2, 8)
    assert found.p_value == pytest.approx(112 / 1024)
    assert mcnemar_exact(b, a).p_value == pytest.approx(found.p_value)
    assert mcnemar_exact(a, a) == McNemar(0, 0, 1.0)


@pytest.mark.parametrize(("b", "c"), [(0, 5), (3, 3), (7, 4), (1, 20)])
def test_mcnemar_against_the_sum(b: int, c: int) -> None:
    m = b + c
    expected = min(1.0, 2 * sum(comb(m, i) for i in range(min(b, c) + 1)) / 2**m)
    right = np.array([True] * b + [False] * c)
    assert mcnemar_exact(right, ~right).p_value == pytest.approx(expected)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.6]) == pytest.approx([1.0, 1.0])
    assert holm([0.2]) == [0.2]
    assert holm([]) == []


def test_misuse() -> None:
    two = np.stack([TRUE, TRUE], axis=1)
    with pytest.raises(ConfigError, match="2 trainings against 1"):
        paired_bootstrap(TRUE, two, TRUE, 3)
    with pytest.raises(DataError, match="same images"):
        paired_bootstrap(TRUE, TRUE, TRUE[1:], 3)
    with pytest.raises(DataError, match="true and false"):
        mcnemar_exact(TRUE, TRUE)
    with pytest.raises(DataError, match="between 0 and 1"):
        holm([0.1, float("nan")])
