"""Every recipe of the repository means runs that can be trained, and the rivals are all there."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from evenface.cli.main import Parser
from evenface.cli.study import add_arguments
from evenface.methods import METHODS
from evenface.study import plan, read_recipe


ROOT = Path(__file__).resolve().parents[1]
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
RIVALS = [path for path in RECIPES if path.name.startswith(("rivals", "leaderboard"))]


def test_there_are_recipes() -> None:
    assert {"rivals_ferplus_cpu.yaml", "rivals-tiny.yaml"} <= {path.name for path in RECIPES}
    assert RIVALS


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_a_recipe_means_runs(path: Path) -> None:
    recipe = read_recipe(path)
    assert recipe.name == path.stem
    runs = plan(recipe)
    assert len({run.folder for run in runs}) == len(recipe.runs) * len(recipe.seeds)
    written = yaml.safe_load(path.read_text(encoding="utf-8"))
    for run in runs:
        own = {**written["base"], **(written["runs"][run.base] or {}), **at(written.get("axes", {}), run.labels)}
        for key, default in {
            "img_size": None,
            "epochs": None,
            "dataset": None,
            "method": "ce",
            "labels": "majority",
            "imbalance": None,
        }.items():
            assert getattr(run.config, key) == own.get(key, default), (run.name, key)


def at(axes: dict[str, Any], labels: Mapping[str, str]) -> dict[str, Any]:
    """The settings that a point of the axes stands for, as the file writes them."""
    found: dict[str, Any] = {}
    for axis, label in labels.items():
        values = axes[axis]
        found |= values[label] if isinstance(values, dict) else {axis: next(v for v in values if str(v) == label)}
    return found


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_a_recipe_opens_with_what_it_is_and_its_command(path: Path) -> None:
    head = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        head.append(line.removeprefix("#").strip())
    commands = [line for line in head if line.startswith("evenface study ")]
    assert commands
    for line in commands:
        parser = Parser(prog="evenface study", allow_abbrev=False)
        add_arguments(parser)
        args = parser.parse_args(shlex.split(line)[2:])
        assert ROOT / args.recipe == path
    assert "minutes" in " ".join(head) or "hours" in " ".join(head)


@pytest.mark.parametrize("path", RIVALS, ids=lambda path: path.name)
def test_the_rivals_are_all_methods_against_cross_entropy(path: Path) -> None:
    recipe = read_recipe(path)
    assert list(recipe.runs)[:2] == ["ce", "ce_two_views"]
    methods = {name: run.config.method for run in plan(recipe, seeds=[0]) for name in [run.name]}
    assert set(methods.values()) == set(METHODS)
    assert {name: method for name, method in methods.items() if name != method} == {"ce_two_views": "ce"}
    assert dict(recipe.after) == {"crt": "ce", "tau_norm": "ce"}
