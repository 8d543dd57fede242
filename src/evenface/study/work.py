"""One run from its settings to its predictions: what is done in every process, wherever it is."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence

from rich.console import Console

from evenface.errors import EvenfaceError
from evenface.evaluation.records import Scoring
from evenface.files import write_text
from evenface.study.state import finished_epochs
from evenface.training.config import TrainConfig, load_config


@dataclasses.dataclass(frozen=True)
class Task:
    """What is to be done with each run.

    Attributes:
        scoring: what it is scored on, and how.
        command: the words of the command line, kept in the run folder.
    """

    scoring: Scoring = dataclasses.field(default_factory=Scoring)
    command: Sequence[str] = ()


def work(config: TrainConfig, task: Task, console: Console | None = None) -> None:
    """Trains the run, or goes on with it, and scores its best model; what is done already is left as it is.

    Raises:
        EvenfaceError: as `evenface.training.run.train` and `evenface.evaluate`.
    """
    from evenface.runs.evaluate import evaluate
    from evenface.training.run import resume, train

    folder = config.folder
    file = folder / "config.yaml"
    if file.is_file() and load_config(file) != config:  # data at another place, another device
        write_text(file, config.to_yaml())
    if (folder / "last.ckpt").is_file():
        resume(folder, command=task.command, console=console)
    elif finished_epochs(folder) < config.epochs:  # else the state was deleted since, as may be
        train(config, command=task.command, console=console)
    found = evaluate(folder, **task.scoring._asdict(), device=config.device, workers=config.workers, command=task.command)
    if console is not None:
        text = f"scored    {task.scoring.stem}: mean recall {100 * found.metrics['mean_recall']:.1f} %"
        console.print(text, highlight=False, soft_wrap=True)


def main() -> int:
    """Works off the config and task that stand as JSON on the standard input; `python -m evenface.study`.

    Exit codes are those of the command line; the last line on standard error says what went wrong.
    """
    task = json.load(sys.stdin)
    try:
        work(TrainConfig(**task["config"]), Task(Scoring(*task["scoring"]), task["command"]), Console(width=140))
    except EvenfaceError as error:
        first, *more = str(error).splitlines()
        print("\n".join([*more, first]), file=sys.stderr)  # such as the tree that was looked for, and last what went wrong
        return error.exit_code
    return 0
