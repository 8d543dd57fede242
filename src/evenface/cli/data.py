"""Look into a data set before training on it, and cut the faces out of raw pictures.

  evenface data stats --dataset ferplus --data-dir DIR
  evenface data audit --dataset ferplus --data-dir DIR -o checked
  evenface data prepare RAW OUT --dataset folder --detector mtcnn
  evenface data subset --dataset rafdb --data-dir DIR --imbalance 100 -o rafdb-if100.parquet
  evenface data sheet --dataset synthetic -o sheet.png

A subset or a prepared set is read back with `--dataset manifest --data-dir FILE_OR_FOLDER`.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from evenface.cli import data_audit, data_prepare
from evenface.cli.data_prepare import LABELS, REAL_FACES


if TYPE_CHECKING:
    from evenface.data import Manifest
    from evenface.data.stats import DataStats
    from evenface.report.grid import Grid

NAMED = 10  # unreadable images that are named


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(metavar="VERB", title="verbs", required=True)

    stats = verbs.add_parser("stats", help="faces per class and split, class weights, broken images, duplicates", allow_abbrev=False)
    _add_source(stats)
    stats.add_argument("--beta", type=float, default=0.999, metavar="X", help="of the effective number, in [0, 1) (default: 0.999)")
    stats.add_argument("-j", "--workers", type=int, default=os.cpu_count() or 1, metavar="N", help="threads that decode images")
    stats.add_argument("--format", choices=["text", "json", "markdown"], default="text", help="default: text")
    stats.set_defaults(run=run_stats)

    data_audit.add_verb(verbs)
    data_prepare.add_verb(verbs)

    subset = verbs.add_parser("subset", help="write a thinned-out or noisy copy of a data set's table", allow_abbrev=False)
    _add_source(subset)
    subset.add_argument("--imbalance", type=float, metavar="X", help="thin out train to largest class / smallest class = X")
    subset.add_argument(
        "--imbalance-reading", choices=["A", "B"], default="A", help="A: n_i mu^i of the paper; B: pure exponential (default: A)"
    )
    subset.add_argument("--label-noise", type=float, default=0.0, metavar="X", help="share of train labels flipped to another class")
    subset.add_argument("--data-seed", type=int, default=0, metavar="N", help="which faces stay and which labels flip (default: 0)")
    subset.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="a new .parquet file")
    subset.set_defaults(run=run_subset)

    sheet = verbs.add_parser("sheet", help="a picture with some faces of each class", allow_abbrev=False)
    _add_source(sheet)
    sheet.add_argument("--split", default="train", choices=["train", "validation", "test"], help="default: train")
    sheet.add_argument("--per-class", type=int, default=8, metavar="N", help="faces in a row (default: 8)")
    sheet.add_argument("--size", type=int, default=96, metavar="N", help="side of a face in pixels (default: 96)")
    sheet.add_argument("--data-seed", type=int, default=0, metavar="N", help="which faces are shown (default: 0)")
    sheet.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="a .png file; one of that name is replaced")
    sheet.set_defaults(run=run_sheet)


def _add_source(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dataset", required=True, help="synthetic, ferplus, rafdb, affectnet, folder or manifest")
    parser.add_argument("--data-dir", help="where the data set lies, in the layout as downloaded")
    parser.add_argument("--classes", type=int, choices=[7, 8], default=7, help="7 basic expressions, or 8 with contempt (default: 7)")
    parser.add_argument("--labels", choices=LABELS, default="majority", help="FERPlus: how votes become labels (default: majority)")


def run(args: argparse.Namespace) -> int:
    return int(args.run(args))


def _load(args: argparse.Namespace) -> Manifest:
    from evenface.data import load_dataset

    return load_dataset(args.dataset, args.data_dir, classes=args.classes, labels=args.labels)


def run_stats(args: argparse.Namespace) -> int:

    from evenface.cli.output import console
    from evenface.data.stats import data_stats
    from evenface.errors import ConfigError

    if args.workers < 1:
        raise ConfigError("--workers must be at least 1.")
    if not 0 <= args.beta < 1:
        raise ConfigError(f"--beta is in [0, 1): 0 gives equal weights, 0.9999 nearly inverse frequency; not {args.beta:g}.")
    stats = data_stats(_load(args), args.beta, args.workers)
    if args.format == "json":
        print(json.dumps({"schema_version": 1, **stats.to_dict()}, indent=1, allow_nan=False))
    elif args.format == "markdown":
        print(stats_table(stats).markdown(), end="")
    else:
        console().print(stats_table(stats))
    return 0


def stats_table(stats: DataStats) -> Grid:
    """Faces per class and split with B, and below the table all else that `data_stats` found."""
    from evenface.report.grid import Grid
    from evenface.report.tables import class_order

    order = class_order(stats.class_names, stats.counts.get("train"))
    weighted = bool(stats.weights)
    rows = [
        (name, *(f"{counts[name]:,}" for counts in stats.counts.values()), *([f"{stats.weights[name]:.4f}"] if weighted else []))
        for name in order
    ]
    total = ("all", *(f"{sum(counts.values()):,}" for counts in stats.counts.values()), *([""] if weighted else []))
    head = ("class", *stats.counts, *(["B"] if weighted else []))
    return Grid(f"{stats.name}: {stats.total:,} faces", head, tuple(rows), (total,), tuple(_sentences(stats)))


def _sentences(stats: DataStats) -> list[str]:
    lines = []
    if stats.weights:
        factor = f"{stats.imbalance_factor:.2f}" if math.isfinite(stats.imbalance_factor) else "infinite, a class has no face"
        lines.append(f"Imbalance factor of train (largest / smallest class): {factor}.")
        ratio = f"{stats.weight_ratio:.2f}"
        lines.append(f"B: effective number with beta {stats.beta:g}, scaled to sum to {len(stats.class_names)}; max B / min B = {ratio}.")
    if stats.warning is not None:
        lines.append(f"Warning: {stats.warning}")
    if stats.sizes:
        sides = [
            f"{axis} {low}" + (f" to {high}, median {middle:g}" if low < high else "") for axis, (low, middle, high) in stats.sizes.items()
        ]
        lines.append(f"Image sizes in pixels: {'; '.join(sides)}.")
    broken = ", ".join(stats.unreadable[:NAMED]) + (f" and {len(stats.unreadable) - NAMED} more" if len(stats.unreadable) > NAMED else "")
    lines.append(f"Unreadable images: {len(stats.unreadable)}" + (f" ({broken})." if broken else "."))
    if "train" in stats.counts and stats.duplicates_of_train:
        twins = ", ".join(f"{split} {count:,}" for split, count in stats.duplicates_of_train.items())
        lines.append(f"Images that stand in train pixel for pixel: {twins}.")
    if stats.ties is not None:
        lines.append(
            f"Ties for the most votes among these faces: {', '.join(f'{split} {count:,}' for split, count in stats.ties.items())}."
        )
    return [*lines, *stats.notes, f"Licence of the images: {stats.licence}."]


def run_subset(args: argparse.Namespace) -> int:
    from evenface.data.imbalance import imbalanced
    from evenface.data.noise import symmetric_noise
    from evenface.errors import ConfigError

    if args.imbalance is None and not args.label_noise:
        raise ConfigError("A subset needs --imbalance or --label-noise.")
    if args.output.suffix != ".parquet":
        raise ConfigError(f"A subset is a .parquet file; name it {_named(args.output, '.parquet')}.")
    if args.output.exists():
        raise ConfigError(f"{args.output} exists already; choose another -o/--output.")
    manifest = _load(args)
    before = len(manifest.notes)
    if args.imbalance is not None:
        manifest = imbalanced(manifest, args.imbalance, reading=args.imbalance_reading, seed=args.data_seed)
    if args.label_noise:
        manifest = symmetric_noise(manifest, args.label_noise, seed=args.data_seed)
    manifest.save(args.output)
    for note in manifest.notes[before:]:
        print(note)
    print(f"written   {args.output}: " + ", ".join(f"{split} {sum(manifest.counts(split).values()):,}" for split in manifest.splits))
    print(f"next      evenface train --dataset manifest --data-dir {shlex.quote(str(args.output))} ...")
    if args.dataset != "synthetic" and _holds_pictures(manifest):
        print(REAL_FACES)
    return 0


def _named(path: Path, suffix: str) -> Path:
    """The file that was probably meant."""
    return path.with_suffix(suffix) if path.name else path / f"faces{suffix}"


def _holds_pictures(manifest: Manifest) -> bool:
    import pyarrow.compute as pc

    return bool(pc.any(pc.is_valid(pc.struct_field(manifest.table["image"], "bytes"))).as_py())


def run_sheet(args: argparse.Namespace) -> int:
    from evenface.data.sheet import contact_sheet, with_names
    from evenface.errors import ConfigError
    from evenface.files import write_aside

    if not 1 <= args.per_class <= 100 or not 16 <= args.size <= 512:
        raise ConfigError("--per-class is 1 to 100, --size 16 to 512 pixels.")
    if args.output.suffix.lower() != ".png":
        raise ConfigError(f"A sheet is a .png file; name it {_named(args.output, '.png')}.")
    if args.dataset == "synthetic" and args.data_dir is None and args.split == "train":  # drawn at its size, not the whole set
        from evenface.data import synthetic
        from evenface.labels import class_set

        names = class_set(args.classes)
        sheet = with_names(synthetic.contact_sheet(names, args.per_class, args.size, args.data_seed), list(names))
    else:
        sheet = contact_sheet(_load(args), args.split, args.per_class, args.size, args.data_seed)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    write_aside(args.output, lambda aside: sheet.save(aside, "PNG"))
    print(f"written   {args.output} ({sheet.width} x {sheet.height})")
    if args.dataset != "synthetic":
        print(REAL_FACES)
    return 0
