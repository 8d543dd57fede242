"""A study from recipe to table: which runs it means, that none is trained twice, that a stop or a failure costs only what it must."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import json
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from sklearn.metrics import balanced_accuracy_score, recall_score

from evenface.errors import ConfigError, DataError
from evenface.evaluation.records import read_predictions
from evenface.report.study import study_csv, study_grid, study_grids
from evenface.runs import evaluate
from evenface.study import Recipe, Run, Task, collect, plan, read_recipe, run_locally, state_of, work
from evenface.study.plan import fingerprint
from evenface.study.schedule import Stopped
from evenface.study.state import minutes
from evenface.study.work import main
from evenface.training.config import PRESETS, TrainConfig, load_config
from evenface.training.loop import Interrupted, Loop

from .training.conftest import CLASSES, faces


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


# -------------------- the recipe


def test_a_run_overrides_the_base_and_the_base_its_preset(tmp_path: Path) -> None:
    recipe = recipe_of(
        tmp_path,
        base={"preset": "cpu", "dataset": "ferplus", "epochs": 3, "method": "rbcf", "method_options": {"lam": "1e-1", "mu": 1}},
        runs={"a": {"epochs": 5, "method_options": {"mu": 2}}, "b": {"method": "ce"}, "c": {"preset": "paper", "lr": "1e-3"}},
        seeds=[3, 1],
    )
    runs = plan(recipe)
    assert [(run.name, run.seed) for run in runs] == [("a", 3), ("b", 3), ("c", 3), ("a", 1), ("b", 1), ("c", 1)]
    a, b, c = (run.config for run in runs[:3])
    assert (a.epochs, b.epochs, a.model) == (5, 3, PRESETS["cpu"]["model"])
    assert (a.method, a.method_options) == ("rbcf", {"lam": 0.1, "mu": 2.0})
    assert (b.method, b.method_options) == ("ce", {})  # the options were those of the base's method
    assert (c.epochs, c.lr, c.img_size, c.optimizer) == (60, 1e-3, 224, "adam")
    assert all(run.folder.parent == tmp_path / "runs" for run in runs)
    assert runs[0].folder.name.startswith("a-s3-")
    assert (recipe.name, recipe.split, recipe.tta) == ("tiny", "test", "none")


def test_the_command_line_overrides_places_and_seeds(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path, base={"dataset": "ferplus", "data_dir": "here"}, runs={"a": {}, "b": {"epochs": 2}})
    assert {run.config.data_dir for run in plan(recipe)} == {str(Path("here").resolve())}
    runs = plan(recipe, data_dir="there", seeds=[7], output="other")
    assert {(run.config.data_dir, run.seed, run.folder.parent) for run in runs} == {(str(Path("there").resolve()), 7, Path("other"))}
    assert [run.folder.name for run in runs] == [run.folder.name for run in plan(recipe, seeds=[7])]


def test_a_run_after_another_starts_from_its_best_model(tmp_path: Path) -> None:
    base = {"init": "pretrained"}
    chain = {"late": {"method": "tau_norm", "after": "mid"}, "mid": {"method": "crt", "after": "ce"}, "ce": {}, "other": {"method": "eac"}}
    recipe = recipe_of(tmp_path, base=base, runs=chain, seeds=[0, 1])
    runs = {(run.name, run.seed): run for run in plan(recipe)}
    for seed in (0, 1):
        for name, first in (("late", "mid"), ("mid", "ce")):
            assert runs[name, seed].after == runs[first, seed].folder
            assert runs[name, seed].config.init == str(runs[first, seed].folder / "best")
        assert (runs["ce", seed].after, runs["ce", seed].config.init) == (None, "pretrained")
    assert [run.name for run in plan(recipe, only=["late"], seeds=[0])] == ["late", "mid", "ce"]
    with pytest.raises(ConfigError, match="Unknown run 'lat'; did you mean 'late'"):
        plan(recipe, only=["lat"])
    # Another start of the first is another run of the last; another place is not.
    changed = plan(recipe_of(tmp_path, base={}, runs=chain))
    moved = plan(recipe, output=tmp_path / "elsewhere")
    for run, other, same in zip(plan(recipe, seeds=[0]), changed, moved, strict=False):
        assert run.folder.name != other.folder.name
        assert run.folder.name == same.folder.name


def test_the_name_tells_settings_apart_but_for_those_that_change_no_number() -> None:
    config = TrainConfig(dataset="ferplus", data_dir="a", lr=0.1)
    key = fingerprint(config)
    idle = {"output": "x", "device": "cpu", "workers": 99, "store": "stream", "save_minutes": 1.0, "tensorboard": True, "data_dir": "b"}
    assert fingerprint(dataclasses.replace(config, **idle)) == key
    others = [{"lr": 0.2}, {"method": "eac"}, {"seed": 1}, {"method_options": {"cls_views": "both"}}, {"data_seed": 1}, {"ema": 0.9}]
    assert len({key, *(fingerprint(dataclasses.replace(config, **change)) for change in others)}) == 1 + len(others)
    own = dataclasses.replace(config, dataset="folder")
    assert fingerprint(own) != fingerprint(dataclasses.replace(own, data_dir="b"))  # another folder is other faces
    # Users' finished runs are found by it, so that it changes only with a reason.
    assert key == hashlib.blake2b(b'{"dataset": "ferplus", "lr": 0.1}', digest_size=4).hexdigest()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"runs": {}}, "is no recipe; it holds at least `runs`"),
        ({"runs": ["ce"]}, "is no recipe"),
        ({"seed": [1]}, "Unknown key 'seed'; did you mean 'seeds'"),
        ({"name": 3}, "`name` must be a text"),
        ({"base": ["x"]}, "base must be a mapping"),
        ({"base": {"epoch": 3}}, "base: Unknown setting 'epoch'; did you mean 'epochs'"),
        ({"base": {"preset": "cup"}}, "base: Unknown preset 'cup'; did you mean 'cpu'"),
        ({"base": {"seed": 1}}, "base may not set `seed`; list the `seeds`"),
        ({"base": {"after": "ce"}}, "Unknown setting 'after'"),
        ({"base": {"epochs": 0}}, "the run 'ce': --epochs must be at least 1"),
        ({"runs": {"a": {"output": "x"}}}, "the run 'a' may not set `output`"),
        ({"runs": {"a": 3}}, "the run 'a' must be a mapping"),
        ({"runs": {"a/b": {}}}, "A run cannot be named 'a/b'"),
        ({"runs": {3: {}}}, "A run cannot be named 3"),
        ({"runs": {"a": {"method": "rbfc"}}}, "the run 'a': Unknown method 'rbfc'; did you mean"),
        ({"runs": {"a": {"method": "rbcf", "method_options": {"lamm": 1}}}}, "the run 'a': Unknown option 'lamm'"),
        ({"runs": {"a": {"method_options": 3}}}, "the run 'a': --method-options must be a table"),
        ({"runs": {"a": {"after": "b"}}}, "'a' comes after an unknown one: Unknown run 'b'"),
        ({"runs": {"a": {"after": "b"}, "b": {"after": "a"}}}, "wait for one another"),
        ({"runs": {"a": {}, "b": {"after": "a", "init": "none"}}}, "'b' has `init` and `after`"),
        ({"runs": {"a": {}, "b": {"classes": 8}}}, "'a' (classes: 7) and 'b' (classes: 8) cannot share a table"),
        ({"runs": {"a": {}, "b": {"labels": "max"}}}, "'b' (labels: max) cannot share a table"),
        ({"runs": {"a": {}, "b": {"exclude": "x.txt"}}}, "'b' (exclude: x.txt) cannot share a table"),
        (
            {"base": {"dataset": "folder"}, "runs": {"a": {"data_dir": "x"}, "b": {"data_dir": "y"}}},
            "'b' (data_dir: y) cannot share a table",
        ),
        ({"runs": {"a": {}, "b": {"data_seed": 1}}, "split": "validation"}, "'b' (data_seed: 1) cannot share a table"),
        ({"runs": {"a": {}, "b": {"labels": "probability"}}, "split": "train"}, "'b' (labels: probability) cannot share a table"),
        ({"base": {"method_options": [1]}, "runs": {"a": {"method": "eac"}}}, "the run 'a': --method-options must be a table, not [1]"),
        ({"runs": {"a": {"after": ["b"]}, "b": {}}}, "'a' comes after an unknown one: Unknown run '['b']'"),
        ({"base": {"preset": ["cpu"]}}, "base: Unknown preset '['cpu']'"),
        ({"seeds": []}, "The seeds are a list"),
        ({"seeds": [1, 1]}, "The seeds are a list"),
        ({"seeds": [-1]}, "The seeds are a list"),
        ({"seeds": 3}, "The seeds are a list"),
        ({"split": "tset"}, "Unknown split 'tset'; did you mean 'test'"),
        ({"tta": "mirror"}, "Unknown tta 'mirror'"),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else "",
)
def test_recipes_that_cannot_work(values: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        recipe_of(tmp_path, **values)
    assert message in str(caught.value)
    assert "tiny.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_key_with_nothing_after_it_is_no_option(tmp_path: Path) -> None:
    options = {"a": {"method_options": None}, "b": {"method_options": None, "method_options.cls_views": "both"}, "c": {}}
    a, b, c = plan(recipe_of(tmp_path, runs=options, base={"method_options": None}))
    assert [run.config.method_options for run in (a, b, c)] == [{}, {"cls_views": "both"}, {}]


@pytest.mark.parametrize("split", ["validation", "test"])
def test_rules_that_change_train_only_share_a_table(split: str, tmp_path: Path) -> None:
    rules = ("majority", "probability", "fer2013")
    runs = plan(recipe_of(tmp_path, runs={rule: {"labels": rule} for rule in rules}, split=split))
    assert [run.config.labels for run in runs] == list(rules)


def test_a_file_that_is_no_recipe(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere.yaml cannot be read"):
        read_recipe(tmp_path / "nowhere.yaml")
    (tmp_path / "x.yaml").write_text("runs: [1\n")
    with pytest.raises(ConfigError, match=r"x.yaml is not valid YAML"):
        read_recipe(tmp_path / "x.yaml")
    (tmp_path / "x.yaml").write_text("runs:\n  ce: {}\n  ce: {method: eac}\n")
    with pytest.raises(ConfigError, match=r"x.yaml: 'ce' comes twice in one mapping"):
        read_recipe(tmp_path / "x.yaml")
    for text in ("seeds: [0]\nruns: &a {ce: *a}\n", "seeds: [0]\nruns: &a\n  ce: [1, *a]\n", "name: x\nruns: &a {<<: *a}\n"):
        (tmp_path / "x.yaml").write_text(text)
        with pytest.raises(ConfigError, match=r"x.yaml: What begins in line [23] holds itself by an alias; write out what is meant"):
            read_recipe(tmp_path / "x.yaml")
    (tmp_path / "x.yaml").write_text("base: &a {epochs: 3}\nruns: {one: *a, two: *a}\n")  # an alias of another part is fine
    assert [run.config.epochs for run in plan(read_recipe(tmp_path / "x.yaml"))] == [3, 3]


# -------------------- one run, for real


@pytest.fixture(scope="module")
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


def nobody(*_: object, **__: object) -> None:
    raise AssertionError("nothing was to be trained")


def test_a_finished_run_is_never_trained_again(study: tuple[Recipe, list[Run]], monkeypatch: pytest.MonkeyPatch) -> None:
    _, runs = study
    assert {str(state_of(run, "test", "none")) for run in runs} == {"done"}
    assert str(state_of(runs[0], "test", "flip")) == "trained, not scored"
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


def copied(study: tuple[Recipe, list[Run]], tmp_path: Path, **changes: Any) -> Run:
    """The first run in a folder of its own."""
    recipe, runs = study
    base = {**recipe.base, **changes}
    (run, *_) = plan(recipe_of(tmp_path, base=base, runs={"ce": {}}))
    if not changes:
        shutil.copytree(runs[0].folder, run.folder)
        assert state_of(run, "test", "none").done
    return run


@pytest.fixture
def copy(study: tuple[Recipe, list[Run]], tmp_path: Path) -> Run:
    (tmp_path / "runs").mkdir()
    return copied(study, tmp_path)


def test_what_makes_a_run_unfinished(copy: Run, study: tuple[Recipe, list[Run]], tmp_path: Path) -> None:
    (copy.folder / "last.ckpt").unlink()
    assert state_of(copy, "test", "none").done  # it may be deleted
    assert minutes(copy.folder) is None
    metrics = copy.folder / "metrics-test.json"
    metrics.write_text(json.dumps(json.loads(metrics.read_text()) | {"epoch": 9}))
    assert str(state_of(copy, "test", "none")) == "trained, not scored"  # scores of an epoch that was the best one once
    work(copy.config, Task())
    assert state_of(copy, "test", "none").done
    metrics.write_text('{"epoch": ')  # half a copy
    assert str(state_of(copy, "test", "none")) == "trained, not scored"
    assert not state_of(copied(study, tmp_path, lr=0.5), "test", "none").begun  # a changed setting is a new run


def test_a_default_that_has_changed_is_told(copy: Run) -> None:
    file = copy.folder / "config.yaml"
    file.write_text(file.read_text().replace("erase: 0.5", "erase: 0.25"))
    with pytest.raises(ConfigError, match=r"was trained with erase 0.25, and the recipe now means 0.5; move that folder away"):
        state_of(copy, "test", "none")


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
    assert [str(state_of(run, "test", "none")) for run in plan(recipe)] == ["done", "done"]
    assert collect(recipe, plan(recipe), resamples=100).missing == ()
    return plan(recipe)[0]


def test_a_study_may_be_moved_with_what_it_names(moved: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Loop, "step", nobody)
    (moved.folder / "last.ckpt").unlink()
    work(moved.config, Task("validation"))  # finds the faces where they are now
    assert state_of(moved, "validation", "none").done
    assert load_config(moved.folder / "config.yaml").init == str(tmp_path / "new" / "start")


@pytest.mark.parametrize(("name", "value"), [("data_dir", "faces.parquet"), ("exclude", "out.txt"), ("init", "start")])
def test_a_path_that_ends_in_another_name_is_told(name: str, value: str, moved: Run) -> None:
    file = moved.folder / "config.yaml"
    file.write_text(file.read_text().replace(f"/{value}\n", "/other\n"))
    with pytest.raises(ConfigError, match=rf"was trained with {name} '.*/other', and the recipe now means '.*/{value}'; move that folder"):
        state_of(moved, "test", "none")


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
    assert str(state_of(run, "test", "none")) == "stopped in epoch 2 of 2"
    other = dataclasses.replace(run.config, workers=2, save_minutes=0.0)  # on another machine
    work(other, Task())
    assert state_of(run, "test", "none").done
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
    assert state_of(run, "test", "none").done
    assert load_config(run.folder / "config.yaml").data_dir == str(tmp_path / "faces.parquet")
    weights = Path("best", "model.safetensors")
    assert (run.folder / weights).read_bytes() == (runs[0].folder / weights).read_bytes()


def test_the_process_of_a_run_says_why_it_failed(study: tuple[Recipe, list[Run]], tmp_path: Path, capfd: Any, monkeypatch: Any) -> None:
    run = copied(study, tmp_path, lr=0.5)
    config = dataclasses.asdict(dataclasses.replace(run.config, data_dir=str(tmp_path / "nowhere.csv")))
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps({"config": config, "split": "test", "tta": "none", "command": []})))
    assert main() == 1
    assert "nowhere.csv" in capfd.readouterr().err.splitlines()[-1]


# -------------------- many runs in processes, played by a script


PLAYER = """
import json, os, pathlib, signal, sys, time
task = json.load(sys.stdin)
config = task["config"]
folder = pathlib.Path(config["output"])
name, _, _ = folder.name.partition("-")
events = (folder.parent / "events").open("a", buffering=1)
events.write(f"begin {name} {os.environ.get('OMP_NUM_THREADS')}\\n")
folder.mkdir(exist_ok=True)
(folder / "config.yaml").write_text(json.dumps(config))
print("at work on", name, flush=True)
does = pathlib.Path(config["unlabelled"] or "").name
if does == "fails":
    sys.exit("no luck today")
if does == "dies":
    os.kill(os.getpid(), signal.SIGKILL)
if does == "waits" and not (folder / "last.ckpt").exists():
    def leave(*_):
        (folder / "last.ckpt").write_text("saved")
        events.write(f"saved {name}\\n")
        sys.exit("Stopped by SIGTERM")
    signal.signal(signal.SIGTERM, leave)
    events.write(f"ready {name}\\n")
    time.sleep(60)
time.sleep(0.2)
(folder / "best").mkdir(exist_ok=True)
(folder / "log.csv").write_text("epoch\\n" + "1\\n" * config["epochs"])
for file in ("best/config.json", "metrics-test.json"):
    (folder / file).write_text('{"epoch": 1}')
(folder / "predictions-test.parquet").touch()
(folder / "last.ckpt").touch()
events.write(f"end {name}\\n")
"""


@pytest.fixture
def play(tmp_path: Path) -> Callable[..., dict[str, str]]:
    """Runs a recipe of `name: what happens`; gives the failures."""
    script = tmp_path / "player.py"
    script.write_text(PLAYER)

    def run(runs: dict[str, Any], **options: Any) -> dict[str, str]:
        settings = {name: ({"unlabelled": each} if isinstance(each, str) else each) for name, each in runs.items()}
        planned = plan(recipe_of(tmp_path, base={"epochs": 2}, runs=settings))
        return run_locally(planned, Task(), worker=(sys.executable, "-I", str(script)), **options)

    return run


def events(tmp_path: Path) -> list[str]:
    """What the runs did, in order, without the threads."""
    return [" ".join(line.split()[:2]) for line in (tmp_path / "runs" / "events").read_text().splitlines()]


def only(tmp_path: Path, pattern: str) -> Path:
    (path,) = (tmp_path / "runs").glob(pattern)
    return path


def test_runs_go_one_after_the_other_and_what_they_wait_for_first(play: Any, tmp_path: Path) -> None:
    said: list[str] = []
    assert play({"late": {"after": "first"}, "first": {}, "other": {}}, say=said.append) == {}
    assert events(tmp_path) == [f"{what} {name}" for name in ("first", "late", "other") for what in ("begin", "end")]
    assert only(tmp_path, "first-*/study.log").read_text() == "at work on first\n"
    assert not list((tmp_path / "runs").glob("*.log"))
    assert [line.split(",")[0] for line in said] == [
        line for i, name in enumerate(("first", "late", "other"), 1) for line in (f"[{i}/3] {name} s0: starts", f"        {name} s0: done")
    ]
    assert play({"late": {"after": "first"}, "first": {}, "other": {}, "new": {"lr": 0.5}}) == {}
    assert events(tmp_path)[6:] == ["begin new", "end new"]  # the others are there


def test_side_by_side_they_share_the_cores(play: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("evenface.study.local.cores", lambda: 7)
    assert play({"a": {}, "b": {}, "late": {"after": "a"}}, jobs=3) == {}
    lines = (tmp_path / "runs" / "events").read_text().splitlines()
    assert sorted(lines[:2]) == ["begin a 2", "begin b 2"]  # both before either ends; 7 cores for 3
    assert lines.index("begin late 2") > lines.index("end a")
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert play({"c": {"lr": 0.5}}, jobs=3) == {}
    assert "begin c 5" in (tmp_path / "runs" / "events").read_text()  # the user's wish


def test_one_that_fails_does_not_stop_the_others(play: Any, tmp_path: Path) -> None:
    failed = play({"bad": "fails", "good": {}, "dead": "dies", "late": {"after": "bad"}})
    assert failed["bad s0"] == f"no luck today ({only(tmp_path, 'bad-*/study.log')})"
    assert failed["dead s0"].startswith("killed by SIGKILL (")
    assert failed["late s0"].startswith("bad-s0-")
    assert failed["late s0"].endswith(", which it starts from, did not come to its end")
    assert set(failed) == {"bad s0", "dead s0", "late s0"}
    assert events(tmp_path) == ["begin bad", "begin good", "end good", "begin dead"]
    # What was killed before its first state starts anew; its log goes on.
    assert set(play({"bad": "fails", "good": {}, "dead": "dies"})) == {"bad s0", "dead s0"}
    assert only(tmp_path, "bad-*/study.log").read_text() == "at work on bad\nno luck today\n" * 2


def interrupt_when(path: Path, text: str, number: int) -> threading.Thread:
    """Sends this process a signal as soon as the file holds the text."""

    def watch() -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and not (path.exists() and text in path.read_text()):
            time.sleep(0.02)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


@pytest.mark.parametrize(("number", "name"), [(signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, "SIGTERM")])
def test_a_stop_lets_the_processes_save_and_starts_no_other(number: int, name: str, play: Any, tmp_path: Path) -> None:
    handler = signal.getsignal(number)
    thread = interrupt_when(tmp_path / "runs" / "events", "ready long", number)
    with pytest.raises(Stopped, match=f"Stopped by {name}: 1 of 3 runs are done, those at work can be gone on with") as caught:
        play({"short": {}, "long": "waits", "later": {}})
    thread.join()
    assert caught.value.failed == {}
    assert signal.getsignal(number) is handler
    assert events(tmp_path) == ["begin short", "end short", "begin long", "ready long", "saved long"]
    said: list[str] = []
    assert play({"short": {}, "long": "waits", "later": {}}, say=said.append) == {}
    assert said[0].startswith("[1/2] long s0: goes on")
    assert events(tmp_path)[5:] == ["begin long", "end long", "begin later", "end later"]


def test_what_failed_before_a_stop_is_told(play: Any, tmp_path: Path) -> None:
    thread = interrupt_when(tmp_path / "runs" / "events", "ready long", signal.SIGTERM)
    with pytest.raises(Stopped, match=r"gone on with\. bad s0 failed: no luck today .*study\.log\)\.$") as caught:
        play({"bad": "fails", "long": "waits", "later": {}})
    thread.join()
    assert list(caught.value.failed) == ["bad s0"]


def test_whatever_goes_wrong_no_process_is_left_behind(play: Any, tmp_path: Path) -> None:
    def broken(text: str) -> None:
        raise BrokenPipeError(text)  # `evenface study ... | head`

    def broken_later(text: str) -> None:
        if "short" in text and "done" in text:
            raise BrokenPipeError(text)

    with pytest.raises(BrokenPipeError):
        play({"a": {}}, say=broken)
    with pytest.raises(BrokenPipeError):
        play({"short": {}, "long": "waits"}, jobs=2, say=broken_later)
    assert "saved long" in events(tmp_path)  # it was told, and waited for


def test_a_folder_that_was_killed_before_its_first_state_is_made_anew(play: Any, tmp_path: Path) -> None:
    (run,) = plan(recipe_of(tmp_path, base={"epochs": 2}, runs={"a": {}}))
    for name in ("tensorboard", "watched"):
        (run.folder / name).mkdir(parents=True)
    (run.folder / "watched" / "epoch-0000.npz").write_bytes(b"the faces before the first state")
    (run.folder / ".last.ckpt.0123abcd.part").write_bytes(b"half")
    (run.folder / "config.yaml").write_text(run.config.to_yaml())
    assert play({"a": {}}) == {}
    assert not (run.folder / ".last.ckpt.0123abcd.part").exists()
    assert not (run.folder / "watched").exists()


def test_a_run_that_another_process_is_at_is_left_out(play: Any, tmp_path: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    (run,) = plan(recipe_of(tmp_path, base={"epochs": 2}, runs={"a": {}}))
    run.folder.mkdir(parents=True)
    with (run.folder / "study.log").open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert play({"a": {}, "b": {}}) == {"a s0": "another process is at work on it"}
    assert events(tmp_path) == ["begin b", "end b"]
    assert play({"a": {}}) == {}


# -------------------- the table


@pytest.fixture(scope="module")
def result(study: tuple[Recipe, list[Run]]) -> Any:
    return collect(*study, resamples=200)


def test_the_scores_are_means_over_the_seeds(study: tuple[Recipe, list[Run]], result: Any) -> None:
    _, runs = study
    rows = {row["run"]: row for row in csv.DictReader(io.StringIO(study_csv(result.comparison, result.minutes)))}
    assert set(rows) == {"ce", "eac", "crt"}
    expected = {}
    for name, row in rows.items():
        found = [read_predictions(run.folder / "predictions-test.parquet") for run in runs if run.name == name]
        expected[name] = np.mean([balanced_accuracy_score(p.true, p.predicted) for p in found])
        assert float(row["mean_recall"]) == pytest.approx(expected[name])
        assert float(row["mean_recall_low"]) <= expected[name] <= float(row["mean_recall_high"])
        assert float(row["overall"]) == pytest.approx(np.mean([p.true == p.predicted for p in found]))
        fear = np.mean([recall_score(p.true, p.predicted, average=None)[2] for p in found])
        assert float(row[f"recall_{CLASSES[2]}"]) == pytest.approx(fear)
        assert (row["seeds"], row["n"]) == ("0 1", "40")
        assert float(row["minutes"]) > 0
    for name in ("eac", "crt"):
        assert float(rows[name]["gain"]) == pytest.approx(expected[name] - expected["ce"])
        assert 0 < float(rows[name]["p"]) <= float(rows[name]["holm_p"]) <= 1
    assert rows["ce"]["gain"] == ""
    order = [float(row["mean_recall"]) for row in rows.values()]
    assert order == sorted(order, reverse=True)


def test_the_grids_hold_the_same_numbers(result: Any) -> None:
    scores, recalls = study_grids(result.comparison, result.minutes, result.train_counts)
    whole = study_grid(result.comparison, result.minutes, result.train_counts)
    assert max(len(line) for grid in (scores, recalls) for line in grid.text(100).splitlines()) <= 100
    by_name = {method.method: method for method in result.comparison.methods}
    for rows in (scores.rows, recalls.rows, whole.rows):
        assert [row[0] for row in rows] == sorted(by_name, key=lambda name: -by_name[name].mean("mean_recall"))
    for row in scores.rows:
        assert row[1].startswith(f"{100 * by_name[row[0]].mean('mean_recall'):.1f}\n")
    largest = max(result.train_counts, key=result.train_counts.get)
    assert recalls.head[1].startswith(largest)
    column = whole.head.index(next(head for head in whole.head if head.startswith(largest)))
    value = by_name[whole.rows[0][0]].recall[result.comparison.class_names.index(largest)]
    assert whole.rows[0][column].startswith(f"{100 * value:.1f} [")
    assert "Holm p" in whole.head
    assert any("Gain: points of mean recall over ce" in note for note in whole.notes)


def test_scores_on_the_split_of_the_choice_are_told_as_such(study: tuple[Recipe, list[Run]], copy: Run) -> None:
    recipe, _ = study
    assert not any("Optimistic" in note for note in collect(recipe, [copy], resamples=50).notes)
    evaluate(copy.folder, split="validation", device="cpu", workers=1)
    chosen = dataclasses.replace(recipe, split="validation")
    assert any(
        note.startswith("Optimistic: the epoch was chosen on the validation") for note in collect(chosen, [copy], resamples=50).notes
    )


def test_scores_on_training_faces_are_told_as_such(study: tuple[Recipe, list[Run]], copy: Run) -> None:
    recipe, _ = study
    evaluate(copy.folder, split="train", device="cpu", workers=1)
    notes = collect(dataclasses.replace(recipe, split="train"), [copy], resamples=50).notes
    assert notes[-1] == "Optimistic: the model learned on the train images themselves; not an estimate for new faces."


def test_a_run_that_is_optimistic_by_itself_is_named(study: tuple[Recipe, list[Run]], tmp_path: Path) -> None:
    """Such as one whose start was distilled on the test images too."""
    recipe, runs = study
    copies = plan(recipe, output=tmp_path, only=["ce", "eac"], seeds=[0])
    for copy in copies:
        shutil.copytree(runs[0].folder.parent / copy.folder.name, copy.folder)
    metrics = copies[1].folder / "metrics-test.json"
    metrics.write_text(json.dumps(json.loads(metrics.read_text()) | {"optimistic": True, "learned_from": True}))
    notes = collect(recipe, copies, resamples=50).notes
    assert [note for note in notes if "Optimistic" in note] == [
        "Optimistic, eac s0: the model learned, without labels, on the test images themselves; not an estimate for new faces."
    ]


def test_a_part_of_the_runs(study: tuple[Recipe, list[Run]], copy: Run, tmp_path: Path) -> None:
    recipe, runs = study
    part = [run for run in runs if run.name != "ce"]
    found = collect(recipe, part, resamples=100)
    assert found.comparison.pairs == ()
    assert any("ce, the first run of the recipe, is not among the runs here" in note for note in found.notes)
    assert "gain" not in study_grid(found.comparison, found.minutes).head
    assert [row["gain"] for row in csv.DictReader(io.StringIO(study_csv(found.comparison, found.minutes)))] == ["", ""]
    late = copied(study, tmp_path, lr=0.5)
    late = dataclasses.replace(late, config=dataclasses.replace(late.config, seed=5))
    assert collect(recipe, [copy, late], resamples=100).missing == ("ce s5",)
    with pytest.raises(DataError, match="No run of the study 'tiny' has been scored on test yet"):
        collect(recipe, [late])
