"""One run of a study, for real: none is trained twice, none is taken for another, and an interrupted one is gone on with."""

from __future__ import annotations

import dataclasses
import io
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from evenface.errors import ConfigError
from evenface.study import Recipe, Run, Scoring, Task, collect, plan, run_locally, state_of, work
from evenface.study.state import minutes
from evenface.study.work import main
from evenface.training.config import load_config
from evenface.training.loop import Interrupted, Loop

from .conftest import copied, recipe_of


def nobody(*_: object, **__: object) -> None:
    raise AssertionError("nothing was to be trained")


def test_a_finished_run_is_never_trained_again(study: tuple[Recipe, list[Run]], monkeypatch: pytest.MonkeyPatch) -> None:
    _, runs = study
    assert {str(state_of(run, Scoring("test"))) for run in runs} == {"done"}
    assert str(state_of(runs[0], Scoring("test", "flip"))) == "trained, not scored"
    assert run_locally(runs, Task(), worker=("no such command",)) == {}
    monkeypatch.setattr(Loop, "step", nobody)
    before = (runs[0].folder / "last.ckpt").read_bytes()
    work(runs[0].config, Task())  # as where only the score was missing
    assert (runs[0].folder / "last.ckpt").read_bytes() == before
    spent = minutes(runs[0].folder)
    assert spent is not None
    assert 0 < spent < 1
    about = json.loads((runs[2].folder / "best" / "config.json").read_text())
    assert about["init"]["source"] == str(runs[0].folder / "best")


def test_what_makes_a_run_unfinished(copy: Run, study: tuple[Recipe, list[Run]], tmp_path: Path) -> None:
    (copy.folder / "last.ckpt").unlink()
    assert state_of(copy, Scoring("test")).done  # it may be deleted
    assert minutes(copy.folder) is None
    metrics = copy.folder / "metrics-test.json"
    metrics.write_text(json.dumps(json.loads(metrics.read_text()) | {"epoch": 9}))
    assert str(state_of(copy, Scoring("test"))) == "trained, not scored"  # scores of an epoch that was the best one once
    work(copy.config, Task())
    assert state_of(copy, Scoring("test")).done
    metrics.write_text('{"epoch": ')  # half a copy
    assert str(state_of(copy, Scoring("test"))) == "trained, not scored"
    log = copy.folder / "log.csv"
    log.write_bytes(log.read_bytes().replace(b"epoch", b"\xffpoch"))
    assert state_of(copy, Scoring("test")).epochs == 2  # a damaged letter unmakes no epoch
    assert not state_of(copied(study, tmp_path, lr=0.5), Scoring("test")).begun  # a changed setting is a new run


def test_a_default_that_has_changed_is_told(copy: Run) -> None:
    file = copy.folder / "config.yaml"
    file.write_text(file.read_text().replace("erase: 0.5", "erase: 0.25"))
    with pytest.raises(ConfigError, match=r"was trained with erase 0.25, and the recipe now means 0.5; move that folder away"):
        state_of(copy, Scoring("test"))


@pytest.fixture
def moved(study: tuple[Recipe, list[Run]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run whose settings name a set, a start, and ids to leave out by relative paths, trained; then all of it was moved."""
    recipe, runs = study
    (tmp_path / "old").mkdir()
    shutil.copy(str(recipe.base["data_dir"]), tmp_path / "old" / "faces.parquet")
    shutil.copytree(runs[0].folder / "best", tmp_path / "old" / "start")
    (tmp_path / "old" / "out.txt").write_text("train-003\n")
    base = {**recipe.base, "data_dir": "faces.parquet", "exclude": "out.txt", "init": "start"}
    given: dict[str, Any] = {"base": base, "runs": {"ce": {}, "crt": {"method": "crt", "after": "ce"}}, "output": "runs"}
    monkeypatch.chdir(tmp_path / "old")
    for run in plan(recipe_of(tmp_path / "old", **given)):
        work(run.config, Task())
    (tmp_path / "old").rename(tmp_path / "new")
    monkeypatch.chdir(tmp_path / "new")
    recipe = recipe_of(tmp_path / "new", **given)
    assert [str(state_of(run, Scoring("test"))) for run in plan(recipe)] == ["done", "done"]
    assert collect(recipe, plan(recipe), resamples=100).missing == ()
    return plan(recipe)[0]


def test_a_study_may_be_moved_with_what_it_names(moved: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Loop, "step", nobody)
    (moved.folder / "last.ckpt").unlink()
    work(moved.config, Task(Scoring("validation")))  # finds the faces where they are now
    assert state_of(moved, Scoring("validation")).done
    assert load_config(moved.folder / "config.yaml").init == str(tmp_path / "new" / "start")


@pytest.mark.parametrize(("name", "value"), [("data_dir", "faces.parquet"), ("exclude", "out.txt"), ("init", "start")])
def test_a_path_that_ends_in_another_name_is_told(name: str, value: str, moved: Run) -> None:
    file = moved.folder / "config.yaml"
    file.write_text(file.read_text().replace(f"/{value}\n", "/other\n"))
    with pytest.raises(ConfigError, match=rf"was trained with {name} '.*/other', and the recipe now means '.*/{value}'; move that folder"):
        state_of(moved, Scoring("test"))


def test_an_interrupted_run_is_gone_on_with(study: tuple[Recipe, list[Run]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, runs = study
    (run, *_) = plan(recipe, output=tmp_path)
    step, done = Loop.step, 0

    def stopping(self: Loop, *args: Any) -> Any:
        nonlocal done
        done += 1
        self._stop = "SIGTERM" if done == 5 else ""
        return step(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "step", stopping)
        with pytest.raises(Interrupted):
            work(run.config, Task())
    assert str(state_of(run, Scoring("test"))) == "stopped in epoch 2 of 2"
    other = dataclasses.replace(run.config, workers=2, save_minutes=0.0)  # on another machine
    work(other, Task())
    assert state_of(run, Scoring("test")).done
    assert load_config(run.folder / "config.yaml").workers == 2
    weights = Path("best", "model.safetensors")
    assert (run.folder / weights).read_bytes() == (runs[0].folder / weights).read_bytes()


def test_paths_of_a_recipe_may_be_relative(study: tuple[Recipe, list[Run]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, runs = study
    source = Path(str(recipe.base["data_dir"]))
    shutil.copy(source, tmp_path / "faces.parquet")
    monkeypatch.chdir(tmp_path)
    (run,) = plan(recipe_of(tmp_path, base={**recipe.base, "data_dir": "faces.parquet"}, runs={"ce": {}}))
    work(run.config, Task())
    assert state_of(run, Scoring("test")).done
    assert load_config(run.folder / "config.yaml").data_dir == str(tmp_path / "faces.parquet")
    weights = Path("best", "model.safetensors")
    assert (run.folder / weights).read_bytes() == (runs[0].folder / weights).read_bytes()


def test_the_process_of_a_run_says_why_it_failed(study: tuple[Recipe, list[Run]], tmp_path: Path, capfd: Any, monkeypatch: Any) -> None:
    run = copied(study, tmp_path, lr=0.5)
    config = dataclasses.asdict(dataclasses.replace(run.config, data_dir=str(tmp_path / "nowhere.csv")))
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps({"config": config, "scoring": Scoring(), "command": []})))
    assert main() == 1
    assert "nowhere.csv" in capfd.readouterr().err.splitlines()[-1]
