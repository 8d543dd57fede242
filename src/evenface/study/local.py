"""The runs of a study as processes on this machine, some at a time.

failed = run_locally(plan(recipe), Task(recipe.scoring), jobs=2, say=print)
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import evenface
from evenface.study.log import last_line, log_of, open_log
from evenface.study.plan import Run
from evenface.study.schedule import GiveUp, Say, bring_to_end
from evenface.study.work import Task


# With -P what lies in the working folder, such as somebody's random.py, is not taken for a module; but where evenface itself lies there.
WORKER = (sys.executable, *([] if Path(evenface.__file__).parents[1].samefile(".") else ["-P"]), "-m", "evenface.study")


def run_locally(
    runs: Sequence[Run],
    task: Task,
    *,
    jobs: int = 1,
    say: Say = lambda text: None,
    give_up: GiveUp = lambda run: None,
    worker: Sequence[str] = WORKER,
) -> dict[str, str]:
    """Brings all runs to their end that are not there yet, `jobs` at a time, each with its share of the cores.

    Args:
        say, give_up: see `bring_to_end`.
        worker: the command of a process; it is given config, scoring and command as JSON on its standard input.

    Returns:
        The runs that failed, as text, and why; the others went on.

    Raises:
        TrainingError, ConfigError: as `bring_to_end`.
    """
    return bring_to_end(runs, task, _Processes(task, jobs, worker), say=say, give_up=give_up)


class _Processes:
    """Starts a process per run."""

    def __init__(self, task: Task, jobs: int, worker: Sequence[str]) -> None:
        self.room = jobs
        self._task, self._worker = task, worker

    def start(self, run: Run) -> _Process | None:
        log = open_log(run.folder)
        if log is None:
            return None
        group = 0 if os.name == "posix" else None  # one of its own: Ctrl-C comes from us
        process = subprocess.Popen(
            self._worker, stdin=subprocess.PIPE, stdout=log, stderr=log, env=_environment(self.room), process_group=group
        )
        assert process.stdin is not None, "asked for"
        with contextlib.suppress(BrokenPipeError), process.stdin as pipe:
            pipe.write(json.dumps({"config": dataclasses.asdict(run.config), **dataclasses.asdict(self._task)}).encode())
        return _Process(run, process, log)


class _Process:
    """A process at work on a run."""

    def __init__(self, run: Run, process: subprocess.Popen[bytes], log: IO[bytes]) -> None:
        self._run, self._process, self._log = run, process, log

    def ended(self) -> bool:
        return self._process.poll() is not None

    def stop(self) -> None:
        self._process.terminate()

    def wait(self) -> None:
        self._process.wait()
        self._log.close()

    def reason(self) -> str | None:
        """The last line that the process left, and where the others stand."""
        code = self._process.returncode
        if code == 0:
            return None
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else last_line(self._run.folder) or f"it left with the code {code}"
        return f"{how} ({log_of(self._run.folder)})"


def _environment(jobs: int) -> dict[str, str]:
    """Shares the cores out, unless the user has done so; one process alone takes what torch takes."""
    found = dict(os.environ, PYTHONUNBUFFERED="1")
    if jobs > 1 and "OMP_NUM_THREADS" not in found:
        found["OMP_NUM_THREADS"] = str(max(1, cores() // jobs))
    return found


def threads_wanted() -> int | None:
    """What OMP_NUM_THREADS says; the first number of a list such as `4,2`, whose others are for nested levels."""
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(first) if first.isdecimal() and int(first) else None


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
