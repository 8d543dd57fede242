"""How often the 95 % interval of a calibration error holds the truth, on simulated scores.

    python benchmarks/coverage_calibration.py                 # a few minutes
    python benchmarks/coverage_calibration.py --sets 50       # a first look

Labels of seven classes are drawn from a model's scores; the model then tells other scores, sharper by a factor on its logits: at 1 they are
true, above it the model is too sure. The truth is the error on two million faces. Beside our interval stands the percentile range of the
resamples, which most tools give, and how often the error is larger than what `chance` explains.
"""

from __future__ import annotations

import argparse

import numpy as np
from scipy.special import softmax

from evenface.calibration import expected_calibration_error
from evenface.evaluation.intervals import percentile_interval
from evenface.evaluation.reliability import calibration_errors


SHARPER = (1.0, 1.3, 2.0)
FACES = (500, 3000)
CLASSES, SPREAD, FAVOURITE = 7, 2.5, 1.0  # of the logits; the first class is the more frequent one


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=150, help="simulated test sets per line")
    parser.add_argument("--resamples", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    print(f"Percent of {args.sets} test sets; {args.resamples} resamples, seed {args.seed}; errors in points\n")
    heads = ("true error", "mean estimate", "ours holds it", "percentile", "beyond chance")
    print(f"{'sharper':>8} {'faces':>6} " + " ".join(f"{head:>14}" for head in heads))
    rng = np.random.default_rng(args.seed)
    for sharper in SHARPER:
        truth = expected_calibration_error(*world(2_000_000, sharper, rng))
        for n in FACES:
            line(sharper, n, truth, args, rng)


def line(sharper: float, n: int, truth: float, args: argparse.Namespace, rng: np.random.Generator) -> None:
    ours = plain = beyond = 0
    estimates = []
    for i in range(args.sets):
        p, y = world(n, sharper, rng)
        found = calibration_errors(p[None], y, resamples=args.resamples, seed=i)
        estimates.append(found.overall)
        ours += found.overall_ci95[0] <= truth <= found.overall_ci95[1]
        beyond += found.overall > found.chance
        low, high = percentile_interval([expected_calibration_error(p[rows], y[rows]) for rows in drawn(y, args.resamples, rng)])
        plain += low <= truth <= high
    rates = [100 * count / args.sets for count in (ours, plain, beyond)]
    numbers = [f"{100 * truth:.2f}", f"{100 * np.mean(estimates):.2f}", *(f"{rate:.1f}" for rate in rates)]
    print(f"{sharper:>8.1f} {n:>6} " + " ".join(f"{number:>14}" for number in numbers), flush=True)


def world(n: int, sharper: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The scores that the model tells (n, 7), and labels (n,) drawn from its true ones."""
    z = SPREAD * rng.normal(size=(n, CLASSES))
    z[:, 0] += FAVOURITE
    labels = (softmax(z, axis=1).cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    return softmax(sharper * z, axis=1), labels


def drawn(labels: np.ndarray, resamples: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Rows of test sets drawn anew within each class."""
    members = [np.flatnonzero(labels == c) for c in np.unique(labels)]
    return [np.concatenate([rng.choice(rows, len(rows)) for rows in members]) for _ in range(resamples)]


if __name__ == "__main__":
    main()
