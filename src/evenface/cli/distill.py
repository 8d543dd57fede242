"""Teach a backbone from a teacher on faces without labels.

  evenface distill --teacher dlib-face --model resnet18 --dataset ferplus --data-dir DIR --img-size 64 -o runs/start
  evenface train --model resnet18 --init runs/start ...
  evenface distill --teacher runs/a runs/b --model mobilenetv3_small_100 --dataset ferplus --data-dir DIR -o runs/small
  evenface distill --resume runs/small

From dlib-face a backbone learns to describe faces, and is a start for training (--init). From expression models a student learns
their answers, and is a whole model: evaluate, predict and export take it.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from evenface.cli.flags import add_fields
from evenface.distill.config import DEFAULTS, NOT_OFFERED, DistillOptions, make_config
from evenface.errors import ConfigError
from evenface.training.config import TrainConfig, check_idle


def parse(parser: argparse.ArgumentParser, words: Sequence[str]) -> argparse.Namespace:
    parser.add_argument(
        "--teacher", metavar="NAME", nargs="+", action="extend", help="dlib-face, or run folders, model folders or names of shipped models"
    )
    parser.add_argument("--unlabelled", metavar="FOLDER", help="learn from every image below this folder, in place of a data set")
    parser.add_argument("--resume", metavar="RUN", type=Path, help="go on with this run folder; takes no other setting")
    parser.add_argument("-q", "--quiet", action="store_true", help="show nothing but errors")
    add_fields(parser, DistillOptions, skip=("teacher",))
    add_fields(parser, TrainConfig, skip=(*NOT_OFFERED, "unlabelled"), defaults=DEFAULTS)
    args = parser.parse_args(words)
    given = {name: value for name, value in vars(args).items() if name not in ("resume", "quiet") and value is not None}
    if args.resume is not None:
        if given:
            raise ConfigError(f"--resume takes the settings of {args.resume}; leave out the others.")
        return args
    own = {field.name for field in dataclasses.fields(DistillOptions)}
    if words or args.teacher:
        options = DistillOptions(**{name: value for name, value in given.items() if name in own})
        args.settings = make_config({name: value for name, value in given.items() if name not in own}, options)
        check_idle(args.settings, given)
    return args


def run(args: argparse.Namespace) -> int:
    if args.resume is None and not hasattr(args, "settings"):
        DistillOptions()  # says that a teacher is missing
    from rich.console import Console

    from evenface.distill.run import distill, resume

    console = None if args.quiet else Console()
    command = ["evenface", *sys.argv[1:]]
    if args.resume is not None:
        result = resume(args.resume, command=command, console=console)
    else:
        result = distill(args.settings, command=command, console=console)
    if console is not None and os.environ.get("RANK", "0") == "0":
        from evenface.training.config import load_config

        config = load_config(result.folder / "config.yaml")
        on = "" if config.unlabelled is None else " --dataset NAME --data-dir DIR"
        where = shlex.quote(str(result.folder))
        start, score = f"train --model {config.model} --init {where}", f"evaluate {where} --split test{on}"
        then = score if result.by == "agreement" else start
        best = f"{result.by.replace('_', ' ')} {100 * result.best:.1f} %"
        console.print(
            f"best      epoch {result.best_epoch}: {best} on faces held out\nnext      evenface {then}",
            highlight=False,
            soft_wrap=True,
            markup=False,
        )
    return 0
