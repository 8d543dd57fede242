"""Fields of a method's options: a default, a help text, and the range that is allowed.

    lam: float = field(default=0.1, metadata=about("weight of the consistency term", low=0))

`check` compares every field with its annotation and its range; `parse` makes an options object from plain values.
"""

from __future__ import annotations

import dataclasses
import math
import typing
from typing import Any

from evenface.errors import ConfigError, unknown_name
from evenface.hints import without_none


def about(help: str, *, low: float | None = None, below: float | None = None, high: float | None = None) -> dict[str, Any]:
    """Metadata of an options field, which the command line turns into a flag: `low` <= value < `below`, or value <= `high`."""
    return {"help": help, "low": low, "below": below, "high": high}


def parse(cls: type[Any], values: dict[str, Any]) -> Any:
    """An options object from plain values, as a config file or a command line holds them.

    Raises:
        ConfigError: an unknown name (with the nearest spelling), or a value of another type or out of range.
    """
    known = [field.name for field in dataclasses.fields(cls)]
    for name in values:
        if name not in known:
            message = unknown_name("option", str(name), known) if known else f"Unknown option '{name}'; this method has none."
            raise ConfigError(message)
    missing = [f.name for f in dataclasses.fields(cls) if f.default is f.default_factory is dataclasses.MISSING and f.name not in values]
    if missing:
        raise ConfigError(f"Option '{missing[0]}' has no default; give it (--{missing[0].replace('_', '-')}).")
    hints = typing.get_type_hints(cls)
    return cls(**{name: _number(value) if without_none(hints[name]) == (float,) else value for name, value in values.items()})


def _number(value: Any) -> Any:
    """Float of a number, also where YAML made text of it (`1e-4` without a point)."""
    try:
        return value if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return value  # `check` says what is wrong


def check(options: Any) -> None:
    """Raise ConfigError unless every field has its declared type (int, float, bool, str or a Literal; None where it may be) and range."""
    hints = typing.get_type_hints(type(options))
    for field in dataclasses.fields(options):
        value, kinds = getattr(options, field.name), without_none(hints[field.name])
        if value is None and kinds != (hints[field.name],):
            continue
        kind = kinds[0] if len(kinds) == 1 else None
        choices = typing.get_args(kind)
        if typing.get_origin(kind) is typing.Literal:
            if value not in choices:
                raise ConfigError(f"Option '{field.name}' must be one of {', '.join(map(str, choices))}, not {_told(value)}.")
        elif kind in (int, float, bool, str):
            _check_plain(field.name, value, kind)
        low, below, high = (field.metadata.get(name) for name in ("low", "below", "high"))
        if (low is not None and value < low) or (below is not None and value >= below) or (high is not None and value > high):
            known = (("at least", low), ("below", below), ("at most", high))
            bounds = " and ".join(f"{words} {bound}" for words, bound in known if bound is not None)
            raise ConfigError(f"Option '{field.name}' must be {bounds}, not {value}.")


def _check_plain(name: str, value: object, kind: type[Any]) -> None:
    accepted = (int, float) if kind is float else (kind,)
    is_right = isinstance(value, accepted) and (kind is bool or not isinstance(value, bool))
    if not is_right or (isinstance(value, float) and not math.isfinite(value)):
        wanted = {int: "a whole number", float: "a finite number", bool: "true or false", str: "text"}[kind]
        raise ConfigError(f"Option '{name}' must be {wanted}, not {_told(value)}.")
    if _enormous(value):
        raise ConfigError(f"Option '{name}' must be a number of at most 63 bits, not {_told(value)}; give a smaller one.")


def _enormous(value: object) -> bool:
    """Whether it is a whole number that no machine's number holds; Python's own may have any length."""
    return isinstance(value, int) and value.bit_length() > 63


def _told(value: object) -> str:
    """As a message shows it. Python refuses to print a number of thousands of digits."""
    return f"one of {value.bit_length()} bits" if isinstance(value, int) and _enormous(value) else repr(value)
