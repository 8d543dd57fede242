"""Results of checks that are finished, kept in the folder of the audit, so that a stopped audit does not begin anew.

A result is taken again only for the same rows and settings: its file names the hash of both.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

from evenface.audit.finding import Finding
from evenface.errors import ConfigError
from evenface.files import write_text


MARK = "audit.json"  # says that a folder is an audit's
CHECKS_FOLDER, PARTS_FOLDER = "checks", "parts"


def require_ours(folder: Path) -> None:
    """Refuses a folder that holds something else.

    Raises:
        ConfigError: it does, or is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file; choose another -o/--output for the audit's folder.")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MARK).is_file():
        raise ConfigError(f"{folder} holds other files; choose a new or empty folder, or one of an earlier audit.")


def key_of(*values: Any) -> str:
    """A short hash of plain values."""
    return hashlib.blake2b(json.dumps(values, sort_keys=True, default=str).encode(), digest_size=8).hexdigest()


def load(folder: Path, check: str, key: str) -> list[Finding] | str | None:
    """A finished result: the findings, or the sentence that says why there are none; None where it is not there or of other data."""
    try:
        told = json.loads((folder / CHECKS_FOLDER / f"{check}.json").read_text(encoding="utf-8"))
        if told["key"] != key:
            return None
        if told["why"] is not None:
            return str(told["why"])
        return [Finding(**{**each, "others": tuple(each["others"])}) for each in told["findings"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def save(folder: Path, check: str, key: str, found: list[Finding] | str) -> None:
    """Keeps a result; see `load`."""
    rows = [] if isinstance(found, str) else [dataclasses.asdict(each) for each in found]
    told = {"key": key, "why": found if isinstance(found, str) else None, "findings": rows}
    write_text(folder / CHECKS_FOLDER / f"{check}.json", json.dumps(told))
