"""Changes cell by cell against hand-worked numbers, and the interval of a recall against that of the paired test."""

from __future__ import annotations

import numpy as np
import pytest

from evenface.errors import ConfigError
from evenface.evaluation.changes import confusion_changes
from evenface.evaluation.paired import paired_bootstrap
from evenface.evaluation.resample import resampled


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
