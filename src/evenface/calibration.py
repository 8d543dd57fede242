"""Scores that mean what they say: a model's logits turned into probabilities, for expressions that are as frequent as one says.

    calibration = fit_calibration(logits, labels, class_names, split="validation")       # logits (n, L), labels (n,)
    scores(logits, class_names, prior="balanced", calibration=calibration)               # (n, L), rows sum to 1

Fitted is bias-corrected temperature scaling, softmax(z / T + b) (Alexandari, Kundaje and Shrikumar, "Maximum likelihood with
bias-corrected calibration is hard-to-beat at label shift adaptation", ICML 2020), and beside it the temperature alone (Guo et al., "On
calibration of modern neural networks", ICML 2017), which keeps the arg-max. A change of the prior is Bayes' rule (Saerens, Latinne and
Decaestecker, Neural Computation 2002), p'(l | x) ~ p(l | x) new(l) / old(l): log new - log old is added to the logits, as in logit
adjustment (Menon et al., ICLR 2021).

| prior | scores | the arg-max |
|---|---|---|
| "model" | softmax(z / T alone) | the model's own |
| "train" | softmax(z / T + b + log train - log old), expressions as frequent as in the training set | fewest errors on such faces |
| "half" | softmax(z / T + b + log(train) / 2 - log old), frequencies in proportion to the square root of those in training | in between |
| "balanced" | softmax(z / T + b - log old), every expression equally likely | highest mean recall |
| {name: p} | softmax(z / T + b + log p - log old) | fewest errors under p |

`old` are the class frequencies of the split that the calibration was fitted on. Without a calibration T is 1, b is 0 and `old` are the
training frequencies: exact for plain cross-entropy, approximate for losses that weight the classes.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from evenface.errors import ConfigError, DataError, LabelError, ModelError, unknown_name
from evenface.labels import canonical


Numbers = npt.NDArray[np.float64]
Prior = str | Mapping[str, float]

PRIORS = ("model", "train", "half", "balanced")
BINS = 15  # of the calibration error, as in Guo et al.
HOTTEST = 20.0  # T; faces on which the model does worse than chance would ask for infinity and beyond

RIDGE = 0.1
"""The penalty RIDGE / 2 ((1 / T - 1)^2 + sum b^2) on the summed loss, as if 1 / T and b were drawn from normal distributions of sd 3.2
around "as it is". Classes of a common set differ in frequency by up to e^4, so it hardly moves a class with ten faces; but one whose few
faces are all right or all wrong cannot run away, nor can T where the model is right on all of a few faces."""

_DECIMALS = 6  # of T and b: the last bits of the logits, which depend on the size of a batch, leave no trace


@dataclasses.dataclass(frozen=True)
class Calibration:
    """What was fitted, on what, and what it brought; it stands in a model's `config.json`.

    Attributes:
        temperature: T of softmax(z / T + b), > 0; above 1 the model was too sure.
        bias: class -> b, in nats; they sum to 0.
        temperature_only: the T that fits best without b.
        prior: class -> its share of the faces of the split, > 0; they sum to 1.
        split: the split.
        n: its faces.
        nll: mean negative log-likelihood of the right class on that split, in nats: before, by temperature only, with bias.
        ece: `expected_calibration_error` on it, 0 to 1: the same three.
        dataset: the data set, where it was told.

    Raises:
        ModelError: a value of the wrong kind; names the field.
    """

    temperature: float
    bias: Mapping[str, float]
    temperature_only: float
    prior: Mapping[str, float]
    split: str
    n: int
    nll: tuple[float, float, float]
    ece: tuple[float, float, float]
    dataset: str | None = None

    def __post_init__(self) -> None:
        for field in ("temperature", "temperature_only"):
            value = getattr(self, field)
            _check(_number(value) and value > 0, field, "a number above 0", value)
        _check(_table(self.bias), "bias", "a number for each class", self.bias)
        shares = self.prior.values() if _table(self.prior) and set(self.prior) == set(self.bias) else ()
        fits = bool(shares) and min(shares) > 0 and abs(sum(shares) - 1) < 1e-3
        _check(fits, "prior", "a share above 0 for each class of the bias, with sum 1", self.prior)
        _check(isinstance(self.split, str) and bool(self.split), "split", "the name of a split", self.split)
        _check(isinstance(self.n, int) and not isinstance(self.n, bool) and self.n > 0, "n", "a number of faces", self.n)
        for field in ("nll", "ece"):
            values = getattr(self, field)
            fits = isinstance(values, list | tuple) and len(values) == 3 and all(_number(v) and v >= 0 for v in values)
            _check(fits, field, "three numbers of at least 0", values)
            object.__setattr__(self, field, tuple(values))
        _check(isinstance(self.dataset, str | None), "dataset", "a text or null", self.dataset)

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        plain = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {**plain, "bias": dict(self.bias), "prior": dict(self.prior), "nll": list(self.nll), "ece": list(self.ece)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The reverse.

        Raises:
            ModelError: a field that is missing, unknown or wrong.
        """
        _check(isinstance(values, Mapping), "calibration", "a table", values)
        known = {field.name for field in dataclasses.fields(cls)}
        missing, unknown = known - {"dataset"} - set(values), set(values) - known
        if missing or unknown:
            what = f"lacks {', '.join(sorted(missing))}" if missing else f"has the unknown {', '.join(sorted(unknown))}"
            raise ModelError(f"The calibration in the model's config {what}; fit it anew with: evenface calibrate RUN")
        return cls(**values)


def scores(
    logits: npt.ArrayLike,
    class_names: Sequence[str],
    *,
    prior: Prior = "model",
    calibration: Calibration | None = None,
    train_counts: Mapping[str, int] | None = None,
) -> Numbers:
    """Probabilities (n, L), float64; each row sums to 1.

    Args:
        logits: (n, L), in the order of `class_names`; log-probabilities do as well.
        prior: "model", "train", "half", "balanced", or a share for each class (see the module's table), also as text; shares need not
            sum to 1.
        calibration: that of the model; None for a model without one.
        train_counts: class -> training faces; "train" and "half" need them, and without a calibration so does everything but "model".

    Raises:
        ConfigError: an unknown prior, or one that lacks a class or gives it no share.
        DataError: logits of another shape.
        ModelError: the prior needs what the model does not tell, or the calibration is of other classes.
    """
    z = np.asarray(logits, dtype=np.float64)
    if z.ndim != 2 or z.shape[1] != len(class_names):
        raise DataError(f"Logits are (n, {len(class_names)}) for {len(class_names)} classes, not {z.shape}.")
    temperature, offset = adjustment(class_names, prior=prior, calibration=calibration, train_counts=train_counts)
    found: Numbers = softmax(z / temperature + offset, axis=1)
    return found


def read_prior(given: object) -> Prior:
    """A prior as people give it: a name of `PRIORS`, a table, or text such as "fear=0.2,anger=0.1,..." as a table.

    Raises:
        ConfigError: text with what is no number, or with a name twice; something else than text and tables.
    """
    if isinstance(given, Mapping) or (isinstance(given, str) and "=" not in given):
        return given
    if not isinstance(given, str):
        raise ConfigError(f"A prior is {', '.join(PRIORS)}, or a share for each expression, as in 'fear=0.2,anger=0.1,...'; not {given!r}.")
    try:
        pairs = [(name.strip(), float(value)) for name, value in (part.split("=") for part in given.split(","))]
    except ValueError:
        raise ConfigError(f"A prior names classes with their frequencies, as in fear=0.2,anger=0.1,...; not '{given}'.") from None
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"The prior names {name} twice; give each expression one share.")
    return dict(pairs)


def adjustment(
    class_names: Sequence[str],
    *,
    prior: Prior = "model",
    calibration: Calibration | None = None,
    train_counts: Mapping[str, int] | None = None,
) -> tuple[float, Numbers]:
    """T and what is added to z / T, float64 (L,), before the softmax; see `scores` for arguments and errors."""
    if calibration is not None and set(calibration.bias) != set(class_names):
        raise ModelError("The calibration is of other classes than the model; fit it anew with: evenface calibrate RUN")
    prior = read_prior(prior)
    if isinstance(prior, str) and prior not in PRIORS:
        raise ConfigError(unknown_name("prior", prior, PRIORS))
    if prior == "model":
        return (1.0 if calibration is None else calibration.temperature_only), np.zeros(len(class_names))
    wanted = np.zeros(len(class_names))
    if not isinstance(prior, str):
        wanted = np.log(_shares(prior, class_names))
    elif prior != "balanced":
        wanted = _log_counts(class_names, train_counts, prior) * (0.5 if prior == "half" else 1.0)
    if calibration is None:
        return 1.0, wanted - _log_counts(class_names, train_counts, prior)
    return calibration.temperature, wanted + [calibration.bias[name] - math.log(calibration.prior[name]) for name in class_names]


def as_logits(probabilities: npt.ArrayLike) -> Numbers:
    """Logits of probabilities (n, L), float64: their log, of which the softmax is the probabilities again. Zeros count as 1e-38."""
    found: Numbers = np.log(np.maximum(np.asarray(probabilities, dtype=np.float64), 1e-38))  # float32's least normal number
    return found


def fit_calibration(
    logits: npt.ArrayLike, labels: npt.ArrayLike, class_names: Sequence[str], *, split: str, dataset: str | None = None
) -> Calibration:
    """Both fits, by maximum likelihood: the summed loss is convex in 1 / T and b, and gets the penalty `RIDGE`. T stays below
    `HOTTEST`.

    Args:
        logits: (n, L), in the order of `class_names`.
        labels: (n,) positions in `class_names`.

    Raises:
        DataError: shapes that do not fit, logits that are no numbers, or a class without a face, of which nothing can be learned.
    """
    z, y = np.asarray(logits, dtype=np.float64), np.asarray(labels)
    if z.ndim != 2 or z.shape[1] != len(class_names) or y.shape != z.shape[:1]:
        raise DataError(f"A calibration needs logits (n, {len(class_names)}) and labels (n,), not {z.shape} and {y.shape}.")
    if not len(y) or y.dtype.kind not in "iu" or y.min() < 0 or y.max() >= len(class_names):
        raise DataError(f"A calibration needs labels from 0 to {len(class_names) - 1}, one at least.")
    if not np.isfinite(z).all():
        raise DataError("The logits hold values that are no numbers, so they cannot be calibrated.")
    counts = np.bincount(y, minlength=len(class_names))
    require_every_class(dict(zip(class_names, counts.tolist(), strict=True)), split)
    alone, _ = _fit(z, y, with_bias=False)
    temperature, bias = _fit(z, y, with_bias=True)
    fits = (z, z / alone, z / temperature + bias)
    return Calibration(
        temperature=temperature,
        bias={name: float(b) for name, b in zip(class_names, bias, strict=True)},
        temperature_only=alone,
        prior={name: float(count) / len(y) for name, count in zip(class_names, counts, strict=True)},
        split=split,
        n=len(y),
        nll=_three([_nll(each, y) for each in fits]),
        ece=_three([expected_calibration_error(softmax(each, axis=1), y) for each in fits]),
        dataset=dataset,
    )


def require_every_class(counts: Mapping[str, int], split: str) -> None:
    """Nothing can be learned of a class without faces.

    Raises:
        DataError: there is one; `counts` are the faces of each.
    """
    empty = [name for name, count in counts.items() if count == 0]
    if empty:
        raise DataError(f"The {split} split has no face of {', '.join(empty)}, so scores cannot be calibrated on it; add some.")


def expected_calibration_error(probabilities: npt.ArrayLike, labels: npt.ArrayLike, bins: int = BINS) -> float:
    """How far the score of the chosen class is from how often it is right, 0 to 1 (Guo et al. 2017, equation 3).

        sum over bins of (faces in the bin / n) |share right - mean score|, bins of equal width, ((m - 1) / M, m / M]

    Args:
        probabilities: (n, L).
        labels: (n,) positions of the right classes.

    Raises:
        DataError: no face.
    """
    p, y = np.asarray(probabilities, dtype=np.float64), np.asarray(labels)
    return _error(p.max(axis=1), p.argmax(axis=1) == y, bins)


def class_calibration_errors(probabilities: npt.ArrayLike, labels: npt.ArrayLike, bins: int = BINS) -> Numbers:
    """The same of each class's own score against how often it is that class, (L,) float64 (Kull et al., NeurIPS 2019: "classwise")."""
    p, y = np.asarray(probabilities, dtype=np.float64), np.asarray(labels)
    return np.array([_error(p[:, index], y == index, bins) for index in range(p.shape[1])])


def _error(confidence: Numbers, right: npt.NDArray[np.bool_], bins: int) -> float:
    if confidence.size == 0:
        raise DataError("A calibration error needs at least one face.")
    place = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    gaps = np.bincount(place, weights=right - confidence, minlength=bins)  # faces in the bin * (share right - mean score)
    return float(np.abs(gaps).sum() / confidence.size)


def _fit(z: Numbers, y: np.ndarray, with_bias: bool) -> tuple[float, Numbers]:
    """T and b (L,), rounded."""
    n, classes = z.shape
    rows, one_hot = np.arange(n), np.eye(classes)[y]

    def loss(x: Numbers) -> tuple[float, Numbers]:
        """Mean loss at (1 / T, b), and its gradient (1 + L,)."""
        log_p = log_softmax(z * x[0] + x[1:], axis=1)
        wrong = (np.exp(log_p) - one_hot) / n  # (n, L)
        away = x - as_it_is
        value = -float(log_p[rows, y].mean()) + RIDGE / 2 / n * float(away @ away)
        slope = np.concatenate([[(wrong * z).sum()], wrong.sum(axis=0)]) + RIDGE / n * away
        slope[1:] *= with_bias
        return value, slope

    as_it_is = np.concatenate([[1.0], np.zeros(classes)])
    found = minimize(
        loss,
        as_it_is,
        jac=True,
        method="L-BFGS-B",
        bounds=[(1 / HOTTEST, None)] + [(None, None)] * classes,
        options={"ftol": 1e-15, "gtol": 1e-9, "maxiter": 2000},
    )
    bias: Numbers = (found.x[1:] - found.x[1:].mean()).round(_DECIMALS)
    return round(1 / float(found.x[0]), _DECIMALS), bias


def _nll(z: Numbers, y: np.ndarray) -> float:
    return -float(log_softmax(z, axis=1)[np.arange(len(y)), y].mean())


def _three(values: Sequence[float]) -> tuple[float, float, float]:
    first, second, third = (round(value, _DECIMALS) for value in values)
    return first, second, third


def _shares(prior: Mapping[str, float], class_names: Sequence[str]) -> Numbers:
    """A user's prior in the order of the classes, with sum 1."""
    given: dict[str, float] = {}
    for name, share in prior.items():
        try:
            key = name if name in class_names else canonical(name)
        except LabelError as error:
            raise ConfigError(f"The prior cannot be read: {error}") from error
        if key in given:
            raise ConfigError(f"The prior names {key} twice; give each expression one share.")
        if not _number(share) or share <= 0:
            raise ConfigError(f"The prior of {key} is {share!r}; give every expression a share above 0.")
        given[key] = float(share)
    missing, extra = [name for name in class_names if name not in given], sorted(set(given) - set(class_names))
    if missing or extra:
        what = f"lacks {', '.join(missing)}" if missing else f"names {', '.join(extra)}, which the model does not know"
        raise ConfigError(f"The prior {what}; give a share for each of {', '.join(class_names)}.")
    shares = np.array([given[name] for name in class_names]) / max(given.values())  # whose sum is a number, however large they are
    share_of_all: Numbers = shares / shares.sum()
    return share_of_all


def _log_counts(class_names: Sequence[str], counts: Mapping[str, int] | None, prior: Prior) -> Numbers:
    """Log of the training frequencies (L,)."""
    if counts is None or not all(counts.get(name, 0) > 0 for name in class_names):
        asked = f"The prior '{prior}'" if isinstance(prior, str) else "A prior of one's own"
        raise ModelError(f"{asked} needs the training faces of each class, which this model does not tell; take the prior 'model'.")
    faces = np.array([counts[name] for name in class_names], dtype=np.float64)
    found: Numbers = np.log(faces / faces.sum())
    return found


def _check(right: bool, field: str, wanted: str, found: object) -> None:
    if not right:
        raise ModelError(f"In the model's calibration, {field} is {found!r}; it must be {wanted}.")


def _number(value: object) -> bool:
    return not isinstance(value, bool) and isinstance(value, Real) and math.isfinite(value)


def _table(values: object) -> bool:
    return isinstance(values, Mapping) and len(values) >= 2 and all(isinstance(k, str) and _number(v) for k, v in values.items())
