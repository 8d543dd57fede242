"""What a training leaves that ended before its first state was saved: a folder with nothing to go on from.

This module imports no torch.
"""

from __future__ import annotations

from pathlib import Path


_MADE_BEFORE = {"config.yaml", "environment.json", "study.log", "tensorboard", "watched"}


def is_stillborn(folder: Path) -> bool:
    """Whether a folder holds no more than a run does before its first state."""
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    being_written = {name for name in names if name.startswith(".") and name.endswith(".part")}
    return bool(names) and names - being_written <= _MADE_BEFORE
