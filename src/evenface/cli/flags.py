"""Flags from dataclass fields: the name with dashes, the type from the annotation, the help from the metadata, the default in the help."""

from __future__ import annotations

import argparse
import dataclasses
import os
import typing
from collections.abc import Mapping
from typing import Any

from evenface.hints import without_none


def add_fields(
    parser: argparse._ActionsContainer, cls: type[Any], *, skip: tuple[str, ...] = (), defaults: Mapping[str, Any] | None = None
) -> None:
    """A flag per field, grouped by the field's `group`; a flag that is not given leaves no trace, so that files and presets
    can stand behind it.

    Args:
        defaults: what the help names in place of a field's own default.
    """
    hints = typing.get_type_hints(cls)
    groups: dict[str, argparse._ArgumentGroup] = {}
    for field in dataclasses.fields(cls):
        if field.name in skip:
            continue
        name = field.metadata.get("group", "")
        if name and name not in groups:
            groups[name] = parser.add_argument_group(name)
        add_field(groups.get(name, parser), field, hints[field.name], (defaults or {}).get(field.name, field.default))


def add_field(parser: argparse._ActionsContainer, field: dataclasses.Field[Any], hint: Any, value: Any) -> None:
    """One field as `--its-name`; `value` is the default that its help names."""
    names = [*field.metadata.get("flags", ()), f"--{field.name.replace('_', '-')}"]
    default = "" if value in (None, dataclasses.MISSING) else f" (default: {value})"
    options: dict[str, Any] = {"dest": field.name, "default": argparse.SUPPRESS, "help": field.metadata.get("help", "") + default}
    kind, choices = kind_of(hint)
    if kind is bool:
        parser.add_argument(*names, action=argparse.BooleanOptionalAction, **options)
        return
    if choices:
        options["choices"] = choices
    elif kind in (int, float):
        options["metavar"] = "N" if kind is int else "X"
    else:
        options["metavar"] = field.name.upper().split("_")[-1]
    parser.add_argument(*names, type=kind, **options)


def kind_of(hint: Any) -> tuple[type[Any], tuple[Any, ...]]:
    """The plain type behind an annotation (`float | None` is a float) and the choices of a Literal."""
    hint = without_none(hint)[0]  # what is typed is read as the first
    if typing.get_origin(hint) is typing.Literal:
        choices = typing.get_args(hint)
        return type(choices[0]), choices
    return hint, ()


PRIORS = ("model", "train", "half", "balanced")  # of `evenface.calibration`, whose import takes a second


def add_scoring(parser: argparse.ArgumentParser) -> None:
    """How a model goes over a split: --device, --precision, -b and -j."""
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 or mps (default: auto)")
    parser.add_argument("--precision", default="fp32", choices=["auto", "fp32", "bf16"], help="default: fp32")
    parser.add_argument("-b", "--batch-size", type=int, default=256, metavar="N", help="default: 256; changes no number beyond rounding")
    parser.add_argument("-j", "--workers", type=int, default=os.cpu_count() or 1, metavar="N", help="threads that decode images")


def scoring(args: argparse.Namespace) -> dict[str, Any]:
    """These as keyword arguments.

    Raises:
        ConfigError: a number below 1.
    """
    from evenface.errors import ConfigError

    if args.batch_size < 1 or args.workers < 1:
        raise ConfigError("--batch-size and --workers must be at least 1.")
    return {"device": args.device, "precision": args.precision, "batch_size": args.batch_size, "workers": args.workers}
