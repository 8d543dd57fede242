"""Score a run or a model folder on a split; writes metrics-<split>.json and predictions-<split>.parquet.

evenface evaluate runs/x --split test
evenface evaluate runs/x --split test --tta flip
evenface evaluate runs/x --split test --prior balanced
evenface evaluate model_folder --dataset ferplus --data-dir DIR -o scores
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="RUN", type=Path, help="a run folder, or a model folder")
    parser.add_argument("--split", default="test", choices=["train", "validation", "test"], help="default: test")
    parser.add_argument("--dataset", help="score on this data set (default: the run's)")
    parser.add_argument("--data-dir", help="where it lies (default: the run's)")
    parser.add_argument(
        "--tta",
        default="none",
        choices=["none", "flip", "experts"],
        help="flip: average each face with its mirror; experts: weight the experts of ride or sade by their agreement on both",
    )
    parser.add_argument(
        "--prior",
        default="model",
        choices=["model", "train", "balanced"],
        help="model: its own answer; train, balanced: scores for faces with the expressions as frequent as in training, or equally so",
    )
    parser.add_argument("-o", "--output", type=Path, help="folder for the two files (default: the run folder; a model folder needs it)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 or mps (default: auto)")
    parser.add_argument("--precision", default="fp32", choices=["auto", "fp32", "bf16"], help="default: fp32")
    parser.add_argument("-b", "--batch-size", type=int, default=256, metavar="N", help="default: 256; changes no number beyond rounding")
    parser.add_argument("-j", "--workers", type=int, default=os.cpu_count() or 1, metavar="N", help="threads that decode images")


def run(args: argparse.Namespace) -> int:
    from rich.progress import Progress

    from evenface.cli.output import console
    from evenface.errors import ConfigError
    from evenface.report.tables import per_class_table
    from evenface.runs import evaluate

    if args.batch_size < 1 or args.workers < 1:
        raise ConfigError("--batch-size and --workers must be at least 1.")
    out = console()
    with Progress(console=out, transient=True, disable=not out.is_terminal) as bar:
        task = bar.add_task("scoring", total=None)
        found = evaluate(
            args.target,
            split=args.split,
            dataset=args.dataset,
            data_dir=args.data_dir,
            tta=args.tta,
            prior=args.prior,
            output=args.output,
            device=args.device,
            precision=args.precision,
            batch_size=args.batch_size,
            workers=args.workers,
            command=["evenface", *sys.argv[1:]],
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    out.print(per_class_table(found.metrics, found.train_counts))
    out.print(f"written   {found.metrics_file}\n          {found.predictions_file}", highlight=False, soft_wrap=True)
    return 0
