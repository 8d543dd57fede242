"""A search: what a recipe may say, that trials are told apart by validation alone, stop early, and go on where they were."""

from __future__ import annotations

import csv
import io
import json
import re
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from evenface.cli.study_search import _searched
from evenface.errors import ConfigError, MissingExtra, TrainingError
from evenface.report.trials import TrialRow, trials_csv, trials_grid
from evenface.study import Recipe, Run, Scoring, Task, plan, read_recipe
from evenface.study.search import best_of, recalls, run_search, trials_of, with_best
from evenface.study.space import Interval


SPACE = {"lr": {"low": "1e-4", "high": 1e-2, "log": True}, "method_options.mu": {"low": 0, "high": 2}, "batch_size": {"low": 8, "high": 64}}


def recipe_of(folder: Path, **values: Any) -> Recipe:
    path = folder / "seek.yaml"
    runs = {"rbcf": {"method": "rbcf"}, "ce": {}}
    search = {"trials": 6, "space": SPACE, **values.pop("search", {})}
    whole = {"base": {"epochs": 4}, "runs": runs, "output": str(folder / "runs"), "search": search, **values}
    path.write_text(yaml.safe_dump(whole, sort_keys=False))
    return read_recipe(path)


def quality(run: Run) -> float:
    """What a training of these settings would reach: best at mu 1.5 and a large step."""
    return 0.9 - abs(float(run.config.method_options.get("mu", 0)) - 1.5) / 4 + run.config.lr


class Trainer:
    """Plays `run_locally`: writes what a run would leave, epoch by epoch."""

    def __init__(self, of: Callable[[Run], float] = quality) -> None:
        self.of = of
        self.trained: list[str] = []
        self.tasks: list[Task] = []
        self.batches: list[int] = []
        self.fails: Callable[[Run], bool] = lambda run: False
        self.stops_at: int | None = None

    def __call__(self, runs: Sequence[Run], task: Task, *, say: Any, give_up: Any) -> dict[str, str]:
        self.tasks.append(task)
        self.batches.append(len(runs))
        failed = {}
        for run in runs:
            if (run.folder / "metrics-validation.json").exists():
                continue
            if self.stops_at is not None and len(self.trained) == self.stops_at:
                raise TrainingError("Stopped by Ctrl-C.")
            self.trained.append(run.folder.name)
            if self.fails(run):
                failed[str(run)] = "no luck"
                continue
            (run.folder / "best").mkdir(parents=True, exist_ok=True)
            (run.folder / "config.yaml").write_text(run.config.to_yaml())
            rows = []
            for epoch in range(1, run.config.epochs + 1):
                rows.append(f"{epoch},{self.of(run) * epoch / run.config.epochs}\n")
                (run.folder / "log.csv").write_text("epoch,validation_mean_recall\n" + "".join(rows))
                if give_up(run) is not None:
                    break
            else:
                (run.folder / "best" / "config.json").write_text('{"epoch": 4}')
                (run.folder / "metrics-validation.json").write_text(json.dumps({"epoch": 4, "mean_recall": self.of(run)}))
                (run.folder / "predictions-validation.parquet").touch()
        return failed


def test_what_a_search_says(tmp_path: Path) -> None:
    search = recipe_of(tmp_path, search={"sampler": "random", "runs": "all", "space": {**SPACE, "schedule": ["cosine", "onecycle"]}},
                       runs={"a": {"method": "rbcf"}, "b": {"method": "rbcf", "method_options": {"lam": 1}}}).search  # fmt: skip
    assert search is not None
    assert (search.trials, search.seed, search.sampler, search.prune, search.runs) == (6, 0, "random", True, ("a", "b"))
    assert search.space["lr"] == Interval(1e-4, 1e-2, True, False)
    assert search.space["batch_size"] == Interval(8, 64, False, True)
    assert search.space["schedule"] == ("cosine", "onecycle")
    default = recipe_of(tmp_path).search
    assert default is not None
    assert (default.sampler, default.runs) == ("tpe", ("rbcf",))


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ({"space": {}}, "holds at least `space`"),
        ({"trail": 3}, "Unknown key of `search` 'trail'; did you mean 'trials'"),
        ({"trials": 0}, "`trials` of `search` must be a whole number from 1 on"),
        ({"seed": -1}, "`seed` of `search` must be"),
        ({"sampler": "grid"}, "Unknown sampler 'grid'"),
        ({"prune": 1}, "`prune` of `search` must be true or false"),
        ({"runs": ["cee"]}, "Unknown run 'cee'; did you mean 'ce'"),
        ({"runs": []}, "`runs` of `search` is a list"),
        ({"runs": ["ce"]}, "the run 'ce': Unknown option 'mu'"),
        ({"space": {"lrr": [1, 2]}}, "the space of `search`: Unknown setting 'lrr'; did you mean 'lr'"),
        ({"space": {"seed": [1, 2]}}, "may not set `seed`"),
        ({"space": {"preset": ["cpu", "paper"]}}, "may not hold `preset`"),
        ({"space": {"lr": [1]}}, "or a list of two or more values"),
        ({"space": {"lr": {"low": 1}}}, "is {low: ..., high: ...}"),
        ({"space": {"lr": {"low": "x", "high": 1}}}, "'x' is no number"),
        ({"space": {"lr": {"low": 1, "high": float("inf")}}}, "inf is no end of an interval; give a finite number"),
        ({"space": {"lr": {"low": 1, "high": 1}}}, "low (1) must be below high (1)"),
        ({"space": {"lr": {"low": 0, "high": 1, "log": True}}}, "and above 0 with log"),
        ({"space": {"lr": {"low": 0.1, "high": 1, "log": 3}}}, "log is true or false"),
        ({"space": {"lr": {"low": -1, "high": 1}}}, "--lr must be more than 0"),
        ({"space": {"epochs": {"low": 1.5, "high": 3}}}, "--epochs must be a whole number, not 1.5"),
        ({"space": {"schedule": ["cosine", "sine"]}}, "Unknown choice 'sine'"),
        ({"space": {"schedule": ["cosine", "cosine"]}}, "has a value twice"),
        ({"space": {"protocol": ["validation", "paper"]}}, "may not hold `protocol`, as trials are compared on the same validation faces"),
        ({"space": {"val_fraction": {"low": 0.1, "high": 0.3}}}, "may not hold `val_fraction`"),
        ({"space": {"data_seed": [0, 1]}}, "may not hold `data_seed`"),
        ({"space": {"dataset": ["ferplus", "synthetic"]}}, "may not hold `dataset`"),
        ({"space": {"data_dir": ["a", "b"]}}, "may not hold `data_dir`"),
        ({"space": {"classes": [7, 8]}}, "may not hold `classes`"),
        ({"space": {"exclude": ["a.txt", "b.txt"]}}, "may not hold `exclude`"),
        ({"space": {"labels": ["majority", "max"]}}, "keep to majority, probability, fer2013; max is scored on other faces"),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else "",
)
def test_searches_that_cannot_work(search: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        recipe_of(tmp_path, search=search)
    assert message in str(caught.value)
    assert "seek.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_choice_on_test_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"chooses its epoch on test .* a search chooses on validation only"):
        recipe_of(tmp_path, base={"protocol": "paper"})
    with pytest.raises(ConfigError, match=r"`axes` .* or `search` .* leave one out"):
        recipe_of(tmp_path, axes={"lr": [0.1]})


def test_labels_may_be_searched_for_where_they_change_train_only(tmp_path: Path) -> None:
    space = {"labels": ["majority", "probability", "fer2013"]}
    search = recipe_of(tmp_path, search={"space": space}).search
    assert search is not None
    assert search.space["labels"] == ("majority", "probability", "fer2013")
    with pytest.raises(
        ConfigError, match=r"Where the space of `search` holds `labels`, it and the runs keep to .*; max is scored on other"
    ):
        recipe_of(tmp_path, search={"space": space}, base={"labels": "max"})


def test_without_optuna_the_command_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtra, match=r"install it with: pip install 'evenface\[search\]'"):
        run_search(recipe_of(tmp_path), "rbcf", Trainer())


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_the_best_trial_is_that_of_validation(sampler: str, tmp_path: Path) -> None:
    pytest.importorskip("optuna", reason="needs Optuna: pip install 'evenface[search]'")
    recipe = recipe_of(tmp_path, search={"sampler": sampler, "prune": False, "trials": 14})
    trainer = Trainer()
    trials = run_search(recipe, "rbcf", trainer)
    assert {task.scoring for task in trainer.tasks} == {Scoring("validation")}
    assert not list((tmp_path / "runs").rglob("*test*"))
    assert [trial.number for trial in trials] == list(range(14))
    for trial in trials:
        config = trial.run.config
        assert (config.lr, config.method_options["mu"], config.batch_size) == tuple(trial.values.values())
        assert 1e-4 <= config.lr <= 1e-2
        assert 8 <= config.batch_size <= 64
        assert trial.run.folder.name.startswith(f"rbcf.t{trial.number}-s0-")
        assert trial.recall == pytest.approx(quality(trial.run))
    best = best_of(trials)
    assert best.recall == max(quality(trial.run) for trial in trials)
    # In the final table the best trial is itself, with the folder that it has, beside the runs that were not searched for.
    final = with_best(recipe, {"rbcf": best})
    assert list(final.runs) == [best.run.name, "ce"]
    assert plan(final)[0].folder.name == best.run.folder.name
    # Nothing is left to do.
    assert run_search(recipe, "rbcf", Trainer(of=lambda run: 1 / 0)) == trials


def test_a_search_that_was_stopped_finds_what_it_would_have_found(tmp_path: Path) -> None:
    pytest.importorskip("optuna", reason="needs Optuna: pip install 'evenface[search]'")
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    whole = run_search(recipe_of(tmp_path / "a", search={"trials": 13}), "rbcf", Trainer())
    recipe = recipe_of(tmp_path / "b", search={"trials": 12})
    trainer = Trainer()
    trainer.stops_at = 11  # past the first ten, which are drawn at random
    with pytest.raises(TrainingError, match="Stopped"):
        run_search(recipe, "rbcf", trainer)
    assert [trial.state for trial in trials_of(recipe, "rbcf")][-1] == "to do"
    trainer = Trainer()
    assert len(run_search(recipe, "rbcf", trainer)) == 12
    more = run_search(recipe_of(tmp_path / "b", search={"trials": 13}), "rbcf", trainer)  # more trials may be asked for later
    assert len(trainer.trained) == 2
    assert [(trial.values, trial.recall, trial.state) for trial in more] == [(trial.values, trial.recall, trial.state) for trial in whole]
    # Another space is another search.
    assert trials_of(recipe_of(tmp_path / "b", search={"space": {"lr": [0.1, 0.2]}}), "rbcf") == []


def test_a_trial_that_falls_behind_is_given_up(tmp_path: Path) -> None:
    pytest.importorskip("optuna", reason="needs Optuna: pip install 'evenface[search]'")
    recipe = recipe_of(tmp_path, search={"trials": 12, "sampler": "random"})
    trials = run_search(recipe, "rbcf", Trainer())
    finished: list[float] = []
    for trial in trials:
        reaches = quality(trial.run)
        behind = len(finished) >= 4 and reaches / 4 < statistics.median(finished) / 4
        assert (trial.state, len(trial.curve)) == (("given up", 1) if behind else ("done", 4)), trial
        finished += [] if behind else [reaches]
    assert {trial.state for trial in trials} == {"given up", "done"}
    assert best_of(trials).recall == max(finished)


def test_trials_side_by_side_and_after_another_run(tmp_path: Path) -> None:
    pytest.importorskip("optuna", reason="needs Optuna: pip install 'evenface[search]'")
    runs = {"ce": {}, "crt": {"method": "crt", "after": "ce"}}
    recipe = recipe_of(tmp_path, runs=runs, search={"runs": ["crt"], "space": {"lr": SPACE["lr"]}, "trials": 5, "prune": False})
    trainer = Trainer()
    trials = run_search(recipe, "crt", trainer, at_once=2)
    assert trainer.batches == [3, 3, 2]  # `ce`, from which they all start, and two trials
    assert sum(name.startswith("ce-") for name in trainer.trained) == 1
    assert all(trial.run.after is not None and trial.run.after.name.startswith("ce-s0-") for trial in trials)
    final = with_best(recipe, {"crt": best_of(trials)})
    assert final.after == {best_of(trials).run.name: "ce"}


def test_the_table_says_among_how_many_trials_the_best_was_chosen(tmp_path: Path) -> None:
    pytest.importorskip("optuna", reason="needs Optuna: pip install 'evenface[search]'")
    runs = {"a": {}, "b": {"method": "eac"}, "c": {"method": "focal"}}

    def said(searched: list[str], count: int) -> str:
        recipe = recipe_of(tmp_path, runs=runs, search={"runs": searched, "trials": count, "space": {"lr": SPACE["lr"]}, "prune": False})
        trials = {name: run_search(recipe, name, Trainer()) for name in searched}
        return _searched(recipe, {name: best_of(each) for name, each in trials.items()}, [len(each) for each in trials.values()])

    assert said(["a"], 1) == "Chosen on validation among 1 trial with the seed 0: a.t0. b, c: not searched for, so a difference may be " \
        "the search's and not the method's."  # fmt: skip
    assert re.fullmatch(r"Chosen on validation among 3 trials each with the seed 0: a\.t\d, b\.t\d\. c: not .*", said(["a", "b"], 3))
    assert re.fullmatch(r"Chosen on validation among 3, 2 trials with the seed 0: b\.t\d, c\.t\d\. a: not .*", said(["b", "c"], 2))


def test_a_trial_beyond_those_that_are_asked_for_by_now_is_brought_to_its_end(tmp_path: Path) -> None:
    pytest.importorskip("optuna", reason="needs Optuna: pip install 'evenface[search]'")
    trainer = Trainer()
    trainer.stops_at = 2
    with pytest.raises(TrainingError, match="Stopped"):
        run_search(recipe_of(tmp_path, search={"trials": 3}), "rbcf", trainer)
    news: list[str] = []
    assert len(run_search(recipe_of(tmp_path, search={"trials": 2}), "rbcf", Trainer(), say=news.append)) == 3
    assert [line.partition(":")[0] for line in news] == ["trial 3 of 3"]


def test_a_run_and_the_one_that_it_starts_from_are_not_searched_for_together(tmp_path: Path) -> None:
    runs = {"ce": {}, "crt": {"method": "crt", "after": "ce"}, "last": {"method": "crt", "after": "crt"}}
    for searched in (["ce", "crt"], ["last", "ce"]):
        with pytest.raises(ConfigError, match="and 'ce', which it starts from; search for 'ce' alone"):
            recipe_of(tmp_path, runs=runs, search={"runs": searched, "space": {"lr": SPACE["lr"]}})


def test_trials_that_fail(tmp_path: Path) -> None:
    pytest.importorskip("optuna", reason="needs Optuna: pip install 'evenface[search]'")
    recipe = recipe_of(tmp_path)
    trainer = Trainer()
    trainer.fails = lambda run: run.name == "rbcf.t1"
    trials = run_search(recipe, "rbcf", trainer)
    assert [(trial.state, trial.why) for trial in trials if trial.why] == [("failed", "no luck")]
    assert [trial.state for trial in trials].count("failed") == 1
    assert len(trainer.trained) == 6
    assert run_search(recipe, "rbcf", Trainer())[1].state == "done"  # tried once more by the next command
    trainer.fails = lambda run: True
    with pytest.raises(TrainingError, match="The first 3 trials of 'rbcf' all failed; the last one: no luck"):
        run_search(recipe_of(tmp_path, search={"seed": 5}), "rbcf", trainer)
    with pytest.raises(TrainingError, match="No trial of the search has come to its end"):
        best_of(trials_of(recipe_of(tmp_path, search={"seed": 5}), "rbcf"))


def test_the_table_of_trials() -> None:
    rows = [TrialRow(0, (0.1,), 0.5, 4, "done"), TrialRow(1, (0.2,), None, 1, "to do"), TrialRow(2, (0.3,), 0.9, 1, "given up"),
            TrialRow(3, (0.4,), 0.6, 4, "done")]  # fmt: skip
    grid = trials_grid("rbcf", ("lr",), rows)
    assert grid.head == ("trial", "lr", "mean recall", "epochs", "state")
    assert [row[0] for row in grid.rows] == ["rbcf.t3", "rbcf.t0", "rbcf.t2", "rbcf.t1"]
    assert grid.rows[0] == ("rbcf.t3", "0.4", "60.0", "4", "done")
    lines = list(csv.DictReader(io.StringIO(trials_csv(("lr",), rows))))
    assert [line["trial"] for line in lines] == ["3", "0", "2", "1"]
    assert (lines[0]["validation_mean_recall"], lines[3]["validation_mean_recall"]) == ("0.6", "")


def test_a_damaged_file_of_a_search_is_told_and_a_damaged_log_has_no_curve(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path, search={"trials": 2, "sampler": "random"})
    trials = run_search(recipe, "rbcf", Trainer())
    for damaged in (b"\xffpoch\n1\n", b"epoch,validation_mean_recall\n1\n", b""):
        (trials[0].run.folder / "log.csv").write_bytes(damaged)
        assert recalls(trials[0].run.folder) == ()
    (file,) = (tmp_path / "runs").glob("search-*.json")
    for text in ("{", "[1]", "{}"):
        file.write_text(text)
        with pytest.raises(ConfigError, match="is damaged; move it away to begin the search anew"):
            trials_of(recipe, "rbcf")


def test_values_that_were_tried_are_not_tried_again(tmp_path: Path) -> None:
    pytest.importorskip("optuna", reason="needs Optuna: pip install 'evenface[search]'")
    space = {"lr": [0.1, 0.2], "schedule": ["cosine", "onecycle"]}
    for sampler in ("random", "tpe"):
        for asked, count in ((3, 3), (9, 4)):  # there are four
            news: list[str] = []
            folder = tmp_path / f"{sampler}{asked}"
            folder.mkdir()
            recipe = recipe_of(folder, search={"space": space, "trials": asked, "sampler": sampler, "prune": False})
            trials = run_search(recipe, "rbcf", Trainer(), say=news.append)
            assert len({tuple(trial.values.values()) for trial in trials}) == len(trials) == count
            assert any("nothing that has not been tried" in line for line in news) is (asked > count)
            assert run_search(recipe, "rbcf", Trainer(of=lambda run: 1 / 0)) == trials


def test_two_searches_in_one_folder_are_one_too_many(tmp_path: Path) -> None:
    pytest.importorskip("optuna", reason="needs Optuna: pip install 'evenface[search]'")
    recipe = recipe_of(tmp_path, search={"trials": 2})
    others: list[str] = []

    class Second(Trainer):
        def __call__(self, *args: Any, **more: Any) -> dict[str, str]:
            with pytest.raises(TrainingError) as caught:
                run_search(recipe, "rbcf", Trainer())
            others.append(str(caught.value))
            return super().__call__(*args, **more)

    assert len(run_search(recipe, "rbcf", Second())) == 2
    assert set(others) == {f"Another process searches in {recipe.output}; wait for its end, or name another folder with -o."}
