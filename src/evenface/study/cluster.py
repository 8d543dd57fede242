"""The runs of a study as tasks of a Ray cluster (extra `ray`).

    failed = run_on_ray(plan(recipe), Task(recipe.scoring), address="auto", cpus=4, say=print)

All machines must have evenface, and see the run folders and the data under the same paths. A task whose worker dies is tried again and
goes on from the state that it had saved.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from evenface.errors import ConfigError, EvenfaceError, MissingExtra
from evenface.study.local import cores, threads_wanted
from evenface.study.log import house_log, last_line, log_of, open_log
from evenface.study.plan import Run
from evenface.study.schedule import BUSY, GiveUp, Say, bring_to_end
from evenface.study.work import Task, work
from evenface.training.config import TrainConfig


RETRIES = 3
"""How often a run is begun again after its worker died."""


def run_on_ray(
    runs: Sequence[Run],
    task: Task,
    *,
    address: str | None = None,
    jobs: int = 1,
    cpus: int | None = None,
    say: Say = lambda text: None,
    give_up: GiveUp = lambda run: None,
) -> dict[str, str]:
    """Brings all runs to their end that are not there yet, as many at a time as the cluster has room for.

    Args:
        address: of the cluster, as `ray.init` takes it; None is that of RAY_ADDRESS, or one that is started on this machine.
        jobs: trainings on each machine, which share its cores and GPUs out.
        cpus: cores of a run, in place of that.
        say, give_up: see `bring_to_end`.

    Returns:
        The runs that failed, as text, and why.

    Raises:
        MissingExtra: Ray is not installed.
        ConfigError: no cluster at that address, or no machine with so many cores.
        TrainingError: as `bring_to_end`.
    """
    with _cluster(address) as ray:
        engine = _Tasks(ray, task, jobs, cpus, all(run.config.device == "cpu" for run in runs))
        say(f"ray       room for {engine.room} runs at a time, {engine.cpus} cores{_of_gpus(engine.gpus)} each")
        return bring_to_end([_from_anywhere(run) for run in runs], task, engine, say=say, give_up=give_up)


@contextlib.contextmanager
def _cluster(address: str | None) -> Iterator[Any]:
    """Ray, connected; a cluster that was started for us ends with us."""
    try:
        import ray
    except ImportError as error:
        raise MissingExtra("--engine ray", "ray") from error
    if ray.is_initialized():
        yield ray
        return
    given = address or os.environ.get("RAY_ADDRESS")
    hint = f"There is no Ray cluster at '{given}'; start one with: ray start --head"
    if given and not _answers(given):
        raise ConfigError(hint)
    options: dict[str, Any] = {"address": given} if given else {"num_cpus": cores(), "include_dashboard": False}
    try:
        ray.init(log_to_driver=False, logging_level="ERROR", configure_logging=True, **options)
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"{hint} ({reason})" if given else f"Ray does not start: {reason}") from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _answers(address: str) -> bool:
    """Whether anything listens there; Ray itself would try for minutes. A name such as "auto" is left to Ray."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdigit():
        return True
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except OSError:
        return False
    return True


def _of_gpus(share: float) -> str:
    return f" and {share:g} GPU" if share else ""


def _from_anywhere(run: Run) -> Run:
    """With a whole path to its folder, for a worker starts in another folder."""
    after = None if run.after is None else run.after.resolve()
    return dataclasses.replace(run, config=dataclasses.replace(run.config, output=str(run.folder.resolve())), after=after)


class _Tasks:
    """Starts a task of the cluster per run."""

    def __init__(self, ray: Any, task: Task, jobs: int, cpus: int | None, cpu_only: bool) -> None:
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        machines = [(int(node.get("CPU", 0)), node.get("GPU", 0.0)) for node in nodes]
        self.cpus = cpus or max(1, max(count for count, _ in machines) // jobs)
        self.gpus = 0.0 if cpu_only or not any(count for _, count in machines) else min(1.0, max(count for _, count in machines) / jobs)
        rooms = [min(count // self.cpus, int(gpus / self.gpus) if self.gpus else count) for count, gpus in machines]
        self.room = sum(rooms)
        if not self.room:
            raise ConfigError(f"No machine of the cluster has {self.cpus} cores; give --cpus-per-run a smaller number.")
        self._ray, self._task = ray, task
        # A process of its own for each run, as on one machine: nothing of a training is left over for the next.
        self._train = ray.remote(max_calls=1, max_retries=RETRIES, num_cpus=self.cpus, num_gpus=self.gpus)(train_here)

    def start(self, run: Run) -> _Job:
        threads = threads_wanted() or self.cpus
        task = self._train.options(name=str(run)).remote(dataclasses.asdict(run.config), dataclasses.asdict(self._task), threads)
        return _Job(self._ray, run, task)


class _Job:
    """A task at work on a run."""

    def __init__(self, ray: Any, run: Run, task: Any) -> None:
        self._ray, self._run, self._task = ray, run, task

    def ended(self) -> bool:
        done, _ = self._ray.wait([self._task], timeout=0)
        return bool(done)

    def stop(self) -> None:
        self._ray.cancel(self._task)  # as Ctrl-C, to the worker's process

    def wait(self) -> None:
        self._ray.wait([self._task])

    def reason(self) -> str | None:
        """What the task gave, or how its worker died."""
        errors = self._ray.exceptions
        try:
            found: str | None = self._ray.get(self._task)
        except errors.TaskCancelledError:
            return "it was stopped"
        except errors.RayError as error:
            died = isinstance(error, errors.WorkerCrashedError | errors.NodeDiedError | errors.OutOfMemoryError)
            how = f"its worker died {RETRIES + 1} times" if died else str(error).splitlines()[-1]
            found = f"{how}; last said: {last_line(self._run.folder) or 'nothing'}"
        return None if found is None else f"{found} ({log_of(self._run.folder)})" if found != BUSY else found


# -------------------- on the worker


def train_here(config: Mapping[str, Any], task: Mapping[str, Any], threads: int) -> str | None:
    """One run on the machine of this process; its words go to the run's log.

    Args:
        config, task: the fields of a `TrainConfig` and of a `Task`.
        threads: that torch computes with.

    Returns:
        Why it failed, in one line; None where it did not.
    """
    import torch
    from rich.console import Console

    torch.set_num_threads(threads)
    folder = Path(config["output"])
    log = open_log(folder)
    if log is None:
        return BUSY
    with log, open(log.fileno(), "w", encoding="utf-8", buffering=1, closefd=False) as words:
        failed = _outcome(lambda: work(TrainConfig(**config), Task(**task), Console(file=words, width=140)))
        if failed is not None:
            words.write(f"{failed}\n")
    house_log(folder)
    return None if failed is None else failed.splitlines()[-1]


def _outcome(what: Callable[[], None]) -> str | None:
    """What went wrong; the last line says it in one."""
    try:
        what()
    except EvenfaceError as error:
        first, *more = str(error).splitlines()
        return "\n".join([*more, first])
    except Exception as error:
        return f"{traceback.format_exc().rstrip()}\n{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    return None
