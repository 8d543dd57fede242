"""Score a run or a model folder on a split; writes metrics-<split>.json and predictions-<split>.parquet.

evenface evaluate runs/x --split test
evenface evaluate runs/x --split test --tta flip
evenface evaluate runs/x --split test --tta none,flip --prior model,half,balanced
evenface evaluate model_folder --dataset ferplus --data-dir DIR -o scores
evenface evaluate deepface.csv --dataset ferplus --data-dir DIR -o scores/deepface

The last scores another tool's answers, a table with `id` and a column per expression (or `label`); `evenface compare` takes such folders
too.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from evenface.cli.flags import PRIORS, add_scoring, scoring


if TYPE_CHECKING:
    from collections.abc import Sequence

    from evenface.evaluation.records import Evaluation


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "target",
        metavar="RUN",
        type=Path,
        help="a run folder, a model folder, the name of a model that ships, or a table of answers (.csv, .parquet)",
    )
    parser.add_argument("--split", default="test", choices=["train", "validation", "test"], help="default: test")
    parser.add_argument("--dataset", help="score on this data set (default: the run's)")
    parser.add_argument("--data-dir", help="where it lies (default: the run's)")
    parser.add_argument(
        "--tta",
        default="none",
        metavar="VIEW[,...]",
        help="none; flip: average each face with its mirror; experts: weight the experts of ride or sade by their agreement on both",
    )
    parser.add_argument(
        "--prior",
        default="model",
        metavar="PRIOR[,...]",
        help="model: its own answer; train, balanced: for faces with expressions as frequent as in training, or equally so; half: between",
    )
    parser.add_argument("-o", "--output", type=Path, help="folder for the two files (default: the run folder; a model folder needs it)")
    add_scoring(parser)


def run(args: argparse.Namespace) -> int:
    from evenface.cli.output import console, progress_bar
    from evenface.runs.answers import is_answers
    from evenface.runs.evaluate import TTA, evaluate

    how, out = scoring(args), console()
    if is_answers(args.target):
        return _answers(args)
    views, priors = _several("tta", args.tta, TTA), _several("prior", args.prior, PRIORS)
    for tta, prior in itertools.product(views, priors):
        with progress_bar(out, "scoring") as reach:
            found = evaluate(
                args.target,
                split=args.split,
                dataset=args.dataset,
                data_dir=args.data_dir,
                tta=tta,
                prior=prior,
                output=args.output,
                **how,
                command=["evenface", *sys.argv[1:]],
                progress=reach,
            )
        _show(found)
    return 0


def _several(flag: str, given: str, known: Sequence[str]) -> list[str]:
    """The names of a list such as `model,half`, each once; told now where one is unknown, and not after the work for those before it."""
    from evenface.errors import ConfigError, unknown_name

    names = list(dict.fromkeys(given.split(",")))
    for name in names:
        if name not in known:
            raise ConfigError(unknown_name(f"--{flag}", name, known))
    return names


def _answers(args: argparse.Namespace) -> int:
    from evenface.errors import ConfigError
    from evenface.runs.answers import score_answers

    if args.dataset is None or args.output is None:
        raise ConfigError("Answers are scored on the faces of --dataset and --data-dir, and the scores go to the folder -o; give them.")
    parser = argparse.ArgumentParser()
    add_arguments(parser)  # for the defaults
    of_a_model = ("tta", "prior", "device", "precision", "batch_size")
    idle = [f"--{name.replace('_', '-')}" for name in of_a_model if getattr(args, name) != parser.get_default(name)]
    if idle:
        raise ConfigError(f"Answers are scored as they are; leave out {', '.join(idle)}.")
    given = {"dataset": args.dataset, "data_dir": args.data_dir, "split": args.split, "workers": args.workers}
    _show(score_answers(args.target, **given, output=args.output, command=["evenface", *sys.argv[1:]]))
    return 0


def _show(found: Evaluation) -> None:
    from evenface.cli.output import console
    from evenface.report.tables import per_class_table

    out = console()
    out.print(per_class_table(found.metrics, found.train_counts))
    out.print(f"written   {found.metrics_file}\n          {found.predictions_file}", highlight=False, soft_wrap=True, markup=False)
