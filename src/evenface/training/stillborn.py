"""What a training leaves that ended before its first state was saved: a folder with nothing to go on from.

This module imports no torch.
"""

from __future__ import annotations

import shutil
from pathlib import Path


_MADE_BEFORE = {"config.yaml", "environment.json", "study.log", "tensorboard", "watched"}


def is_stillborn(folder: Path) -> bool:
    """Whether a folder holds no more than a run does before its first state."""
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    being_written = {name for name in names if name.startswith(".") and name.endswith(".part")}
    return bool(names) and names - being_written <= _MADE_BEFORE


def may_be_cleared(folder: Path) -> bool:
    """Whether that is so and the folder tells that a training made it: a lone `config.yaml` may be a person's."""
    return is_stillborn(folder) and (folder / "environment.json").is_file()


def clear(folder: Path) -> None:
    """Removes what such a training left, but not the log that a study keeps of it; only for whoever holds the folder."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != "study.log":
            path.unlink()
