"""Class weights against the numbers of the literature, worked out from the official label files."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evenface.errors import ConfigError, DataError
from evenface.losses import class_weights, uniform_warning, weight_notes, weight_ratio


RAF = [1290, 281, 717, 4772, 1982, 705, 2524]  # surprise, fear, disgust, happiness, sadness, anger, neutral
AFFECTNET = [74874, 134415, 25459, 14090, 6378, 3803, 24882]  # neutral, happy, sad, surprise, fear, disgust, anger
FERPLUS = [8740, 7287, 3149, 3014, 2100, 119, 532]  # neutral, happiness, surprise, sadness, anger, disgust, fear

PUBLISHED = [
    (RAF, 0.999, 4.05, [0.7637, 2.2589, 1.0814, 0.5583, 0.6420, 1.0939, 0.6018]),
    (RAF, 0.9999, 13.70, [0.6712, 2.9315, 1.1740, 0.2141, 0.4518, 1.1933, 0.3642]),
    (AFFECTNET, 0.999, 1.02, [0.9965, 0.9965, 0.9965, 0.9965, 0.9982, 1.0192, 0.9965]),
    (AFFECTNET, 0.9999, 3.16, [0.6496, 0.6493, 0.7045, 0.8593, 1.3769, 2.0524, 0.7081]),
    (FERPLUS, 0.999, 8.91, [0.4226, 0.4228, 0.4414, 0.4443, 0.4814, 3.7640, 1.0237]),
    (FERPLUS, 0.9999, 49.26, [0.0998, 0.1124, 0.2154, 0.2236, 0.3072, 4.9185, 1.1230]),
]
RAW = [
    (RAF, [0.001379, 0.004080, 0.001953, 0.001009, 0.001160, 0.001976, 0.001087]),
    (FERPLUS, [0.001000, 0.001001, 0.001045, 0.001052, 0.001139, 0.008909, 0.002423]),
]

counts_of_classes = st.lists(st.integers(1, 50_000), min_size=2, max_size=10)


@pytest.mark.parametrize(("counts", "beta", "ratio", "expected"), PUBLISHED)
def test_effective_weights_of_the_three_sets(counts: list[int], beta: float, ratio: float, expected: list[float]) -> None:
    weights = class_weights(counts, beta=beta)
    assert weights == pytest.approx(expected, abs=6e-5)
    assert weight_ratio(weights) == pytest.approx(ratio, abs=6e-3)
    assert weights.sum() == pytest.approx(7)


@pytest.mark.parametrize(("counts", "expected"), RAW)
def test_raw_effective_weights(counts: list[int], expected: list[float]) -> None:
    assert class_weights(counts, normalize="none") == pytest.approx(expected, abs=6e-7)


def test_raw_weights_of_affectnet_lie_between_1_and_1_point_023_thousandths() -> None:
    weights = class_weights(AFFECTNET, normalize="none")
    assert weights.min() == pytest.approx(0.001, abs=5e-7)
    assert weights.max() == pytest.approx(0.001023, abs=5e-7)


def test_mek_weights_are_the_literals_of_its_code() -> None:
    expected = [0.95124031, 4.36690391, 1.71143654, 0.25714585, 0.6191221, 1.74056738, 0.48617274]
    for normalize in ("none", "sum_to_C", "mean_sample_1"):
        assert class_weights(RAF, "inverse_mek", normalize=normalize) == pytest.approx(expected, abs=1e-8)


def test_mean_over_the_faces_is_one() -> None:
    weights = class_weights(RAF, normalize="mean_sample_1")
    faces = np.repeat(np.arange(7), RAF)
    assert weights[faces].mean() == pytest.approx(1)
    assert weight_ratio(weights) == pytest.approx(weight_ratio(class_weights(RAF)))


def test_none_is_one_everywhere() -> None:
    assert list(class_weights([5, 0, 7], "none")) == [1, 1, 1]


@given(counts_of_classes, st.floats(0.0, 0.999999))
@settings(max_examples=40, deadline=None)
def test_effective_is_the_geometric_series(counts: list[int], beta: float) -> None:
    raw = class_weights(counts, beta=beta, normalize="none")
    for n, weight in zip(counts, raw, strict=True):
        series = math.fsum(beta**k for k in range(min(n, 2000)))  # 1 + beta + ... + beta^(n-1), the effective number
        if n <= 2000:
            assert weight == pytest.approx(1 / series, rel=1e-9)
        else:
            assert weight <= 1 / series * (1 + 1e-9)


@given(counts_of_classes)
@settings(max_examples=30, deadline=None)
def test_beta_goes_from_uniform_to_inverse_frequency(counts: list[int]) -> None:
    assert class_weights(counts, beta=0) == pytest.approx(np.ones(len(counts)))
    assert class_weights(counts, beta=1 - 1e-11) == pytest.approx(class_weights(counts, "inverse"), rel=1e-4)


@given(counts_of_classes, st.randoms())
@settings(max_examples=30, deadline=None)
def test_weights_follow_their_class_and_rarer_is_heavier(counts: list[int], random: object) -> None:
    weights = class_weights(counts)
    order = np.argsort(counts)[::-1]
    assert class_weights(np.array(counts)[order]) == pytest.approx(weights[order])
    assert (np.diff(weights[order]) >= -1e-12).all()


def test_an_empty_class_weighs_nothing_and_is_named() -> None:
    weights = class_weights([100, 0, 300])
    assert weights[1] == 0
    assert weights.sum() == pytest.approx(3)
    assert np.isfinite(weights).all()
    notes = weight_notes(weights, ["anger", "fear", "neutral"], [100, 0, 300])
    assert any("'fear'" in note and "No training face" in note for note in notes)


def test_notes_tell_b_and_the_ratio() -> None:
    (note,) = weight_notes(class_weights(RAF), list("abcdefg"), RAF)
    assert "b 2.259" in note
    assert "max/min 4.05" in note


def test_uniform_weights_are_warned_of_on_affectnet_only() -> None:
    assert uniform_warning(class_weights(RAF)) is None
    warning = uniform_warning(class_weights(AFFECTNET))
    assert warning is not None
    assert "1.023" in warning
    assert warning in weight_notes(class_weights(AFFECTNET), list("abcdefg"), AFFECTNET)


@pytest.mark.parametrize("beta", [1, 1.0, 1.5, -0.1, float("nan")])
def test_a_beta_that_cannot_work_is_one_clear_line(beta: float) -> None:
    with pytest.raises(ConfigError, match="beta") as caught:
        class_weights(RAF, beta=beta)
    assert "\n" not in str(caught.value)
    if beta == 1:
        assert "--weights inverse" in str(caught.value)


def test_wrong_arguments() -> None:
    with pytest.raises(ConfigError, match="did you mean 'effective'"):
        class_weights(RAF, "efective")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="normalisation"):
        class_weights(RAF, normalize="sum")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="every class has none"):
        class_weights([0, 0])
    with pytest.raises(DataError, match=">= 0"):
        class_weights([3, -1])


def test_the_advice_names_no_beta_that_may_be_set_already() -> None:
    counts = [200_000, 110_000]  # uniform at 0.9999 too: both have many more than 10,000 faces
    warning = uniform_warning(class_weights(counts, beta=0.9999), counts)
    assert warning is not None
    assert warning.endswith("; raise beta towards 1 or use --weights inverse.")
    assert "0.99" not in warning
    for better in (class_weights(counts, beta=0.99999), class_weights(counts, "inverse")):  # what it says helps
        assert uniform_warning(better, counts) is None


def test_where_classes_are_alike_no_advice_is_given() -> None:
    even = weight_notes(class_weights([500] * 7), [f"c{i}" for i in range(7)], [500] * 7)[1]
    assert even.endswith("the classes have nearly as many faces each.")
    assert "raise beta" not in even
