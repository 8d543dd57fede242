"""Many runs in processes, played by a script: their order, and that a stop or a failure costs only what it must."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evenface.study import Task, plan, run_locally
from evenface.study.local import WORKER
from evenface.study.schedule import Stopped

from .conftest import recipe_of


PLAYER = """
import json, os, pathlib, signal, sys, time
task = json.load(sys.stdin)
config = task["config"]
folder = pathlib.Path(config["output"])
name, _, _ = folder.name.partition("-")
events = (folder.parent / "events").open("a", buffering=1)
events.write(f"begin {name} {os.environ.get('OMP_NUM_THREADS')}\\n")
folder.mkdir(exist_ok=True)
(folder / "config.yaml").write_text(json.dumps(config))
print("at work on", name, flush=True)
does = pathlib.Path(config["unlabelled"] or "").name
if does == "fails":
    sys.exit("no luck today")
if does == "dies":
    os.kill(os.getpid(), signal.SIGKILL)
if does == "waits" and not (folder / "last.ckpt").exists():
    def leave(*_):
        (folder / "last.ckpt").write_text("saved")
        events.write(f"saved {name}\\n")
        sys.exit("Stopped by SIGTERM")
    signal.signal(signal.SIGTERM, leave)
    events.write(f"ready {name}\\n")
    time.sleep(60)
time.sleep(0.2)
(folder / "best").mkdir(exist_ok=True)
(folder / "log.csv").write_text("epoch\\n" + "1\\n" * config["epochs"])
for file in ("best/config.json", "metrics-test.json"):
    (folder / file).write_text('{"epoch": 1}')
(folder / "predictions-test.parquet").touch()
(folder / "last.ckpt").touch()
events.write(f"end {name}\\n")
"""


@pytest.fixture
def play(tmp_path: Path) -> Callable[..., dict[str, str]]:
    """Runs a recipe of `name: what happens`; gives the failures."""
    script = tmp_path / "player.py"
    script.write_text(PLAYER)

    def run(runs: dict[str, Any], **options: Any) -> dict[str, str]:
        settings = {name: ({"unlabelled": each} if isinstance(each, str) else each) for name, each in runs.items()}
        planned = plan(recipe_of(tmp_path, base={"epochs": 2}, runs=settings))
        return run_locally(planned, Task(), worker=(sys.executable, "-I", str(script)), **options)

    return run


def events(tmp_path: Path) -> list[str]:
    """What the runs did, in order, without the threads."""
    return [" ".join(line.split()[:2]) for line in (tmp_path / "runs" / "events").read_text().splitlines()]


def only(tmp_path: Path, pattern: str) -> Path:
    (path,) = (tmp_path / "runs").glob(pattern)
    return path


def test_runs_go_one_after_the_other_and_what_they_wait_for_first(play: Any, tmp_path: Path) -> None:
    said: list[str] = []
    assert play({"late": {"after": "first"}, "first": {}, "other": {}}, say=said.append) == {}
    assert events(tmp_path) == [f"{what} {name}" for name in ("first", "late", "other") for what in ("begin", "end")]
    assert only(tmp_path, "first-*/study.log").read_text() == "at work on first\n"
    assert not list((tmp_path / "runs").glob("*.log"))
    assert [line.split(",")[0] for line in said] == [
        line for i, name in enumerate(("first", "late", "other"), 1) for line in (f"[{i}/3] {name} s0: starts", f"        {name} s0: done")
    ]
    assert play({"late": {"after": "first"}, "first": {}, "other": {}, "new": {"lr": 0.5}}) == {}
    assert events(tmp_path)[6:] == ["begin new", "end new"]  # the others are there


def test_side_by_side_they_share_the_cores(play: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("evenface.study.local.cores", lambda: 7)
    assert play({"a": {}, "b": {}, "late": {"after": "a"}}, jobs=3) == {}
    lines = (tmp_path / "runs" / "events").read_text().splitlines()
    assert sorted(lines[:2]) == ["begin a 2", "begin b 2"]  # both before either ends; 7 cores for 3
    assert lines.index("begin late 2") > lines.index("end a")
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert play({"c": {"lr": 0.5}}, jobs=3) == {}
    assert "begin c 5" in (tmp_path / "runs" / "events").read_text()  # the user's wish


def test_one_that_fails_does_not_stop_the_others(play: Any, tmp_path: Path) -> None:
    failed = play({"bad": "fails", "good": {}, "dead": "dies", "late": {"after": "bad"}})
    assert failed["bad s0"] == f"no luck today ({only(tmp_path, 'bad-*/study.log')})"
    assert failed["dead s0"].startswith("killed by SIGKILL (")
    assert failed["late s0"].startswith("bad-s0-")
    assert failed["late s0"].endswith(", which it starts from, did not come to its end")
    assert set(failed) == {"bad s0", "dead s0", "late s0"}
    assert events(tmp_path) == ["begin bad", "begin good", "end good", "begin dead"]
    # What was killed before its first state starts anew; its log goes on.
    assert set(play({"bad": "fails", "good": {}, "dead": "dies"})) == {"bad s0", "dead s0"}
    assert only(tmp_path, "bad-*/study.log").read_text() == "at work on bad\nno luck today\n" * 2


def interrupt_when(path: Path, text: str, number: int) -> threading.Thread:
    """Sends this process a signal as soon as the file holds the text."""

    def watch() -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and not (path.exists() and text in path.read_text()):
            time.sleep(0.02)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


@pytest.mark.parametrize(("known", "name"), [("SIGINT", "Ctrl-C"), ("SIGTERM", "SIGTERM"), ("SIGHUP", "SIGHUP")])
def test_a_stop_lets_the_processes_save_and_starts_no_other(known: str, name: str, play: Any, tmp_path: Path) -> None:
    number = getattr(signal, known, None)
    handler = signal.SIG_IGN if number is None else signal.getsignal(number)
    if number is None or handler is signal.SIG_IGN:
        pytest.skip(f"nobody is told by {known} here: no such signal, or `nohup`")
    thread = interrupt_when(tmp_path / "runs" / "events", "ready long", number)
    with pytest.raises(Stopped, match=f"Stopped by {name}: 1 of 3 runs are done; the same command goes on") as caught:
        play({"short": {}, "long": "waits", "later": {}})
    thread.join()
    assert caught.value.failed == {}
    assert signal.getsignal(number) is handler
    assert events(tmp_path) == ["begin short", "end short", "begin long", "ready long", "saved long"]
    said: list[str] = []
    assert play({"short": {}, "long": "waits", "later": {}}, say=said.append) == {}
    assert said[0].startswith("[1/2] long s0: goes on")
    assert events(tmp_path)[5:] == ["begin long", "end long", "begin later", "end later"]


def test_modules_in_the_working_folder_are_not_taken_for_others(tmp_path: Path) -> None:
    (tmp_path / "random.py").write_text("raise SystemExit('mine')")
    words = [*WORKER[:-2], "-c", "import random, evenface.study; print(random.randint(3, 3))"]
    assert subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False).stdout == "3\n"


def test_what_failed_before_a_stop_is_told(play: Any, tmp_path: Path) -> None:
    thread = interrupt_when(tmp_path / "runs" / "events", "ready long", signal.SIGTERM)
    with pytest.raises(Stopped, match=r"goes on with the study\. bad s0 failed: no luck today .*study\.log\)\.$") as caught:
        play({"bad": "fails", "long": "waits", "later": {}})
    thread.join()
    assert list(caught.value.failed) == ["bad s0"]


def test_whatever_goes_wrong_no_process_is_left_behind(play: Any, tmp_path: Path) -> None:
    def broken(text: str) -> None:
        raise BrokenPipeError(text)  # `evenface study ... | head`

    def broken_later(text: str) -> None:
        if "short" in text and "done" in text:
            raise BrokenPipeError(text)

    with pytest.raises(BrokenPipeError):
        play({"a": {}}, say=broken)
    with pytest.raises(BrokenPipeError):
        play({"short": {}, "long": "waits"}, jobs=2, say=broken_later)
    assert "saved long" in events(tmp_path)  # it was told, and waited for


def test_a_folder_that_was_killed_before_its_first_state_is_made_anew(play: Any, tmp_path: Path) -> None:
    (run,) = plan(recipe_of(tmp_path, base={"epochs": 2}, runs={"a": {}}))
    for name in ("tensorboard", "watched"):
        (run.folder / name).mkdir(parents=True)
    (run.folder / "watched" / "epoch-0000.npz").write_bytes(b"the faces before the first state")
    (run.folder / ".last.ckpt.0123abcd.part").write_bytes(b"half")
    (run.folder / "config.yaml").write_text(run.config.to_yaml())
    assert play({"a": {}}) == {}
    assert not (run.folder / ".last.ckpt.0123abcd.part").exists()
    assert not (run.folder / "watched").exists()


def test_a_run_that_another_process_is_at_is_left_out(play: Any, tmp_path: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    (run,) = plan(recipe_of(tmp_path, base={"epochs": 2}, runs={"a": {}}))
    run.folder.mkdir(parents=True)
    with (run.folder / "study.log").open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert play({"a": {}, "b": {}}) == {"a s0": "another process is at work on it"}
    assert events(tmp_path) == ["begin b", "end b"]
    assert play({"a": {}}) == {}
