"""A recipe (YAML) and the runs that it names.

    name: rivals-tiny
    about: What it is for.
    base: {preset: cpu, dataset: synthetic, epochs: 3}      # any setting of `evenface train`, and `preset`
    runs:
      ce: {}                                                # the first run is the baseline
      rbcf: {method: rbcf, method_options: {mu: 0.25}}      # settings that override the base
      crt: {method: crt, after: ce}                         # starts from the best model of `ce` with the same seed
    seeds: [0, 1, 2]
    split: test                                             # what the runs are scored on
    tta: none
    output: runs/rivals-tiny

A run's folder is `<output>/<run>-s<seed>-<hash>`. The hash is of the settings that differ from their defaults, but for those that change
no number (`IDLE`); so a changed setting is a new run, and finished ones are found again.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from evenface.data.manifest import SPLITS
from evenface.errors import ConfigError, unknown_name
from evenface.runs import TTA
from evenface.training.config import PRESETS, TrainConfig, from_dict, resolved


KEYS = ("name", "about", "base", "runs", "seeds", "split", "tta", "output")

IDLE = ("output", "device", "workers", "store", "save_minutes", "tensorboard", "watch")
"""Settings that change no number of a run (or only its last digits, as another device does)."""

_PLACES = ("folder", "manifest")
"""The data sets that `data_dir` tells apart; for the others it only says where the one set of that name lies."""

_NAME = re.compile(r"\w[\w.+-]*")


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What a recipe file says, checked.

    Attributes:
        name: of the study.
        about: what it is for, for the head of the table.
        base: settings of all runs, a preset resolved.
        runs: the settings of each run by name, the base's included; the first is the baseline.
        after: the run whose best model a run starts from, for those that start from one.
        seeds: each run is trained once with each.
        split, tta: what the runs are scored on, and how.
        output: the folder of the run folders and tables.
    """

    name: str
    about: str
    base: Mapping[str, Any]
    runs: Mapping[str, Mapping[str, Any]]
    after: Mapping[str, str]
    seeds: tuple[int, ...]
    split: str
    tta: str
    output: Path


@dataclasses.dataclass(frozen=True)
class Run:
    """One training of a study.

    Attributes:
        name: in the recipe.
        config: all settings; `output` is the run folder.
        after: the folder of the run whose best model it starts from, or None.
    """

    name: str
    config: TrainConfig
    after: Path | None = None

    @property
    def seed(self) -> int:
        return self.config.seed

    @property
    def folder(self) -> Path:
        return self.config.folder

    def __str__(self) -> str:
        return f"{self.name} s{self.seed}"


# -------------------- from the file


def _once(node: yaml.Node | None) -> None:
    """Refuses a mapping with a key that comes twice: the second run of a name would silently take the place of the first."""
    if isinstance(node, yaml.MappingNode):
        keys = [key.value for key, _ in node.value]
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice is not None:
            raise ConfigError(f"'{twice}' comes twice in one mapping; give the second another name.")
        for _, value in node.value:
            _once(value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _once(value)


def read_recipe(path: str | os.PathLike[str]) -> Recipe:
    """Reads and checks a recipe.

    Raises:
        ConfigError: no such file, no YAML, an unknown key or setting (with the nearest spelling), a value that cannot work.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        values = yaml.safe_load(text)
    except OSError as error:
        raise ConfigError(f"The recipe {path} cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid YAML: {str(error).splitlines()[0]}.") from error
    if not isinstance(values, dict) or not isinstance(values.get("runs"), dict) or not values["runs"]:
        raise ConfigError(f"{path} is no recipe; it holds at least `runs`, a mapping from names to settings.")
    try:
        _once(yaml.compose(text, Loader=yaml.SafeLoader))
        return _recipe(values, path.stem)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def _recipe(values: dict[str, Any], stem: str) -> Recipe:
    for key in values:
        if key not in KEYS:
            raise ConfigError(unknown_name("key", str(key), KEYS))
    name = values.get("name", stem)
    for key, text in (("name", name), ("about", values.get("about", ""))):
        if not isinstance(text, str):
            raise ConfigError(f"`{key}` must be a text, not {text!r}.")
    base = _settings(values.get("base") or {}, "base")
    runs, after = {}, {}
    for run, own in values["runs"].items():
        if not isinstance(run, str) or not _NAME.fullmatch(run):
            raise ConfigError(f"A run cannot be named {run!r}; take letters, digits and . _ + -, as it names a folder too.")
        own = _settings(own or {}, f"the run '{run}'", "after")
        if "after" in own:
            after[run] = own.pop("after")
        runs[run] = _merged(base, own)
    _check_after(runs, after)
    for run, settings in runs.items():
        if run in after and "init" in values["runs"][run]:
            raise ConfigError(f"The run '{run}' has `init` and `after`, which both say where it starts; leave one out.")
        _config(run, settings)
    split, tta = values.get("split", "test"), values.get("tta", "none")
    if split not in SPLITS:
        raise ConfigError(unknown_name("split", str(split), SPLITS))
    if tta not in TTA:
        raise ConfigError(unknown_name("tta", str(tta), TTA))
    _check_one_set(runs, split)
    output = Path(str(values.get("output") or f"runs/{name}"))
    return Recipe(name, str(values.get("about", "")).strip(), base, runs, after, check_seeds(values.get("seeds", [0])), split, tta, output)


def _settings(values: Any, where: str, *further: str) -> dict[str, Any]:
    """The settings of a base or a run, its preset resolved."""
    if not isinstance(values, dict):
        raise ConfigError(f"{where} must be a mapping of settings, not {values!r}.")
    known = [field.name for field in dataclasses.fields(TrainConfig)]
    for name in values:
        if name in ("seed", "output"):
            hint = "list the `seeds` of the recipe" if name == "seed" else "give the `output` of the recipe; each run has a folder in it"
            raise ConfigError(f"{where} may not set `{name}`; {hint}.")
        if name not in (*known, "preset", *further):
            raise ConfigError(f"{where}: {unknown_name('setting', str(name), [*known, 'preset', *further])}")
    preset = values.get("preset")
    if preset is not None and (not isinstance(preset, str) or preset not in PRESETS):
        raise ConfigError(f"{where}: {unknown_name('preset', str(preset), PRESETS)}")
    return {**(PRESETS[preset] if preset is not None else {}), **{name: value for name, value in values.items() if name != "preset"}}


def _merged(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """The run's settings over the base's; the base's method options hold for the base's method only."""
    same = own.get("method", base.get("method", "ce")) == base.get("method", "ce")
    options, more = base.get("method_options", {}) if same else {}, own.get("method_options", {})
    merged = {**base, **own}
    merged["method_options"] = {**options, **more} if isinstance(options, dict) and isinstance(more, dict) else more
    return merged


def _config(run: str, settings: Mapping[str, Any]) -> TrainConfig:
    """The settings of a run as a config, its method's options as numbers."""
    from evenface.methods import get_method
    from evenface.methods._options import parse

    try:
        config = from_dict(dict(settings), "settings")
        options = parse(get_method(config.method).Options, config.method_options)
    except ConfigError as error:
        raise ConfigError(f"the run '{run}': {error}") from error
    return dataclasses.replace(config, method_options={name: getattr(options, name) for name in config.method_options})


def _check_after(runs: Mapping[str, Any], after: Mapping[str, str]) -> None:
    for run, first in after.items():
        if not isinstance(first, str) or first not in runs:
            raise ConfigError(f"the run '{run}' comes after an unknown one: {unknown_name('run', str(first), runs)}")
    for run in after:
        seen, at = [run], after[run]
        while at in after and at not in seen:
            seen.append(at)
            at = after[at]
        if at in seen:
            raise ConfigError(f"The runs {', '.join(seen)} wait for one another; one of them must come without `after`.")


def _check_one_set(runs: Mapping[str, Mapping[str, Any]], split: str) -> None:
    """All runs are scored on the same faces."""
    default = TrainConfig()
    keys = ["dataset", "classes", "labels", "exclude"]
    if any(settings.get("dataset") in _PLACES for settings in runs.values()):
        keys.append("data_dir")
    if split == "validation":
        keys += ["protocol", "val_fraction", "data_seed"]  # which faces are set aside
    for key in keys:
        found = {run: settings.get(key, getattr(default, key)) for run, settings in runs.items()}
        if len(set(found.values())) > 1:
            first, *others = found.items()
            run, value = next((run, value) for run, value in others if value != first[1])
            raise ConfigError(
                f"The runs '{first[0]}' ({key}: {first[1]}) and '{run}' ({key}: {value}) cannot share a table; make a recipe of each."
            )


def check_seeds(seeds: Any) -> tuple[int, ...]:
    """The seeds of a recipe or of the command line.

    Raises:
        ConfigError: none, one that is no whole number from 0 on, or one twice.
    """
    right = isinstance(seeds, list | tuple) and seeds and all(isinstance(s, int) and not isinstance(s, bool) and s >= 0 for s in seeds)
    if not right or len(set(seeds)) < len(seeds):
        raise ConfigError(f"The seeds are a list of different whole numbers from 0 on, such as 0, 1, 2; not {seeds!r}.")
    return tuple(seeds)


# -------------------- to the runs


def plan(
    recipe: Recipe,
    *,
    data_dir: str | None = None,
    seeds: Sequence[int] | None = None,
    output: str | os.PathLike[str] | None = None,
    only: Sequence[str] | None = None,
) -> list[Run]:
    """The runs of a recipe: all with the first seed, then all with the second.

    Args:
        data_dir, seeds, output: in place of the recipe's.
        only: names of the runs that are wanted; those that they start from come with them.

    Raises:
        ConfigError: an unknown name.
    """
    where = Path(output) if output is not None else recipe.output
    wanted = set(recipe.runs)
    if only is not None:
        wanted = set(only)
        for name in only:
            if name not in recipe.runs:
                raise ConfigError(unknown_name("run", name, recipe.runs))
            while name in recipe.after:
                name = recipe.after[name]
                wanted.add(name)
    change = {} if data_dir is None else {"data_dir": data_dir}
    configs = {name: _config(name, {**recipe.runs[name], **change}) for name in recipe.runs if name in wanted}
    found: list[Run] = []
    for seed in recipe.seeds if seeds is None else check_seeds(list(seeds)):
        made: dict[str, Run] = {}
        for name in configs:
            _make(name, seed, where, configs, recipe.after, made)
        found += [made[name] for name in configs]
    return found


def _make(name: str, seed: int, output: Path, configs: Mapping[str, TrainConfig], after: Mapping[str, str], made: dict[str, Run]) -> Run:
    """The run of that name and seed, put into `made` after the one that it starts from."""
    if name not in made:
        config = dataclasses.replace(configs[name], seed=seed)
        first = _make(after[name], seed, output, configs, after, made) if name in after else None
        key = fingerprint(config, None if first is None else first.folder.name)
        folder = output / f"{name}-s{seed}-{key}"
        config = resolved(dataclasses.replace(config, output=str(folder)))  # the run folder keeps whole paths; the hash keeps the recipe's
        if first is not None:
            config = dataclasses.replace(config, init=str((first.folder / "best").resolve()))
        made[name] = Run(name, config, None if first is None else first.folder)
    return made[name]


def fingerprint(config: TrainConfig, after: str | None = None) -> str:
    """Eight digits that tell runs of different settings apart.

    Only what differs from the defaults enters, so that a setting that a later version brings changes no name.

    Args:
        after: the folder name of the run that it starts from, in place of `init`: the place of the study changes no name.
    """
    default = TrainConfig()
    values = {key: value for key, value in matter(config).items() if value != getattr(default, key)}
    if after is not None:
        values["init"] = f"after {after}"
    text = json.dumps(values, sort_keys=True, ensure_ascii=False)
    return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()


def matter(config: TrainConfig) -> dict[str, Any]:
    """The settings that change a run's numbers."""
    idle = IDLE if config.dataset in _PLACES else (*IDLE, "data_dir")
    return {field.name: getattr(config, field.name) for field in dataclasses.fields(config) if field.name not in idle}
