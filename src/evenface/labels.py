"""Class names: the canonical nouns, the aliases that are mapped to them, and the orders found in the wild.

Names are mapped once, when data are read. After that nothing indexes an expression by a bare number across a border:
the names travel in every manifest, checkpoint, table and JSON.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from evenface.errors import LabelError, unknown_name


CLASSES = ("happiness", "neutral", "sadness", "surprise", "disgust", "anger", "fear", "contempt")
"""The canonical eight, in the column order of the paper's tables; the first seven are the usual seven-class set."""

BASIC = CLASSES[:7]

ORDERS: dict[str, tuple[str, ...]] = {
    "fer2013": ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral"),
    "ferplus": ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt"),
    "rafdb": ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral"),
    "affectnet": ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt"),
}
"""How the originals number their classes, from 0 (RAF-DB's own file counts from 1)."""

_ALIASES = {
    "happy": "happiness",
    "joy": "happiness",
    "smile": "happiness",
    "calm": "neutral",
    "neutrality": "neutral",
    "sad": "sadness",
    "surprised": "surprise",
    "surprize": "surprise",
    "disgusted": "disgust",
    "angry": "anger",
    "anger/rage": "anger",
    "fearful": "fear",
    "afraid": "fear",
    "scared": "fear",
    "contemptuous": "contempt",
}


def canonical(name: str) -> str:
    """The canonical noun of a class name: lower case, aliases resolved.

    Raises:
        LabelError: a name that is neither canonical nor a known alias; the message has the nearest spelling.
    """
    key = name.strip().lower()
    key = _ALIASES.get(key, key)
    if key not in CLASSES:
        raise LabelError(unknown_name("expression label", name, {*CLASSES, *_ALIASES}))
    return key


def class_set(count: int) -> tuple[str, ...]:
    """The seven basic expressions, or those and contempt."""
    if count not in (7, 8):
        raise LabelError(f"Expression sets have 7 or 8 classes here, not {count}.")
    return CLASSES[:count]


def size_of(class_names: Sequence[str]) -> Literal[7, 8]:
    """Which of the two sets a data set with these classes, or some of them, is read as."""
    return 8 if len(class_names) == 8 else 7


def require_same(ours: Sequence[str], theirs: Iterable[str], what: str) -> None:
    """Refuses two class sets that differ, naming what each lacks; a different order is fine."""
    left, right = set(ours), set(theirs)
    if left != right:
        extra, missing = sorted(right - left), sorted(left - right)
        parts = [f"it lacks {', '.join(missing)}"] * bool(missing) + [f"it adds {', '.join(extra)}"] * bool(extra)
        raise LabelError(f"The classes of {what} do not match the model's: {' and '.join(parts)}.")
