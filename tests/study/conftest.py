"""A tiny study, trained once, and the means to write another."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from evenface.study import Recipe, Run, Scoring, Task, plan, read_recipe, state_of, work

from ..training.conftest import faces


TINY = {
    "model": "test_resnet",
    "img_size": 32,
    "epochs": 2,
    "batch_size": 8,
    "device": "cpu",
    "precision": "fp32",
    "workers": 1,
    "lr": 1e-3,
}


def write(folder: Path, **values: Any) -> Path:
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump({"runs": {"ce": None}, **values}, sort_keys=False))
    return path


def recipe_of(folder: Path, **values: Any) -> Recipe:
    return read_recipe(write(folder, **{"output": str(folder / "runs"), **values}))


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Recipe, list[Run]]:
    """Three methods on random faces, trained; `crt` goes on from `ce`. To be looked at only."""
    folder = tmp_path_factory.mktemp("study")
    faces({"train": 29, "validation": 13, "test": 40}).save(folder / "tiny.parquet")
    base = {**TINY, "dataset": "manifest", "data_dir": str(folder / "tiny.parquet")}
    runs = {"ce": {}, "eac": {"method": "eac"}, "crt": {"method": "crt", "after": "ce", "epochs": 1}}
    recipe = recipe_of(folder, base=base, runs=runs, about="Words.", seeds=[0, 1])
    planned = plan(recipe)
    for run in planned:
        work(run.config, Task(command=("evenface", "study")))
    return recipe, planned


def copied(study: tuple[Recipe, list[Run]], tmp_path: Path, **changes: Any) -> Run:
    """The first run in a folder of its own."""
    recipe, runs = study
    base = {**recipe.base, **changes}
    (run, *_) = plan(recipe_of(tmp_path, base=base, runs={"ce": {}}))
    if not changes:
        shutil.copytree(runs[0].folder, run.folder)
        assert state_of(run, Scoring("test")).done
    return run


@pytest.fixture
def copy(study: tuple[Recipe, list[Run]], tmp_path: Path) -> Run:
    (tmp_path / "runs").mkdir()
    return copied(study, tmp_path)
