"""The console that tables are printed to."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from rich.console import Console

WIDE = 110  # columns, where the output is no terminal that has a width


def console() -> Console:
    """As wide as the terminal; a file or a pipe gets lines that hold a whole table, unless COLUMNS says otherwise."""
    from rich.console import Console

    return Console() if sys.stdout.isatty() or "COLUMNS" in os.environ else Console(width=WIDE)
