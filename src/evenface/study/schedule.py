"""Which run is trained when: each as soon as there is room and the one that it starts from is there; whatever fails, the others go on.

    failed = bring_to_end(runs, Task(), engine, say=print)

An engine starts trainings: as processes on this machine (`evenface.study.local`), as tasks of a Ray cluster (`evenface.study.cluster`).
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Protocol

from evenface.ending import ending_signals, name_of_signal
from evenface.errors import ConfigError, TrainingError
from evenface.study.log import house_log, log_of
from evenface.study.plan import Run
from evenface.study.state import State, minutes, state_of
from evenface.study.work import Task


_PAUSE = 0.1  # seconds between two looks at the trainings
_LOOK = 2.0  # seconds between two looks at what a training has reached

BUSY = "another process is at work on it"

Say = Callable[[str], None]
GiveUp = Callable[[Run], str | None]


class Job(Protocol):
    """A training that was started."""

    def ended(self) -> bool:
        """Whether it has left, for whatever reason."""

    def stop(self) -> None:
        """Tells it to save and leave."""

    def wait(self) -> None:
        """Until it has left; its files are closed."""

    def reason(self) -> str | None:
        """Why it failed, once it has left; None where it says that it did not."""


class Engine(Protocol):
    """What starts trainings."""

    room: int
    """How many at a time."""

    def start(self, run: Run) -> Job | None:
        """A training of the run; None where another process is at work on it."""


class Stopped(TrainingError):
    """Ctrl-C or SIGTERM before all runs came to their end.

    Attributes:
        failed: the runs that had failed by then, as text, and why.
    """

    def __init__(self, message: str, failed: Mapping[str, str]) -> None:
        super().__init__(message + "".join(f" {run} failed: {reason.removesuffix('.')}." for run, reason in failed.items()))
        self.failed = dict(failed)


def bring_to_end(
    runs: Sequence[Run], task: Task, engine: Engine, *, say: Say = lambda text: None, give_up: GiveUp = lambda run: None
) -> dict[str, str]:
    """Brings all runs to their end that are not there yet.

    Args:
        say: takes a line of news.
        give_up: is asked every two seconds for each run at work whether it should be stopped for good, and why.

    Returns:
        The runs that failed, as text, and why; the others went on. Those that were given up are not among them.

    Raises:
        Stopped: Ctrl-C or SIGTERM; the trainings were told too, have saved their states and left.
        ConfigError: a run folder with other settings.
    """
    states = {run.folder: state_of(run, task.scoring) for run in runs}
    waiting = [run for run in runs if not states[run.folder].done]
    working: dict[Path, tuple[Run, Job]] = {}
    failed: dict[Path, str] = {}
    given_up: dict[Path, str] = {}
    number, total, told, looked = 0, len(waiting), 0, 0.0
    with stop_signals() as came, _ended(working):
        while working or (waiting and not came):
            for run in list(waiting):
                if came or len(working) >= engine.room:
                    break
                if run.after is None or run.after not in states or states[run.after].trained:
                    waiting.remove(run)
                    number += 1
                    job = engine.start(run)
                    if job is None:
                        failed[run.folder] = BUSY
                        say(f"[{number}/{total}] {run}: left out, since {BUSY}")
                    else:
                        working[run.folder] = (run, job)
                        say(f"[{number}/{total}] {run}: {'goes on' if states[run.folder].begun else 'starts'}, {log_of(run.folder)}")
                elif run.after in failed:
                    waiting.remove(run)
                    failed[run.folder] = f"{run.after.name}, which it starts from, did not come to its end"
                    say(f"        {run}: left out, since {failed[run.folder]}")
            time.sleep(_PAUSE)
            if len(came) > told:
                told = len(came)
                for _, job in working.values():
                    job.stop()
            if time.monotonic() - looked > _LOOK and not came:
                looked = time.monotonic()
                for run, job in working.values():
                    why = give_up(run) if run.folder not in given_up else None
                    if why is not None:
                        given_up[run.folder] = why
                        job.stop()
            for run, job in list(working.values()):
                ended = job.ended()
                house_log(run.folder)
                if not ended:
                    continue
                del working[run.folder]
                job.wait()
                reason = job.reason()
                states[run.folder], wrong = _state_after(run, task, states[run.folder])
                if wrong is None and reason is None and not states[run.folder].done and not came and run.folder not in given_up:
                    wrong = f"it left no result in {run.folder}; all machines must see that folder under the same path"
                if wrong is None and states[run.folder].done:
                    say(f"        {run}: done{_took(run.folder)}")
                elif wrong is None and run.folder in given_up:
                    say(f"        {run}: given up, {given_up[run.folder]}")
                elif wrong is not None or not came:
                    failed[run.folder] = wrong or reason or "it came to no end"
                    say(f"        {run}: failed; {failed[run.folder]}")
    reasons = {str(run): failed[run.folder] for run in runs if run.folder in failed}
    if came:
        done = sum(state.done for state in states.values())
        raise Stopped(f"Stopped by {came[0]}: {done} of {len(states)} runs are done; the same command goes on with the study.", reasons)
    return reasons


def _state_after(run: Run, task: Task, before: State) -> tuple[State, str | None]:
    """The state of a run whose training has left, or why it cannot be read."""
    try:
        return state_of(run, task.scoring), None
    except ConfigError as error:
        return before, str(error)


@contextlib.contextmanager
def _ended(working: dict[Path, tuple[Run, Job]]) -> Iterator[None]:
    """Whatever goes wrong here, no training is left behind: each is told to save and waited for."""
    try:
        yield
    finally:
        for _, job in working.values():
            job.stop()
        for _, job in working.values():
            job.wait()


def _took(folder: Path) -> str:
    spent = minutes(folder)
    return "" if spent is None else f", {spent:.1f} minutes of training"


@contextlib.contextmanager
def stop_signals() -> Iterator[list[str]]:
    """Gathers Ctrl-C, SIGTERM and the end of the terminal, by name, in place of dying of them."""
    came: list[str] = []
    if threading.current_thread() is not threading.main_thread():
        yield came
        return

    def note(number: int, frame: FrameType | None) -> None:
        came.append(name_of_signal(number))

    before = {s: signal.getsignal(s) or signal.SIG_DFL for s in ending_signals()}
    for s in before:
        signal.signal(s, note)
    try:
        yield came
    finally:
        for s, handler in before.items():
            signal.signal(s, handler)
