"""The training methods, or one of them with its options.

  evenface methods
  evenface methods rbcf
  evenface methods path/to/mine.py:MyMethod --format json

Every option is a flag of `evenface train --method NAME`, and a line under `method_options` in a settings file.
"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import json
import textwrap
import typing
from collections.abc import Callable
from typing import Any

from evenface.cli.flags import kind_of


WIDTH = 100
KINDS = {"int": "a whole number", "float": "a number", "str": "a text", "bool": "no value"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", nargs="?", help="a method, or path/to/file.py:Class; without it all are listed")
    parser.add_argument("--format", choices=["text", "json", "markdown"], default="text", help="default: text")


def run(args: argparse.Namespace) -> int:
    from evenface.methods import METHODS

    if args.name is None:
        listed = [_about(name) for name in METHODS]
        writers: dict[str, Callable[..., str]] = {"text": _list_text, "markdown": _list_markdown, "json": _json}
        print(writers[args.format](listed))
    else:
        one = {**_about(args.name), "options": _options(args.name)}
        writers = {"text": _one_text, "markdown": _one_markdown, "json": _json}
        print(writers[args.format](one))
    return 0


def _about(name: str) -> dict[str, Any]:
    """What a method says of itself. `views` is how many it needs with its defaults."""
    from evenface.labels import BASIC
    from evenface.methods import Setting, create_method, get_method
    from evenface.methods._costs import costs

    cls = get_method(name)
    made = create_method(name, Setting(BASIC, (100,) * len(BASIC), epochs=1), {})
    idea = inspect.cleandoc(cls.__doc__ or "").partition("\n")[0]  # its own; getdoc would take that of the base
    known = {key: getattr(cls, key, None) for key in ("title", "paper", "year")}
    return {"name": name, **known, "idea": idea, "views": made.views, "cost": costs()["methods"].get(name)}


def _options(name: str) -> list[dict[str, Any]]:
    """The options of a method, as flags and as what they take."""
    from evenface.methods import get_method

    cls = get_method(name).Options
    hints = typing.get_type_hints(cls)
    options = []
    for field in dataclasses.fields(cls):
        kind, choices = kind_of(hints[field.name])
        about = {key: field.metadata.get(key) for key in ("low", "below", "high", "help")}
        options.append(
            {
                "name": field.name,
                "flag": _flag(field.name, kind),
                "type": kind.__name__,
                "choices": list(choices),
                "default": _default(field),
                **about,
            }
        )
    return options


def _default(field: dataclasses.Field[Any]) -> Any:
    """None where there is none."""
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return None if field.default is dataclasses.MISSING else field.default


def _flag(name: str, kind: type[Any]) -> str:
    flag = name.replace("_", "-")
    return f"--{flag} / --no-{flag}" if kind is bool else f"--{flag}"


def _json(found: Any) -> str:
    return json.dumps({"schema_version": 1, "methods" if isinstance(found, list) else "method": found}, indent=1, ensure_ascii=False)


def _list_text(found: list[dict[str, Any]]) -> str:
    width = max(len(about["name"]) for about in found)
    lines = [f"{'':<{width}}  year  views  epoch  memory  what it is"]
    for about in found:
        numbers = f"{about['year'] or '':>4}  {about['views']:>5}  {_epoch(about):>5}  {_memory(about):>6}"
        first = f"{about['name']:<{width}}  {numbers}  {about['title'] or ''}".rstrip()
        lines.append(textwrap.fill(first, WIDTH, subsequent_indent=" " * (width + 31)))
        lines += [_wrapped(text, width + 2) for text in (about["idea"], about["paper"]) if text]
        lines.append("")
    end = f"views: 2 where the second, mirrored view is learnt from too. {_LEGEND} {_measured()}"
    return "\n".join([*lines, textwrap.fill(end, WIDTH), "", "evenface methods NAME shows the options of one."])


_LEGEND = "epoch: its time relative to ce; memory: of a training step, likewise; - where nothing is trained."


def _epoch(about: dict[str, Any]) -> str:
    """Time of an epoch: that of a step, times the steps."""
    return f"{about['cost']['time'] * about['cost']['steps']:.1f}" if about["cost"] else "-"


def _memory(about: dict[str, Any]) -> str:
    return f"{about['cost']['memory']:.1f}" if about["cost"] else "-"


def _one_text(about: dict[str, Any]) -> str:
    lines = [_head(about)]
    for option in about["options"]:
        takes = " | ".join(map(str, option["choices"])) or KINDS.get(option["type"], option["type"])
        lines.append(f"  {option['flag']}  {takes}  (default: {_plain(option['default'])})")
        lines.append(_wrapped(f"{option['help'] or ''}{_bounds(option)}", 6))
    if not about["options"]:
        lines.append("  It has no options of its own.")
    return "\n".join([*lines, "", f"evenface train --method {about['name']} ..."])


def _head(about: dict[str, Any]) -> str:
    views = f"{about['views']} view{'s' if about['views'] > 1 else ''}"
    first = "  ".join(str(text) for text in (about["name"], about["year"], views, about["title"]) if text)
    return "\n".join([first, *(_wrapped(text, 2) for text in (about["idea"], about["paper"], _cost(about)) if text), ""])


def _cost(about: dict[str, Any]) -> str:
    """What a step costs; nothing for a method that was not measured, such as one's own."""
    from evenface.methods._costs import costs

    cost = about["cost"]
    if cost is None:
        return "No training: a step after a finished run." if about["name"] in costs()["methods"] else ""
    text = f"A step takes {cost['time']:g} x the time of ce and {cost['memory']:g} x the memory"
    return f"{text}; an epoch has {cost['steps']:g} x the steps." if cost["steps"] != 1 else f"{text}."


def _measured() -> str:
    """Where the costs come from."""
    from evenface.methods._costs import costs

    c = costs()
    size = f"{c['model']}, {c['img_size']} px, {c['batch_size']} faces a step, {c['precision']}"
    return f"Measured by {c['command']} ({size}; {c['machine']['device']}, {c['machine']['threads']} threads)."


def _wrapped(text: str, indent: int) -> str:
    return textwrap.fill(text, WIDTH, initial_indent=" " * indent, subsequent_indent=" " * indent)


def _bounds(option: dict[str, Any]) -> str:
    parts = [
        f"{words} {option[key]:g}"
        for key, words in (("low", "at least"), ("below", "below"), ("high", "at most"))
        if option[key] is not None
    ]
    return f"; {' and '.join(parts)}" if parts else ""


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _list_markdown(found: list[dict[str, Any]]) -> str:
    rows = [[f"`{a['name']}`", a["title"], a["year"], a["views"], _epoch(a), _memory(a), a["idea"], a["paper"]] for a in found]
    head = ["method", "title", "year", "views", "epoch", "memory", "idea", "paper"]
    return f"{_table(head, rows)}\n\n{_LEGEND} {_measured()}"


def _one_markdown(about: dict[str, Any]) -> str:
    rows = [
        [
            f"`{o['flag']}`",
            ", ".join(f"`{c}`" for c in o["choices"]) or KINDS.get(o["type"], o["type"]),
            f"`{_plain(o['default'])}`",
            f"{o['help']}{_bounds(o)}",
        ]
        for o in about["options"]
    ]
    named = ", ".join([f"`{about['name']}`", *([str(about["year"])] if about["year"] else [])])
    head = f"**{about['title'] or about['name']}** ({named}): {about['idea']} {about['paper'] or ''}".rstrip()
    return f"{head}\n\n{_table(['flag', 'takes', 'default', 'meaning'], rows)}"


def _table(head: list[str], rows: list[list[Any]]) -> str:
    cells = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join("" if c is None else str(c).replace("|", "\\|") for c in row) + " |" for row in cells)
