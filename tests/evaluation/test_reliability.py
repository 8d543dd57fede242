"""Calibration errors against a slow loop and against what is known of simulated scores."""

from __future__ import annotations

import numpy as np
import pytest

from evenface.errors import DataError
from evenface.evaluation.reliability import calibration_errors, reliability
from evenface.evaluation.resample import reflected_interval


def world(n: int, sharpness: float, seed: int = 0, seeds: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Scores (S, n, 3), and labels that are drawn from them where the sharpness is 1."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, 3)) * 2
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    true = np.array([rng.choice(3, p=row) for row in p])
    q = np.exp(sharpness * z)
    return np.stack([q / q.sum(axis=1, keepdims=True)] * seeds), true


def slow_error(confidence: np.ndarray, right: np.ndarray) -> float:
    total = 0.0
    for m in range(15):
        members = [i for i, c in enumerate(confidence) if m / 15 < c <= (m + 1) / 15]
        if members:
            total += abs(np.mean(right[members]) - np.mean(confidence[members])) * len(members) / len(confidence)
    return total


def test_the_errors_are_those_of_a_slow_loop() -> None:
    p, true = world(300, 1.7, seeds=2)
    p[1] = np.roll(p[1], 1, axis=0)
    found = calibration_errors(p, true, resamples=20)
    slow = [slow_error(each.max(axis=1), each.argmax(axis=1) == true) for each in p]
    assert found.overall == pytest.approx(np.mean(slow), abs=1e-6)
    for c in range(3):
        assert found.per_class[c] == pytest.approx(np.mean([slow_error(each[:, c], true == c) for each in p]), abs=1e-6)


def test_true_scores_are_within_chance_and_false_ones_are_not() -> None:
    true_scores = calibration_errors(*world(800, 1.0), resamples=200)
    assert true_scores.overall <= true_scores.chance
    assert true_scores.overall_ci95[0] == 0
    false_scores = calibration_errors(*world(800, 3.0), resamples=200)
    assert false_scores.overall > 2 * false_scores.chance
    low, high = false_scores.overall_ci95
    assert 0 < low < false_scores.overall < high


def test_chance_is_what_labels_from_the_scores_show() -> None:
    p, _ = world(400, 1.0)
    rng = np.random.default_rng(5)
    seen = []
    for _ in range(150):
        labels = np.array([rng.choice(3, p=row) for row in p[0]])
        seen.append(slow_error(p[0].max(axis=1), p[0].argmax(axis=1) == labels))
    chance = calibration_errors(p, np.zeros(400, dtype=np.int64), resamples=2).chance
    assert chance == pytest.approx(np.quantile(seen, 0.95), rel=0.15)  # two quantiles of 200 and 150 draws


def test_the_bins() -> None:
    confidence = np.array([0.34, 0.40, 0.9, 1.0, 1 / 15])
    right = np.array([True, False, True, True, False])
    found = reliability(confidence, right)
    assert found.n.tolist() == [1, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1, 1]  # 1/15 belongs to the first bin, 0.40 = 6/15 to the sixth
    assert found.score[5] == pytest.approx(0.37)
    assert found.right[5] == 0.5
    assert np.isnan(found.right[1])
    # Wilson's interval of 1 of 2, worked out: (1 + z^2/2 -+ z sqrt(1/2 + z^2/4)) / (2 + z^2)
    z = 1.959963984540054
    middle, half = (1 + z * z / 2) / (2 + z * z), z * (0.5 + z * z / 4) ** 0.5 / (2 + z * z)
    assert found.ci95[5] == pytest.approx([middle - half, middle + half])
    two = reliability(np.stack([confidence] * 2), np.stack([right, ~right]))
    assert two.n[5] == 2  # a mean over the trainings
    assert two.right[14] == 0.5
    with pytest.raises(DataError):
        reliability(confidence, right[:2])


def test_a_mirrored_interval() -> None:
    drawn = np.linspace(0.3, 0.5, 1001)
    low, high = reflected_interval(drawn, 0.35)
    assert (low, high) == pytest.approx((0.7 - 0.495, 0.7 - 0.305))
    assert reflected_interval(drawn, 0.2) == (0.0, 0.2)  # cut at 0; holds the value


def test_each_class_has_its_own_error_interval_and_chance() -> None:
    """Of three classes one is scored much too high and the others by as much too low; and of two trainings one is worse."""
    p, true = world(600, 1.0, seeds=2)
    odd = p[1].copy()
    odd[:, 2] = np.minimum(0.999, odd[:, 2] + 0.6 * (1 - odd[:, 2]))
    odd[:, :2] *= ((1 - odd[:, 2]) / odd[:, :2].sum(axis=1))[:, None]
    found = calibration_errors(np.stack([odd, odd]), true, resamples=200)
    assert found.per_class.argmax() == 2
    for c in range(3):
        low, high = found.per_class_ci95[c]
        assert low <= found.per_class[c] <= high
    assert found.per_class_ci95[2, 0] > found.per_class_ci95[:2, 1].max()
    rng = np.random.default_rng(3)
    for c in range(3):
        slow = [slow_error(odd[:, c], np.array([rng.choice(3, p=row / row.sum()) == c for row in odd])) for _ in range(60)]
        assert np.quantile(slow, 0.7) < found.class_chance[c] < 1.3 * max(slow)
