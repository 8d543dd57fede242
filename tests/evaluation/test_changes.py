"""Changes cell by cell against hand-worked numbers, and the interval of a recall against that of the paired test."""

from __future__ import annotations

import numpy as np
import pytest

from evenface.errors import ConfigError
from evenface.evaluation.changes import confusion_changes
from evenface.evaluation.paired import paired_bootstrap
from evenface.evaluation.resample import mean_over_seeds, resampled


def test_by_hand() -> None:
    true = np.array([0, 0, 0, 0, 1, 1])
    before, after = np.array([0, 0, 1, 1, 1, 0]), np.array([0, 0, 0, 1, 1, 1])
    found = confusion_changes(true, before, after, 3, resamples=200)
    assert found.value[:2, :2].tolist() == [[0.25, -0.25], [-0.5, 0.5]]
    assert np.isnan(found.value[2]).all()  # nobody of the third class
    assert not found.clear[2].any()


def test_over_seeds_it_is_the_mean() -> None:
    rng = np.random.default_rng(0)
    true = rng.integers(0, 2, 60)
    a, b = rng.integers(0, 2, (60, 2)), rng.integers(0, 2, (60, 3))
    found = confusion_changes(true, a, b, 2, pair_seeds=False, resamples=50)
    recall = [np.mean([np.mean(x[true == 1] == 1) for x in runs.T]) for runs in (a, b)]
    assert found.value[1, 1] == pytest.approx(recall[1] - recall[0])


def test_the_mean_of_the_recalls_moves_as_in_the_paired_test() -> None:
    """With one class the mean recall is its recall, and both draw the same images with the same seed."""
    rng = np.random.default_rng(1)
    true = np.zeros(80, dtype=np.int64)
    a, b = rng.integers(0, 2, 80), rng.integers(0, 2, 80)
    found = confusion_changes(true, a, b, 2, resamples=3000)
    expected = paired_bootstrap(true, a, b, 2, resamples=3000)["mean_recall"]
    assert found.value[0, 0] == pytest.approx(expected.value)
    assert tuple(found.ci95[0, 0]) == pytest.approx(expected.ci95)


def test_what_the_seeds_share_cancels() -> None:
    """Trainings that differ much, and a method that answers as the baseline of its seed does but for one class."""
    true = np.repeat([0, 1], 30)
    a = np.stack([true, np.zeros_like(true), np.zeros_like(true)], axis=1)  # one of three trainings knows class 1
    b = a.copy()
    b[:30] = 1
    paired, apart = (confusion_changes(true, a, b, 2, pair_seeds=pair, resamples=2000) for pair in (True, False))
    assert paired.value.tolist() == apart.value.tolist() == [[-1, 1], [0, 0]]
    assert paired.ci95[1].tolist() == [[0, 0], [0, 0]]
    assert (apart.ci95[1, :, 1] - apart.ci95[1, :, 0] > 0.5).all()


def test_what_is_the_same_is_not_clear() -> None:
    true = np.repeat([0, 1], 20)
    assert not confusion_changes(true, true, true, 2, resamples=100).clear.any()
    assert confusion_changes(true, 1 - true, true, 2, resamples=100).clear.all()


def test_weights_keep_the_classes() -> None:
    true = np.repeat([0, 1, 2], (5, 30, 1))
    drawn = resampled(true, lambda w: np.stack([w[:, true == c].sum(axis=1) for c in range(3)], axis=1).astype(float), resamples=40)
    assert (drawn == [5, 30, 1]).all()
    single = resampled(true, lambda w: w[:, 5].astype(float), resamples=4000)  # how often one of thirty is drawn
    assert single.mean() == pytest.approx(1, abs=0.08)
    assert single.var() == pytest.approx(29 / 30, abs=0.12)
    with pytest.raises(ConfigError):
        resampled(true, lambda w: w, resamples=0)


def test_the_spread_between_trainings_counts() -> None:
    """By a slow loop over images and trainings; each training answers a whole class alike, so its scatter is all there is."""
    true = np.repeat([0, 1], 30)
    zero = np.zeros_like(true)
    baseline = np.stack([zero, zero, zero], axis=1)
    method = np.stack([true, true, zero], axis=1)  # two of three trainings know class 1
    found = confusion_changes(true, baseline, method, 2, resamples=4000)
    seen, rng = np.array([1.0, 1.0, 0.0]), np.random.default_rng(9)
    slow = [seen.mean() + np.sqrt(3 / 2) * (seen[rng.integers(0, 3, 3)].mean() - seen.mean()) for _ in range(4000)]
    assert found.value[1, 1] == pytest.approx(2 / 3)
    assert tuple(found.ci95[1, 1]) == pytest.approx(tuple(np.quantile(slow, [0.025, 0.975])), abs=1e-9)
    assert tuple(found.ci95[0, 0]) == (0, 0)


def test_a_mean_over_trainings_has_their_spread() -> None:
    """Resamples of the images that do not move at all, and values of three trainings that differ."""
    seen = np.array([[0.2, 0.5], [0.4, 0.5], [0.9, 0.5]])
    moved = mean_over_seeds(np.tile(seen, (20_000, 1, 1)), seen)
    assert moved.shape == (20_000, 2)
    assert moved.mean(axis=0) == pytest.approx(seen.mean(axis=0), abs=5e-3)
    assert moved[:, 0].var() == pytest.approx(seen[:, 0].var(ddof=1) / 3, rel=0.03)
    assert moved[:, 1].var() == pytest.approx(0, abs=1e-12)
