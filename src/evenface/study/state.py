"""Where a run of a study stands, read off its folder, so that nothing but the folders has to be kept."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import json
from pathlib import Path

from evenface.errors import ConfigError
from evenface.evaluation.records import Scoring
from evenface.runs.find import is_scored
from evenface.study.plan import Run, matter
from evenface.training import checkpoint
from evenface.training.config import PLACED, load_config
from evenface.zoo import KEPT


@dataclasses.dataclass(frozen=True)
class State:
    """How far a run has come.

    Attributes:
        epochs: finished ones.
        of: epochs that it will make.
        begun: there is a state to go on from.
        scored: its best model has the scores that are asked for.
    """

    epochs: int
    of: int
    begun: bool
    scored: bool

    @property
    def trained(self) -> bool:
        return self.epochs >= self.of

    @property
    def done(self) -> bool:
        return self.trained and self.scored

    def __str__(self) -> str:
        if self.done:
            return "done"
        if self.trained:
            return "trained, not scored"
        return f"stopped in epoch {self.epochs + 1} of {self.of}" if self.begun else "to do"


def state_of(run: Run, scoring: Scoring) -> State:
    """The state of a run.

    Raises:
        ConfigError: its folder was trained with other settings.
    """
    folder = run.folder
    if not (folder / "config.yaml").is_file():
        return State(0, run.config.epochs, False, False)
    _check_settings(run)
    epochs = finished_epochs(folder)
    # The state is not asked: it is large, and may be deleted once the run is finished.
    return State(epochs, run.config.epochs, (folder / "last.ckpt").is_file() or epochs > 0, is_scored(folder, *scoring))


def minutes(folder: Path) -> float | None:
    """How long a run was trained, stops left out; None where that is not known any more."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        spent = json.loads((folder / KEPT).read_text(encoding="utf-8"))["minutes"]
        return None if spent is None else float(spent)
    return checkpoint.minutes(folder)


def finished_epochs(folder: Path) -> int:
    """Rows of log.csv, which is written after the best model and before the state."""
    file = folder / "log.csv"
    if not file.is_file():
        return 0
    text = file.read_text(encoding="utf-8", errors="replace")  # of a damaged one the rows still count
    return len(list(csv.DictReader(text.splitlines())))


def _check_settings(run: Run) -> None:
    """The settings that the folder's hash stands for are those it was trained with, also where a default has changed since. The hash is
    of a path as the recipe writes it, so that a study may be moved with what lies beside it.
    """
    was, now = matter(load_config(run.folder / "config.yaml")), matter(run.config)
    for name in now:
        moved = name in PLACED and was[name] and now[name] and Path(was[name]).name == Path(now[name]).name
        if was[name] != now[name] and not moved and not (name == "init" and run.after is not None):
            raise ConfigError(
                f"{run.folder} was trained with {name} {was[name]!r}, and the recipe now means {now[name]!r}; "
                "move that folder away to train it anew."
            )
