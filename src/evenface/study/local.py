"""The runs of a study as processes on this machine, some at a time.

Each process writes what it says to `study.log` in its run folder, and holds a lock on that file as long as it lives: a second study, or
one that was started anew while a process of a killed one still works, leaves that run alone.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import IO

from evenface.errors import ConfigError, TrainingError
from evenface.study.plan import Run
from evenface.study.state import minutes, state_of
from evenface.study.work import Task


WORKER = (sys.executable, "-m", "evenface.study")
_PAUSE = 0.1  # seconds between two looks at the processes


@dataclasses.dataclass
class _Working:
    """A process at work on a run."""

    run: Run
    process: subprocess.Popen[bytes]
    log: IO[bytes]
    told: int = 0  # how often it was told to stop


def run_locally(
    runs: Sequence[Run],
    task: Task,
    *,
    jobs: int = 1,
    say: Callable[[str], None] = lambda text: None,
    worker: Sequence[str] = WORKER,
) -> dict[str, str]:
    """Brings all runs to their end that are not there yet, `jobs` at a time, each with its share of the cores.

    Args:
        say: takes a line of news.
        worker: the command of a process; it is given config, split, tta and command as JSON on its standard input.

    Returns:
        The runs that failed, as text, and why; the others went on.

    Raises:
        TrainingError: Ctrl-C or SIGTERM; the processes were told too, have saved their states and left.
        ConfigError: a run folder with other settings.
    """
    states = {run.folder: state_of(run, task.split, task.tta) for run in runs}
    waiting = [run for run in runs if not states[run.folder].done]
    working: list[_Working] = []
    failed: dict[Path, str] = {}
    number, total = 0, len(waiting)
    with _signals() as came, _ended(working):
        while working or (waiting and not came):
            for run in list(waiting):
                if came or len(working) >= jobs:
                    break
                if run.after is None or run.after not in states or states[run.after].trained:
                    waiting.remove(run)
                    number += 1
                    found = _start(run, task, worker, _environment(jobs))
                    if found is None:
                        failed[run.folder] = "another process is at work on it"
                        say(f"[{number}/{total}] {run}: left out, since another process is at work on it")
                    else:
                        working.append(found)
                        say(f"[{number}/{total}] {run}: {'goes on' if states[run.folder].begun else 'starts'}, {_log(run.folder)}")
                elif run.after in failed:
                    waiting.remove(run)
                    failed[run.folder] = f"{run.after.name}, which it starts from, did not come to its end"
                    say(f"        {run}: left out, since {failed[run.folder]}")
            time.sleep(_PAUSE)
            for each in list(working):
                ended = each.process.poll() is not None
                _house(each)
                if not ended:
                    _tell(each, len(came))
                    continue
                working.remove(each)
                each.log.close()
                run = each.run
                try:
                    states[run.folder] = state_of(run, task.split, task.tta)
                except ConfigError as error:
                    failed[run.folder] = str(error)
                    say(f"        {run}: failed; {error}")
                    continue
                if each.process.returncode == 0 and states[run.folder].done:
                    say(f"        {run}: done{_took(run.folder)}")
                elif not came:
                    failed[run.folder] = _reason(each)
                    say(f"        {run}: failed; {failed[run.folder]}")
    if came:
        done = sum(state.done for state in states.values())
        raise TrainingError(f"Stopped by {came[0]}: {done} of {len(states)} runs are done, those at work can be gone on with.")
    return {str(run): failed[run.folder] for run in runs if run.folder in failed}


@contextlib.contextmanager
def _ended(working: list[_Working]) -> Iterator[None]:
    """Whatever goes wrong here, no process is left behind: each is told to save and waited for."""
    try:
        yield
    finally:
        for each in working:
            each.process.terminate()
        for each in working:
            each.process.wait()
            each.log.close()


def _start(run: Run, task: Task, worker: Sequence[str], environment: Mapping[str, str]) -> _Working | None:
    """A process for the run, or None where another one has it."""
    path = _log(run.folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    log = path.open("ab")
    if not _locked(log):
        log.close()
        return None
    _clear_stillborn(run.folder)
    group = 0 if os.name == "posix" else None  # one of its own: Ctrl-C comes from us
    process = subprocess.Popen(worker, stdin=subprocess.PIPE, stdout=log, stderr=log, env=dict(environment), process_group=group)
    assert process.stdin is not None, "asked for"
    with contextlib.suppress(BrokenPipeError), process.stdin as pipe:
        pipe.write(json.dumps({"config": dataclasses.asdict(run.config), **dataclasses.asdict(task)}).encode())
    return _Working(run, process, log)


def _environment(jobs: int) -> dict[str, str]:
    """Shares the cores out, unless the user has done so; one process alone takes what torch takes."""
    found = dict(os.environ, PYTHONUNBUFFERED="1")
    if jobs > 1 and "OMP_NUM_THREADS" not in found:
        found["OMP_NUM_THREADS"] = str(max(1, cores() // jobs))
    return found


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# -------------------- the log


def _log(folder: Path) -> Path:
    """In the run folder; beside it, until the training has made that (`train` refuses a folder that holds something)."""
    inside, beside = folder / "study.log", folder.with_name(f"{folder.name}.log")
    return inside if inside.exists() or (folder.is_dir() and not beside.exists()) else beside


def _house(each: _Working) -> None:
    """Moves the log into the run folder as soon as the training has made it; the process goes on writing to it."""
    folder = each.run.folder
    beside = folder.with_name(f"{folder.name}.log")
    if beside.exists() and (folder / "config.yaml").is_file() and not (folder / "study.log").exists():
        with contextlib.suppress(OSError):  # some systems move no open file
            beside.rename(folder / "study.log")


def _clear_stillborn(folder: Path) -> None:
    """Removes the folder of a run that was killed between its making and its first state: it holds nothing to go on from."""
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    parts = {name for name in names if name.startswith(".") and name.endswith(".part")}  # files that were being written
    if names and names - parts <= {"config.yaml", "environment.json", "study.log", "tensorboard"}:
        if "study.log" in names:
            (folder / "study.log").rename(folder.with_name(f"{folder.name}.log"))
        shutil.rmtree(folder)


def _locked(file: IO[bytes]) -> bool:
    """Whether the file could be locked for whoever holds it open; processes that are given it as their output hold it too."""
    try:
        import fcntl
    except ImportError:  # Windows: nobody is kept out
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _reason(each: _Working) -> str:
    """The last line that the process left, and where the others stand."""
    path = _log(each.run.folder)
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    code = each.process.returncode
    how = f"killed by {signal.Signals(-code).name}" if code < 0 else last or f"it left with the code {code}"
    return f"{how} ({path})"


# -------------------- words and signals


def _took(folder: Path) -> str:
    spent = minutes(folder)
    return "" if spent is None else f", {spent:.1f} minutes of training"


def _tell(each: _Working, times: int) -> None:
    """Hands on the wishes to stop that came since the last time."""
    if times > each.told:
        each.process.send_signal(signal.SIGTERM)
        each.told = times


@contextlib.contextmanager
def _signals() -> Iterator[list[str]]:
    """Gathers Ctrl-C and SIGTERM, by name, in place of dying of them."""
    came: list[str] = []
    if threading.current_thread() is not threading.main_thread():
        yield came
        return

    def note(number: int, frame: FrameType | None) -> None:
        came.append("Ctrl-C" if number == signal.SIGINT else "SIGTERM")

    before = {s: signal.getsignal(s) or signal.SIG_DFL for s in (signal.SIGINT, signal.SIGTERM)}
    for s in before:
        signal.signal(s, note)
    try:
        yield came
    finally:
        for s, handler in before.items():
            signal.signal(s, handler)
