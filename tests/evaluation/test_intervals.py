"""Wilson against scipy and by hand, the bootstrap against a slow loop and theory, both for their coverage."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from evenface.errors import ConfigError, DataError
from evenface.evaluation.intervals import bootstrap_scores, over_seeds, percentile_interval, resample_confusions, seed_weights, wilson
from evenface.evaluation.metrics import AGGREGATES, confusion_matrix, scores
from evenface.evaluation.paired import paired_bootstrap


SIZES = (60, 30, 12)


def faces(seed: int, sizes: tuple[int, ...] = SIZES, right: float = 0.7) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    true = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    return true, np.where(rng.random(true.size) < right, true, rng.integers(0, len(sizes), true.size))


def quantile_error(sd: float, resamples: int) -> float:
    """Standard error of the 2.5 % quantile of `resamples` draws from a normal law: sqrt(q (1 - q) / R) / density."""
    return float(np.sqrt(0.025 * 0.975 / resamples) * sd / stats.norm.pdf(1.96))


def test_wilson_by_hand() -> None:
    # k = 8, n = 10, z^2 = 3.841459: centre (8 + 1.920729) / 13.841459, half 1.959964 sqrt(8 * 2 / 10 + 0.960365) / 13.841459
    low, high = wilson(8, 10)
    assert float(low) == pytest.approx(0.716740 - 0.226579, abs=2e-6)
    assert float(high) == pytest.approx(0.716740 + 0.226579, abs=2e-6)


def test_wilson_agrees_with_scipy() -> None:
    cases = [(k, n) for n in (1, 5, 18, 74, 1185) for k in {0, 1, n // 2, n - 1, n}]
    for confidence in (0.9, 0.95):
        low, high = wilson([k for k, _ in cases], [n for _, n in cases], confidence)
        for i, (k, n) in enumerate(cases):
            expected = stats.binomtest(k, n).proportion_ci(confidence, method="wilson")
            assert (low[i], high[i]) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_ends_and_empty() -> None:
    low, high = wilson([0, 18, 0], [18, 18, 0])
    assert low[0] == 0.0
    assert high[1] == 1.0
    assert 0 < high[0] < 0.2
    assert np.isnan([low[2], high[2]]).all()


@pytest.mark.parametrize("n", [18, 74])
def test_wilson_covers_95_percent(n: int) -> None:
    """Exact, by summing the binomial law: the mean over p is near 95 %, and no p between 2 and 98 % falls below 88 %."""
    k = np.arange(n + 1)
    low, high = wilson(k, n)
    p = np.linspace(0.02, 0.98, 200)[:, None]
    coverage = (stats.binom.pmf(k, n, p) * ((low <= p) & (p <= high))).sum(axis=1)
    assert 0.94 < coverage.mean() < 0.97
    assert coverage.min() > 0.88


def slow_bootstrap(true: NDArray[np.int64], predicted: NDArray[np.int64], classes: int, resamples: int) -> dict[str, list[float]]:
    """Image by image, as the definition says."""
    rng = np.random.default_rng(1)
    found: dict[str, list[float]] = {name: [] for name in AGGREGATES}
    members = [np.flatnonzero(true == label) for label in range(classes)]
    for _ in range(resamples):
        rows = np.concatenate([rng.choice(rows, rows.size) for rows in members])
        t, p = true[rows], predicted[rows]
        found["overall"].append(float(np.mean(t == p)))
        found["mean_recall"].append(float(np.mean([np.mean(p[t == c] == c) for c in range(classes)])))
        f1 = [2 * np.sum((t == c) & (p == c)) / (np.sum(t == c) + np.sum(p == c)) for c in range(classes)]
        found["macro_f1"].append(float(np.mean(f1)))
    return found


def test_bootstrap_agrees_with_a_loop_over_images() -> None:
    true, predicted = faces(0)
    resamples = 1500
    slow = slow_bootstrap(true, predicted, 3, resamples)
    fast = bootstrap_scores(true, predicted, 3, resamples=20_000, seed=2)
    for name in AGGREGATES:
        expected = np.quantile(slow[name], [0.025, 0.975])
        error = np.hypot(quantile_error(np.std(slow[name]), resamples), quantile_error(np.std(slow[name]), 20_000))
        step = 1 / true.size if name == "overall" else 0.0  # overall moves on a lattice
        np.testing.assert_allclose(fast[name], expected, atol=4 * error + step)


def test_resamples_have_the_moments_of_theory() -> None:
    true, predicted = faces(3)
    resamples = 20_000
    drawn = resample_confusions(true, predicted, 3, resamples, np.random.default_rng(0))[:, 0]
    assert drawn.shape == (resamples, 3, 3)
    np.testing.assert_array_equal(drawn.sum(axis=-1), np.tile(SIZES, (resamples, 1)))  # stratified: n of a class never moves
    recall = scores(confusion_matrix(true, predicted, 3)).recall
    variance = recall * (1 - recall) / np.array(SIZES)
    found = scores(drawn)
    np.testing.assert_allclose(found.recall.mean(axis=0), recall, atol=4 * np.sqrt(variance.max() / resamples))
    np.testing.assert_allclose(found.recall.var(axis=0), variance, rtol=0.06)
    assert found.mean_recall.var() == pytest.approx(variance.sum() / 9, rel=0.06)


def test_columns_share_the_drawn_images() -> None:
    true, predicted = faces(4)
    drawn = resample_confusions(true, np.stack([predicted, predicted], axis=1), 3, 50, np.random.default_rng(0))
    np.testing.assert_array_equal(drawn[:, 0], drawn[:, 1])


def test_chunks_keep_every_resample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evenface.evaluation.intervals._CELLS_AT_ONCE", 7)
    true, predicted = faces(5)
    drawn = resample_confusions(true, predicted, 3, 11, np.random.default_rng(0))
    np.testing.assert_array_equal(drawn.sum(axis=(-1, -2)), np.full((11, 1), sum(SIZES)))


def test_the_order_of_images_changes_nothing() -> None:
    true, predicted = faces(6)
    order = np.random.default_rng(0).permutation(true.size)
    assert bootstrap_scores(true, predicted, 3, 200) == bootstrap_scores(true[order], predicted[order], 3, 200)
    assert bootstrap_scores(true, predicted, 3, 200, seed=1) != bootstrap_scores(true, predicted, 3, 200, seed=2)


def test_a_class_without_images() -> None:
    true, predicted = faces(7)
    three, five = (bootstrap_scores(true, predicted, classes, 300) for classes in (3, 5))
    for name in AGGREGATES:
        assert five[name] == pytest.approx(three[name])


def test_bootstrap_covers_95_percent() -> None:
    """300 test sets from a known law; the share of intervals that hold the truth lies within four standard errors of 95 %,
    less the points that a plug-in interval loses at n = 20."""
    recall, sizes = np.array([0.9, 0.7, 0.5]), np.array([100, 50, 20])
    law = np.diag(recall) + (1 - np.eye(3)) * ((1 - recall) / 2)[:, None]
    truth = scores(np.rint(law * sizes[:, None] * 1000).astype(int))
    rng = np.random.default_rng(0)
    trials, hits = 300, dict.fromkeys(AGGREGATES, 0)
    for trial in range(trials):
        rows = [rng.choice(3, n, p=law[c]) for c, n in enumerate(sizes)]
        intervals = bootstrap_scores(np.repeat(np.arange(3), sizes), np.concatenate(rows), 3, resamples=250, seed=trial)
        for name, (low, high) in intervals.items():
            hits[name] += bool(low <= getattr(truth, name) <= high)
    error = np.sqrt(0.95 * 0.05 / trials)
    for name, count in hits.items():
        assert 0.93 - 4 * error < count / trials < 0.95 + 4 * error, name


def test_seed_weights_have_the_variance_of_a_mean() -> None:
    """Var of the mean of S trainings is s^2 / S with s^2 the sample variance (divisor S - 1)."""
    seen = np.array([0.70, 0.74, 0.69])
    weights = seed_weights(3, 40_000, np.random.default_rng(0))
    np.testing.assert_allclose(weights.sum(axis=1), 1.0)
    moved = over_seeds(np.tile(seen, (40_000, 1)), seen, weights)
    assert moved.mean() == pytest.approx(seen.mean(), abs=4e-4)
    assert moved.var() == pytest.approx(seen.var(ddof=1) / 3, rel=0.03)
    np.testing.assert_array_equal(seed_weights(1, 5, np.random.default_rng(0)), np.ones((5, 1)))


def test_where_images_say_nothing_the_interval_is_that_of_the_seeds() -> None:
    """Each training knows some classes wholly and the others not at all, so no drawn image changes a score."""
    true = np.repeat(np.arange(4), 25)
    predicted = np.stack([np.where(true < known, true, (true + 1) % 4) for known in (1, 2, 4)], axis=1)
    recalls = np.array([0.25, 0.5, 1.0])
    low, high = bootstrap_scores(true, predicted, 4, resamples=4000)["mean_recall"]
    rng = np.random.default_rng(5)
    slow = [recalls.mean() + np.sqrt(3 / 2) * (recalls[rng.integers(0, 3, 3)].mean() - recalls.mean()) for _ in range(4000)]
    assert (low, high) == pytest.approx(tuple(np.quantile(np.clip(slow, 0, 1), [0.025, 0.975])), abs=1e-9)
    assert high - low > 0.4


def test_several_seeds_add_the_spread_between_them() -> None:
    true, a = faces(8)
    _, b = faces(8, right=0.5)  # the same images, a training that went worse
    low, high = bootstrap_scores(true, np.stack([a, b], axis=1), 3)["mean_recall"]
    means = [float(scores(confusion_matrix(true, p, 3)).mean_recall) for p in (a, b)]
    assert low < np.mean(means) < high
    apart = np.std(means, ddof=1) / np.sqrt(2)
    assert high - low > 2 * apart


def test_no_interval_leaves_what_a_score_can_be() -> None:
    """Trainings that are nearly perfect, and one that is not: their stretched spread goes past 1."""
    true = np.repeat(np.arange(7), 20)
    right = np.stack([true, true, true], axis=1)
    for column, errors in ((1, 1), (2, 12)):
        right[:errors, column] = (true[:errors] + 1) % 7
    wrong = np.where(right == true[:, None], (true[:, None] + 1) % 7, true[:, None])  # each where the other is right
    for predicted, end in ((right, 1), (wrong, 0)):
        for low, high in bootstrap_scores(true, predicted, 7).values():
            assert 0 <= low < high <= 1
            assert end in (low, high)
    for found in paired_bootstrap(true, wrong, right, 7, resamples=500).values():
        assert -1 <= found.ci95[0] <= found.ci95[1] <= 1


def test_misuse() -> None:
    with pytest.raises(DataError, match="0 <= k <= n"):
        wilson(5, 4)
    with pytest.raises(ConfigError, match="confidence"):
        wilson(1, 4, confidence=95)
    with pytest.raises(ConfigError, match="confidence"):
        percentile_interval([0.1, 0.2], 1.0)
    with pytest.raises(ConfigError, match="at least one resample"):
        bootstrap_scores([0, 1], [0, 1], 2, resamples=0)
    with pytest.raises(DataError, match="one per image"):
        bootstrap_scores([0, 1], [0, 1, 1], 2)
