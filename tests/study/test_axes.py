"""The axes of a recipe: which runs they mean, what they start from, what is refused, and the tables per combination."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from evenface.errors import ConfigError
from evenface.evaluation.compare import RunPredictions, compare_runs
from evenface.evaluation.paired import paired_bootstrap
from evenface.report.study import study_grids, summary_grid, tables_csv
from evenface.study import Recipe, plan, read_recipe


ROOT = Path(__file__).resolve().parents[2]


def recipe_of(folder: Path, **values: Any) -> Recipe:
    path = folder / "grid.yaml"
    path.write_text(yaml.safe_dump(values, sort_keys=False))
    return read_recipe(path)


def test_every_run_meets_every_combination(tmp_path: Path) -> None:
    recipe = recipe_of(
        tmp_path,
        base={"method_options": {"cls_views": "both"}, "epochs": 3},
        runs={"ce": {}, "rbcf": {"method": "rbcf", "method_options": {"lam": 2}}, "crt": {"method": "crt", "after": "ce"}},
        axes={"imbalance": [50, 100.5, None], "size": {"small": {"img_size": 32, "lr": "1e-3"}, "large": {"img_size": 64}}},
        seeds=[0, 1],
    )
    names = [f"{run}-{factor}-{size}" for factor in ("50", "100.5", "none") for size in ("small", "large") for run in ("ce", "rbcf", "crt")]
    assert list(recipe.runs) == names
    assert recipe.axes == {"imbalance": ("50", "100.5", "none"), "size": ("small", "large")}
    assert recipe.crossed
    runs = {(run.name, run.seed): run for run in plan(recipe)}
    assert list(runs) == [(name, seed) for seed in (0, 1) for name in names]
    run = runs["rbcf-100.5-small", 1]
    assert (run.base, run.labels) == ("rbcf", {"imbalance": "100.5", "size": "small"})
    assert (run.config.imbalance, run.config.img_size, run.config.lr, run.config.epochs) == (100.5, 32, 1e-3, 3)
    assert run.config.method_options == {"lam": 2.0}  # the base's options were those of ce
    assert runs["ce-none-large", 0].config.method_options == {"cls_views": "both"}
    assert (runs["ce-none-large", 0].config.imbalance, runs["ce-none-large", 0].config.lr) == (None, 1e-4)
    late = runs["crt-50-large", 1]
    assert late.after == runs["ce-50-large", 1].folder
    assert late.config.init == str((runs["ce-50-large", 1].folder / "best").resolve())


def test_a_run_keeps_its_folder_when_other_points_come_and_go(tmp_path: Path) -> None:
    axes = {"method_options.mu": [0.5, 1.0]}
    few = plan(recipe_of(tmp_path, runs={"rbcf": {"method": "rbcf"}}, axes=axes))
    many = plan(recipe_of(tmp_path, runs={"rbcf": {"method": "rbcf"}}, axes={"method_options.mu": [0, 0.5, 1, "1e-1"]}))
    assert [run.name for run in many] == ["rbcf-0", "rbcf-0.5", "rbcf-1", "rbcf-0.1"]
    assert [run.config.method_options for run in many] == [{"mu": 0.0}, {"mu": 0.5}, {"mu": 1.0}, {"mu": 0.1}]
    assert {run.folder for run in few} < {run.folder for run in many}
    # Folders of studies that are finished: their names change only with a reason.
    rivals = plan(read_recipe(ROOT / "recipes" / "rivals_ferplus_cpu.yaml"), seeds=[0], data_dir="anywhere")
    names = {run.name: run.folder.name for run in rivals}
    assert (names["rbcf"], names["crt"]) == ("rbcf-s0-9c852d2e", "crt-s0-a5e75793")


def test_products_one_after_another_share_their_points(tmp_path: Path) -> None:
    lam, mu = "method_options.lam", "method_options.mu"
    recipe = recipe_of(tmp_path, base={"method": "rbcf"}, runs={"rbcf": {}}, axes=[{lam: [0.5, 1, 2], mu: [1]}, {mu: [0.25, 1], lam: [1]}])
    assert list(recipe.runs) == ["rbcf-0.5-1", "rbcf-1-1", "rbcf-2-1", "rbcf-1-0.25"]
    assert not recipe.crossed  # one run: one table, against its first point
    assert recipe.points["rbcf-1-0.25"].labels == {lam: "1", mu: "0.25"}


def test_runs_may_be_left_out(tmp_path: Path) -> None:
    recipe = recipe_of(
        tmp_path,
        axes={"method": ["ce", "rbcf"], "start": {"raw": {"init": "none"}, "own": {"init": "pretrained", "preset": "cpu", "epochs": 1}}},
    )
    runs = {run.name: run.config for run in plan(recipe)}
    assert list(runs) == ["ce-raw", "ce-own", "rbcf-raw", "rbcf-own"]
    assert (runs["rbcf-own"].method, runs["rbcf-own"].init, runs["rbcf-own"].img_size, runs["rbcf-own"].epochs) == (
        "rbcf", "pretrained", 112, 1,
    )  # fmt: skip
    assert not recipe.crossed


def test_a_part_is_named_by_run_point_or_pattern(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path, runs={"ce": {}, "crt": {"method": "crt", "after": "ce"}}, axes={"lr": [0.1, 0.2]})

    def names(*only: str) -> list[str]:
        return [run.name for run in plan(recipe, only=only)]

    assert names("ce") == ["ce-0.1", "ce-0.2"]
    assert names("crt-0.2") == ["ce-0.2", "crt-0.2"]
    assert names("*-0.1") == ["ce-0.1", "crt-0.1"]
    with pytest.raises(ConfigError, match=r"Unknown run 'crt-0.3'; did you mean 'crt-0"):
        names("crt-0.3")


def test_an_option_may_be_written_with_a_dot_anywhere(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path, base={"method": "rbcf", "method_options.lam": 1}, runs={"a": {"method_options.mu": "2"}})
    assert plan(recipe)[0].config.method_options == {"lam": 1.0, "mu": 2.0}


def test_other_data_at_another_point(tmp_path: Path) -> None:
    """Only runs that share a table need the same faces."""
    runs = {"ce": {}, "eac": {"method": "eac"}}
    axes = {"dataset": ["ferplus", "rafdb"]}
    assert len(recipe_of(tmp_path, runs=runs, axes=axes).runs) == 4
    with pytest.raises(ConfigError, match=r"'ce-ferplus' .* and 'ce-rafdb' .* cannot share a table"):
        recipe_of(tmp_path, runs={"ce": {}}, axes=axes)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"axes": {}}, "`axes` is a mapping from names to values"),
        ({"axes": 3}, "`axes` is a mapping from names to values"),
        ({"axes": [{"lr": [1]}, 3]}, "`axes` is a mapping from names to values"),
        ({"axes": {"lr": []}}, "the axis 'lr' is a list of values"),
        ({"axes": {"lr": 3}}, "the axis 'lr' is a list of values"),
        ({"axes": {3: [1]}}, "the axis '3' is a list of values"),
        ({"axes": {"lrr": [1]}}, "the axis 'lrr', 1: Unknown setting 'lrr'; did you mean 'lr'"),
        ({"axes": {"lr": ["x"]}}, "the run 'a-x': --lr must be a number"),
        ({"axes": {"epochs": [0]}}, "the run 'a-0': --epochs must be at least 1"),
        ({"axes": {"seed": [1]}}, "may not set `seed`; list the `seeds`"),
        ({"axes": {"lr": [0.1, "1e-1"]}}, "the axis 'lr' has '0.1' twice"),
        ({"axes": {"model": [{"model": "x"}]}}, "needs a label"),
        ({"axes": {"m": {"a/b": {"lr": 1}}}}, "cannot have the label 'a/b'"),
        ({"axes": {"m": {"a": 3}}}, "the axis 'm', a: Unknown setting 'm'"),
        ({"axes": {"m": {"a": {"method_options": 3}}}}, "`method_options` of an axis must be a mapping"),
        ({"axes": {"lr": [1, 2], "m": {"a": {"lr": 1}}}}, "The axes 'lr' and 'm' both set `lr`"),
        ({"axes": {"method_options.mu": [1], "m": {"a": {"method_options": {"mu": 1}}}}}, "both set `method_options.mu`"),
        ({"axes": {"m": {"a": {"method_options.mu": 1, "method_options": {"mu": 1}}}}}, "sets the option `mu` twice"),
        ({"axes": {"method_options.mu": [1]}}, "the run 'a-1': Unknown option 'mu'"),
        ({"axes": [{"lr": [1]}, {"lr": [2], "epochs": [3]}]}, "names the same axes; 'epochs' is missing in one"),
        ({"axes": [{"m": {"x": {"lr": 1}}}, {"m": {"x": {"lr": 2}}}]}, "The label x stands for two different points"),
        ({"runs": {"a": {}, "a-b": {}}, "axes": {"m": {"b-c": {"lr": 1}, "c": {"lr": 2}}}}, "Two runs are named 'a-b-c'"),
        ({"runs": None, "axes": {"lr": [1]}}, "is no recipe"),
        ({"runs": {"": {}}, "axes": {"lr": [1]}}, "A run cannot be named ''"),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else "",
)
def test_axes_that_cannot_work(values: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        recipe_of(tmp_path, **{"runs": {"a": {}}, **values})
    assert message in str(caught.value)
    assert "grid.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


# -------------------- the tables


NAMES = ("anger", "fear", "joy")


def answers(method: str, seed: int, right: float) -> RunPredictions:
    rng = np.random.default_rng([seed, len(method), int(100 * right)])
    true = np.arange(60) % 3
    predicted = np.where(rng.random(60) < right, true, (true + 1) % 3)
    ids = tuple(map(str, range(60)))
    return RunPredictions.of("r", method, seed, dataclasses.make_dataclass("P", ["ids", "true", "predicted", "class_names", "duplicates"])(
        ids, true, predicted, NAMES, np.zeros(60, bool)))  # fmt: skip


def test_the_summary_and_the_file_hold_what_each_table_says() -> None:
    shares = {"50": (0.6, 0.9), "100": (0.5, 0.7), "150": (0.4, 0.45)}
    runs = {label: [answers("ce", 0, a), answers("rbcf", 0, b)] for label, (a, b) in shares.items()}
    tables = [({"imbalance": label}, compare_runs(each, resamples=300)) for label, each in runs.items()]
    grid = summary_grid(tables)
    assert grid.head == ("imbalance", "ce", "rbcf")
    rows = list(csv.DictReader(io.StringIO(tables_csv([(labels, comparison, {"ce": 1.0}) for labels, comparison in tables]))))
    assert list(rows[0])[:2] == ["imbalance", "run"]
    for (label, (ce, rbcf)), row in zip(runs.items(), grid.rows, strict=True):
        by_hand = [100 * np.mean([np.mean(run.predicted[run.true == k] == k) for k in range(3)]) for run in (ce, rbcf)]
        assert row[0] == label
        assert [cell.split("\n")[0] for cell in row[1:]] == [f"{value:.1f}" for value in by_hand]
        p = paired_bootstrap(ce.true, ce.predicted[:, None], rbcf.predicted[:, None], 3, resamples=300, seed=0)["mean_recall"].p_value
        assert row[2].split("\n")[2].startswith(f"{by_hand[1] - by_hand[0]:+.1f} (p ")
        assert row[1].count("\n") == 1
        lines = {line["run"]: line for line in rows if line["imbalance"] == label}
        assert float(lines["rbcf"]["p"]) == pytest.approx(p)
        assert float(lines["ce"]["mean_recall"]) == pytest.approx(by_hand[0] / 100)
        assert (lines["ce"]["minutes"], lines["rbcf"]["minutes"]) == ("1.0", "")
    wide = summary_grid(tables[:1])
    assert (wide.head, [row[0] for row in wide.rows]) == (("run", "imbalance 50"), ["ce", "rbcf"])
    assert study_grids(tables[0][1], {}, None, "imbalance 50")[0].title == "Against ce, imbalance 50"
