"""How well the audit finds what is wrong, and what it costs.

    python benchmarks/audit.py labels --data-dir FERPLUS --model runs/x       # flipped labels found, and split votes
    python benchmarks/audit.py near --rows 300000                             # time and memory of the search for near duplicates

`labels` flips a tenth of FERPlus's training labels, as `evenface data subset --label-noise 0.1` does, and counts how many of the doubtful
labels are flipped ones (precision) and how many of the flipped ones are doubtful (recall), with Wilson's 95 % intervals. FERPlus's own
labels count as right there, which they are not all: the second part asks, without flips, whether doubtful labels have split votes. A model
that has learned from FERPlus's true labels knows what was flipped; take one that has learned from the flipped ones, or dlib-face.

`near` draws faces, repeats them with small random changes until there are enough rows, and plants a twin (mirrored, brightened or blurred)
for one row in fifty.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(required=True)
    labels = verbs.add_parser("labels")
    labels.add_argument("--data-dir", required=True)
    labels.add_argument("--model", default="dlib-face")
    labels.add_argument("--noise", type=float, default=0.1)
    labels.add_argument("--folds", type=int, default=5)
    labels.add_argument("-j", "--workers", type=int, default=2)
    labels.add_argument("--keep", type=Path, help="folder in which the features stay for another call")
    labels.set_defaults(run=run_labels)
    near = verbs.add_parser("near")
    near.add_argument("--rows", type=int, default=30_000)
    near.set_defaults(run=run_near)
    args = parser.parse_args()
    return int(args.run(args))


def run_labels(args: argparse.Namespace) -> int:
    from evenface.audit.duplicates import groups
    from evenface.audit.features import features, open_network
    from evenface.audit.folds import joined, out_of_fold
    from evenface.audit.judge import choose_rule, doubtful, margins
    from evenface.audit.pictures import shows_nothing
    from evenface.audit.rows import Rows
    from evenface.audit.scan import scan_rows
    from evenface.data import load_dataset
    from evenface.data.noise import symmetric_noise

    manifest = load_dataset("ferplus", args.data_dir)
    rows, network = Rows(manifest), open_network(args.model)
    key = f"{rows.pictures_key()}{network.key}"
    with tempfile.TemporaryDirectory() as aside:
        folder = args.keep or Path(aside)
        scan = scan_rows(rows, folder, key, workers=args.workers, reach=lambda done: None)
        began = time.perf_counter()
        seen = features(rows, network, folder, key, workers=args.workers, device="auto", reach=lambda done: None)
        print(f"features  {len(seen):,} faces, {network.name} at {network.size} px, {time.perf_counter() - began:.0f} s")
    group = joined(rows.kept, groups(rows, scan))
    assert not shows_nothing(scan).any()
    train = np.array(rows.splits) == "train"
    clean, given = manifest.targets(), symmetric_noise(manifest, args.noise).targets()
    flipped = clean != given
    began = time.perf_counter()
    p = out_of_fold(seen, given, group, args.folds)
    print(f"judging   {time.perf_counter() - began:.0f} s; out of fold {share(p.argmax(1) == given)} agree with the given labels")
    by, _ = margins(given, p)
    for rule in ("plain", "cleanlab"):
        mask = doubtful(given, p, choose_rule(rule)) & train
        print(f"{rule:<10}{mask.sum():,} doubtful of {train.sum():,}: precision {share(flipped[mask])}, recall {share(mask[flipped])}")
    top = np.flatnonzero(train)[np.argsort(-by[train], kind="stable")[: flipped.sum()]]
    print(f"the {flipped.sum():,} most doubtful: precision {share(flipped[top])}; AUC of the margin {auc(by[train], flipped[train]):.3f}")

    p = out_of_fold(seen, clean, group, args.folds)
    by, _ = margins(clean, p)
    votes = np.stack([manifest.table[name].to_numpy() for name in manifest.table.column_names if name.startswith("votes_")], axis=1)
    winner = votes.max(axis=1) / votes.sum(axis=1)
    mask = doubtful(clean, p, choose_rule("auto"))
    print(f"no flips  {mask.sum():,} doubtful of {len(mask):,}; the winner has {100 * winner[mask].mean():.1f} % of their votes, and")
    split = auc(by, winner <= 0.6)
    print(f"          {100 * winner[~mask].mean():.1f} % of the others'; AUC of the margin for a winner of at most 60 %: {split:.3f}")
    return 0


def share(right: np.ndarray) -> str:
    """A share in percent with Wilson's 95 % interval."""
    from evenface.evaluation.intervals import wilson

    low, high = wilson(int(right.sum()), len(right))
    return f"{100 * right.mean():.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


def auc(score: np.ndarray, positive: np.ndarray) -> float:
    """The probability that a positive has a higher score than a negative."""
    from scipy.stats import rankdata

    ranks = rankdata(score)
    n = int(positive.sum())
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * (len(score) - n)))


def run_near(args: argparse.Namespace) -> int:
    from evenface.audit.hashing import candidates
    from evenface.data.synthetic import synthetic_face
    from evenface.labels import BASIC

    rng = np.random.default_rng(0)
    drawn = [cv2.cvtColor(synthetic_face(BASIC[i % 7], seed=i, size=48), cv2.COLOR_RGB2GRAY) for i in range(400)]
    thumbs = np.zeros((args.rows, 16, 16), np.uint8)
    for row in range(args.rows):
        blend = rng.dirichlet(np.ones(4))
        face = sum(w * drawn[int(k)] for w, k in zip(blend, rng.integers(0, len(drawn), 4), strict=True))
        field = cv2.resize(rng.normal(0, 30, (6, 6)).astype(np.float32), (48, 48), interpolation=cv2.INTER_CUBIC)
        picture = np.clip(face + field, 0, 255).astype(np.uint8)
        thumbs[row] = cv2.resize(picture, (16, 16), interpolation=cv2.INTER_AREA)
    planted = []
    for row in range(1, args.rows, 50):
        twin = thumbs[row - 1].astype(np.float32)
        twin = (twin[:, ::-1], 0.8 * twin + 30, cv2.GaussianBlur(twin, (0, 0), 0.5))[row // 50 % 3]
        thumbs[row] = np.clip(twin + rng.normal(0, 1, (16, 16)), 0, 255)
        planted.append((row - 1, row))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began, cpu_began = time.perf_counter(), time.process_time()
    found = {(int(i), int(j)) for i, j in candidates(thumbs)}
    took, cpu = time.perf_counter() - began, time.process_time() - cpu_began
    more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    kept = sum(pair in found for pair in planted)
    print(f"{args.rows:,} thumbs: {took:.1f} s ({cpu:.1f} s of processor time), {more:.0f} MiB more at the peak")
    print(f"{len(found):,} candidates, {kept:,} of {len(planted):,} twins among them")
    return 0


if __name__ == "__main__":
    sys.exit(main())
