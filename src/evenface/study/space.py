"""What a recipe's `search` says: which settings are tried for which runs, and how.

    search:
      trials: 20                                            # trainings of each run
      seed: 0
      sampler: tpe                                          # or random
      prune: true                                           # a trial that falls behind is stopped early
      runs: [rbcf]                                          # default: the first run; all: each of them
      space:
        lr: {low: 1e-4, high: 1e-3, log: true}              # between two numbers, even on the logarithm
        method_options.mu: {low: 0, high: 2}
        schedule: [cosine, onecycle]                        # one of these

`evenface.study.search` makes the trials.
"""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from evenface.errors import ConfigError, unknown_name
from evenface.study.settings import OPTION, SCORED_AS_MAJORITY, config_of, merged, read_settings
from evenface.training.config import TrainConfig


KEYS = ("trials", "seed", "sampler", "prune", "runs", "space")
SAMPLERS = ("tpe", "random")

FACES = ("dataset", "data_dir", "classes", "exclude", "protocol", "val_fraction", "data_seed")
"""Settings that decide which faces a run is compared on."""


@dataclasses.dataclass(frozen=True)
class Interval:
    """Numbers from low to high, both included; whole ones for a setting that is one; even on the logarithm with `log`."""

    low: float
    high: float
    log: bool
    whole: bool

    @property
    def ends(self) -> tuple[float, float]:
        """Low and high, as whole numbers where the setting is one and they are."""
        low, high = (int(end) if self.whole and end.is_integer() else end for end in (self.low, self.high))
        return low, high


@dataclasses.dataclass(frozen=True)
class Search:
    """A search over settings of some runs.

    Attributes:
        trials: trainings of each run.
        seed: of the sampler.
        sampler: "tpe" (tree-structured Parzen estimator) or "random".
        prune: stop a trial that is behind the median of the others at the same epoch.
        runs: names of the runs that are searched for, each by itself.
        space: an interval, or the values to choose from, by setting.
    """

    trials: int
    seed: int
    sampler: str
    prune: bool
    runs: tuple[str, ...]
    space: Mapping[str, Interval | tuple[Any, ...]]


def read_search(values: Any, runs: Mapping[str, Mapping[str, Any]]) -> Search:
    """Checks a `search`, both ends of every interval and each value within each of its runs.

    Args:
        runs: the settings of the recipe's runs by name.

    Raises:
        ConfigError: an unknown key, setting or run, a value that cannot work, or trials that could not be compared.
    """
    if not isinstance(values, dict) or not isinstance(values.get("space"), dict) or not values["space"]:
        raise ConfigError("`search` is a mapping that holds at least `space`, a mapping from settings to what is tried for them.")
    for key in values:
        if key not in KEYS:
            raise ConfigError(unknown_name("key of `search`", str(key), KEYS))
    trials, seed, sampler, prune = (values.get(k, d) for k, d in (("trials", 20), ("seed", 0), ("sampler", "tpe"), ("prune", True)))
    for name, value, low in (("trials", trials, 1), ("seed", seed, 0)):
        if not isinstance(value, int) or isinstance(value, bool) or value < low:
            raise ConfigError(f"`{name}` of `search` must be a whole number from {low} on, not {value!r}.")
    if sampler not in SAMPLERS:
        raise ConfigError(unknown_name("sampler", str(sampler), SAMPLERS))
    if not isinstance(prune, bool):
        raise ConfigError(f"`prune` of `search` must be true or false, not {prune!r}.")
    names = _runs(values.get("runs"), list(runs))
    read_settings(dict.fromkeys(values["space"]), "the space of `search`")
    if "preset" in values["space"]:
        raise ConfigError("The space of `search` may not hold `preset`; name the settings.")
    for name in FACES:
        if name in values["space"]:
            raise ConfigError(
                f"The space of `search` may not hold `{name}`, as trials are compared on the same validation faces; give it to `base`."
            )
    space = {name: _side(name, side, runs[names[0]]) for name, side in values["space"].items()}
    search = Search(trials, seed, sampler, prune, names, space)
    for run in names:
        if runs[run].get("protocol") == "paper":
            raise ConfigError(f"The run '{run}' chooses its epoch on test (protocol: paper); a search chooses on validation only.")
        for name, side in space.items():
            for value in side.ends if isinstance(side, Interval) else side:
                with_values(run, runs[run], {name: value})
    _check_labels(space.get("labels"), runs)
    return search


def _check_labels(rules: Interval | tuple[Any, ...] | None, runs: Mapping[str, Mapping[str, Any]]) -> None:
    """The rules that are tried leave the validation faces as they are, beside the runs that share the table too."""
    if not isinstance(rules, tuple):
        return
    other = next((r for r in (*rules, *(own.get("labels", "majority") for own in runs.values())) if r not in SCORED_AS_MAJORITY), None)
    if other is not None:
        raise ConfigError(
            f"Where the space of `search` holds `labels`, it and the runs keep to {', '.join(SCORED_AS_MAJORITY)}; "
            f"{other} is scored on other faces."
        )


def with_values(run: str, settings: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """A run's settings with some values of the space, checked.

    Raises:
        ConfigError: a value that cannot work.
    """
    found = merged(settings, read_settings(dict(values), "the space of `search`"))
    config_of(run, found)
    return found


def _runs(values: Any, known: Sequence[str]) -> tuple[str, ...]:
    if values is None:
        return (known[0],)
    if values == "all":
        return tuple(known)
    if not isinstance(values, list) or not values:
        raise ConfigError(f"`runs` of `search` is a list of names, or all; not {values!r}.")
    for name in values:
        if name not in known:
            raise ConfigError(unknown_name("run", str(name), known))
    return tuple(dict.fromkeys(values))


def _side(name: str, side: Any, settings: Mapping[str, Any]) -> Interval | tuple[Any, ...]:
    where = f"`{name}` in the space of `search`"
    if isinstance(side, list) and len(side) > 1 and not any(isinstance(value, dict | list) for value in side):
        if len(set(map(str, side))) < len(side):
            raise ConfigError(f"{where} has a value twice; leave one out.")
        return tuple(side)
    if not isinstance(side, dict) or not {"low", "high"} <= set(side) <= {"low", "high", "log"}:
        raise ConfigError(
            f"{where} is {{low: ..., high: ...}}, with log: true where wanted, or a list of two or more values; not {side!r}."
        )
    low, high, log = _number(side["low"], where), _number(side["high"], where), side.get("log", False)
    if not isinstance(log, bool):
        raise ConfigError(f"{where}: log is true or false, not {log!r}.")
    if not low < high or (log and low <= 0):
        raise ConfigError(f"{where}: low ({low:g}) must be below high ({high:g})" + (", and above 0 with log." if log else "."))
    return Interval(low, high, log, _is_whole(name, settings))


def _number(value: Any, where: str) -> float:
    try:
        if isinstance(value, bool):
            raise ValueError
        number = float(value)  # YAML takes 1e-4 for a text
    except (TypeError, ValueError):
        raise ConfigError(f"{where}: {value!r} is no number.") from None
    if not math.isfinite(number):
        raise ConfigError(f"{where}: {value!r} is no end of an interval; give a finite number.")
    return number


def _is_whole(name: str, settings: Mapping[str, Any]) -> bool:
    """Whether the setting, or the option of the run's method, is a whole number."""
    from evenface.methods import get_method

    holder: type = get_method(str(settings.get("method", "ce"))).Options if name.startswith(OPTION) else TrainConfig
    return typing.get_type_hints(holder).get(name.removeprefix(OPTION)) is int
