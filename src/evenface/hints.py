"""Annotations of settings and options, as flags and checks read them."""

from __future__ import annotations

import types
import typing
from typing import Any


def without_none(hint: Any) -> tuple[Any, ...]:
    """The kinds of value besides None: `(float,)` of `float | None` or `Optional[float]`, `(str, int)` of `str | int | None`."""
    if typing.get_origin(hint) not in (typing.Union, types.UnionType):
        return (hint,)
    return tuple(part for part in typing.get_args(hint) if part is not type(None))
