"""How well the class maps of faces and of their mirrors agree, over a whole split: what the paper's consistency loss brings down.

    found = mirror_consistency(recognizer, store)          # store: the faces of a split (`evenface.data.store`)
    found.all.mean_squared, found.classes["fear"].correlation, found.loss

Per face: `mean_squared`, the mean over classes and cells of (A - A_back)^2; `own`, the same of the map of the face's own class;
`correlation`, of places only (`evenface.explain.class_maps`); `agree`, whether both views get the same class. `loss` is l_rbc of equation
3, the mean over faces and cells of sum_l B_l (A_l - A_back_l)^2 with the effective-number weights B (beta 0.999) of the model's training
faces. `mean_squared`, `own` and `loss` grow with the square of the maps' scale, so they compare models whose logits are alike in size
(`scale` is the mean over faces of the standard deviation of their logits over classes); `correlation` and `agree` do not.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from evenface.data.store import FaceStore
from evenface.evaluation.intervals import percentile_interval, wilson
from evenface.explain.class_maps import correlation
from evenface.explain.faithfulness import Mean
from evenface.losses import class_weights
from evenface.recognizer import Recognizer


RESAMPLES = 2000
BATCH = 256
_AT_ONCE = 4_000_000  # numbers drawn in one go


@dataclasses.dataclass(frozen=True, slots=True)
class Agreement:
    """The faces of one class, or all: their number, and the means with 95 % intervals."""

    n: int
    mean_squared: Mean
    own: Mean
    correlation: Mean
    agree: Mean

    def to_dict(self) -> dict[str, Any]:
        return {"n": self.n} | {name: getattr(self, name).to_dict() for name in ("mean_squared", "own", "correlation", "agree")}


@dataclasses.dataclass(frozen=True, slots=True)
class Consistency:
    """Of a split.

    Attributes:
        all: over all faces.
        classes: over the faces that are labelled with each class; those without a face are left out.
        loss: l_rbc with its interval; None where the model does not tell its training counts.
        scale: see the module.
    """

    all: Agreement
    classes: Mapping[str, Agreement]
    loss: Mean | None
    scale: float

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {
            "all": self.all.to_dict(),
            "classes": {name: each.to_dict() for name, each in self.classes.items()},
            "l_rbc": None if self.loss is None else self.loss.to_dict(),
            "scale_of_logits": self.scale,
        }


def mirror_consistency(
    recognizer: Recognizer, store: FaceStore, *, seed: int = 0, progress: Callable[[int, int], None] | None = None
) -> Consistency:
    """Goes over the faces of a store and their mirrors.

    Args:
        recognizer: with the classes of the store, in the order of its own.
        seed: of the bootstrap over faces.
    """
    names, n = recognizer.class_names, len(store)
    position = {name: i for i, name in enumerate(names)}
    labels = np.array([position[name] for name in store.manifest.table["label"].to_pylist()], dtype=np.int64)
    squares, correlations, agree, scale = np.zeros((n, len(names))), np.zeros(n), np.zeros(n), np.zeros(n)
    groups = [np.arange(start, min(start + BATCH, n)) for start in range(0, n, BATCH)]
    for rows, faces in zip(groups, store.batches(groups), strict=True):
        pixels = np.ascontiguousarray(faces.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).cpu().numpy())
        mirrors = np.ascontiguousarray(pixels[:, :, ::-1])
        maps, back = recognizer.maps(list(pixels)), recognizer.maps(list(mirrors))[..., ::-1]
        logits, mirror_logits = recognizer.runtime.logits(pixels), recognizer.runtime.logits(mirrors)
        squares[rows] = np.square(maps.astype(np.float64) - back.astype(np.float64)).mean(axis=(2, 3))
        correlations[rows] = [correlation(a, b) for a, b in zip(maps, back, strict=True)]
        agree[rows] = logits.argmax(1) == mirror_logits.argmax(1)
        scale[rows] = logits.std(axis=1)
        if progress is not None:
            progress(int(rows[-1]) + 1, n)
    counts = recognizer.config.train_counts
    loss = None
    if counts is not None:
        weights = class_weights([counts[name] for name in names])
        loss = _mean(squares @ weights, seed)
    return Consistency(
        _agreement(np.arange(n), labels, squares, correlations, agree, seed),
        {
            name: _agreement(np.flatnonzero(labels == i), labels, squares, correlations, agree, seed)
            for i, name in enumerate(names)
            if (labels == i).any()
        },
        loss,
        float(scale.mean()),
    )


def _agreement(
    rows: np.ndarray, labels: np.ndarray, squares: np.ndarray, correlations: np.ndarray, agree: np.ndarray, seed: int
) -> Agreement:
    hits = float(agree[rows].sum())
    low, high = wilson(hits, len(rows))
    return Agreement(
        len(rows),
        _mean(squares[rows].mean(axis=1), seed),
        _mean(squares[rows, labels[rows]], seed),
        _mean(correlations[rows], seed),
        Mean(hits / len(rows), (float(low), float(high))),
    )


def _mean(values: np.ndarray, seed: int) -> Mean:
    """The mean of values (n,) with the percentile interval of the bootstrap."""
    rng, n = np.random.default_rng(seed), len(values)
    if n == 1:
        return Mean(float(values[0]), None)
    step = max(1, _AT_ONCE // n)
    sizes = [min(step, RESAMPLES - start) for start in range(0, RESAMPLES, step)]
    drawn = np.concatenate([values[rng.integers(0, n, (size, n))].mean(axis=1) for size in sizes])
    return Mean(float(values.mean()), percentile_interval(drawn))
