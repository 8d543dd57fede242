"""Errors of ours in the log: what kind and where, never what was in the data."""

from __future__ import annotations

import traceback


def describe(error: BaseException) -> str:
    """The type and the lines of code, without the message and the values, which may tell of a picture."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__} at " + " < ".join(f"{frame.filename}:{frame.lineno} {frame.name}" for frame in reversed(frames))
