"""Every recipe of the repository means runs that can be trained: the rivals are all there, and so are the paper's tables."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from evenface.cli.main import Parser
from evenface.cli.study import add_arguments
from evenface.methods import METHODS
from evenface.report.paper import LAYOUTS
from evenface.report.paper.reported import reported
from evenface.study import plan, read_recipe
from evenface.training.config import PRESETS


ROOT = Path(__file__).resolve().parents[1]
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
RIVALS = [path for path in RECIPES if path.name.startswith(("rivals", "leaderboard"))]
PAPER = [path for path in RECIPES if path.stem.removesuffix("-tiny") in LAYOUTS]

# Runs by hand: runs x points of the axes x seeds.
COUNTS = {
    "rivals-tiny": 34, "rivals_ferplus_cpu": 34,
    "table1": 11 * 3, "table1-tiny": 11,
    "table2": 2 * 4 * 3, "table2-tiny": 2 * 4,
    "table3": 4 * 3, "table3-tiny": 4 * 3, "table3_ferplus_cpu": 4 * 3,
    "table4": 6 * 3 * 3, "table4-tiny": 6 * 3,
    "table5": 5 * 3, "table5-tiny": 5, "table5_ferplus_cpu": 5 * 2,
    "table6": 9 * 3, "table6-tiny": 9,
    "table7": 6 * 3, "table7-tiny": 6,
    "even_ferplus_cpu": 6 * 3,
    "fig9": 5 * 4 + 2, "fig9-tiny": 5 * 4 + 2,
}  # fmt: skip


# What a run is when the recipe does not say.
DEFAULTS = {
    "img_size": None, "epochs": None, "dataset": None, "method": "ce", "labels": "majority",
    "imbalance": None, "view": "mirror", "hflip": 0.5,
}  # fmt: skip


def head_of(path: Path) -> list[str]:
    """The comment that a recipe opens with, line by line."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        found.append(line.removeprefix("#").strip())
    return found


def test_there_are_recipes() -> None:
    assert {"rivals_ferplus_cpu.yaml", "rivals-tiny.yaml"} <= {path.name for path in RECIPES}
    assert RIVALS
    names = {path.stem for path in PAPER}
    assert names == {*LAYOUTS, *(f"{name}-tiny" for name in LAYOUTS)}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_a_recipe_means_runs(path: Path) -> None:
    recipe = read_recipe(path)
    assert recipe.name == path.stem
    runs = plan(recipe)
    assert len(runs) == len({run.folder for run in runs})
    assert len(runs) == COUNTS.get(path.stem, len(recipe.runs) * len(recipe.seeds))
    written = yaml.safe_load(path.read_text(encoding="utf-8"))
    base = written.get("base") or {}
    for run in runs:
        own = {**((written.get("runs") or {}).get(run.base) or {}), **at(written.get("axes") or {}, run.labels)}
        settings = {**PRESETS.get(base.get("preset"), {}), **base, **own}
        for key, default in DEFAULTS.items():
            assert getattr(run.config, key) == settings.get(key, default), (run.name, key)


def at(axes: dict[str, Any] | list[dict[str, Any]], labels: Mapping[str, str]) -> dict[str, Any]:
    """The settings that a point of the axes stands for, as the file writes them (one grid, or a list of grids)."""
    grids = axes if isinstance(axes, list) else [axes]
    found: dict[str, Any] = {}
    for axis, label in labels.items():
        for values in (grid[axis] for grid in grids if axis in grid):
            if isinstance(values, dict):
                found |= values.get(label, {})
            else:
                found |= {key: value for key, value in itertools.product([axis], values) if str(value) == label}
    return found


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_a_recipe_opens_with_what_it_is_and_its_command(path: Path) -> None:
    head = head_of(path)
    commands = [line for line in head if line.startswith("evenface study ")]
    assert commands
    for line in commands:
        parser = Parser(prog="evenface study", allow_abbrev=False)
        add_arguments(parser)
        args = parser.parse_args(shlex.split(line)[2:])
        assert ROOT / args.recipe == path
    assert "minutes" in " ".join(head) or "hours" in " ".join(head)


@pytest.mark.parametrize("path", [path for path in PAPER if "-tiny" not in path.stem], ids=lambda path: path.name)
def test_a_table_of_the_paper_says_how_long_it_takes_and_whose_reading_it_is(path: Path) -> None:
    head = " ".join(head_of(path))
    assert "Whose reading." in head
    assert "On a GPU: not measured" in head
    trainings = re.search(r"(\d+) trainings", head)
    assert trainings is not None
    assert int(trainings[1]) == COUNTS[path.stem]
    assert f"recipes/{path.stem}-tiny.yaml" in head


@pytest.mark.parametrize("path", PAPER, ids=lambda path: path.name)
def test_every_row_of_the_paper_has_its_run(path: Path) -> None:
    recipe = read_recipe(path)
    name = path.stem.removesuffix("-tiny")
    assert recipe.layout == name
    if name == "fig9":
        return
    table = reported()[name]
    assert {row.run for row in table.rows} <= set(recipe.runs)
    if not path.stem.endswith("-tiny"):
        for row in table.rows:
            settings = recipe.runs[row.run]
            assert (settings["dataset"], settings["model"]) == (table.test_set.dataset, row.model)
            assert (settings["img_size"], settings["epochs"], settings["batch_size"], settings["lr"]) == (224, 60, 32, 1e-4)  # section 4.2
        assert recipe.seeds == (0, 1, 2)
        assert recipe.split == "test"


def test_the_grid_of_fig_9() -> None:
    recipe = read_recipe(ROOT / "recipes" / "fig9.yaml")
    points = [tuple(run.config.method_options[name] for name in ("lam", "mu")) for run in plan(recipe)]
    assert points[0] == (0.1, 0.5)
    assert set(points) == {*((lam, mu) for lam in (0.05, 0.1, 0.2, 0.5, 1.0) for mu in (0.1, 0.25, 0.5, 1.0)), (0.0, 0.5), (0.1, 0.0)}
    assert recipe.split == "validation"  # nothing is chosen on test


def test_the_imbalance_factors_of_table_4() -> None:
    runs = plan(read_recipe(ROOT / "recipes" / "table4.yaml"), seeds=[0])
    assert {(run.base, run.config.imbalance) for run in runs} == {
        (name, factor) for name in ("ce", "bbn", "eac", "mek", "rbcf", "ce_two_views") for factor in (50.0, 100.0, 150.0)
    }
    assert {(run.config.imbalance_reading, run.config.data_seed) for run in runs} == {("A", 0)}


def test_a_start_of_ones_own_takes_the_place_of_the_file() -> None:
    recipe = read_recipe(ROOT / "recipes" / "table2.yaml")
    starts = {run.labels["backbone"]: run.config.init for run in plan(recipe, init="mine.pth")}
    assert starts == {"mobilenet": "pretrained", "resnet18": "mine.pth", "resnet50": "pretrained", "swin_t": "pretrained"}


def test_finished_runs_keep_their_folders() -> None:
    """These were trained before recipes had layouts; neither that key nor a comment may move them."""
    names = {run.folder.name for run in plan(read_recipe(ROOT / "recipes" / "table3_ferplus_cpu.yaml"))}
    assert {"ce-s0-d477643a", "rbc-s0-e9d548b1", "rbf-s0-ba1ea08a", "rbcf-s2-c54e3a3d"} <= names


@pytest.mark.parametrize("path", RIVALS, ids=lambda path: path.name)
def test_the_rivals_are_all_methods_against_cross_entropy(path: Path) -> None:
    recipe = read_recipe(path)
    assert next(iter(recipe.runs)) == "ce"
    assert "ce_two_views" in recipe.runs
    methods = {name: run.config.method for run in plan(recipe, seeds=[0]) for name in [run.name]}
    assert set(methods.values()) == set(METHODS)
    assert {name: method for name, method in methods.items() if name != method} == {"ce_two_views": "ce"}
    assert dict(recipe.after) == {"crt": "ce", "tau_norm": "ce"}
