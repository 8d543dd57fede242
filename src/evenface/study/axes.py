"""The axes of a recipe: every run is multiplied with every combination of their values.

    axes:
      imbalance: [50, 100, 150]                        # values of the setting of that name
      method_options.mu: [0.5, 1]                      # of the method's own option
      backbone:                                        # or labels, each with some settings
        resnet18: {model: resnet18}
        swin: {model: swin_tiny_patch4_window7_224, lr: 3e-5}

Several such mappings in a list are products one after another, for a grid that is no full product; they name the same axes.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any

from evenface.errors import ConfigError
from evenface.study.settings import read_settings


_LABEL = re.compile(r"[\w.+-]+")


@dataclasses.dataclass(frozen=True)
class Combination:
    """A point of the grid.

    Attributes:
        labels: by axis, in the order of the axes.
        settings: of all its labels, to be laid over a run's.
    """

    labels: Mapping[str, str]
    settings: Mapping[str, Any]

    def name(self, run: str) -> str:
        """`<run>-<label>-<label>`; the labels alone for a run without a name."""
        return "-".join([run, *self.labels.values()] if run else self.labels.values())


def combinations(axes: Any) -> list[Combination]:
    """All points of a recipe's `axes`, each once; one without labels for a recipe without axes.

    Raises:
        ConfigError: no axes, other axes in a second mapping, no values, a value that needs a label, two axes that set the same.
    """
    if axes is None:
        return [Combination({}, {})]
    grids = axes if isinstance(axes, list) else [axes]
    if not grids or not all(isinstance(grid, dict) and grid for grid in grids):
        raise ConfigError("`axes` is a mapping from names to values, such as {lr: [0.001, 0.01]}, or a list of such mappings.")
    names = list(grids[0])
    for grid in grids:
        other = next(iter(set(names) ^ set(grid)), None)
        if other is not None:
            raise ConfigError(f"Every mapping of `axes` names the same axes; '{other}' is missing in one (a fixed value is a list of one).")
    found: dict[tuple[str, ...], Combination] = {}
    for grid in grids:
        sides = [_side(name, grid[name]) for name in names]
        for choice in itertools.product(*(side.items() for side in sides)):
            point = _point(dict(zip(names, choice, strict=True)))
            before = found.setdefault(tuple(point.labels.values()), point)
            if before.settings != point.settings:
                raise ConfigError(f"The label {'-'.join(point.labels.values())} stands for two different points of `axes`; name one anew.")
    return list(found.values())


def _side(axis: Any, values: Any) -> dict[str, dict[str, Any]]:
    """The labels of an axis, each with its settings."""
    where = f"the axis '{axis}'"
    if not isinstance(axis, str) or not isinstance(values, dict | list) or not values:
        raise ConfigError(f"{where} is a list of values, or a mapping from labels to settings, not {values!r}.")
    if isinstance(values, dict):
        entries = [(str(label), value) for label, value in values.items()]
    else:
        entries = [(_short(where, value), value) for value in values]
    found: dict[str, dict[str, Any]] = {}
    for label, value in entries:
        if not _LABEL.fullmatch(label):
            raise ConfigError(f"{where} cannot have the label '{label}'; take letters, digits and . _ + -, as it names a folder too.")
        if label in found:
            raise ConfigError(f"{where} has '{label}' twice; leave one out.")
        found[label] = read_settings(value if isinstance(value, dict) else {axis: value}, f"{where}, {label}")
    return found


def _short(where: str, value: Any) -> str:
    """A value as a label: 0.25, cosine, true, none; signs that no folder should have become `_`."""
    if isinstance(value, dict | list):
        raise ConfigError(f"{where}: {value!r} needs a label; write `label: {{setting: value}}` in place of the list.")
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "none"}[value]
    try:
        return str(value) if isinstance(value, int) else f"{float(value):.12g}"  # YAML takes 1e-4 for a text
    except ValueError:
        return re.sub(r"[^\w.+-]+", "_", str(value))


def _point(choice: Mapping[str, tuple[str, dict[str, Any]]]) -> Combination:
    """The settings of one label of each axis together."""
    settings: dict[str, Any] = {}
    by: dict[str, str] = {}
    for axis, (_, own) in choice.items():
        for name in _names(own):
            if name in by:
                raise ConfigError(f"The axes '{by[name]}' and '{axis}' both set `{name}`; leave it to one of them.")
            by[name] = axis
        settings = {**settings, **own, "method_options": {**_options(settings), **_options(own)}}
    if not settings.get("method_options"):
        settings.pop("method_options", None)
    return Combination({axis: label for axis, (label, _) in choice.items()}, settings)


def _names(settings: Mapping[str, Any]) -> list[str]:
    """The names of some settings, those of the method's options with a dot."""
    return [name for name in settings if name != "method_options"] + [f"method_options.{name}" for name in _options(settings)]


def _options(settings: Mapping[str, Any]) -> dict[str, Any]:
    options = settings.get("method_options", {})
    if not isinstance(options, dict):
        raise ConfigError(f"`method_options` of an axis must be a mapping of options, not {options!r}.")
    return options


def axis_labels(points: Sequence[Combination]) -> dict[str, tuple[str, ...]]:
    """The labels of each axis, in the order of their first mention."""
    axes = points[0].labels if points else {}
    return {axis: tuple(dict.fromkeys(point.labels[axis] for point in points)) for axis in axes}
