"""Calibration and priors against slow loops, hand-worked conditions of the optimum, and a problem whose posterior is known."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from evenface.calibration import (
    HOTTEST,
    RIDGE,
    Calibration,
    adjustment,
    as_logits,
    class_calibration_errors,
    expected_calibration_error,
    fit_calibration,
    read_prior,
    scores,
)
from evenface.errors import ConfigError, DataError, ModelError


Numbers = npt.NDArray[np.float64]

NAMES = ("happiness", "fear", "disgust")
COUNTS = {"happiness": 700, "fear": 250, "disgust": 50}
FITTED = Calibration(
    temperature=1.5,
    bias={"happiness": -0.4, "fear": 0.1, "disgust": 0.3},
    temperature_only=1.25,
    prior={"happiness": 0.6, "fear": 0.3, "disgust": 0.1},
    split="validation",
    n=100,
    nll=(0.9, 0.8, 0.7),
    ece=(0.1, 0.05, 0.01),
)


def some_logits(n: int = 12, seed: int = 0) -> Numbers:
    return np.random.default_rng(seed).normal(0, 3, (n, 3))


def slow_softmax(row: Numbers) -> list[float]:
    powers = [float(np.exp(value - max(row))) for value in row]
    return [power / sum(powers) for power in powers]


def slow_bayes(posterior: list[float], old: list[float], new: list[float]) -> list[float]:
    """p(l | x) new(l) / old(l), renormalised."""
    raised = [p * b / a for p, a, b in zip(posterior, old, new, strict=True)]
    return [value / sum(raised) for value in raised]


# Priors


@pytest.mark.parametrize(
    ("prior", "new"),
    [
        ("train", [0.7, 0.25, 0.05]),
        ("balanced", [1 / 3, 1 / 3, 1 / 3]),
        ({"happiness": 1, "fear": 2, "disgust": 5}, [1 / 8, 2 / 8, 5 / 8]),
        ({"happy": 0.2, "Scared": 0.3, "disgust": 0.5}, [0.2, 0.3, 0.5]),
    ],
)
def test_a_prior_is_bayes_rule(prior: Any, new: list[float]) -> None:
    z = some_logits()
    found = scores(z, NAMES, prior=prior, calibration=FITTED, train_counts=COUNTS)
    assert found.dtype == np.float64
    for row, probabilities in zip(z, found, strict=True):
        posterior = slow_softmax(np.array([value / 1.5 + b for value, b in zip(row, [-0.4, 0.1, 0.3], strict=True)]))
        np.testing.assert_allclose(probabilities, slow_bayes(posterior, [0.6, 0.3, 0.1], new), atol=1e-12)


@pytest.mark.parametrize(
    ("prior", "new"),
    [
        ("train", [0.7, 0.25, 0.05]),
        ("balanced", [1, 1, 1]),
        (dict(zip(NAMES, (1, 2, 5), strict=True)), [1, 2, 5]),
        (dict(zip(NAMES, (3e307, 6e307, 1.5e308), strict=True)), [1, 2, 5]),
    ],
)
def test_without_a_calibration_the_training_counts_are_the_prior(prior: Any, new: list[float]) -> None:
    z = some_logits()
    for row, probabilities in zip(z, scores(z, NAMES, prior=prior, train_counts=COUNTS), strict=True):
        np.testing.assert_allclose(probabilities, slow_bayes(slow_softmax(row), [0.7, 0.25, 0.05], new), atol=1e-12)


def test_the_models_own_prior_keeps_the_decision() -> None:
    z = some_logits(200)
    for calibration, temperature in ((None, 1.0), (FITTED, 1.25)):
        found = scores(z, NAMES, calibration=calibration)
        np.testing.assert_array_equal(found.argmax(axis=1), z.argmax(axis=1))
        np.testing.assert_allclose(found, [slow_softmax(row / temperature) for row in z], atol=1e-12)
    moved = scores(z, NAMES, prior="balanced", calibration=FITTED).argmax(axis=1)
    assert (moved != z.argmax(axis=1)).any()


def test_the_order_of_the_classes_is_the_callers() -> None:
    z = some_logits()
    turned = scores(z[:, ::-1], NAMES[::-1], prior="train", calibration=FITTED, train_counts=COUNTS)
    np.testing.assert_allclose(turned[:, ::-1], scores(z, NAMES, prior="train", calibration=FITTED, train_counts=COUNTS), atol=1e-12)


def test_probabilities_do_as_logits() -> None:
    p = np.array([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]], dtype=np.float32)
    found = scores(as_logits(p), NAMES)
    np.testing.assert_allclose(found, p, atol=1e-7)
    assert np.isfinite(as_logits(p)).all()


@pytest.mark.parametrize(
    ("prior", "message"),
    [
        ("anger=2,fear=1, fear=50", r"The prior names fear twice; give each expression one share\."),
        ("fear=much", r"as in fear=0\.2,anger=0\.1,\.\.\.; not 'fear=much'"),
        ("fear=1,anger", "not 'fear=1,anger'"),
        ("fear=1=2", "not 'fear=1=2'"),
        (None, "or a share for each expression, .* not None"),
        ([0.5, 0.3, 0.2], r"not \[0\.5, 0\.3, 0\.2\]"),
        ("balance", r"Unknown prior 'balance'; did you mean 'balanced'\?"),
        ({"happiness": 1.0, "fear": 1.0}, r"lacks disgust; give a share for each of happiness, fear, disgust"),
        ({"happiness": 1.0, "fear": 1.0, "disgust": 0.0}, r"prior of disgust is 0.0; give every expression a share above 0"),
        ({"happiness": 1.0, "fear": 1.0, "disgust": float("nan")}, r"prior of disgust is nan"),
        ({"happiness": 1.0, "fear": 1.0, "disgust": np.float32("nan")}, r"prior of disgust is "),
        ({"happiness": 1.0, "fear": 1.0, "disgust": True}, r"prior of disgust is True"),
        ({"happiness": 1.0, "fear": 1.0, "disgust": np.bool_(True)}, r"prior of disgust is "),
        ({"happiness": 1.0, "happy": 1.0, "fear": 1.0, "disgust": 1.0}, r"names happiness twice"),
        ({"happiness": 1.0, "fear": 1.0, "disgust": 1.0, "anger": 1.0}, r"names anger, which the model does not know"),
        ({"hapiness": 1.0}, r"cannot be read: Unknown expression label 'hapiness'; did you mean 'happiness'\?"),
    ],
)
def test_a_prior_that_cannot_be(prior: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        scores(some_logits(), NAMES, prior=prior, calibration=FITTED, train_counts=COUNTS)


def test_a_prior_as_text() -> None:
    assert read_prior("balanced") == "balanced"
    assert read_prior("fear=0.2, anger = 1e-1") == {"fear": 0.2, "anger": 0.1}
    text = scores(some_logits(), NAMES, prior="happiness=3, fear=2,disgust=1", calibration=FITTED)
    np.testing.assert_array_equal(text, scores(some_logits(), NAMES, prior=dict(zip(NAMES, (3, 2, 1), strict=True)), calibration=FITTED))


def test_a_prior_of_numpys_numbers() -> None:
    counts = np.array([3, 2, 1])
    for shares in (counts, counts.astype(np.float32), counts.astype(np.float16)):
        found = scores(some_logits(), NAMES, prior=dict(zip(NAMES, shares, strict=True)), calibration=FITTED)
        np.testing.assert_array_equal(
            found, scores(some_logits(), NAMES, prior=dict(zip(NAMES, (3, 2, 1), strict=True)), calibration=FITTED)
        )


def test_a_prior_that_the_model_does_not_tell() -> None:
    z, mine = some_logits(), dict.fromkeys(NAMES, 1.0)
    for prior, name in (("train", "The prior 'train'"), ("balanced", "The prior 'balanced'"), (mine, "A prior of one's own")):
        with pytest.raises(ModelError, match=rf"{name} needs the training faces of each class"):
            scores(z, NAMES, prior=prior)
    with pytest.raises(ModelError, match="needs the training faces"):
        scores(z, NAMES, prior="train", calibration=FITTED)
    with pytest.raises(ModelError, match="needs the training faces"):
        scores(z, NAMES, prior="balanced", train_counts={**COUNTS, "fear": 0})
    np.testing.assert_allclose(scores(z, NAMES, prior=mine, calibration=FITTED), scores(z, NAMES, prior="balanced", calibration=FITTED))
    with pytest.raises(ModelError, match="other classes"):
        scores(z, ("happiness", "fear", "anger"), calibration=FITTED)
    with pytest.raises(DataError, match=r"Logits are \(n, 3\)"):
        scores(z[:, :2], NAMES)


# A problem whose posterior is known: three classes of normal distributions in the plane, and a network that is too sure, knows another
# prior, and is biased on top.

MEANS = np.array([[0.0, 0.0], [1.5, 0.5], [-0.5, 1.8]])
TRAIN, SPLIT = np.array([0.7, 0.25, 0.05]), np.array([0.5, 0.3, 0.2])
SURE, LEAN = 1.7, np.array([0.6, -0.9, 0.2])
DRAWN = 100_000


def evidence(x: Numbers) -> Numbers:
    """log N(x; mean, 1) but for what all classes share: (n, L)."""
    return np.stack([x @ mean - mean @ mean / 2 for mean in MEANS], axis=1)


def network(x: Numbers) -> Numbers:
    return SURE * (evidence(x) + np.log(TRAIN)) + LEAN


def posterior(x: Numbers, prior: Numbers) -> Numbers:
    joint = np.exp(evidence(x)) * prior
    return np.asarray(joint / joint.sum(axis=1, keepdims=True))


def drawn(n: int) -> tuple[Numbers, npt.NDArray[np.int64]]:
    rng = np.random.default_rng(5)
    y = rng.choice(3, n, p=SPLIT)
    return MEANS[y] + rng.normal(size=(n, 2)), y


PRIORS = [
    ("train", TRAIN),
    ("half", np.sqrt(TRAIN) / np.sqrt(TRAIN).sum()),
    ("balanced", np.full(3, 1 / 3)),
    ({"happiness": 0.1, "fear": 0.6, "disgust": 0.3}, np.array([0.1, 0.6, 0.3])),
]


@pytest.mark.parametrize(("prior", "share"), PRIORS)
def test_the_right_calibration_gives_the_true_posterior(prior: Any, share: Numbers) -> None:
    x, _ = drawn(500)
    bias = np.log(SPLIT) - np.log(TRAIN) - LEAN / SURE
    right = Calibration(
        SURE, dict(zip(NAMES, bias, strict=True)), 1.0, dict(zip(NAMES, SPLIT, strict=True)), "validation", 1, (1, 1, 1), (0, 0, 0)
    )
    found = scores(network(x), NAMES, prior=prior, calibration=right, train_counts=COUNTS)
    np.testing.assert_allclose(found, posterior(x, share), atol=1e-12)


@pytest.fixture(scope="module")
def fitted() -> Calibration:
    x, y = drawn(DRAWN)
    return fit_calibration(network(x), y, NAMES, split="validation")


@pytest.mark.parametrize(("prior", "share"), PRIORS)
def test_a_fitted_calibration_gives_the_true_posterior_within_its_standard_error(prior: Any, share: Numbers, fitted: Calibration) -> None:
    """The tolerance: dp_l = p_l sum_k p_k (d_l - d_k), so an error d of the logits moves a softmax by at most max |d_l - d_k| / 4. That is
    five standard errors: those of 1 / T and b, by the inverse Fisher information, and those of the log frequencies of the split."""
    few, _ = drawn(400)
    information, largest = np.zeros((4, 4)), 0.0
    for z, p in zip(network(few), posterior(few, SPLIT), strict=True):
        design = np.column_stack([z, np.eye(3)])  # of 1 / T and b
        information += design.T @ (np.diag(p) - np.outer(p, p)) @ design * DRAWN / len(few)
    covariance = np.linalg.pinv(information, rcond=1e-10)  # b is known up to a constant
    for z, found, true in zip(
        network(few),
        scores(network(few), NAMES, prior=prior, calibration=fitted, train_counts=COUNTS),
        posterior(few, share),
        strict=True,
    ):
        design = np.column_stack([z, np.eye(3)])
        errors = []
        for a, b in ((0, 1), (0, 2), (1, 2)):
            between = design[a] - design[b]
            errors.append(np.sqrt(between @ covariance @ between) + np.sqrt((1 / SPLIT[a] + 1 / SPLIT[b]) / DRAWN))
        tolerance = 5 * max(errors) / 4
        assert np.abs(found - true).max() < tolerance
        largest = max(largest, tolerance)
    plain = scores(network(few), NAMES)
    assert np.abs(plain - posterior(few, share)).max() > 4 * largest  # what the fit had to make up for
    assert fitted.temperature == pytest.approx(SURE, rel=0.03)


# The fit


def split_of(n: int = 300, seed: int = 1) -> tuple[Numbers, npt.NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    y = rng.choice(3, n, p=[0.6, 0.35, 0.05])
    return rng.normal(0, 2, (n, 3)) + 2 * np.eye(3)[y] + [0.5, 0, -0.5], y


def test_the_conditions_of_the_optimum() -> None:
    """Setting the derivatives of the penalised loss to 0: sum_i p_il + RIDGE b_l = n_l for each class, and of 1 / T,
    sum_il (p_il - y_il) z_il + RIDGE (1 / T - 1) = 0."""
    z, y = split_of()
    found = fit_calibration(z, y, NAMES, split="validation")
    bias = [found.bias[name] for name in NAMES]
    p = np.array([slow_softmax(row / found.temperature + bias) for row in z])
    rounding = len(z) * np.abs(z).max() ** 2 * 1e-6  # of T and b to six decimals
    for index in range(3):
        assert p[:, index].sum() + RIDGE * bias[index] == pytest.approx((y == index).sum(), abs=rounding)
    assert ((p - np.eye(3)[y]) * z).sum() + RIDGE * (1 / found.temperature - 1) == pytest.approx(0, abs=rounding)
    assert sum(bias) == pytest.approx(0, abs=1e-5)
    assert found.prior == {name: (y == index).mean() for index, name in enumerate(NAMES)}
    assert (found.split, found.n, found.dataset) == ("validation", len(z), None)


def test_the_temperature_alone_by_a_scan() -> None:
    z, y = split_of()
    found = fit_calibration(z, y, NAMES, split="validation")

    def loss(temperature: float) -> float:
        return sum(-float(np.log(slow_softmax(row / temperature)[label])) for row, label in zip(z, y, strict=True)) / len(z)

    others = [found.temperature_only + step for step in (-0.1, -0.05, -0.02, 0.02, 0.05, 0.1)]
    assert loss(found.temperature_only) < min(map(loss, [*others, 0.5, 1.0, 5.0]))
    assert found.nll[0] == pytest.approx(loss(1.0), abs=1e-6)
    assert found.nll[1] == pytest.approx(loss(found.temperature_only), abs=1e-6)
    assert found.nll[2] < found.nll[1] < found.nll[0]


def test_a_shift_and_a_scale_of_the_logits_change_no_score() -> None:
    z, y = split_of()
    other = 3 * z + np.arange(len(z))[:, None] + [1.0, -2.0, 0.5]
    a, b = (fit_calibration(each, y, NAMES, split="validation") for each in (z, other))
    assert b.temperature == pytest.approx(3 * a.temperature, rel=1e-3)  # but for the penalty on b, a tenth of a face
    np.testing.assert_allclose(
        scores(other, NAMES, prior="balanced", calibration=b), scores(z, NAMES, prior="balanced", calibration=a), atol=5e-3
    )


def test_extremes_stay_finite() -> None:
    y = np.array([0, 0, 0, 1, 1, 2])
    sure = 4 * np.eye(3)[y]
    assert 0.4 < fit_calibration(sure, y, NAMES, split="validation").temperature_only < 1  # all right: surer, and not without bound
    assert fit_calibration(-sure, y, NAMES, split="validation").temperature_only == HOTTEST
    for z in (sure, -sure, np.zeros((6, 3)), 1e4 * sure):
        found = fit_calibration(z, y, NAMES, split="validation")
        assert max(map(abs, found.bias.values())) < 10
        assert np.isfinite(scores(z, NAMES, prior="balanced", calibration=found)).all()
    flat = fit_calibration(np.zeros((6, 3)), y, NAMES, split="validation")
    np.testing.assert_allclose(scores(np.zeros((1, 3)), NAMES, prior=flat.prior, calibration=flat)[0], [3 / 6, 2 / 6, 1 / 6], atol=0.03)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": np.array([0, 1, 1, 0])}, "validation split has no face of disgust"),
        ({"labels": np.array([0, 1, 3, 0])}, "labels from 0 to 2"),
        ({"labels": np.array([0.0, 1.0, 2.0, 0.0])}, "labels from 0 to 2"),
        ({"labels": np.array([0, 1])}, "needs logits"),
        ({"logits": np.zeros((4, 2))}, r"needs logits \(n, 3\)"),
        ({"logits": np.full((4, 3), np.nan)}, "no numbers"),
        ({"logits": np.zeros((0, 3)), "labels": np.zeros(0, dtype=int)}, "one at least"),
    ],
)
def test_what_cannot_be_fitted(change: dict[str, Any], message: str) -> None:
    given = {"logits": np.zeros((4, 3)), "labels": np.array([0, 1, 2, 0]), **change}
    with pytest.raises(DataError, match=message):
        fit_calibration(given["logits"], given["labels"], NAMES, split="validation")


# The calibration error


def slow_error(confidence: list[float], right: list[bool], bins: int) -> float:
    total = 0.0
    for m in range(bins):
        inside = [i for i, c in enumerate(confidence) if m / bins < c <= (m + 1) / bins or (m == 0 and c == 0)]
        if inside:
            gap = sum(right[i] for i in inside) / len(inside) - sum(confidence[i] for i in inside) / len(inside)
            total += len(inside) / len(confidence) * abs(gap)
    return total


@pytest.mark.parametrize("bins", [1, 10, 15])
def test_the_calibration_error_by_a_loop(bins: int) -> None:
    rng = np.random.default_rng(2)
    p, y = rng.dirichlet([1.0, 0.5, 0.2], 400), rng.integers(0, 3, 400)
    tops = [float(row.max()) for row in p]
    right = [bool(row.argmax() == label) for row, label in zip(p, y, strict=True)]
    assert expected_calibration_error(p, y, bins) == pytest.approx(slow_error(tops, right, bins), abs=1e-12)
    by_class = [slow_error([float(v) for v in p[:, k]], [bool(label == k) for label in y], bins) for k in range(3)]
    np.testing.assert_allclose(class_calibration_errors(p, y, bins), by_class, atol=1e-12)


def test_the_calibration_error_by_hand() -> None:
    p = np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.0, 1.0]])
    y = np.array([0, 1, 1, 1])  # 0.9 is right once of twice, 0.6 and 1.0 are right
    assert expected_calibration_error(p, y, 10) == pytest.approx((2 * 0.4 + 0.4 + 0) / 4)
    with pytest.raises(DataError, match="at least one face"):
        expected_calibration_error(np.zeros((0, 2)), np.zeros(0, dtype=int))


# Keeping it


def test_round_trip_through_json() -> None:
    again = Calibration.from_dict(json.loads(json.dumps(FITTED.to_dict())))
    assert again == FITTED
    assert adjustment(NAMES, prior="balanced", calibration=again)[0] == 1.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"temperature": 0.0}, "temperature is 0.0"),
        ({"temperature_only": float("inf")}, "temperature_only"),
        ({"bias": {"happiness": 1.0}}, "bias"),
        ({"prior": {"happiness": 0.5, "fear": 0.5}}, "prior"),
        ({"prior": {"happiness": 0.5, "fear": 0.5, "disgust": 0.0}}, "prior"),
        ({"prior": {"happiness": 0.5, "fear": 0.5, "disgust": 0.5}}, "prior"),
        ({"split": ""}, "split"),
        ({"n": True}, "n is True"),
        ({"nll": [1.0, 2.0]}, "nll"),
        ({"ece": [0.1, -0.1, 0.1]}, "ece"),
        ({"dataset": 3}, "dataset"),
        ({"temperatur": 1.0}, "has the unknown temperatur"),
    ],
)
def test_a_broken_one_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        Calibration.from_dict({**FITTED.to_dict(), **change})


def test_a_missing_field_is_named() -> None:
    with pytest.raises(ModelError, match="lacks n, nll"):
        Calibration.from_dict({name: value for name, value in FITTED.to_dict().items() if name not in ("n", "nll")})


def test_the_face_of_the_documents(capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).resolve().parents[1] / "docs" / "scores.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {"__name__": "block"}
    exec(compile(block, "scores.md", "exec"), names)
    found = dict(zip(names["names"], names["balanced"][0], strict=True))
    assert (round(found["surprise"], 2), round(found["fear"], 2)) == (0.30, 0.66)
    assert "| `balanced` | 0.30 | 0.66 | 0.04 | fear |" in page
    assert "'fear': " in capsys.readouterr().out
