"""The resumable state of a run, `last.ckpt`: written aside, flushed to the disk, then renamed, so that a kill at any
moment leaves a whole one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from evenface.errors import ModelError
from evenface.files import write_aside
from evenface.training.stillborn import is_stillborn


SCHEMA_VERSION = 1


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Tensors, numbers, strings, lists and dicts only, so that it loads with `weights_only=True`."""
    write_aside(path, lambda file: torch.save({"schema_version": SCHEMA_VERSION, **state}, file))


def load_state(path: Path) -> dict[str, Any]:
    """Reads what `save_state` wrote, on the CPU.

    Raises:
        ModelError: there is no such file, it is damaged, or no run state of this version.
    """
    if is_stillborn(path.parent):
        raise ModelError(
            f"There is no {path} to go on from, for nothing was saved before the run ended; start it anew with the same command."
        )
    if not path.exists():
        raise ModelError(f"There is no {path} to resume from; name a run folder that has a last.ckpt, or start the run anew.")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged archive raises whatever its bytes happen to spell
        raise ModelError(f"{path} is damaged and cannot be resumed from ({type(error).__name__}).") from error
    if not isinstance(state, dict) or state.get("schema_version") != SCHEMA_VERSION:
        raise ModelError(f"{path} is not the state of a run that this version of evenface can go on with.")
    return state


def minutes(folder: Path) -> float | None:
    """How long the run in a folder was trained, stops left out; None where its state is no longer there."""
    try:
        saved = torch.load(folder / "last.ckpt", map_location="cpu", weights_only=True, mmap=True)  # reads no weights
        return float(saved["state"]["seconds"]) / 60
    except Exception:  # a damaged archive raises whatever its bytes happen to spell
        return None
