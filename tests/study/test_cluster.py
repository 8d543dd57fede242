"""A study on a Ray cluster: a worker is killed, a stop is obeyed, and the results are those of one machine."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import pytest
import yaml

from evenface.errors import ConfigError, MissingExtra, TrainingError
from evenface.study import Recipe, Run, Scoring, Task, plan, read_recipe, run_locally, state_of
from evenface.study.cluster import _Tasks, run_on_ray, train_here

from ..training.conftest import faces


BEST = Path("best", "model.safetensors")


def recipe_of(folder: Path, **values: object) -> Recipe:
    data = folder / "tiny.parquet"
    if not data.exists():
        faces({"train": 29, "validation": 13, "test": 20}).save(data)
    base = {
        "dataset": "manifest", "data_dir": str(data), "model": "test_resnet", "img_size": 32, "epochs": 2, "batch_size": 8, "device": "cpu",
        "precision": "fp32", "workers": 1,
    }  # fmt: skip
    recipe = {"output": str(folder / "runs"), **values, "base": {**base, **values.get("base", {})}}  # type: ignore[dict-item]
    (folder / "tiny.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    return read_recipe(folder / "tiny.yaml")


def process_of(name: str) -> int | None:
    """The worker of this user that is at a task of that name, as Ray titles it."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes().rstrip(b"\0").decode(errors="replace").startswith(f"ray::{name}"):
                return int(path.parent.name)
        except OSError:
            continue
    return None


def once(condition: Callable[[], bool], then: Callable[[], object]) -> threading.Thread:
    """Does something as soon as something is so."""

    def watch() -> None:
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline:
            if condition():
                then()
                return
            time.sleep(0.02)

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


@pytest.fixture
def cpu_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
    monkeypatch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")


@pytest.mark.slow
@pytest.mark.usefixtures("cpu_threads")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds the worker in /proc")
def test_a_killed_worker_costs_no_result(tmp_path: Path) -> None:
    """Three runs on two workers; the worker of the first is killed by force in the middle: the weights are those of one machine."""
    pytest.importorskip("ray", reason="needs Ray: pip install 'evenface[ray]'")
    first = f"long{os.getpid()}"
    runs = {first: {"epochs": 40}, "eac": {"method": "eac"}, "crt": {"method": "crt", "after": "eac", "epochs": 1}, "bad": {"init": "no"}}
    recipe = recipe_of(tmp_path, runs=runs)
    planned = plan(recipe)
    killed: list[int] = []

    def middle() -> bool:
        log = planned[0].folder / "log.csv"
        return log.is_file() and 3 < len(log.read_text().splitlines()) < 30 and process_of(first) is not None

    def kill() -> None:
        number = process_of(first)
        if number is not None:
            os.kill(number, signal.SIGKILL)
            killed.append(number)

    thread = once(middle, kill)
    said: list[str] = []
    failed = run_on_ray(planned, Task(), jobs=2, cpus=1, say=said.append)
    thread.join()
    assert killed
    assert list(failed) == ["bad s0"]
    assert "no" in failed["bad s0"]
    assert [str(state_of(run, Scoring("test"))) for run in planned[:3]] == ["done"] * 3
    assert "resumed" in (planned[0].folder / "study.log").read_text()
    assert not list((tmp_path / "runs").glob("long*.log"))
    here = plan(recipe, output=tmp_path / "here")
    assert list(run_locally(here[:3], Task())) == []
    for cluster, local in zip(planned[:3], here, strict=False):
        assert (cluster.folder / BEST).read_bytes() == (local.folder / BEST).read_bytes()
        assert (cluster.folder / "predictions-test.parquet").read_bytes() == (local.folder / "predictions-test.parquet").read_bytes()


@pytest.mark.slow
@pytest.mark.usefixtures("cpu_threads")
@pytest.mark.filterwarnings("ignore")
def test_a_stop_saves_what_is_at_work(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="needs Ray: pip install 'evenface[ray]'")
    recipe = recipe_of(tmp_path, runs={"a": {"epochs": 3000}, "b": {}})
    (run, _) = planned = plan(recipe)
    thread = once(lambda: (run.folder / "log.csv").is_file(), lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(TrainingError, match=r"Stopped by Ctrl-C: 0 of 2 runs are done; the same command goes on"):
        run_on_ray(planned, Task(), jobs=1)
    thread.join()
    assert (run.folder / "last.ckpt").is_file()
    assert "the state is saved" in (run.folder / "study.log").read_text()
    assert str(state_of(run, Scoring("test"))).startswith("stopped in epoch")
    with pytest.raises(ConfigError, match="No machine of the cluster has 9999 cores; give --cpus-per-run a smaller number"):
        run_on_ray(planned, Task(), cpus=9999)


@pytest.mark.parametrize(("said", "threads"), [("4,2", 4), ("3", 3), ("", 6), (None, 6)])
def test_the_cores_that_the_user_gives(said: str | None, threads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if said is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", said)
    ray = Mock()
    ray.nodes.return_value = [{"Alive": True, "Resources": {"CPU": 12.0}}]
    (run,) = plan(recipe_of(tmp_path, runs={"a": {}}))
    _Tasks(ray, Task(), 2, None, True).start(run)
    started = ray.remote.return_value.return_value.options.return_value.remote
    assert started.call_args.args[2] == threads


def test_without_ray_the_command_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtra, match=r"--engine ray needs an optional package; install it with: pip install 'evenface\[ray\]'"):
        run_on_ray(plan(recipe_of(tmp_path, runs={"a": {}})), Task())


def test_an_address_where_nothing_listens(tmp_path: Path) -> None:
    """Told at once: Ray itself would try for minutes."""
    pytest.importorskip("ray", reason="needs Ray: pip install 'evenface[ray]'")
    with pytest.raises(ConfigError, match=r"There is no Ray cluster at '127.0.0.1:1'; start one with: ray start --head"):
        run_on_ray(plan(recipe_of(tmp_path, runs={"a": {}})), Task(), address="127.0.0.1:1")


def test_a_task_trains_scores_and_says_so_in_the_log(tmp_path: Path) -> None:
    """What a worker does, in this process."""
    fcntl = pytest.importorskip("fcntl")
    good, bad = plan(recipe_of(tmp_path, runs={"good": {"epochs": 1}, "bad": {"init": "no.pth"}}))

    def task(run: Run) -> str | None:
        return train_here(dataclasses.asdict(run.config), dataclasses.asdict(Task()), 1)

    assert task(good) is None
    assert state_of(good, Scoring("test")).done
    assert "scored    test: mean recall" in (good.folder / "study.log").read_text()
    reason = task(bad)
    assert reason is not None
    assert "no.pth" in reason
    log = next((tmp_path / "runs").glob("bad-*.log"))
    assert log.read_text().splitlines()[-1] == reason
    with log.open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert task(bad) == "another process is at work on it"


def test_importing_a_study_imports_no_ray() -> None:
    code = "import sys, evenface.study, evenface.study.cluster; sys.exit('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
