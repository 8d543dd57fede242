"""The trainings that a recipe means, and their folders.

    for run in plan(read_recipe("recipes/rivals-tiny.yaml"), seeds=[0]):
        print(run, run.folder)

A run's folder is `<output>/<run>-s<seed>-<hash>`. The hash is of the settings that differ from their defaults, but for those that change
no number (`IDLE`); so a changed setting is a new run, and finished ones are found again.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evenface.errors import ConfigError, unknown_name
from evenface.study.recipe import PLACES, Recipe, check_seeds
from evenface.study.settings import config_of
from evenface.training.config import IDLE, TrainConfig, resolved


@dataclasses.dataclass(frozen=True)
class Run:
    """One training of a study.

    Attributes:
        name: in the recipe, with the labels of its axes.
        config: all settings; `output` is the run folder.
        after: the folder of the run whose best model it starts from, or None.
        base: its name in the recipe's `runs`, without labels.
        labels: by axis, where the recipe has axes.
    """

    name: str
    config: TrainConfig
    after: Path | None = None
    base: str = ""
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def seed(self) -> int:
        return self.config.seed

    @property
    def folder(self) -> Path:
        return self.config.folder

    def __str__(self) -> str:
        return f"{self.name} s{self.seed}"


def plan(
    recipe: Recipe,
    *,
    data_dir: str | None = None,
    init: str | None = None,
    seeds: Sequence[int] | None = None,
    output: str | os.PathLike[str] | None = None,
    only: Sequence[str] | None = None,
) -> list[Run]:
    """The runs of a recipe: all with the first seed, then all with the second.

    Args:
        data_dir, seeds, output: in place of the recipe's.
        init: a start in place of the files and folders that the recipe's runs start from; those with another start keep it.
        only: names of the runs that are wanted, with or without the labels of the axes, or patterns such as `rbcf-*`; those that they
            start from come with them.

    Raises:
        ConfigError: an unknown name, `init` where no run starts from a file, or an output that is a training run itself.
    """
    where = Path(output) if output is not None else recipe.output
    if (where / "config.yaml").is_file():
        raise ConfigError(f"{where} is the folder of a training; name another one for the study with -o/--output.")
    wanted = set(recipe.runs) if only is None else _wanted(recipe, only)
    change = {} if data_dir is None else {"data_dir": data_dir}
    configs = {name: config_of(name, {**recipe.runs[name], **change}) for name in recipe.runs if name in wanted}
    if init is not None:
        configs = _started(configs, recipe, init)
    found: list[Run] = []
    for seed in recipe.seeds if seeds is None else check_seeds(list(seeds)):
        made: dict[str, Run] = {}
        for name in configs:
            _make(name, seed, where, configs, recipe, made)
        found += [made[name] for name in configs]
    return found


def _started(configs: Mapping[str, TrainConfig], recipe: Recipe, init: str) -> dict[str, TrainConfig]:
    """The runs that start from a file start from `init` instead."""
    if not any(starts_from_file(config_of(name, settings)) for name, settings in recipe.runs.items() if name not in recipe.after):
        raise ConfigError("--init takes the place of the file that a recipe starts from, and this one names none; change its `init`.")
    wanted = {name for name, config in configs.items() if name not in recipe.after and starts_from_file(config)}
    return {name: dataclasses.replace(config, init=init) if name in wanted else config for name, config in configs.items()}


def starts_from_file(config: TrainConfig) -> bool:
    """Whether its start is a file or folder, and no name that evenface knows."""
    return config.init not in ("none", "pretrained", "dlib-face") and not config.init.startswith("timm:")


def _wanted(recipe: Recipe, only: Sequence[str]) -> set[str]:
    """The names of the runs that are meant, and of those that they start from."""
    wanted = set()
    for name in only:
        found = [run for run, point in recipe.points.items() if name == point.run or fnmatch.fnmatchcase(run, name)]
        if not found or not name:
            raise ConfigError(unknown_name("run", name, {*recipe.runs, *recipe.names} - {""}))
        wanted.update(found)
    for name in list(wanted):
        while name in recipe.after:
            name = recipe.after[name]
            wanted.add(name)
    return wanted


def _make(name: str, seed: int, output: Path, configs: Mapping[str, TrainConfig], recipe: Recipe, made: dict[str, Run]) -> Run:
    """The run of that name and seed, put into `made` after the one that it starts from."""
    if name not in made:
        config = dataclasses.replace(configs[name], seed=seed)
        first = _make(recipe.after[name], seed, output, configs, recipe, made) if name in recipe.after else None
        key = fingerprint(config, None if first is None else first.folder.name)
        folder = output / f"{name}-s{seed}-{key}"
        config = resolved(dataclasses.replace(config, output=str(folder)))  # the run folder keeps whole paths; the hash keeps the recipe's
        if first is not None:
            config = dataclasses.replace(config, init=str((first.folder / "best").resolve()))
        point = recipe.points[name]
        made[name] = Run(name, config, None if first is None else first.folder, point.run, point.labels)
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
    idle = IDLE if config.dataset in PLACES else (*IDLE, "data_dir")
    return {field.name: getattr(config, field.name) for field in dataclasses.fields(config) if field.name not in idle}
