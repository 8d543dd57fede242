"""Judging labels: folds, probabilities and rules against slow or independent ways, and planted flips."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from evenface.audit.folds import assign, joined, out_of_fold
from evenface.audit.judge import choose_rule, doubtful, margins
from evenface.audit.labels import labels
from evenface.audit.rows import Rows
from evenface.errors import ConfigError, MissingExtra

from .conftest import LABELS, manifest_of


def clouds(n: int, seed: int = 0, apart: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    """Features (n, 8) float16 of three classes around corners, 60, 30 and 10 %."""
    rng = np.random.default_rng(seed)
    y = rng.choice(3, n, p=[0.6, 0.3, 0.1])
    x = rng.normal(0, 1, (n, 8))
    x[np.arange(n), y] += apart
    return x.astype(np.float16), y


def test_folds_keep_groups_and_classes_together() -> None:
    _, y = clouds(500)
    groups = np.repeat(np.arange(250), 2)
    y = y[groups]
    where = assign(y, groups, 5)
    assert (where.reshape(-1, 2)[:, 0] == where.reshape(-1, 2)[:, 1]).all()
    for label in range(3):
        counts = np.bincount(where[y == label], minlength=5)
        assert counts.max() - counts.min() <= 2  # a group has two
    assert np.array_equal(where, assign(y, groups, 5))


def test_rows_are_joined_through_each_other() -> None:
    found = joined(8, [[1, 3], [6, 5, 3], [2, 7]])
    assert len({found[r] for r in (1, 3, 5, 6)}) == 1
    assert found[2] == found[7]
    assert len(set(found.tolist())) == 4


def test_probabilities_are_those_of_a_judge_that_has_not_seen_the_face() -> None:
    """The same folds by scikit-learn's logistic regression, for each decay; the best by the first fold; a temperature from a grid."""
    linear = pytest.importorskip("sklearn.linear_model")
    x, y = clouds(600)
    p = out_of_fold(x, y, np.arange(600), 3)
    where = assign(y, np.arange(600), 3)
    expected = np.zeros((600, 3))
    losses = []
    for decay in (1e-4, 1e-3, 1e-2):
        for fold in range(3):
            here, rest = where == fold, where != fold
            mean, std = x[rest].astype(float).mean(0), x[rest].astype(float).std(0)
            judge = linear.LogisticRegression(C=1 / (decay * rest.sum()), max_iter=2000, tol=1e-8)
            judge.fit((x[rest] - mean) / std, y[rest])
            expected[here] = judge.decision_function((x[here] - mean) / std)
        losses.append((-np.log(soft(expected[where == 0])[np.arange((where == 0).sum()), y[where == 0]]).mean(), expected.copy()))
    logits = min(losses, key=lambda each: each[0])[1]
    scales = np.linspace(0.3, 3, 2701)
    best = scales[np.argmin([-np.log(soft(s * logits)[np.arange(600), y]).mean() for s in scales])]
    assert np.abs(p - soft(best * logits)).max() < 0.01


def soft(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(1, keepdims=True))
    shares: np.ndarray = e / e.sum(1, keepdims=True)
    return shares


def test_the_classes_frequencies_stay_in() -> None:
    x, y = clouds(3000, apart=1.0)
    p = out_of_fold(x, y, np.arange(3000), 3)
    assert p.mean(0) == pytest.approx(np.bincount(y) / 3000, abs=0.01)


def test_a_copy_does_not_betray_its_label() -> None:
    """Pairs of equal features with random labels: in one group nothing can be known of them, apart from each other the twin tells."""
    rng = np.random.default_rng(0)
    x = np.repeat(rng.normal(0, 1, (60, 200)), 2, axis=0).astype(np.float16)
    y = np.repeat(rng.integers(0, 2, 60), 2)
    apart = out_of_fold(x, y, np.arange(120), 4).argmax(1)
    together = out_of_fold(x, y, np.repeat(np.arange(60), 2), 4).argmax(1)
    assert (apart == y).mean() > 0.8
    assert (together == y).mean() < 0.7


@pytest.mark.parametrize("rule", ["plain", "cleanlab"])
def test_flipped_labels_are_found(rule: str) -> None:
    if rule == "cleanlab":
        pytest.importorskip("cleanlab")
    x, y = clouds(1500, apart=5.0)
    rng = np.random.default_rng(1)
    flipped = np.zeros(1500, bool)
    flipped[rng.permutation(1500)[:100]] = True
    given = np.where(flipped, (y + rng.integers(1, 3, 1500)) % 3, y)
    p = out_of_fold(x, given, np.arange(1500), 5)
    mask = doubtful(given, p, rule)
    assert flipped[mask].mean() > 0.97  # precision
    assert mask[flipped].mean() > 0.7  # a class is confidently seen from its mean probability on, which some of its faces do not reach
    by, other = margins(given, p)
    assert (other[mask & flipped] == y[mask & flipped]).mean() > 0.95
    assert flipped[np.argsort(-by)[:100]].mean() > 0.97  # by the margin alone, all are found
    assert by[flipped].mean() > 0.5 > -0.5 > by[~flipped].mean()


def test_the_plain_rule_by_hand() -> None:
    given = np.array([0, 0, 0, 1, 1])
    p = np.array([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8], [0.4, 0.6], [0.5, 0.5]])
    # usual: class 0 has (0.9 + 0.7 + 0.2) / 3 = 0.6, class 1 has (0.6 + 0.5) / 2 = 0.55
    assert doubtful(given, p, "plain").tolist() == [False, False, True, False, False]
    by, other = margins(given, p)
    assert by == pytest.approx([-0.8, -0.4, 0.6, -0.2, 0.0])
    assert other.tolist() == [1, 1, 1, 0, 0]


def test_the_rule_without_cleanlab(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert choose_rule("auto") == "plain"
    with pytest.raises(MissingExtra, match=r"pip install 'evenface\[audit\]'"):
        choose_rule("cleanlab")
    with pytest.raises(ConfigError, match="did you mean 'plain'"):
        choose_rule("plane")


def test_the_check_names_the_other_class() -> None:
    x, y = clouds(400, apart=6.0)
    given = y.copy()
    given[7] = (y[7] + 1) % 3
    rows = Rows(manifest_of([(f"r{i}", "train", LABELS[k], b"") for i, k in enumerate(given)]))
    found = labels(rows, x, np.ones(400, bool), [], folds=4, rule="plain", reach=lambda done: None)
    assert not isinstance(found, str)
    worst = max(found, key=lambda f: f.score)
    assert rows.ids[worst.row] == "r7"
    assert worst.verdict.startswith(f"looks like {LABELS[y[7]]} (")
    assert worst.suggestion == "keep"
    seen = np.ones(400, bool)
    seen[7] = False
    without = labels(rows, x, seen, [], folds=4, rule="plain", reach=lambda done: None)
    assert not isinstance(without, str)
    assert 7 not in {f.row for f in without}


def test_too_few_faces_to_judge() -> None:
    rows = Rows(manifest_of([(f"r{i}", "train", LABELS[i % 2], b"") for i in range(6)]))
    said = labels(rows, np.zeros((6, 4)), np.ones(6, bool), [[0, 2]], folds=3, rule="plain", reach=lambda done: None)
    assert said == "Fewer than two classes have 3 distinct faces, so there is nothing to judge by."
