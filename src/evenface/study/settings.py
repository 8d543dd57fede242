"""The settings of a part of a recipe: of its base, of a run, of a point of an axis.

    read_settings({"preset": "cpu", "method_options.mu": 1}, "base")     # the preset resolved, the dotted name nested
    merged(base, own)                                                     # own over base
    config_of("rbcf", settings)                                           # a TrainConfig

A method's own option may be written with a dot (`method_options.mu: 1`) wherever settings stand.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from evenface.errors import ConfigError, unknown_name
from evenface.training.config import PRESETS, TrainConfig, from_dict


OPTION = "method_options."

SCORED_AS_MAJORITY = ("majority", "probability", "fer2013")
"""Rules of FERPlus that leave validation and test with the same faces and labels."""


def read_settings(values: Any, where: str, *further: str) -> dict[str, Any]:
    """Checks the names of some settings.

    Args:
        where: for messages, such as "base" or "the run 'ce'".
        further: names that are allowed besides; they are handed through.

    Returns:
        The settings by name, the preset's among them, dotted options within `method_options`.

    Raises:
        ConfigError: no mapping, an unknown name, or one that a recipe says elsewhere.
    """
    if not isinstance(values, dict):
        raise ConfigError(f"{where} must be a mapping of settings, not {values!r}.")
    known = [field.name for field in dataclasses.fields(TrainConfig)]
    for name in values:
        if name in ("seed", "output"):
            hint = "list the `seeds` of the recipe" if name == "seed" else "give the `output` of the recipe; each run has a folder in it"
            raise ConfigError(f"{where} may not set `{name}`; {hint}.")
        dotted = isinstance(name, str) and name.startswith(OPTION) and len(name) > len(OPTION)
        if name not in (*known, "preset", *further) and not dotted:
            raise ConfigError(f"{where}: {unknown_name('setting', str(name), [*known, 'preset', *further])}")
    preset = values.get("preset")
    if preset is not None and (not isinstance(preset, str) or preset not in PRESETS):
        raise ConfigError(f"{where}: {unknown_name('preset', str(preset), PRESETS)}")
    own = {name: value for name, value in values.items() if name != "preset"}
    if "method_options" in own and own["method_options"] is None:  # the key with nothing after it
        own["method_options"] = {}
    return {**(PRESETS[preset] if preset is not None else {}), **_nested(own, where)}


def _nested(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """`method_options.mu: 1` as `method_options: {mu: 1}`."""
    found = {name: value for name, value in values.items() if not name.startswith(OPTION)}
    dotted = {name.removeprefix(OPTION): value for name, value in values.items() if name.startswith(OPTION)}
    if not dotted:
        return found
    options = found.get("method_options", {})
    twice = next((name for name in dotted if isinstance(options, dict) and name in options), None)
    if twice is not None:
        raise ConfigError(f"{where} sets the option `{twice}` twice, once with a dot; leave one out.")
    found["method_options"] = {**options, **dotted} if isinstance(options, dict) else options
    return found


def merged(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """A run's settings over the base's; the base's method options hold for the base's method only."""
    options, more = base.get("method_options", {}), own.get("method_options", {})
    for each in (options, more):
        if not isinstance(each, dict):
            return {**base, **own, "method_options": each}  # told where it becomes a config
    same = own.get("method", base.get("method", "ce")) == base.get("method", "ce")
    return {**base, **own, "method_options": {**(options if same else {}), **more}}


def config_of(run: str, settings: Mapping[str, Any]) -> TrainConfig:
    """The settings of a run as a config, its method's options as numbers.

    Raises:
        ConfigError: a value that cannot work, an unknown method or option.
    """
    from evenface.methods import get_method
    from evenface.methods._options import parse

    try:
        config = from_dict(dict(settings), "settings")
        options = parse(get_method(config.method).Options, config.method_options)
    except ConfigError as error:
        raise ConfigError(f"the run '{run}': {error}") from error
    return dataclasses.replace(config, method_options={name: getattr(options, name) for name in config.method_options})
