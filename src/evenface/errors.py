"""Every error that evenface raises on purpose.

    EvenfaceError
    ├── ConfigError        a setting that cannot work: unknown name, bad value        (exit code 2)
    ├── DataError          data that are missing, empty, broken or inconsistent
    │   └── LabelError     a class name that nobody knows, or two sets that disagree
    ├── ModelError         weights, checkpoints and model folders that do not fit
    ├── TrainingError      a run that cannot go on: stopped, or a loss that is not finite
    ├── StorageError       a file that cannot be written: a full disk, no access; what was saved before is whole
    ├── DeviceError        a device or precision that this machine does not have      (exit code 2)
    └── MissingExtra       a feature whose optional dependency is not installed       (exit code 2)

The command line prints the message as one line and leaves with `exit_code`; a traceback is always a bug of ours.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class EvenfaceError(Exception):
    """Base of the tree; the message is one sentence that says what to do."""

    exit_code = 1


class ConfigError(EvenfaceError):
    exit_code = 2


class DataError(EvenfaceError):
    pass


class LabelError(DataError):
    pass


class ModelError(EvenfaceError):
    pass


class TrainingError(EvenfaceError):
    pass


class StorageError(EvenfaceError):
    pass


class DeviceError(EvenfaceError):
    exit_code = 2


class MissingExtra(EvenfaceError):
    """Names the pip command that brings the missing feature."""

    exit_code = 2

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs an optional package; install it with: pip install 'evenface[{extra}]'")


def unknown_name(kind: str, name: object, known: Iterable[str]) -> str:
    """The message for an unknown name: the nearest spelling where there is one, else the whole list."""
    names = sorted(known)
    close = difflib.get_close_matches(str(name), names, n=1, cutoff=0.6)
    hint = f"did you mean '{close[0]}'?" if close else f"known are: {', '.join(names)}."
    return f"Unknown {kind} '{name}'; {hint}"
