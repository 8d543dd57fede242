"""The console that tables are printed to."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from rich.console import Console

WIDE = 110  # columns, where the output is no terminal that has a width


def console() -> Console:
    """As wide as the terminal; a file or a pipe gets lines that hold a whole table, unless COLUMNS says otherwise."""
    from rich.console import Console

    return Console() if sys.stdout.isatty() or "COLUMNS" in os.environ else Console(width=WIDE)


@contextlib.contextmanager
def progress_bar(out: Console, what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar that goes away at its end, and only on a terminal; gives what is to be called with (done, all)."""
    from rich.progress import Progress

    with Progress(console=out, transient=True, disable=not out.is_terminal) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
