"""The leaderboard: it trains the most valuable runs first, nothing twice, stops in time, and writes what a reader can rely on."""

from __future__ import annotations

import csv
import dataclasses
import itertools
import json
import re
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import yaml
from sklearn.metrics import accuracy_score, balanced_accuracy_score, recall_score

from evenface.evaluation.records import Predictions, read_predictions, summarise, write_metrics, write_predictions
from evenface.methods import METHODS
from evenface.study import Run, Scoring, plan, read_recipe, run_locally, state_of
from evenface.study.schedule import Stopped
from evenface.zoo import KEPT


ROOT = Path(__file__).resolve().parents[2]
CLASSES = ("happiness", "neutral", "fear")
TRUE = np.repeat([0, 1, 2], [40, 40, 20])

TWICE = " (cross-entropy stands twice, on one view and on both)"


@pytest.fixture(scope="module")
def leaderboard(benchmark: Callable[[str], ModuleType]) -> ModuleType:
    return benchmark("leaderboard")


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    runs = {"ce": {}, "ce_two_views": {"method": "ce", "method_options": {"cls_views": "both"}}, "rbcf": {"method": "rbcf"}}
    values = {"about": "Words.", "base": {"epochs": 2}, "runs": runs, "seeds": [0, 1], "output": str(tmp_path / "runs")}
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(values, sort_keys=False))
    return path


def finish(run: Run, duplicates: np.ndarray | None = None) -> np.ndarray:
    """Leaves in a run folder what a finished run does, with answers that are right to some share; gives the answers."""
    random = np.random.default_rng([run.seed, len(run.name)])
    predicted = np.where(random.random(100) < {"ce": 0.6, "ce_two_views": 0.7, "rbcf": 0.9}[run.name], TRUE, 0)
    (run.folder / "best").mkdir(parents=True)
    (run.folder / "config.yaml").write_text(run.config.to_yaml())
    (run.folder / "log.csv").write_text("epoch\n1\n2\n")
    (run.folder / "environment.json").write_text(
        json.dumps({"evenface": "0.1.0", "packages": {"torch": "2.9"}, "device": "cpu", "precision": "fp32"})
    )
    about = {
        "schema_version": 1,
        "architecture": "x",
        "class_names": CLASSES,
        "mean": [0.5] * 3,
        "std": [0.5] * 3,
        "img_size": 32,
        "epoch": 2,
    }
    (run.folder / "best" / "config.json").write_text(json.dumps({**about, "train_counts": {"happiness": 9, "neutral": 10, "fear": 1}}))
    (run.folder / "best" / "model.safetensors").touch()
    none = np.zeros(100, dtype=bool) if duplicates is None else duplicates
    ids = tuple(map(str, range(100)))
    write_predictions(
        run.folder / "predictions-test.parquet", Predictions(ids, TRUE, predicted, np.eye(3, dtype=np.float32)[predicted], none, CLASSES)
    )
    found = summarise(TRUE, predicted, CLASSES, none, dataset="drawn", split="test", provenance={"epoch": 2}, resamples=10)
    write_metrics(run.folder / "metrics-test.json", found)
    return predicted


def ask(run: Run) -> np.ndarray:
    """Leaves what asking under the balanced prior does, in a run that is finished: other answers; gives them."""
    predicted = np.roll(read_predictions(run.folder / "predictions-test.parquet").predicted, 3)
    about = json.loads((run.folder / "best" / "config.json").read_text())
    calibration = {
        "temperature": 1.5, "bias": dict.fromkeys(CLASSES, 0.0), "temperature_only": 1.5, "prior": dict.fromkeys(CLASSES, 1 / 3),
        "split": "validation", "n": 9, "nll": [1.0, 0.9, 0.8], "ece": [0.2, 0.1, 0.1],
    }  # fmt: skip
    (run.folder / "best" / "config.json").write_text(json.dumps({**about, "calibration": calibration}))
    found = dataclasses.replace(
        read_predictions(run.folder / "predictions-test.parquet"), predicted=predicted, probabilities=np.eye(3, dtype=np.float32)[predicted]
    )
    write_predictions(run.folder / "predictions-test-balanced.parquet", found)
    how = {"epoch": 2, "prior": "balanced", "calibration": calibration}
    metrics = summarise(TRUE, predicted, CLASSES, found.duplicates, dataset="drawn", split="test", provenance=how, resamples=10)
    write_metrics(run.folder / "metrics-test-balanced.json", metrics)
    return predicted


def table(text: str, head: str) -> dict[str, list[str]]:
    """The rows of the table whose head begins so: method -> cells."""
    lines = text.replace("\u00a0", " ")[text.index(head) :].partition("\n\n")[0].splitlines()[2:]
    return {cells[0].replace("\\", ""): cells[1:] for line in lines for cells in [[c.strip() for c in line.strip("|").split("|")]]}


def test_the_cpu_recipe_finds_the_runs_of_the_rivals_again() -> None:
    ours = plan(read_recipe(ROOT / "recipes" / "leaderboard_ferplus_cpu.yaml"))
    theirs = plan(read_recipe(ROOT / "recipes" / "rivals_ferplus_cpu.yaml"))
    assert {run.folder for run in theirs} <= {run.folder for run in ours}  # whose names have the hash of the settings
    assert [run.seed for run in ours] == [seed for seed in (0, 1, 2) for _ in range(len(theirs))]


@pytest.mark.parametrize("name", ["leaderboard_ferplus_cpu", "leaderboard_ferplus_gpu"])
def test_baselines_and_the_papers_systems_come_first_then_the_cheap_ones(name: str) -> None:
    names = list(read_recipe(ROOT / "recipes" / f"{name}.yaml").runs)
    # what starts from ce comes right after it, so that its weights are not wanted on another day
    assert names[:10] == ["ce", "tau_norm", "crt", "ce_two_views", "rbcf", "even", "rbf", "rbc", "eac", "mek"]
    assert set(names) == {*METHODS, "ce_two_views"}
    costs = json.loads((ROOT / "src" / "evenface" / "methods" / "costs.json").read_text())["methods"]
    times = [(costs[each] or {"time": 0})["time"] for each in names[10:]]
    assert all(b > a - 0.1 for a, b in itertools.pairwise(times)), "each costs no less than the one before it, to a tenth"


def test_the_gpu_recipe_has_the_papers_schedule() -> None:
    for run in plan(read_recipe(ROOT / "recipes" / "leaderboard_ferplus_gpu.yaml")):
        c = run.config
        assert (c.img_size, c.batch_size, c.optimizer, c.lr, c.schedule, c.lr_gamma) == (224, 32, "adam", 1e-4, "exponential", 0.9)
        assert c.epochs == (11 if run.name == "tau_norm" else 60)
        assert c.model == "dlib_face_resnet_13"
        assert c.init == "dlib-face" or run.after is not None


def test_the_document_of_one_seed(leaderboard: Any, recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answers = {run.name: finish(run) for run in plan(read_recipe(recipe), seeds=[0])}
    place = tmp_path / "board.md"
    assert leaderboard.main(["--recipe", str(recipe), "--table", "--document", str(place)]) == 0
    assert f"written   {place}" in capsys.readouterr().out
    text = place.read_text()
    assert f"**3 of 6 runs are done: 3 of 3 methods{TWICE}, seed 0.** So far each method was trained once" in text
    assert "Made with evenface 0.1.0, torch 2.9, cpu fp32." in text
    assert "Words." in text
    assert "## Without the faces" not in text  # there are none
    scores = table(text, "| method | rank")
    expected = {name: balanced_accuracy_score(TRUE, predicted) for name, predicted in answers.items()}
    assert list(scores) == sorted(expected, key=lambda name: -expected[name]) == ["rbcf", "ce_two_views", "ce"]
    for rank, (name, cells) in enumerate(scores.items(), 1):
        assert cells[:2] == [str(rank), "1"]
        rates = [expected[name], accuracy_score(TRUE, answers[name])]
        assert [cell.partition(" [")[0] for cell in cells[2:4]] == [f"{100 * rate:.1f}" for rate in rates]
    cost = json.loads((ROOT / "src" / "evenface" / "methods" / "costs.json").read_text())["methods"]["rbcf"]
    assert (scores["rbcf"][-2], scores["ce"][-2]) == (f"{cost['time'] * cost['steps']:.1f}", "1.0")
    gains = table(text, "| method | mean recall over ce ")
    assert gains["ce"][:3] == ["", "", ""]
    assert gains["ce_two_views"][3:] == ["", "", ""]
    for column, baseline in ((0, "ce"), (3, "ce_two_views")):
        found = float(gains["rbcf"][column].partition(" [")[0])
        assert found == pytest.approx(100 * (expected["rbcf"] - expected[baseline]), abs=0.051)
        found = float(gains["rbcf"][column + 2].partition(" [")[0])
        assert found == pytest.approx(100 * ((answers["rbcf"] == TRUE).mean() - (answers[baseline] == TRUE).mean()), abs=0.051)
    recalls = table(text, "| method | neutral (n 40) | happiness (n 40) | fear (n 20) |")  # by training faces
    wanted = recall_score(TRUE, answers["rbcf"], average=None)
    assert [cell.partition(" [")[0] for cell in recalls["rbcf"]] == [f"{100 * wanted[i]:.1f}" for i in (1, 0, 2)]
    rows = list(csv.DictReader((tmp_path / "board.csv").read_text().splitlines()))
    assert [(row["method"], row["seed"], row["n"]) for row in rows] == [(name, "0", "100") for name in ("ce", "ce_two_views", "rbcf")]
    assert [float(rows[2][f"recall_{name}"]) for name in CLASSES] == pytest.approx(wanted)
    assert float(rows[0]["mean_recall"]) == pytest.approx(expected["ce"])
    assert rows[0]["folder"].startswith("ce-s0-")


def test_the_least_p_that_the_rule_can_give(leaderboard: Any, recipe: Path, tmp_path: Path) -> None:
    """2 / (R + 1) for one comparison; Holm's rule has two of them here."""
    runs = plan(read_recipe(recipe), seeds=[0])
    for run in runs:
        finish(run)
    leaderboard.write(read_recipe(recipe), runs, tmp_path / "board.md", 99)
    text = (tmp_path / "board.md").read_text()
    assert "99 resamples; the least p that Holm's rule can give with them is 0.040." in text
    assert min(float(cells[1]) for name, cells in table(text, "| method | mean recall over ce ").items() if name != "ce") >= 0.04


def test_several_seeds_and_one_that_lags_behind(leaderboard: Any, recipe: Path, tmp_path: Path) -> None:
    runs = plan(read_recipe(recipe))
    answers = {(run.name, run.seed): finish(run) for run in runs[:-1]}
    place = tmp_path / "board.md"
    leaderboard.main(["--recipe", str(recipe), "--table", "--document", str(place)])
    text = place.read_text()
    assert f"**5 of 6 runs are done: 3 of 3 methods{TWICE}, seeds 0, 1.** Not all seeds yet: `rbcf`." in text
    assert "So far each method was trained once" not in text
    both = [balanced_accuracy_score(TRUE, answers["ce", seed]) for seed in (0, 1)]
    cells = table(text, "| method | rank")["ce"]
    assert cells[1] == "2"
    assert cells[2].startswith(f"{100 * np.mean(both):.1f} [")
    assert cells[5] == f"{100 * np.std(both, ddof=1):.1f}"
    assert len((tmp_path / "board.csv").read_text().splitlines()) == 1 + 5


def test_a_document_keeps_the_runs_that_it_has(leaderboard: Any, recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = plan(read_recipe(recipe), seeds=[0])
    for run in runs:
        finish(run)
    words = ["--recipe", str(recipe), "--table", "--document", str(tmp_path / "board.md")]
    assert leaderboard.main(words) == 0
    before = (tmp_path / "board.csv").read_text()
    shutil.rmtree(tmp_path / "runs")
    assert leaderboard.main(words) == 0
    assert "3 finished runs are taken from" in capsys.readouterr().out
    assert (tmp_path / "board.csv").read_text() == before
    shutil.rmtree(tmp_path / "runs")
    (tmp_path / "board.parquet").unlink()
    finish(runs[0])
    assert leaderboard.main(words) == 2
    assert "has 2 runs of which neither the folders nor the answers are here" in capsys.readouterr().err
    assert (tmp_path / "board.csv").read_text() == before
    for name in ("page.md", "table.csv"):  # somebody else's
        (tmp_path / name).write_text("run,score\na,1\n")
        other = ["--recipe", str(recipe), "--table", "--document", str(tmp_path / name).replace(".csv", ".md")]
        assert leaderboard.main(other) == 2
        assert "would be replaced; name another document with --document" in capsys.readouterr().err
        assert (tmp_path / name).read_text() == "run,score\na,1\n"
    for run in runs:
        shutil.rmtree(run.folder, ignore_errors=True)
        finish(run)
    assert leaderboard.main([*words, "--anew"]) == 0
    values = yaml.safe_load(recipe.read_text())
    values["runs"]["rbcf"]["lr"] = 0.5  # its answers are in the file, and are none of this recipe
    recipe.write_text(yaml.safe_dump(values, sort_keys=False))
    assert leaderboard.main(words) == 2
    values["runs"]["rbcf"].pop("lr")
    recipe.write_text(yaml.safe_dump(values, sort_keys=False))
    for run in runs[1:]:
        shutil.rmtree(run.folder)
    (tmp_path / "board.parquet").unlink()
    assert leaderboard.main([*words, "--anew"]) == 0
    assert len((tmp_path / "board.csv").read_text().splitlines()) == 2


def test_another_machine_trains_anew_what_others_still_start_from(
    leaderboard: Any, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    values = yaml.safe_load(recipe.read_text())
    values |= {"seeds": [0], "runs": {"ce": {}, "crt": {"method": "crt", "after": "ce"}, "rbcf": {"method": "rbcf"}}}
    recipe.write_text(yaml.safe_dump(values, sort_keys=False))
    runs = {run.name: run for run in plan(read_recipe(recipe))}
    for name in ("ce", "rbcf"):
        finish(runs[name])
        ask(runs[name])
    place = tmp_path / "board.md"
    words = ["--recipe", str(recipe), "--document", str(place)]
    assert leaderboard.main([*words, "--table"]) == 0
    before = place.read_text()
    shutil.rmtree(tmp_path / "runs")
    assert leaderboard.main([*words, "--table"]) == 0  # nothing is trained, so nothing has to make room
    assert place.read_text() == before
    trained = []

    def train(runs: list[Run], task: Any, **options: Any) -> dict[str, str]:
        trained.extend(run.name for run in runs if not (run.folder / "config.yaml").exists())
        return {}

    monkeypatch.setattr(leaderboard, "run_locally", train)
    monkeypatch.setattr(leaderboard, "load_manifest", lambda config: type("M", (), {"split": lambda self, name: None})())
    assert leaderboard.main(words) == 0
    assert trained == ["ce", "crt"]
    text = place.read_text()
    assert "1 of 3 runs are done" in text
    assert "mean recall over" not in text  # of a baseline that is not there
    finish(runs["ce"])
    ask(runs["ce"])
    assert leaderboard.main(words) == 0
    assert place.read_text() == before
    assert "would be lost" not in capsys.readouterr().err


def test_nothing_is_there_yet(leaderboard: Any, recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert leaderboard.main(["--recipe", str(recipe), "--table", "--document", str(tmp_path / "board.md")]) == 1
    assert re.match(r"leaderboard: No run of the study 'small' has been scored", capsys.readouterr().err)
    assert not (tmp_path / "board.md").exists()
    assert leaderboard.main(["--recipe", str(tmp_path / "none.yaml")]) == 2
    with pytest.raises(SystemExit):
        leaderboard.main(["--minutes", "0"])


def test_runs_that_all_fail_are_told(
    leaderboard: Any, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(leaderboard, "run_locally", lambda runs, task, **options: {str(run): "no luck" for run in runs})
    monkeypatch.setattr(leaderboard, "load_manifest", lambda config: type("M", (), {"split": lambda self, name: None})())
    assert leaderboard.main(["--recipe", str(recipe), "--document", str(tmp_path / "board.md")]) == 1
    assert "leaderboard: ce s0 failed: no luck" in capsys.readouterr().err
    assert not (tmp_path / "board.md").exists()


def test_all_are_asked_under_one_prior_too(leaderboard: Any, recipe: Path, tmp_path: Path) -> None:
    runs = plan(read_recipe(recipe), seeds=[0])
    stand = {run.name: finish(run) for run in runs}
    asked = {run.name: ask(run) for run in runs}
    place, words = tmp_path / "board.md", ["--recipe", str(recipe), "--table", "--document", str(tmp_path / "board.md")]
    assert leaderboard.main(words) == 0
    text = place.read_text()
    part = text[text.index("## Under one prior") : text.index("## Recall of each class")]
    ranks = {name: rank for rank, name in enumerate(sorted(stand, key=lambda name: -balanced_accuracy_score(TRUE, stand[name])), 1)}
    expected = {name: balanced_accuracy_score(TRUE, answers) for name, answers in asked.items()}
    rows = table(part, "| method | rank | as they stand")
    assert list(rows) == sorted(expected, key=lambda name: -expected[name])
    for rank, (name, cells) in enumerate(rows.items(), 1):
        assert cells[:3] == [str(rank), str(ranks[name]), "1"]
        rates = [expected[name], accuracy_score(TRUE, asked[name])]
        assert [cell.partition(" [")[0] for cell in cells[3:5]] == [f"{100 * rate:.1f}" for rate in rates]
    gains = table(part, "| method | mean recall over ce ")
    found = float(gains["rbcf"][3].partition(" [")[0])
    assert found == pytest.approx(100 * (expected["rbcf"] - expected["ce_two_views"]), abs=0.051)
    for row in csv.DictReader((tmp_path / "board.csv").read_text().splitlines()):
        assert float(row["balanced_mean_recall"]) == pytest.approx(expected[row["method"]])
        assert float(row["mean_recall"]) == pytest.approx(balanced_accuracy_score(TRUE, stand[row["method"]]))

    shutil.rmtree(tmp_path / "runs")  # as on another machine: both kinds of answers are taken from the files beside the document
    assert leaderboard.main(words) == 0
    assert place.read_text() == text
    assert all(state_of(run, scoring).done for run in runs for scoring in (Scoring(), Scoring(prior="balanced")))


def test_what_is_left_without_the_faces_of_train(leaderboard: Any, recipe: Path, tmp_path: Path) -> None:
    """Not only of one run: who has them in train has them, whatever the order of the runs."""
    runs = plan(read_recipe(recipe), seeds=[0])
    known = np.isin(np.arange(100), [0, 41, 42, 80, 81, 82])
    stand = {run.name: finish(run, known if run.name == "rbcf" else None) for run in runs}
    asked = {run.name: ask(run) for run in runs}
    place = tmp_path / "board.md"
    assert leaderboard.main(["--recipe", str(recipe), "--table", "--document", str(place)]) == 0
    text = place.read_text()
    part = text[text.index("## Without the faces") : text.index("## Recall of each class")]
    assert "6 of these 100 faces stand in train pixel for pixel" in part
    assert "the other 94, of which 17 show fear:" in part

    def left(answers: np.ndarray) -> float:
        return float(balanced_accuracy_score(TRUE[~known], answers[~known]))

    rows = table(part, "| method | rank | with them")
    assert list(rows) == sorted(stand, key=lambda name: -left(stand[name]))
    for name, cells in rows.items():
        assert [cell.partition(" [")[0] for cell in cells[3:5]] == [
            f"{100 * rate:.1f}" for rate in (left(stand[name]), accuracy_score(TRUE[~known], stand[name][~known]))
        ]
    first, second = part.split("Gains without them")[1:]
    for gains, answers in ((first, stand), (second, asked)):
        for column, baseline in ((0, "ce"), (3, "ce_two_views")):
            found = float(table(gains, "| method | mean recall over ce ")["rbcf"][column].partition(" [")[0])
            assert found == pytest.approx(100 * (left(answers["rbcf"]) - left(answers[baseline])), abs=0.051)
    for row in csv.DictReader((tmp_path / "board.csv").read_text().splitlines()):
        assert float(row["without_duplicates_mean_recall"]) == pytest.approx(left(stand[row["method"]]))


def test_a_run_whose_scores_are_gone_is_not_there_under_the_prior_either(leaderboard: Any, recipe: Path, tmp_path: Path) -> None:
    runs = plan(read_recipe(recipe), seeds=[0])
    for run in runs:
        finish(run)
        ask(run)
    place = tmp_path / "board.md"
    words = ["--recipe", str(recipe), "--table", "--document", str(place)]
    (runs[2].folder / "metrics-test.json").unlink()
    assert leaderboard.main(words) == 0
    text = place.read_text()
    assert "Not there yet: `rbcf`." in text
    assert set(table(text, "| method | rank | as they stand")) == {"ce", "ce_two_views"}


def test_minutes_on_a_cpu_and_on_a_gpu_are_told_apart(leaderboard: Any, recipe: Path, tmp_path: Path) -> None:
    runs = plan(read_recipe(recipe))
    spent = {("ce", 0): 6.0, ("ce", 1): 1.0, ("ce_two_views", 0): 9.0, ("ce_two_views", 1): 10.0, ("rbcf", 1): 0.5}
    cuda = {("ce", 1), ("rbcf", 1)}
    for run in runs:
        finish(run)
        key = (run.name, run.seed)
        environment = {"evenface": "0.1.0", "packages": {"torch": "2.9"}, "device": "cuda:0" if key in cuda else "cpu", "precision": "bf16"}
        (run.folder / "environment.json").write_text(json.dumps(environment))
        (run.folder / KEPT).write_text(json.dumps({"minutes": spent.get(key)}))
    assert leaderboard.main(["--recipe", str(recipe), "--table", "--document", str(tmp_path / "board.md")]) == 0
    text = (tmp_path / "board.md").read_text()
    rows = table(text, "| method | rank | seeds |")
    assert {name: cells[-1] for name, cells in rows.items()} == {"ce": "6.0 cpu, 1.0 cuda", "ce_two_views": "9.5", "rbcf": "0.5 cuda"}
    assert "Made with evenface 0.1.0, torch 2.9, cpu bf16 (seeds 0, 1); evenface 0.1.0, torch 2.9, cuda:0 bf16 (seed 1)." in text
    for row in csv.DictReader((tmp_path / "board.csv").read_text().splitlines()):
        assert row["device"] == ("cuda:0" if (row["method"], int(row["seed"])) in cuda else "cpu")


def test_it_stops_when_its_minutes_are_over_and_writes_what_is_there(
    leaderboard: Any, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The trainings are played: each waits until it is told to stop."""
    runs = plan(read_recipe(recipe))
    finish(runs[0])
    script = tmp_path / "player.py"
    script.write_text(
        "import json, pathlib, sys, time\nfolder = pathlib.Path(json.load(sys.stdin)['config']['output'])\nfolder.mkdir(exist_ok=True)\n"
        "(folder.parent / 'began').open('a').write(folder.name[:4] + '\\n')\ntime.sleep(60)\n"
    )
    played = lambda runs, task, **options: run_locally(runs, task, worker=(sys.executable, "-I", str(script)), **options)  # noqa: E731
    monkeypatch.setattr(leaderboard, "run_locally", played)
    monkeypatch.setattr(leaderboard, "load_manifest", lambda config: type("M", (), {"split": lambda self, name: None})())
    began = time.monotonic()
    place = tmp_path / "board.md"
    assert leaderboard.main(["--recipe", str(recipe), "--minutes", "0.03", "--document", str(place)]) == 0
    assert time.monotonic() - began < 30
    out = capsys.readouterr().out
    assert "Stopped by SIGTERM: 1 of 6 runs are done" in out
    assert "Go on with: python benchmarks/leaderboard.py --recipe" in out
    assert "ce s0: cannot be asked under the prior 'balanced'; " in out  # it has no weights that can be read, which stops nothing
    assert f"**1 of 6 runs are done: 1 of 3 methods{TWICE}, seed 0.**" in place.read_text()
    assert (tmp_path / "runs" / "began").read_text() == "ce_t\n"  # the second of the recipe, and no other


@pytest.mark.parametrize("minutes", ["nan", "inf", "0", "-3", "1e9"])
def test_minutes_that_are_no_time_are_refused(leaderboard: Any, recipe: Path, minutes: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        leaderboard.main(["--recipe", str(recipe), "--minutes", minutes])
    assert caught.value.code == 2
    assert "--minutes above 0 and at most 100000" in capsys.readouterr().err


def test_ctrl_c_is_no_success(leaderboard: Any, recipe: Path, tmp_path: Path, monkeypatch: Any, capsys: pytest.CaptureFixture[str]) -> None:
    finish(plan(read_recipe(recipe))[0])

    def stopped(runs: Any, task: Any, **options: Any) -> dict[str, str]:
        raise Stopped("Stopped by Ctrl-C: 1 of 6 runs are done.", {})

    monkeypatch.setattr(leaderboard, "run_locally", stopped)
    monkeypatch.setattr(leaderboard, "load_manifest", lambda config: type("M", (), {"split": lambda self, name: None})())
    assert leaderboard.main(["--recipe", str(recipe), "--document", str(tmp_path / "board.md")]) == 1
    assert "Stopped by Ctrl-C: 1 of 6 runs are done. Go on with: python benchmarks/leaderboard.py" in capsys.readouterr().err
