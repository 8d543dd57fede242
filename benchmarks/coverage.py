"""How often the 95 % intervals of `evenface evaluate` and `evenface compare` hold the truth, on simulated test sets.

    python benchmarks/coverage.py                 # a few minutes
    python benchmarks/coverage.py --sets 200      # a first look

A simulated model has a true recall per class; what it calls the rest is spread evenly. A test set is drawn with the class counts of a
real one, its interval computed as for real predictions, and counted as right where it holds the true mean recall, overall or macro F1.

With several trainings, each has recalls of its own around the method's, with the standard deviation `sd` per class, and the truth is the
method's. The trainings see the same images: on 7 of 10 all of them succeed or fail by the same draw, on the rest each by its own.
"""

from __future__ import annotations

import argparse

import numpy as np

from evenface.evaluation.intervals import bootstrap_scores, wilson
from evenface.evaluation.metrics import AGGREGATES, scores


RECALLS = np.array([0.94, 0.88, 0.68, 0.89, 0.35, 0.82, 0.50])
COUNTS = {
    "FERPlus test": [893, 1090, 384, 396, 18, 273, 83],
    "RAF-DB test": [1185, 680, 478, 329, 160, 162, 74],
    "60 to 6 images": [60, 50, 40, 30, 6, 20, 12],
}
SHARED = 0.7  # of the images, on which all trainings succeed or fail alike


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=1000, help="simulated test sets per line")
    parser.add_argument("--resamples", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    print(f"Percent of {args.sets} test sets whose interval holds the truth; {args.resamples} resamples, seed {args.seed}\n")
    print(f"{'class counts':<16} {'trainings':>9} {'sd':>6} " + " ".join(f"{name:>12}" for name in AGGREGATES) + f" {'rarest class':>13}")
    for name, counts in COUNTS.items():
        line(name, counts, 1, 0.0, args)
    for seeds in (3, 5):
        for sd in (0.005, 0.02, 0.05):
            line("FERPlus test", COUNTS["FERPlus test"], seeds, sd, args)


def line(name: str, counts: list[int], seeds: int, sd: float, args: argparse.Namespace) -> None:
    rng = np.random.default_rng(args.seed)
    truth = true_scores(counts)
    true = np.repeat(np.arange(len(counts)), counts)
    rare = int(np.argmin(counts))
    held = dict.fromkeys([*AGGREGATES, "rare"], 0)
    for i in range(args.sets):
        predicted = draw(true, seeds, sd, rng)
        found = bootstrap_scores(true, predicted, len(counts), args.resamples, seed=i)
        for key in AGGREGATES:
            held[key] += found[key][0] <= truth[key] <= found[key][1]
        hits = float((predicted[true == rare] == rare).mean(axis=1).sum())
        low, high = wilson(hits, counts[rare])
        held["rare"] += bool(low <= RECALLS[rare] <= high)
    rates = {key: 100 * count / args.sets for key, count in held.items()}
    cells = " ".join(f"{rates[key]:>12.1f}" for key in AGGREGATES)
    print(f"{name:<16} {seeds:>9} {100 * sd:>6.1f} {cells} {rates['rare']:>13.1f}", flush=True)


def true_scores(counts: list[int]) -> dict[str, float]:
    """Of the confusion matrix that a test set with these counts has on average."""
    classes = len(counts)
    shares = np.full((classes, classes), 1.0) * ((1 - RECALLS) / (classes - 1))[:, None]
    np.fill_diagonal(shares, RECALLS)
    found = scores(np.rint(shares * np.array(counts)[:, None] * 1e6).astype(np.int64))
    return {name: float(getattr(found, name)) for name in AGGREGATES}


def draw(true: np.ndarray, seeds: int, sd: float, rng: np.random.Generator) -> np.ndarray:
    """Predictions (n, seeds) of trainings of the one method."""
    n, classes = len(true), len(RECALLS)
    common, wrong = rng.random(n), (true + rng.integers(1, classes, n)) % classes
    shared = rng.random(n) < SHARED
    columns = []
    for _ in range(seeds):
        recalls = np.clip(RECALLS + sd * rng.standard_normal(classes), 0, 1)
        luck = np.where(shared, common, rng.random(n))
        other = np.where(shared, wrong, (true + rng.integers(1, classes, n)) % classes)
        columns.append(np.where(luck < recalls[true], true, other))
    return np.stack(columns, axis=1)


if __name__ == "__main__":
    main()
