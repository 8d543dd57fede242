"""Scores against scikit-learn, hand-worked numbers and what permutations must not change."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from sklearn import metrics as sk

from evenface.errors import DataError, LabelError
from evenface.evaluation.metrics import confusion_matrix, scores


def draw(seed: int, n: int = 200, classes: int = 7) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    true = rng.choice(classes, n, p=np.arange(1, classes + 1) / np.arange(1, classes + 1).sum())
    return true, np.where(rng.random(n) < 0.6, true, rng.integers(0, classes, n))


@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_scikit_learn(seed: int) -> None:
    true, predicted = draw(seed)
    labels = list(range(7))
    found = scores(confusion_matrix(true, predicted, 7))
    np.testing.assert_array_equal(confusion_matrix(true, predicted, 7), sk.confusion_matrix(true, predicted, labels=labels))
    assert found.overall == pytest.approx(sk.accuracy_score(true, predicted))
    assert found.mean_recall == pytest.approx(sk.balanced_accuracy_score(true, predicted))
    assert found.macro_f1 == pytest.approx(sk.f1_score(true, predicted, average="macro", zero_division=0))
    options = {"labels": labels, "average": None, "zero_division": 0}
    np.testing.assert_allclose(found.recall, sk.recall_score(true, predicted, **options))
    np.testing.assert_allclose(found.precision, sk.precision_score(true, predicted, **options))
    np.testing.assert_allclose(found.f1, sk.f1_score(true, predicted, **options))


def test_by_hand() -> None:
    found = scores([[8, 2], [1, 3]])
    assert found.overall == pytest.approx(11 / 14)
    assert found.mean_recall == pytest.approx((0.8 + 0.75) / 2)
    np.testing.assert_allclose(found.precision, [8 / 9, 3 / 5])
    np.testing.assert_allclose(found.f1, [16 / 19, 6 / 9])
    assert found.g_mean == pytest.approx((0.8 * 0.75) ** 0.5)
    np.testing.assert_array_equal(found.n, [10, 4])


def test_class_without_images_stays_out_of_the_means() -> None:
    true, predicted = np.array([0, 0, 1, 1, 1]), np.array([0, 2, 1, 1, 0])  # class 2 is predicted but has no image
    found = scores(confusion_matrix(true, predicted, 4))
    assert np.isnan(found.recall[2:]).all()
    assert np.isnan(found.f1[2:]).all()
    assert found.mean_recall == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert found.macro_f1 == pytest.approx(sk.f1_score(true, predicted, labels=[0, 1], average="macro", zero_division=0))
    assert found.g_mean == pytest.approx((1 / 2 * 2 / 3) ** 0.5)


def test_never_predicted_class_has_precision_zero() -> None:
    found = scores(confusion_matrix([0, 1], [0, 0], 2))
    np.testing.assert_array_equal(found.precision, [0.5, 0.0])
    np.testing.assert_allclose(found.f1, [2 / 3, 0.0])
    assert found.g_mean == 0


def test_stack_equals_one_by_one() -> None:
    matrices = np.stack([confusion_matrix(*draw(seed), 7) for seed in range(6)]).reshape(2, 3, 7, 7)
    stacked = scores(matrices)
    for i in range(2):
        for j in range(3):
            single = scores(matrices[i, j])
            for name in ("overall", "mean_recall", "macro_f1", "g_mean", "recall", "precision", "f1", "n"):
                np.testing.assert_array_equal(getattr(stacked, name)[i, j], getattr(single, name))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.integers(2, 8).flatmap(lambda k: st.tuples(st.just(k), hnp.arrays(np.int64, (2, 40), elements=st.integers(0, k - 1)))),
    st.randoms(use_true_random=False),
)
def test_order_of_images_and_numbering_of_classes_do_not_matter(case: tuple[int, NDArray[np.int64]], random: object) -> None:
    classes, (true, predicted) = case
    found = scores(confusion_matrix(true, predicted, classes))
    order = random.sample(range(40), 40)  # type: ignore[attr-defined]
    np.testing.assert_array_equal(confusion_matrix(true[order], predicted[order], classes), confusion_matrix(true, predicted, classes))
    renamed = np.array(random.sample(range(classes), classes))  # type: ignore[attr-defined]
    other = scores(confusion_matrix(renamed[true], renamed[predicted], classes))
    np.testing.assert_allclose(other.recall[renamed], found.recall)
    np.testing.assert_allclose(other.f1[renamed], found.f1)
    for name in ("overall", "mean_recall", "macro_f1", "g_mean"):
        assert getattr(other, name) == pytest.approx(getattr(found, name))
        assert 0 <= getattr(found, name) <= 1


def test_misuse() -> None:
    with pytest.raises(DataError, match="at least one"):
        confusion_matrix(np.array([], dtype=int), np.array([], dtype=int), 3)
    with pytest.raises(DataError, match="3 true labels and 2 predictions"):
        confusion_matrix([0, 1, 2], [0, 1], 3)
    with pytest.raises(LabelError, match="0 to 2"):
        confusion_matrix([0, 1], [0, 3], 3)
    with pytest.raises(LabelError, match="from -1"):
        confusion_matrix([0, -1], [0, 1], 3)
    with pytest.raises(DataError, match="float"):
        confusion_matrix([0.0, 1.0], [0, 1], 3)
    with pytest.raises(DataError, match="square"):
        scores(np.ones((2, 3), dtype=int))
    with pytest.raises(DataError, match="at least one image"):
        scores(np.zeros((2, 2), dtype=int))
