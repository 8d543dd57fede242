"""The command `evenface`: finds the verb, imports only that one, and turns errors into one line and an exit code.

Each verb is a module of this folder with `add_arguments(parser)` and `run(args) -> exit code`.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import errno
import importlib
import io
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from evenface._version import __version__
from evenface.errors import EvenfaceError


VERBS = {
    "predict": "find faces in photos, folders, films or a webcam, and tell their expressions",
    "train": "train a model on a data set with one of the methods, or resume a run",
    "distill": "teach a backbone or a small model from a teacher, on faces without labels",
    "evaluate": "score a run or a model folder on a split, with an interval on every number",
    "calibrate": "make a model's scores mean what they say: a temperature and a bias per class",
    "compare": "put runs side by side, with a paired test",
    "explain": "show what a model looks at: class maps and Grad-CAM of faces and mirrors, with checks",
    "study": "train and score the runs of a recipe, and put them into one table",
    "report": "write a page of one run or of many: figures, tables, faces, how to reproduce it",
    "reported": "the tables of the paper as printed, and which of their numbers add up",
    "export": "make a model an ONNX, OpenVINO or torch.export file, compared with the model before it is kept",
    "serve": "answer over HTTP: a REST interface, a web page, metrics",
    "methods": "list the training methods and their options",
    "data": "data sets: stats, audit (what is wrong with them), prepare (cut faces out of pictures), subset, sheet",
    "models": "list the models that can be had by name, and fetch them",
    "doctor": "check this machine and its packages",
}

OWN_SIGNALS = ("train", "distill", "study", "serve")  # verbs that end in a way of their own when they are terminated
TRAINS = ("train", "distill", "study")  # verbs that go on where the reader of their output has gone
TERMINATED = 128 + 15  # exit code, as shells have it for what SIGTERM has ended

EPILOG = """\
first steps:
  evenface predict photo.jpg
  evenface train --dataset synthetic --preset tiny --method ce -o runs/ce
  evenface train --dataset synthetic --preset tiny --method rbcf -o runs/rbcf
  evenface evaluate runs/ce --split test
  evenface evaluate runs/rbcf --split test
  evenface compare runs/ce runs/rbcf
"""


class Parser(argparse.ArgumentParser):
    """argparse with one clear line on wrong usage, and the nearest spelling of an unknown flag.

    Attributes:
        explain: what a verb knows of a flag that it has not, as the rest of a sentence; None where it knows nothing.
    """

    explain: Callable[[str], str | None] = staticmethod(lambda flag: None)

    def error(self, message: str) -> NoReturn:
        unknown = message.partition("unrecognized arguments: ")[2].split()
        if unknown and unknown[0].startswith("-"):
            flag = unknown[0].split("=")[0]
            close = difflib.get_close_matches(flag, list(_flags(self)), n=1)
            meant = f"did you mean {close[0]}?" if close else f"`{self.prog} --help` lists them."
            message = f"Unknown flag {unknown[0]}; {self.explain(flag) or meant}"
        self.exit(2, f"{self.prog}: {message}\n")


def _flags(parser: argparse.ArgumentParser) -> Iterator[str]:
    """The flags of a parser and of the verbs below it."""
    for action in parser._actions:
        yield from action.option_strings
        if isinstance(action, argparse._SubParsersAction):
            for verb in action.choices.values():
                yield from _flags(verb)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns 0 done, 1 failed, 2 wrong usage, 143 terminated by SIGTERM."""
    words = list(sys.argv[1:] if argv is None else argv)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever called: what would be told is told to nobody
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115  # to the end
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")  # a name that this terminal or pipe cannot show must not end the work
    try:
        try:
            code = _verb(words) if words and words[0] in VERBS else _top(words)
        except SystemExit as done:  # argparse's way out, and rich's where the reader has gone
            code = 0 if isinstance(done.__context__, BrokenPipeError) else int(done.code or 0)
        sys.stdout.flush()  # a reader that has gone is noticed here, not while Python shuts down
    except BrokenPipeError:  # the reader (head, less) has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


def _verb(words: Sequence[str]) -> int:
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    module = importlib.import_module(f"evenface.cli.{words[0]}")
    parser = Parser(
        prog=f"evenface {words[0]}", description=module.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    came: list[int] = []
    try:
        if hasattr(module, "parse"):  # a verb whose flags depend on other flags
            args = module.parse(parser, words[1:])
        else:
            module.add_arguments(parser)
            args = parser.parse_args(words[1:])
        with (
            contextlib.nullcontext() if words[0] in OWN_SIGNALS else _sigterm_as_ctrl_c(came),
            _lasting_output() if words[0] in TRAINS else contextlib.nullcontext(),
        ):
            code = int(module.run(args))
    except EvenfaceError as error:
        print(f"evenface {words[0]}: {error}", file=sys.stderr)
        code = error.exit_code
    except BrokenPipeError:
        raise
    except OSError as error:  # a folder that may not be written to, a file in the place of a folder
        where = f": {error.filename}" if error.filename else ""
        print(f"evenface {words[0]}: {error.strerror or error}{where}", file=sys.stderr)
        code = 1
    except KeyboardInterrupt:
        print(f"evenface {words[0]}: stopped.", file=sys.stderr)
        code = 1
    return TERMINATED if came else code


class _Lasting(io.FileIO):
    """A file whose reader (head, a connection) may go: what follows is thrown away."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data) or 0
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.EIO):  # EIO: the terminal has gone
                raise
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())
            return len(memoryview(data).cast("B"))


@contextlib.contextmanager
def _lasting_output() -> Iterator[None]:
    """Within, hours of work do not end because nobody reads standard output any more."""
    before = sys.stdout
    try:
        number = before.fileno()
    except (OSError, ValueError, AttributeError):  # somebody else's
        yield
        return
    before.flush()
    raw = io.BufferedWriter(_Lasting(number, "w", closefd=False))
    sys.stdout = io.TextIOWrapper(raw, before.encoding, before.errors, line_buffering=before.isatty())
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stdout = before


@contextlib.contextmanager
def _sigterm_as_ctrl_c(came: list[int]) -> Iterator[None]:
    """Within, SIGTERM ends the work as Ctrl-C does, and stands in `came`; not where somebody else handles it, nor in a thread."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    ours = os.getpid()

    def stop(number: int, frame: FrameType | None) -> None:
        if os.getpid() != ours:  # a worker that was forked from here is ended at once, as ever
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        came.append(number)
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _top(words: Sequence[str]) -> int:
    parser = Parser(prog="evenface", description="Facial expression recognition that stays good on the rare expressions.", epilog=EPILOG,
                    formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("-V", "--version", action="version", version=f"evenface {__version__}")
    verbs = parser.add_subparsers(metavar="VERB", title="verbs")
    for name, text in VERBS.items():
        verbs.add_parser(name, help=text)
    if words and not words[0].startswith("-"):
        close = difflib.get_close_matches(words[0], VERBS, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"verbs are: {', '.join(VERBS)}."
        print(f"evenface: Unknown verb '{words[0]}'; {hint}", file=sys.stderr)
        return 2
    parser.parse_args(words)
    parser.print_help()
    return 0
