"""Texts that leave this machine name no place on it.

without_places("loaded from /data/nets/a.pth")          # "loaded from a.pth"
without_places({"command": "evenface train --data-dir ../faces"})          # {"command": "evenface train --data-dir DIR"}
"""

from __future__ import annotations

import re
from typing import Any

from evenface.files import printable


_START = r"(?:file://|~\w*/|/|\.\./|\./\.\./|[A-Za-z]:[\\/]|\\\\)"
_NO_PATH = r"(?!/[^\s/]*(?:\s|$))"  # </b> and [1]/[2]
_INNER = r"'\"'\"'"  # an apostrophe within quotation marks, as shlex.join writes it
_QUOTED = re.compile(rf"(['\"]){_START}(?:(?:[^'\"\n]|{_INNER})*[/\\])?((?:[^/\\'\"\n]|{_INNER})+)[/\\]?\1(?!\"'\")")
_FREE = r"(?:(?<![\w.:/~\\])|(?<=\s-\w)|(?<=\w:)(?!//))"  # after a flag without a blank and after `weights:`, not within an address
_PATH = re.compile(rf"{_FREE}{_NO_PATH}{_START}(?:[^\s/\\'\"]*[/\\])*([^\s/\\'\"]+)")
_WHOLE = re.compile(rf"{_START}(?=\S)[^\n]*?([^/\\]+)[/\\]?")
_DATA_DIR = re.compile(r"(--data-dir[ =])(?:'[^'\n]*'|\"[^\"\n]*\"|\\.|[^\s'\"\\])+")  # a word of a shell: pieces, quoted or not


def without_places(value: Any) -> Any:
    """Texts, at any depth, with every path that begins at a root, a home or a folder above cut down to its last part.

    What follows `--data-dir` becomes DIR. A blank belongs to a path where the path is all of the text, or stands in quotation marks.
    """
    if isinstance(value, str):
        value = printable(value)  # a path may hold bytes that are no UTF-8
        whole = _WHOLE.fullmatch(value)
        if whole is not None and (" " not in value or " /" not in value):
            return whole[1]
        value = _QUOTED.sub(r"\1\2\1", value)
        return _PATH.sub(r"\1", _DATA_DIR.sub(r"\1DIR", value))
    if isinstance(value, dict):
        return {name: without_places(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [without_places(each) for each in value]
    return value
