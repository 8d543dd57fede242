"""Colours and names: a class has the colour that it has everywhere in evenface, a method one of a quieter set, with a marker of its own."""

from __future__ import annotations

import textwrap
from typing import Any

from evenface.predict.drawing import COLOURS


OTHER = (0.62, 0.62, 0.62)  # of a class of somebody's own
METHODS = ("#40454d", "#1f6f9f", "#c2571a", "#6a4c93", "#2f7d4f", "#a8324a")
MARKERS = ("o", "s", "^", "D", "v", "P")
AT_MOST = len(METHODS)
"""Methods that a figure can tell apart."""


def class_colour(name: str) -> tuple[float, float, float]:
    """RGB, 0 to 1."""
    red, green, blue = COLOURS.get(name, tuple(255 * v for v in OTHER))
    return red / 255, green / 255, blue / 255


def class_edge(name: str) -> tuple[float, float, float]:
    """A darker one of the same hue: yellow on white paper is seen by its edge, and as a line."""
    red, green, blue = class_colour(name)
    return 0.58 * red, 0.58 * green, 0.58 * blue


def method_style(index: int) -> dict[str, Any]:
    """Colour and marker of the method at that place; the baseline is dark grey."""
    return {"color": METHODS[index % AT_MOST], "marker": MARKERS[index % AT_MOST]}


def wrapped(label: str, width: int = 22, lines: int = 3) -> str:
    """A method's label in a few short lines; what does not fit is cut."""
    parts = textwrap.wrap(label, width, break_long_words=True) or [""]
    if len(parts) > lines:
        parts = [*parts[: lines - 1], parts[lines - 1][: width - 1] + "…"]
    return "\n".join(parts)
