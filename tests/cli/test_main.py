"""The front door: help without heavy imports, wrong words, pipes that close, and errors that are no traceback."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any

import pytest

from evenface._version import __version__
from evenface.cli import doctor
from evenface.cli.main import OWN_SIGNALS, TRAINS, VERBS, main
from evenface.errors import ConfigError, DataError


HEAVY = ("torch", "torchvision", "timm", "kornia", "lightning_fabric", "scipy", "pyarrow", "numpy", "PIL", "rich")
PROBE = f"""
import sys
from evenface.cli.main import main
code = main(sys.argv[1:])
print(code, *[name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)
"""


LIGHT = (
    "--help",
    "--version",
    "train --help",
    "evaluate -h",
    "calibrate -h",
    "compare -h",
    "report -h",
    "data stats -h",
    "data sheet -h",
    "methods -h",
    "doctor -h",
)


@pytest.mark.parametrize("words", LIGHT)
def test_help_imports_nothing_heavy(words: str) -> None:
    done = subprocess.run([sys.executable, "-c", PROBE, *words.split()], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr.splitlines()[-1] == "0"


def test_help_and_version(cli: Any) -> None:
    answer = cli("--help")
    assert answer.code == 0
    for verb, text in VERBS.items():
        assert verb in answer.out
        assert text.split(",")[0][:30] in answer.out
    assert cli().out == answer.out
    assert cli("--version").out == f"evenface {__version__}\n"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb: str, cli: Any) -> None:
    answer = cli(verb, "--help")
    assert answer.code == 0
    assert f"usage: evenface {verb}" in answer.out
    assert answer.err == ""


def test_unknown_words(cli: Any) -> None:
    cli("trian").refused(2, "Unknown verb 'trian'", "did you mean 'train'?")
    cli("zzz").refused(2, "verbs are: predict, train")
    cli("--verbose").refused(2, "Unknown flag --verbose")
    cli("train", "--epoch", 3).refused(2, "Unknown flag --epoch", "did you mean --epochs?")
    cli("train", "--lamb=3", "--method", "rbcf").refused(2, "did you mean --lam?")
    cli("train", "--weights", "mean").refused(2, "Unknown flag --weights; it is an option of --method ", "rbc, rbf, rbcf or even.")
    cli("train", "--method", "ce", "--lam=3").refused(2, "Unknown flag --lam=3; it is an option of --method ")
    cli("train", "--zzzzzz").refused(2, "`evenface train --help` lists them")
    cli("train", "extra").refused(2, "unrecognized arguments: extra")
    cli("evaluate").refused(2, "required: RUN")
    cli("data", "stats", "--data-dri", "x", "--dataset", "folder").refused(2, "did you mean --data-dir?")
    cli("data", "stat").refused(2, "'stat'", "stats")
    cli("data").refused(2, "required: VERB")
    cli("evaluate", "x", "--split", "dev").refused(2, "invalid choice: 'dev'")


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], ModuleType]:
    """Makes `evenface doctor` raise."""

    def set_error(error: BaseException) -> ModuleType:
        def run(args: object) -> int:
            raise error

        monkeypatch.setattr(doctor, "run", run)
        return doctor

    return set_error


def test_errors_are_one_line_with_their_code(cli: Any, failing: Callable[[BaseException], ModuleType]) -> None:
    failing(ConfigError("no such setting."))
    cli("doctor").refused(2, "evenface doctor: no such setting.")
    failing(DataError("no such face."))
    cli("doctor").refused(1, "evenface doctor: no such face.")
    failing(PermissionError(13, "Permission denied", "/somewhere/x"))
    cli("doctor").refused(1, "evenface doctor: Permission denied: /somewhere/x")
    failing(KeyboardInterrupt())
    cli("doctor").refused(1, "stopped")


def test_a_bug_is_not_hidden(cli: Any, failing: Callable[[BaseException], ModuleType]) -> None:
    failing(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        cli("doctor")


@pytest.mark.skipif(os.name == "nt", reason="pipes of POSIX")
@pytest.mark.parametrize("words", [["methods"], ["--help"], ["train", "--help"]], ids=" ".join)
def test_a_reader_that_has_gone(words: list[str]) -> None:
    process = subprocess.Popen([sys.executable, "-m", "evenface", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()  # before it has written anything
    complaints = process.stderr.read()
    process.stderr.close()
    assert (process.wait(timeout=60), complaints) == (0, b"")


@pytest.mark.skipif(os.name == "nt", reason="pipes of POSIX")
@pytest.mark.parametrize("gone", ["reader", "terminal"])
@pytest.mark.parametrize("verb", TRAINS)
def test_work_goes_on_where_its_reader_has_gone(
    verb: str, gone: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    done: list[int] = []

    def work(args: object) -> int:
        for step in range(3):
            print("x" * 100_000)
            sys.stdout.flush()
            done.append(step)
        return 0

    module = importlib.import_module(f"evenface.cli.{verb}")
    monkeypatch.setattr(module, "run", work)
    monkeypatch.setattr(module, "parse", lambda parser, words: None, raising=False)
    reads, writes = os.pipe() if gone == "reader" else os.openpty()
    os.close(reads)
    with os.fdopen(writes, "w") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        assert main([verb]) == 0
        assert sys.stdout is pipe
    assert done == [0, 1, 2]


def test_output_that_is_closed(cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert (main(["methods"]), main(["metods"])) == (0, 2)
    for stream in (sys.stdout, sys.stderr):
        stream.close()


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_sigterm_ends_the_work_as_ctrl_c_does(cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    tidied: list[str] = []

    def work(args: object) -> int:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)
        finally:
            tidied.append("up")
        return 0

    monkeypatch.setattr(doctor, "run", work)
    answer = cli("doctor")
    assert (answer.code, answer.err, tidied) == (143, "evenface doctor: stopped.\n", ["up"])
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL

    came: list[int] = []
    former = signal.signal(signal.SIGTERM, lambda number, frame: came.append(number))
    try:
        monkeypatch.setattr(doctor, "run", lambda args: signal.raise_signal(signal.SIGTERM) or 0)
        assert cli("doctor").code == 0  # it is somebody else's
        assert came == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, former)


@pytest.mark.parametrize("verb", OWN_SIGNALS)
def test_verbs_with_handlers_of_their_own_keep_them(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[object] = []
    module = importlib.import_module(f"evenface.cli.{verb}")
    monkeypatch.setattr(module, "run", lambda args: found.append(signal.getsignal(signal.SIGTERM)) or 0)
    monkeypatch.setattr(module, "parse", lambda parser, words: None, raising=False)
    assert main([verb]) == 0
    assert found == [signal.SIG_DFL]


def test_the_command_line_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "run", lambda args: 0)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(main, ["doctor"]).result() == 0


FORKED = """
import multiprocessing, signal, sys, time
from evenface.cli import doctor
from evenface.cli.main import main
def work(args):
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(30,))
    child.start()
    time.sleep(0.3)
    child.terminate()
    child.join()
    print(child.exitcode)
    return 0
doctor.run = work
sys.exit(main(["doctor"]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
def test_a_forked_worker_is_terminated_as_ever() -> None:
    done = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, text=True, timeout=60, check=True)
    assert (done.stdout, done.stderr) == (f"{-signal.SIGTERM}\n", "")
