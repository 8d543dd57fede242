"""Texts that leave this machine name no place on it.

without_places("loaded from /data/nets/a.pth")          # "loaded from a.pth"
without_places({"command": "evenface train --data-dir ../faces"})          # {"command": "evenface train --data-dir DIR"}
"""

from __future__ import annotations

import re
from typing import Any


_PATH = re.compile(r"(?<![\w.:/~])(?:/(?:[^\s/]+/)+|[A-Za-z]:\\(?:[^\s\\]+\\)+)([^\s/\\]+)")
_DATA_DIR = re.compile(r"(--data-dir[ =])(?:'[^']*'|\S+)")


def without_places(value: Any) -> Any:
    """Texts, at any depth, with every absolute path cut down to its last part, and DIR in place of what follows `--data-dir`."""
    if isinstance(value, str):
        return _PATH.sub(r"\1", _DATA_DIR.sub(r"\1DIR", value))
    if isinstance(value, dict):
        return {name: without_places(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [without_places(each) for each in value]
    return value
