"""Brings the runs of a study, or the trials of its search, to their end on the engine that the flags ask for."""

from __future__ import annotations

import argparse
import functools
import shlex
from pathlib import Path
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import Console

    from evenface.study import Recipe, Run


def bring(recipe: Recipe, runs: Sequence[Run], args: argparse.Namespace, out: Console, command: Sequence[str]) -> dict[str, str]:
    """Brings runs to their end, and keeps the answers of each as it is done; those that failed, and why."""
    from evenface.errors import TrainingError
    from evenface.study import Task, state_of
    from evenface.study.kept import keep

    def done() -> int:
        return sum(state_of(each, recipe.scoring).done for each in runs)

    kept = 0

    def news(text: str = "") -> None:
        nonlocal kept
        if text:
            say(out, text)
        if args.keep is not None and (now := done()) > kept:
            keep(runs, args.keep, recipe.scoring)
            kept = now

    if done() == len(runs):
        news()
        return {}
    check_data(runs, recipe.split)
    try:
        return engine(args)(runs, Task(recipe.scoring, command), say=news)
    except TrainingError as error:
        raise TrainingError(f"{error} Go on with: {shlex.join(command)}") from error


def engine(args: argparse.Namespace) -> Callable[..., dict[str, str]]:
    """What brings runs to their end, as the flags want it."""
    from evenface import study

    if args.engine == "local":
        return functools.partial(study.run_locally, jobs=args.jobs)
    from evenface.study.cluster import run_on_ray

    return functools.partial(run_on_ray, jobs=args.jobs, address=args.address, cpus=args.cpus_per_run)


def check_data(runs: Sequence[Run], split: str) -> None:
    """What is wrong with the data, or a start that is not there, is told at once and not by each run."""
    from evenface.errors import ModelError
    from evenface.models.init import dlib_face_file, model_folder_of
    from evenface.study.plan import starts_from_file
    from evenface.training.data import load_manifest

    for run in runs:
        if run.after is not None or not starts_from_file(run.config):
            continue
        start = Path(run.config.init).expanduser()
        if not start.exists():
            raise ModelError(
                f"{run.name} starts from {run.config.init}, which is not here; give your file with --init FILE, "
                "or another start with --init pretrained (ImageNet weights)."
            )
        if model_folder_of(start) is not None and (start / "config.yaml").is_file():
            _require_finished(run.name, start)

    if any(run.after is None and run.config.init == "dlib-face" for run in runs):
        dlib_face_file()
    for each in {(run.config.dataset, run.config.data_dir): run for run in runs}.values():
        load_manifest(each.config).split(split)


def _require_finished(name: str, start: Path) -> None:
    """A run that is trained on would be another start later, under the same name."""
    from evenface.errors import ModelError
    from evenface.study.state import finished_epochs
    from evenface.training.config import load_config
    from evenface.zoo import verb_of

    done, of = finished_epochs(start), load_config(start / "config.yaml").epochs
    if done < of:
        raise ModelError(
            f"{name} starts from {start}, which has finished {done} of {of} epochs; let it end (evenface {verb_of(start)} "
            f"--resume {shlex.quote(str(start))}), or name {start / 'best'} to start from what it has."
        )


def numbers(text: str) -> list[int]:
    """The value of --seeds.

    Raises:
        ConfigError: something else than whole numbers with commas between them.
    """
    from evenface.errors import ConfigError

    try:
        return [int(word) for word in text.split(",")]
    except ValueError:
        raise ConfigError(f"--seeds takes whole numbers with commas between them, such as 0,1,2; not '{text}'.") from None


def say(console: Console, text: str) -> None:
    console.print(text, highlight=False, soft_wrap=True, markup=False)
