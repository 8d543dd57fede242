"""Train a model, or go on with a run.

  evenface train --dataset ferplus --data-dir DIR --preset cpu --method rbcf -o runs/x
  evenface train --resume runs/x

Every setting has a flag, and the chosen method brings its own (`evenface train --method rbcf --help`). Settings are taken from the
defaults, a preset, a YAML file (-c, in the form of a run's config.yaml) and the flags; later ones win.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evenface.cli.flags import add_fields
from evenface.distill.config import METHOD as TAUGHT
from evenface.errors import ConfigError, unknown_name
from evenface.training.config import PRESETS, TrainConfig, check_idle, from_dict, load_config


def parse(parser: argparse.ArgumentParser, words: Sequence[str]) -> argparse.Namespace:
    """Two passes: the first finds the method, whose options the second knows as flags."""
    early = type(parser)(prog=parser.prog, add_help=False, allow_abbrev=False)
    early.add_argument("--method")
    early.add_argument("-c", "--config", type=Path)
    early.add_argument("--preset")
    early.add_argument("--resume", type=Path)
    first, _ = early.parse_known_args([w for w in words if w not in ("-h", "--help")])

    parser.add_argument("--resume", metavar="RUN", type=Path, help="go on with this run folder; takes no other setting")
    parser.add_argument("-c", "--config", metavar="FILE", type=Path, help="YAML file of settings")
    parser.add_argument("--preset", metavar="NAME", help=f"settings that belong together: {', '.join(PRESETS)}")
    parser.add_argument("--print-config", action="store_true", help="print the resolved settings and stop")
    parser.add_argument("-q", "--quiet", action="store_true", help="show nothing but errors")
    add_fields(parser, TrainConfig, skip=("method_options",))

    if first.resume is not None and any(value is not None for value in (first.method, first.config, first.preset)):
        raise _resume_alone(first.resume)
    base: dict[str, Any] = {}
    if first.preset is not None:
        if first.preset not in PRESETS:
            raise ConfigError(unknown_name("preset", first.preset, PRESETS))
        base |= PRESETS[first.preset]
    if first.config is not None:
        base |= _read(first.config)
    from_dict(base, str(first.config or "settings"))  # what is wrong in the file is told as such, whatever the flags say
    method = first.method or base.get("method")
    wants_help = any(word in ("-h", "--help") for word in words)
    own: list[str] = []
    if first.resume is None and (method or not wants_help):  # importing the methods takes a second that plain --help need not wait for
        own = _add_method_flags(parser, method or "ce")
        parser.explain = _of_methods  # type: ignore[attr-defined]
    args = parser.parse_args(words)
    if first.resume is not None:
        given = set(vars(args)) - {"resume", "config", "preset", "print_config", "quiet"}
        if given:
            raise _resume_alone(first.resume)
        return args
    options = base.pop("method_options", {})
    if first.method not in (None, base.get("method", first.method)):  # they belong to the method that the file or preset names
        options = {}
    values = {name: getattr(args, name) for name in (f.name for f in dataclasses.fields(TrainConfig)) if hasattr(args, name)}
    options = {**options, **{name: getattr(args, name) for name in own if hasattr(args, name)}}
    args.settings = from_dict({**base, **values, "method_options": options}, str(first.config or "settings"))
    check_idle(args.settings, values)
    _check_options(args.settings)
    return args


def _resume_alone(folder: Path) -> ConfigError:
    return ConfigError(f"--resume takes the settings of {folder}; leave out the others.")


def _check_options(settings: TrainConfig) -> None:
    """Fails on a wrong option of the method now, not after the data are read."""
    from evenface.methods import get_method
    from evenface.methods._options import parse as parse_options

    parse_options(get_method(settings.method).Options, settings.method_options)


def _add_method_flags(parser: argparse.ArgumentParser, name: str) -> list[str]:
    from evenface.methods import get_method

    cls = get_method(name)
    fields = [field.name for field in dataclasses.fields(cls.Options)]
    taken = sorted(set(fields) & {field.name for field in dataclasses.fields(TrainConfig)})
    if taken:
        raise ConfigError(f"The method '{name}' names its option {taken[0]} like a setting of every run; rename it.")
    if fields:
        add_fields(parser.add_argument_group(f"options of the method {name}"), cls.Options)
    return fields


def _of_methods(flag: str) -> str | None:
    """Which methods have an option of that name."""
    from evenface.methods import METHODS

    name = flag.removeprefix("--").replace("-", "_")
    names = [method for method, cls in METHODS.items() if name in {field.name for field in dataclasses.fields(cls.Options)}]
    return f"it is an option of --method {' or '.join(filter(None, (', '.join(names[:-1]), names[-1])))}." if names else None


def _read(path: Path) -> dict[str, Any]:
    import yaml

    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"The settings file {path} cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid YAML: {str(error).splitlines()[0]}.") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds no settings; it is a mapping like a run's config.yaml.")
    return values


def run(args: argparse.Namespace) -> int:
    if args.print_config:
        print((args.settings if args.resume is None else load_config(args.resume / "config.yaml")).to_yaml(), end="")
        return 0
    from rich.console import Console

    from evenface.training.run import resume, train

    if args.resume is not None and load_config(args.resume / "config.yaml").method == TAUGHT:
        again = f"evenface distill --resume {shlex.quote(str(args.resume))}"
        raise ConfigError(f"{args.resume} is taught by a teacher; go on with it: {again}")
    console = None if args.quiet else Console()
    command = ["evenface", *sys.argv[1:]]
    result = (
        resume(args.resume, command=command, console=console) if args.resume else train(args.settings, command=command, console=console)
    )
    if console is not None and os.environ.get("RANK", "0") == "0":
        console.print(
            f"best      epoch {result.best_epoch}: {result.select.replace('_', ' ')} {100 * result.best:.1f} % on {result.select_split}\n"
            f"next      evenface evaluate {shlex.quote(str(result.folder))} --split test",
            highlight=False,
            soft_wrap=True,
            markup=False,
        )
    return 0
