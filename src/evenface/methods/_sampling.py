"""Which faces an epoch visits: rows drawn class by class, for the methods whose sampler is not a plain shuffle.

    counts = class_counts(labels, classes=7)
    rows = draw_rows(labels, class_probabilities(counts, q=0), len(labels), generator)       # every class as often as any other

Kang et al. (ICLR 2020) write the samplers in use as one family, class l drawn with probability n_l^q / sum_k n_k^q: q = 1 is a plain
shuffle (instance-balanced), q = 1/2 the square root, q = 0 class-balanced, and q = -1 the reversed sampler of BBN.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def class_counts(labels: np.ndarray, classes: int) -> np.ndarray:
    """Faces per class, (L,) int64, of labels (n,) in [0, L)."""
    return np.bincount(labels, minlength=classes)


def class_probabilities(counts: Sequence[int] | np.ndarray, q: float) -> np.ndarray:
    """n_l^q / sum, (L,) float64 with sum 1; a class without faces has probability 0 at every q."""
    counts = np.asarray(counts, dtype=np.float64)
    powers: np.ndarray = np.where(counts > 0, np.maximum(counts, 1.0) ** q, 0.0)
    return np.asarray(powers / powers.sum())


def draw_rows(labels: np.ndarray, probabilities: np.ndarray, n: int, generator: np.random.Generator) -> np.ndarray:
    """Rows of `n` draws, (n,) int64: a class by its probability, then a face of it.

    The faces of a class come in random order, each once before any comes again, so a class that is drawn as often as it has faces shows
    them all.

    Arguments:
        labels: class index of every face (N,), int64.
        probabilities: of each class (L,), >= 0; scaled to sum 1 over the classes that have faces, the others are never drawn.
        generator: numpy's, the only source of chance.
    """
    members = [np.flatnonzero(labels == c) for c in range(len(probabilities))]
    scaled = np.where([len(rows) > 0 for rows in members], np.asarray(probabilities, dtype=np.float64), 0.0)
    drawn = generator.choice(len(members), size=n, p=scaled / scaled.sum())
    rows = np.empty(n, dtype=np.int64)
    for c, faces in enumerate(members):
        places = np.flatnonzero(drawn == c)
        if len(places):
            rounds = -(-len(places) // len(faces))
            rows[places] = np.concatenate([generator.permutation(faces) for _ in range(rounds)])[: len(places)]
    return rows


def progressive_probabilities(counts: Sequence[int] | np.ndarray, done: float) -> np.ndarray:
    """(1 - t) instance-balanced + t class-balanced, (L,) with sum 1, for t = `done` in [0, 1]."""
    return (1 - done) * class_probabilities(counts, 1) + done * class_probabilities(counts, 0)
