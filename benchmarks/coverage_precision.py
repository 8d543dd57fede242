"""How often the 95 % interval of an average precision holds the truth, on simulated scores of one class.

    python benchmarks/coverage_precision.py                 # some ten minutes
    python benchmarks/coverage_precision.py --sets 50       # a first look

The scores of the class and of the others are normal, of the same spread, and so many standard deviations apart. The truth is the average
precision on two hundred times as many faces.
"""

from __future__ import annotations

import argparse

import numpy as np
from scipy.special import expit

from evenface.evaluation.ranking import average_precision, class_rankings


CASES = ((18, 3137), (83, 3137), (273, 3137), (8, 56))  # faces of the class, and of all: disgust, fear and anger of FERPlus test; few
APART = (1.0, 2.5, 4.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=200, help="simulated test sets per line")
    parser.add_argument("--resamples", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    print(f"Percent of {args.sets} test sets; {args.resamples} resamples, seed {args.seed}\n")
    heads = ("true AP", "mean AP", "holds it", "lies above", "lies below")
    print(f"{'class':>6} {'all':>6} {'apart':>6} " + " ".join(f"{head:>11}" for head in heads))
    rng = np.random.default_rng(args.seed)
    for of_class, of_all in CASES:
        for apart in APART:
            line(of_class, of_all, apart, args, rng)


def line(of_class: int, of_all: int, apart: float, args: argparse.Namespace, rng: np.random.Generator) -> None:
    truth = average_precision(*world(200 * of_class, 200 * of_all, apart, rng))
    above = below = 0
    estimates = []
    for i in range(args.sets):
        score, positive = world(of_class, of_all, apart, rng)
        p = expit(score)
        found = class_rankings(np.stack([1 - p, p], axis=1)[None], positive.astype(np.int64), resamples=args.resamples, seed=i)
        low, high = found.ci95[1]
        above, below = above + (low > truth), below + (high < truth)
        estimates.append(found.average_precision[1])
    rates = [100 * count / args.sets for count in (args.sets - above - below, above, below)]
    numbers = [f"{truth:.3f}", f"{np.mean(estimates):.3f}", *(f"{rate:.1f}" for rate in rates)]
    print(f"{of_class:>6} {of_all:>6} {apart:>6.1f} " + " ".join(f"{number:>11}" for number in numbers), flush=True)


def world(of_class: int, of_all: int, apart: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Scores, float64, and whether each face is of the class."""
    positive = np.arange(of_all) < of_class
    return rng.normal(size=of_all) + apart * positive, positive


if __name__ == "__main__":
    main()
