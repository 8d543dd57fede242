"""A recipe: which runs it means, with which settings, and what is wrong with one that cannot work."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from evenface.errors import ConfigError
from evenface.study import Scoring, plan, read_recipe
from evenface.study.plan import fingerprint
from evenface.training.config import PRESETS, TrainConfig

from .conftest import recipe_of


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
    assert (recipe.name, recipe.scoring) == ("tiny", Scoring())


def test_the_command_line_overrides_places_and_seeds(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path, base={"dataset": "ferplus", "data_dir": "here"}, runs={"a": {}, "b": {"epochs": 2}})
    assert {run.config.data_dir for run in plan(recipe)} == {str(Path("here").resolve())}
    runs = plan(recipe, data_dir="there", seeds=[7], output="other")
    assert {(run.config.data_dir, run.seed, run.folder.parent) for run in runs} == {(str(Path("there").resolve()), 7, Path("other"))}
    assert [run.folder.name for run in runs] == [run.folder.name for run in plan(recipe, seeds=[7])]


def test_the_folder_of_a_training_is_no_place_for_a_study(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.yaml").write_text("method: ce\n")
    with pytest.raises(ConfigError, match="mine is the folder of a training; name another one for the study with -o"):
        plan(recipe_of(tmp_path), output=tmp_path / "mine")


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
        ({"name": "../../zz"}, "A recipe cannot be named '../../zz'"),
        ({"output": ["a"]}, "The recipe's `output` names a folder, and is no ['a']"),
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


def test_the_runs_may_be_asked_under_another_prior(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path, prior="half")
    assert recipe.scoring == Scoring("test", "none", "half")
    assert recipe.under("balanced").scoring.stem == "test-balanced"
    assert str(recipe.scoring) == "test, --prior half"
    with pytest.raises(ConfigError, match="Unknown prior 'balnced'; did you mean 'balanced'"):
        recipe.under("balnced")
    on_test = recipe_of(tmp_path, runs={"a": {}, "b": {"protocol": "paper"}})
    for make in (lambda: on_test.under("train"), lambda: recipe_of(tmp_path, runs=on_test.runs, prior="train")):
        with pytest.raises(ConfigError, match=r"The run 'b' \(protocol: paper\) sets no validation faces aside"):
            make()


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
