"""Where evenface keeps what it may throw away: `EVENFACE_HOME`, by default `evenface` in the user's cache folder."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def cache_folder() -> Path:
    """The cache folder, made when it is not there yet; where it cannot be, whoever writes into it hears why."""
    base = os.environ.get("EVENFACE_HOME")
    folder = Path(base) if base else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "evenface"
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    return folder
