"""Who is who over time, and how much the past counts, by hand-worked cases and brute force."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from evenface.boxes import overlaps
from evenface.errors import ConfigError, DataError
from evenface.results import Box, Face, FrameResult
from evenface.video.tracking import Tracker


def square(left: float, top: float = 0, side: float = 10) -> Box:
    return left, top, left + side, top + side


def seen(time: float, *boxes: Box, scores: dict[str, float] | None = None) -> FrameResult:
    faces = tuple(Face(box, scores or {"fear": 0.75, "anger": 0.25}, id=i) for i, box in enumerate(boxes))
    return FrameResult("clip.mp4", 200, 100, {"name": "m"}, faces, round(time * 25), time)


def ids(result: FrameResult) -> dict[Box, int]:
    return {face.box: face.id for face in result}


def test_people_keep_their_numbers_however_the_detector_orders_them() -> None:
    tracker = Tracker()
    assert ids(tracker.update(seen(0.0, square(0), square(50), square(100)))) == {square(0): 0, square(50): 1, square(100): 2}
    later = tracker.update(seen(0.1, square(102), square(3), square(48)))
    assert ids(later) == {square(3): 0, square(48): 1, square(102): 2}
    assert [face.id for face in later] == [0, 1, 2]
    assert (later.source, later.frame, later.time, later.width) == ("clip.mp4", 2, 0.1, 200)


def test_two_that_come_close_are_told_apart_by_the_sum_of_overlaps() -> None:
    """The nearest pair alone would leave the other without a partner: 0 -> 4 overlaps more than 0 -> -4."""
    tracker = Tracker(iou=0.1)
    tracker.update(seen(0.0, square(0), square(7.5)))
    assert ids(tracker.update(seen(0.1, square(3.5), square(-4.0)))) == {square(-4.0): 0, square(3.5): 1}


def test_the_pairs_are_the_best_of_all() -> None:
    rng = np.random.default_rng(3)
    for _ in range(30):
        before = [square(*rng.uniform(0, 12, 2)) for _ in range(4)]
        after = [square(*rng.uniform(0, 12, 2)) for _ in range(4)]
        tracker = Tracker(iou=0.2)
        tracker.update(seen(0, *before))
        found = ids(tracker.update(seen(0.04, *after)))
        shares = np.where(overlaps(before, after) >= 0.2, overlaps(before, after), 0)
        best = max(sum(shares[i, j] for i, j in enumerate(order)) for order in itertools.permutations(range(4)))
        assert sum(shares[i, j] for j, box in enumerate(after) if (i := found[box]) < 4) == pytest.approx(best)
        assert all(shares[found[box], j] > 0 for j, box in enumerate(after) if found[box] < 4)


def test_a_face_too_far_from_its_track_is_somebody_new() -> None:
    tracker = Tracker(iou=0.5)
    tracker.update(seen(0.0, square(0)))
    assert ids(tracker.update(seen(0.1, square(3.4)))) == {square(3.4): 1}  # 66 of 134 pixels: below a half
    tracker = Tracker(iou=0.5)
    tracker.update(seen(0.0, square(0)))
    assert ids(tracker.update(seen(0.1, square(3.3)))) == {square(3.3): 0}  # 67 of 133


def test_a_track_outlives_a_gap_but_not_a_long_one_and_its_number_is_never_given_again() -> None:
    tracker = Tracker(max_gap=0.5)
    tracker.update(seen(0.0, square(0), square(50)))
    tracker.update(seen(0.1, square(50)))
    assert ids(tracker.update(seen(0.5, square(0), square(50)))) == {square(0): 0, square(50): 1}
    tracker.update(seen(0.6, square(50)))
    assert ids(tracker.update(seen(1.2, square(0), square(50)))) == {square(50): 1, square(0): 2}
    for step in range(3):
        tracker.update(seen(10 * step + 11))
        assert ids(tracker.update(seen(10 * step + 12, square(0)))) == {square(0): 3 + step}


def test_frames_far_apart_do_not_end_a_track_by_themselves() -> None:
    tracker = Tracker(max_gap=0.5)
    assert [ids(tracker.update(seen(time, square(0))))[square(0)] for time in (0, 2, 4, 60)] == [0] * 4


def smoothed(times: np.ndarray, fear: np.ndarray, tau: float) -> np.ndarray:
    tracker = Tracker(smoothing=tau)
    pairs = zip(times, fear, strict=True)
    return np.array([tracker.update(seen(t, square(0), scores={"fear": p, "anger": 1 - p}))[0].scores["fear"] for t, p in pairs])


@pytest.mark.parametrize("step", [0.04, 0.2, 0.5])
def test_after_a_change_the_past_weighs_the_same_at_any_frame_rate(step: float) -> None:
    times = np.arange(0, 1.0 + step / 2, step)
    found = smoothed(times, (times > 0).astype(float), 0.4)  # from anger to fear right after the first frame
    assert found == pytest.approx([1 - math.exp(-t / 0.4) for t in times])


def test_smoothing_is_the_weighted_mean_of_all_that_was_seen() -> None:
    rng = np.random.default_rng(1)
    times, fear = np.cumsum(rng.uniform(0.02, 0.3, 12)), rng.uniform(0, 1, 12)
    found = smoothed(times, fear, 0.3)
    for n in range(12):
        weights = [
            math.exp(-(times[n] - times[i]) / 0.3) * (1 - math.exp(-(times[i] - times[i - 1]) / 0.3) if i else 1) for i in range(n + 1)
        ]
        assert sum(weights) == pytest.approx(1)
        assert found[n] == pytest.approx(float(np.dot(weights, fear[: n + 1])))


def test_scores_stay_probabilities_of_the_same_classes() -> None:
    rng = np.random.default_rng(2)
    tracker = Tracker(smoothing=0.2)
    for i in range(50):
        raw = rng.dirichlet([0.2] * 7)
        face = tracker.update(seen(i / 25, square(0), scores={f"c{k}": float(p) for k, p in enumerate(raw)}))[0]
        assert sum(face.scores.values()) == pytest.approx(1, abs=1e-12)
        assert list(face.scores) == [f"c{k}" for k in range(7)]


def test_no_smoothing_leaves_the_scores() -> None:
    rng = np.random.default_rng(1)
    fear = rng.uniform(0, 1, 5)
    assert smoothed(np.arange(5) / 25, fear, 0.0) == pytest.approx(fear)


def test_each_person_has_a_past_of_their_own() -> None:
    tracker = Tracker(smoothing=1.0)
    glad, afraid = {"fear": 0.0, "joy": 1.0}, {"fear": 1.0, "joy": 0.0}
    first, second = Face(square(0), glad), Face(square(50), afraid)
    tracker.update(FrameResult("a", 200, 100, {}, (first, second), 0, 0.0))
    result = tracker.update(FrameResult("a", 200, 100, {}, (second, first), 1, 0.1))
    assert [dict(face.scores) for face in result] == [pytest.approx(glad), pytest.approx(afraid)]


@pytest.mark.parametrize(
    "wrong", [{"iou": 0}, {"iou": 1.1}, {"max_gap": -1}, {"smoothing": -0.1}, {"smoothing": math.inf}, {"iou": math.nan}]
)
def test_a_value_out_of_range(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        Tracker(**wrong)


def test_time_goes_on_and_the_classes_stay() -> None:
    tracker = Tracker()
    tracker.update(seen(1.0, square(0)))
    with pytest.raises(DataError, match=r"0\.5 s came after 1 s"):
        tracker.update(seen(0.5, square(0)))
    with pytest.raises(DataError, match="one model"):
        tracker.update(seen(1.5, square(0), scores={"joy": 1.0}))
