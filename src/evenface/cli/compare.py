"""Put runs side by side: recall per class, the aggregates, and a paired test of each method against the first run's.

  evenface compare runs/ce runs/rbcf
  evenface compare runs/ce-s0 runs/ce-s1 runs/ce-s2 runs/rbcf-s0 runs/rbcf-s1 runs/rbcf-s2

  evenface evaluate ferplus-rbf --dataset ferplus --data-dir DIR -o scores/shipped
  evenface compare runs/rbcf scores/shipped scores/deepface

  evenface evaluate runs/rbcf --prior half
  evenface compare runs/rbcf --prior model,half

The last says what a prior brings to one model and what it costs.

Runs that differ only in their seed are one method. A folder that `evaluate -o` wrote the scores of a model, of a run on other data or of
another tool's answers to stands for itself.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "runs", metavar="RUN", nargs="+", type=Path, help="run folders that were evaluated on the split, or folders of scores"
    )
    parser.add_argument("--split", default="test", choices=["train", "validation", "test"], help="default: test")
    parser.add_argument("--tta", default="none", metavar="VIEW[,...]", help="the scores of evaluate --tta; several are compared: none,flip")
    parser.add_argument(
        "--prior", default="model", metavar="PRIOR[,...]", help="the scores of evaluate --prior; several are compared: model,half"
    )
    parser.add_argument("--without-duplicates", action="store_true", help="leave out images that stand in train pixel for pixel")
    parser.add_argument("--resamples", type=int, default=10_000, metavar="N", help="of the bootstrap (default: 10000)")
    parser.add_argument("--format", choices=["text", "markdown", "json"], default="text", help="default: text")
    parser.add_argument("-o", "--output", type=Path, help="also write the comparison as JSON")


def run(args: argparse.Namespace) -> int:

    from evenface.cli.output import console
    from evenface.errors import ConfigError
    from evenface.evaluation.records import plain, write_metrics
    from evenface.files import require_writable
    from evenface.report.tables import comparison_table, methods_table
    from evenface.runs.compare import compare

    if not 100 <= args.resamples <= 100_000:
        raise ConfigError("--resamples lies between 100, for an interval to mean anything, and 100000, beyond which it changes no more.")
    if args.output is not None:  # told now, and not after the work
        if args.output.is_dir():
            raise ConfigError(f"{args.output} is a folder; -o/--output names a file.")
        require_writable(args.output.parent)
    comparison, counts = compare(
        args.runs,
        split=args.split,
        tta=args.tta.split(","),
        prior=args.prior.split(","),
        without_duplicates=args.without_duplicates,
        resamples=args.resamples,
    )
    if args.output is not None:
        write_metrics(args.output, comparison.to_dict())
    if args.format == "json":
        print(json.dumps(plain(comparison.to_dict()), indent=1, allow_nan=False))
        return 0
    tables = [methods_table(comparison, counts)] + ([comparison_table(comparison)] if comparison.pairs else [])
    out = console()
    for table in tables:
        if args.format == "markdown":
            print(table.markdown())
        else:
            out.print(table)
    return 0
