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
    prior: model                                            # how frequent the expressions are taken to be when they are scored
    output: runs/rivals-tiny
    axes: {imbalance: [50, 100, 150]}                       # each run with each value: `evenface.study.axes`
    layout: table4                                          # the paper's table or figure that they become: `evenface.report.paper`

`evenface.study.plan` makes the trainings of it.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from evenface.calibration import PRIORS
from evenface.data.manifest import SPLITS
from evenface.errors import ConfigError, unknown_name
from evenface.evaluation.records import Scoring
from evenface.methods import METHODS
from evenface.runs.evaluate import TTA
from evenface.study.axes import axis_labels, combinations
from evenface.study.layout import check_layout, entries_of
from evenface.study.settings import SCORED_AS_MAJORITY, config_of, merged, read_settings
from evenface.study.space import Search, read_search
from evenface.training.config import TrainConfig


KEYS = ("name", "about", "base", "runs", "axes", "search", "seeds", "split", "tta", "prior", "output", "layout")

PLACES = ("folder", "manifest")
"""The data sets that `data_dir` tells apart; for the others it only says where the one set of that name lies."""

EXPERTS = ("ride", "sade")
"""The methods of ours whose networks have several experts."""

_NAME = re.compile(r"\w[\w.+-]*")


@dataclasses.dataclass(frozen=True)
class Point:
    """Where a run stands in the grid of a recipe's axes.

    Attributes:
        run: its name in `runs`; empty where the recipe leaves them out.
        labels: by axis, in the order of the axes; none without axes.
    """

    run: str
    labels: Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What a recipe file says, checked.

    Attributes:
        name: of the study.
        about: what it is for, for the head of the table.
        base: settings of all runs, a preset resolved.
        runs: the settings of each run by name, the base's included, multiplied with the axes; the first is the baseline.
        after: the run whose best model a run starts from, for those that start from one.
        seeds: each run is trained once with each.
        scoring: what the runs are scored on, and how.
        output: the folder of the run folders and tables.
        points: of each run by name.
        axes: the labels of each axis.
        names: the runs as the recipe names them, before they are multiplied.
        search: settings that are to be searched for; None where there is nothing to search.
        layout: the table or figure of the paper that the runs become; None for a plain table.
    """

    name: str
    about: str
    base: Mapping[str, Any]
    runs: Mapping[str, Mapping[str, Any]]
    after: Mapping[str, str]
    seeds: tuple[int, ...]
    scoring: Scoring
    output: Path
    points: Mapping[str, Point]
    axes: Mapping[str, tuple[str, ...]]
    names: tuple[str, ...]
    search: Search | None = None
    layout: str | None = None

    @property
    def split(self) -> str:
        """What the runs are scored on."""
        return self.scoring.split

    def under(self, prior: str) -> Recipe:
        """The same runs, scored under another prior.

        Raises:
            ConfigError: it is no prior, or there are runs that have none.
        """
        if prior not in PRIORS:
            raise ConfigError(unknown_name("prior", prior, PRIORS))
        _check_calibrated(self.runs, prior)
        return dataclasses.replace(self, scoring=self.scoring._replace(prior=prior))

    @property
    def crossed(self) -> bool:
        """Whether there are several runs at each combination of the axes, the first of which is the baseline there; else the runs share
        one table, and the first of all is the baseline.
        """
        return bool(self.axes) and len(self.names) > 1


# -------------------- from the file


def _once(node: yaml.Node | None, within: tuple[yaml.Node, ...] = ()) -> None:
    """Refuses a mapping with a key that comes twice, for the second run of a name would silently take the place of the first, and
    an alias of what it stands in, which has no end.
    """
    if node is None:
        return
    if node in within:
        raise ConfigError(f"What begins in line {node.start_mark.line + 1} holds itself by an alias; write out what is meant.")
    within = (*within, node)
    if isinstance(node, yaml.MappingNode):
        keys = [key.value for key, _ in node.value]
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice is not None:
            raise ConfigError(f"'{twice}' comes twice in one mapping; give the second another name.")
        for _, value in node.value:
            _once(value, within)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _once(value, within)


def read_recipe(path: str | os.PathLike[str]) -> Recipe:
    """Reads and checks a recipe.

    Raises:
        ConfigError: no such file, no YAML, an unknown key or setting (with the nearest spelling), a value that cannot work.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        _once(yaml.compose(text, Loader=yaml.SafeLoader))
        values = yaml.safe_load(text)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    except OSError as error:
        raise ConfigError(f"The recipe {path} cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid YAML: {str(error).splitlines()[0]}.") from error
    if not isinstance(values, dict) or not (_is_filled(values, "runs") or ("runs" not in values and "axes" in values)):
        raise ConfigError(f"{path} is no recipe; it holds at least `runs`, a mapping from names to settings (or `axes`).")
    try:
        return _recipe(values, path.stem)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def _is_filled(values: Mapping[str, Any], key: str) -> bool:
    return isinstance(values.get(key), dict) and bool(values[key])


def _recipe(values: dict[str, Any], stem: str) -> Recipe:
    for key in values:
        if key not in KEYS:
            raise ConfigError(unknown_name("key", str(key), KEYS))
    name = values.get("name", stem)
    for key, text in (("name", name), ("about", values.get("about", ""))):
        if not isinstance(text, str):
            raise ConfigError(f"`{key}` must be a text, not {text!r}.")
    if "name" in values and not _NAME.fullmatch(name):
        raise ConfigError(f"A recipe cannot be named {name!r}; take letters, digits and . _ + -, as it names a folder too.")
    scoring = Scoring(**{key: values[key] for key in Scoring._fields if key in values})
    for key, given, known in zip(Scoring._fields, scoring, (SPLITS, TTA, PRIORS), strict=True):
        if given not in known:
            raise ConfigError(unknown_name(key, str(given), known))
    base = read_settings(values.get("base") or {}, "base")
    named, first = _named(base, values)
    grid = combinations(values.get("axes"))
    runs, after, points = {}, {}, {}
    for point in grid:
        for run, settings in named.items():
            whole = point.name(run)
            if not _NAME.fullmatch(whole):
                raise ConfigError(
                    f"A run cannot be named {whole!r}; give the first value of `axes` a label that begins with a letter or digit."
                )
            if whole in runs:
                raise ConfigError(f"Two runs are named '{whole}' once they are multiplied with `axes`; name one of them or a label anew.")
            runs[whole], points[whole] = merged(settings, point.settings), Point(run, point.labels)
            config_of(whole, runs[whole])
            if run in first:
                after[whole] = point.name(first[run])
    _check_experts(runs, scoring.tta)
    _check_calibrated(runs, scoring.prior)
    axes = axis_labels(grid)
    if axes and "search" in values:
        raise ConfigError("A recipe has `axes` (all combinations) or `search` (some of them); leave one out.")
    search = read_search(values["search"], runs) if "search" in values else None
    if search is not None:
        _check_searched(search.runs, after)
    tables = [[point.name(run) for run in named] for point in grid] if axes and len(named) > 1 else [list(runs)]
    for table in tables:
        check_one_set({run: runs[run] for run in table}, scoring.split)
    if not isinstance(values.get("output") or "", str):
        raise ConfigError(f"The recipe's `output` names a folder, and is no {values['output']!r}.")
    output, seeds = Path(values.get("output") or f"runs/{name}"), check_seeds(values.get("seeds", [0]))
    about = str(values.get("about", "")).strip()
    layout = (
        None
        if values.get("layout") is None
        else check_layout(values["layout"], entries_of(runs, {run: point.labels for run, point in points.items()}))
    )
    return Recipe(name, about, base, runs, after, seeds, scoring, output, points, axes, tuple(named), search, layout)


def _named(base: Mapping[str, Any], values: Mapping[str, Any]) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """The settings of the runs as the recipe names them, the base's included, and which of them comes after which."""
    runs, after = {}, {}
    for run, own in values.get("runs", {"": {}}).items():
        if "runs" in values and (not isinstance(run, str) or not _NAME.fullmatch(run)):
            raise ConfigError(f"A run cannot be named {run!r}; take letters, digits and . _ + -, as it names a folder too.")
        own = read_settings(own or {}, f"the run '{run}'", "after")
        if "after" in own:
            after[run] = own.pop("after")
            if "init" in own:
                raise ConfigError(f"The run '{run}' has `init` and `after`, which both say where it starts; leave one out.")
        runs[run] = merged(base, own)
    _check_after(runs, after)
    return runs, after


def _check_searched(runs: Sequence[str], after: Mapping[str, str]) -> None:
    """Trials of a run start from the plain one before it, and the table's would start from the best one."""
    for run in runs:
        first = after.get(run)
        while first is not None and first not in runs:
            first = after.get(first)
        if first is not None:
            raise ConfigError(
                f"`search` has '{run}' and '{first}', which it starts from; search for '{first}' alone, write its values into the recipe, "
                f"then search for '{run}'."
            )


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


def _check_experts(runs: Mapping[str, Mapping[str, Any]], tta: str) -> None:
    """`experts` weights the experts of a network that has several, which is told before it is trained."""
    for run, settings in runs.items():
        method = str(settings.get("method", "ce"))
        if tta == "experts" and method in METHODS and method not in EXPERTS:
            raise ConfigError(f"tta: experts is for {' and '.join(EXPERTS)}, whose networks have several; the run '{run}' is {method}.")


def _check_calibrated(runs: Mapping[str, Mapping[str, Any]], prior: str) -> None:
    """A model that was chosen on test is calibrated on nothing, and has no scores under another prior than its own."""
    for run, settings in runs.items():
        if prior != "model" and settings.get("protocol") == "paper":
            raise ConfigError(
                f"The run '{run}' (protocol: paper) sets no validation faces aside to be calibrated on, "
                f"so it cannot be scored under the prior '{prior}'; take protocol: validation."
            )


def check_one_set(runs: Mapping[str, Mapping[str, Any]], split: str) -> None:
    """All runs are scored on the same faces.

    Raises:
        ConfigError: two that are not.
    """
    default = TrainConfig()
    keys = ["dataset", "classes", "labels", "exclude"]
    if any(settings.get("dataset") in PLACES for settings in runs.values()):
        keys.append("data_dir")
    if split == "validation":
        keys += ["protocol", "val_fraction", "data_seed"]  # which faces are set aside
    for key in keys:
        found = {run: settings.get(key, getattr(default, key)) for run, settings in runs.items()}
        if key == "labels" and split != "train":  # three of the rules change FERPlus' train only
            found = {run: "majority" if rule in SCORED_AS_MAJORITY else rule for run, rule in found.items()}
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
