"""`evenface study`: the list, the table and its files, what is refused, and a real stop."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from sklearn.metrics import balanced_accuracy_score

from evenface.evaluation.records import read_predictions
from evenface.study import Task, work


BASE = {
    "dataset": "folder", "model": "test_resnet", "img_size": 32, "epochs": 1, "batch_size": 7, "device": "cpu", "precision": "fp32",
    "workers": 1,
}  # fmt: skip


def recipe(data: Path, **values: Any) -> Path:
    found = {"about": "Two methods.", "base": {**BASE, "data_dir": str(data)}, "runs": {"ce": {}, "eac": {"method": "eac"}}, **values}
    Path("small.yaml").write_text(yaml.safe_dump(found, sort_keys=False))
    return Path("small.yaml")


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The runs are trained in this process, one by one."""

    def run(runs: Any, task: Task, *, jobs: int, say: Any) -> dict[str, str]:
        failed = {}
        for each in runs:
            if each.config.init == "none":
                work(each.config, task)
                say(f"{each}: done [sic]")
            else:
                failed[str(each)] = "no luck today"
        return failed

    monkeypatch.setattr("evenface.study.run_locally", run)


def states(text: str) -> dict[tuple[str, str], str]:
    return {
        (m[1], m[2]): m[3]
        for m in re.finditer(r"^ (\w+) +(\d) +\w+ +(.+?) +(?:-|under a minute|\d+ min) +\w+-s\d-[0-9a-f]{8} *$", text, re.MULTILINE)
    }


@pytest.mark.usefixtures("in_process")
def test_from_the_list_to_the_table(cli: Any, faces: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = recipe(faces)
    first = cli("study", file, "--dry-run", "--seeds", "0,1")
    assert (first.code, first.err) == (0, "")
    assert set(states(first.out).values()) == {"to do"}
    assert len(states(first.out)) == 4
    assert not Path("runs").exists()

    monkeypatch.setattr(sys, "argv", ["evenface", "study", "small.yaml"])
    part = cli("study", file, "--only", "eac")
    assert part.code == 0, part.err
    assert "eac s0: done [sic]" in part.out
    assert "ce, the first run of the recipe, is not among the runs here" in part.out
    assert not Path("runs/small/table.md").exists()  # which is of the whole recipe
    assert states(cli("study", file, "--dry-run").out) == {("ce", "0"): "to do", ("eac", "0"): "done"}

    whole = cli("study", file)
    assert whole.code == 0, whole.err
    table = Path("runs/small/table.md").read_text()
    assert table.startswith(
        "# small\n\nTwo methods.\n\nSplit: test, n = 9. Command:\n\n    evenface study small.yaml\n\n**Against ce**\n\n"
    )
    rows = list(csv.DictReader(Path("runs/small/table.csv").read_text().splitlines()))
    assert {row["run"] for row in rows} == {"ce", "eac"}
    for row in rows:
        spread = float(row["mean_recall_high"]) > float(row["mean_recall_low"])
        assert f"| {row['run']} | 0 | {100 * float(row['mean_recall']):.1f} {'[' if spread else '|'}" in table
        assert f"{100 * float(row['mean_recall']):.1f}" in whole.out

    before = {path: path.read_bytes() for path in Path("runs").rglob("*") if path.is_file()}
    monkeypatch.setattr("evenface.study.run_locally", None)  # nothing is left to do
    assert cli("study", file).code == 0
    assert before == {path: path.read_bytes() for path in Path("runs").rglob("*") if path.is_file()}
    changed = cli("study", recipe(faces, base={**BASE, "data_dir": str(faces), "lr": 0.5}, name="small"), "--dry-run").out
    assert set(states(changed).values()) == {"to do"}
    assert "Of other settings or seeds: ce-s0-" in changed


@pytest.mark.usefixtures("in_process")
def test_all_runs_are_asked_under_one_prior(cli: Any, faces: Path) -> None:
    file = recipe(faces)
    assert cli("study", file).code == 0
    plain = Path("runs/small/table.md").read_text()
    trained = {path: path.read_bytes() for path in Path("runs").rglob("last.ckpt")}
    assert set(states(cli("study", file, "--prior", "balanced", "--dry-run").out).values()) == {"trained, not scored"}
    asked = cli("study", file, "--prior", "balanced")
    assert asked.code == 0, asked.err
    assert "All runs were asked under the prior 'balanced'." in asked.out
    assert "Split: test, --prior balanced, n = 9." in Path("runs/small/table-balanced.md").read_text()
    assert Path("runs/small/table.md").read_text() == plain
    assert trained == {path: path.read_bytes() for path in Path("runs").rglob("last.ckpt")}
    recalls = {}
    for row in csv.DictReader(Path("runs/small/table-balanced.csv").read_text().splitlines()):
        (folder,) = Path("runs/small").glob(f"{row['run']}-s0-*")
        found = read_predictions(folder / "predictions-test.parquet")
        fitted = json.loads((folder / "best" / "config.json").read_text())["calibration"]
        answers = []
        for probabilities in found.probabilities:
            logits = [
                np.log(p) / fitted["temperature"] + fitted["bias"][name] - np.log(fitted["prior"][name])
                for p, name in zip(probabilities, found.class_names, strict=True)
            ]
            answers.append(int(np.argmax(logits)))
        recalls[row["run"]] = balanced_accuracy_score(found.true, answers)
        assert float(row["mean_recall"]) == pytest.approx(recalls[row["run"]])
    assert set(recalls) == {"ce", "eac"}
    again = cli("study", recipe(faces, prior="balanced"))  # the same by the recipe, and all is there
    assert again.code == 0, again.err
    assert asked.out.endswith(again.out)
    cli("study", recipe(faces, base={**BASE, "data_dir": str(faces), "protocol": "paper"}), "--prior", "half").refused(
        2, "sets no validation faces aside"
    )


@pytest.mark.usefixtures("in_process")
def test_kept_answers_stand_for_folders_that_are_gone(cli: Any, faces: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = recipe(faces)
    first = cli("study", file, "--keep", "kept.parquet")
    assert first.code == 0, first.err
    shutil.rmtree("runs")

    def nothing(*_: Any, **__: Any) -> None:
        raise AssertionError("all is there")

    monkeypatch.setattr("evenface.study.run_locally", nothing)
    again = cli("study", file, "--keep", "kept.parquet")
    assert (again.code, again.err) == (0, "")
    assert again.out.startswith("kept      2 finished runs taken from kept.parquet\n")
    assert first.out.endswith(again.out.partition("\n")[2])  # the same table
    assert set(states(cli("study", file, "--dry-run").out).values()) == {"done"}
    cli("report", "runs/small", "-o", "page.html").refused(2, "None of the 2 runs")
    Path("kept.parquet").write_bytes(b"no table")
    cli("study", file, "--keep", "kept.parquet").refused(1, "cannot be read as the kept answers")


@pytest.mark.usefixtures("in_process")
def test_axes_give_a_table_for_each_combination(cli: Any, faces: Path) -> None:
    file = recipe(faces, axes={"lr": [0.001, 0.01]})
    listed = cli("study", file, "--dry-run")
    assert set(re.findall(r"^ ([\w.-]+) +0 ", listed.out, re.MULTILINE)) == {"ce-0.001", "eac-0.001", "ce-0.01", "eac-0.01"}
    assert re.search(r"To come: .+; estimated from a probe of \d+ s, to within a factor of two\.", listed.out)
    part = cli("study", file, "--only", "*-0.001")
    assert (part.code, part.out.count("Against ce, lr 0.001"), part.out.count("lr 0.01\n")) == (0, 1, 0)
    whole = cli("study", file, "--without-duplicates")
    assert whole.code == 0, whole.err
    table = Path("runs/small/table.md").read_text()
    assert table.index("**Mean recall**") < table.index("**Against ce, lr 0.001**") < table.index("**Against ce, lr 0.01**")
    rows = list(csv.DictReader(Path("runs/small/table.csv").read_text().splitlines()))
    assert {(row["lr"], row["run"]) for row in rows} == {(lr, run) for lr in ("0.001", "0.01") for run in ("ce", "eac")}
    assert [row["gain"] == "" for row in rows] == [row["run"] == "ce" for row in rows]
    after = cli("study", file, "--dry-run").out
    assert "4 of 4 are done" in after
    assert "To come" not in after


def test_a_search_from_the_list_to_the_table(cli: Any, faces: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("optuna", reason="needs Optuna: pip install 'evenface[search]'")

    def run(runs: Any, task: Task, *, jobs: int, say: Any, give_up: Any = None) -> dict[str, str]:
        for each in runs:
            work(each.config, task)
        return {}

    monkeypatch.setattr("evenface.study.run_locally", run)
    file = recipe(faces, search={"runs": ["eac"], "trials": 2, "space": {"lr": {"low": 1e-4, "high": 1e-2, "log": True}}})
    listed = cli("study", file, "--dry-run")
    assert (listed.code, listed.err) == (0, "")
    assert "2 of 2 trials are not drawn yet" in listed.out
    assert re.search(r"To come: .+ of trials at most and .+ for the table, with --jobs 1; estimated from a probe", listed.out)
    cli("study", file, "--only", "ce").refused(2, "--only does not go with a recipe that has `search`")
    answer = cli("study", file)
    assert answer.code == 0, answer.err
    lines = list(csv.DictReader(Path("runs/small/trials-eac.csv").read_text().splitlines()))
    assert [float(line["validation_mean_recall"]) for line in lines] == sorted((float(m) for m in scores_of("validation")), reverse=True)
    best = yaml.safe_load(Path("runs/small/best-eac.yaml").read_text())
    assert (best["method"], best["lr"], best["output"]) == ("eac", float(lines[0]["lr"]), None)
    assert f"lr: {lines[0]['lr']}" in answer.out
    rows = list(csv.DictReader(Path("runs/small/table.csv").read_text().splitlines()))
    assert {row["run"] for row in rows} == {"ce", f"eac.t{lines[0]['trial']}"}
    said = f"Chosen on validation among 2 trials with the seed 0: eac.t{lines[0]['trial']}. ce: not searched for"
    assert said in Path("runs/small/table.md").read_text()
    assert "To come" not in cli("study", file, "--dry-run").out
    assert "To come" in cli("study", file, "--dry-run", "--seeds", "0,1").out
    assert len(scores_of("test")) == 2  # the other trial never saw test
    fewer = recipe(faces, search={"runs": ["eac"], "trials": 1, "space": {"lr": {"low": 1e-4, "high": 1e-2, "log": True}}})
    assert "To come" not in cli("study", fewer, "--dry-run").out  # asked for once both were there
    assert cli("study", fewer).code == 0
    assert said in Path("runs/small/table.md").read_text()  # it is still the best of two


def scores_of(split: str) -> list[float]:
    """The mean recall of every trial or run that was scored on a split."""
    found = {path.parent.name: json.loads(path.read_text())["mean_recall"] for path in Path("runs/small").glob(f"*/metrics-{split}.json")}
    return [score for name, score in found.items() if split == "test" or name.startswith("eac.t")]


@pytest.mark.usefixtures("in_process")
def test_a_run_that_failed_is_named(cli: Any, faces: Path) -> None:
    Path("x.pth").touch()  # a start that is not there at all is told before anything is trained
    answer = cli("study", recipe(faces, runs={"ce": {}, "bad": {"init": "x.pth"}}))
    answer.refused(1, "bad s0 failed: no luck today")
    assert "Not there yet: bad s0." in answer.out
    assert Path("runs/small/table.csv").exists()
    cli("study", recipe(faces, runs={"bad": {"init": "x.pth"}}), "-o", "other").refused(1, "bad s0 failed: no luck today")


def test_a_start_that_is_not_here_is_told_once(cli: Any, faces: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = recipe(faces, base={**BASE, "data_dir": str(faces), "model": "dlib_face_resnet_13", "init": "dlib-face"})
    monkeypatch.setenv("EVENFACE_DLIB_FACE", "nowhere.safetensors")
    answer = cli("study", file)
    answer.refused(1, "nowhere.safetensors")
    assert "starts" not in answer.out
    assert not Path("runs").exists()


def test_a_start_that_is_still_in_training_is_told_at_once(cli: Any, faces: Path) -> None:
    """Its best model would be another one later, under the same name."""
    start = Path("start")
    (start / "best").mkdir(parents=True)
    (start / "config.yaml").write_text("method: distill\nmethod_options: {teacher: [dlib-face]}\nepochs: 3\n")
    file = recipe(faces, runs={"ce": {}, "taught": {"init": "start"}})
    cli("study", file).refused(1, "has no best model yet; let it finish an epoch: evenface distill --resume")
    (start / "best" / "model.safetensors").touch()
    (start / "log.csv").write_text("epoch\n1\n")
    cli("study", file).refused(1, "taught starts from", "finished 1 of 3 epochs; let it end (evenface distill --resume", "start/best")
    assert not Path("runs").exists()


def test_what_is_refused(cli: Any, faces: Path, tmp_path: Path) -> None:
    file = recipe(faces)
    cli("study").refused(2, "required: RECIPE")
    assert "(on each machine; of a search in all)" in " ".join(cli("study", "--help").out.split())
    cli("study", "nowhere.yaml").refused(2, "recipe nowhere.yaml cannot be read")
    cli("study", file, "--seeds", "a").refused(2, "--seeds takes whole numbers with commas between them")
    cli("study", file, "--seeds", "1,1").refused(2, "different whole numbers")
    cli("study", file, "--only", "cee").refused(2, "Unknown run 'cee'; did you mean 'ce'?")
    cli("study", file, "--jobs", 0).refused(2, "--jobs must be at least 1")
    cli("study", file, "--cpus-per-run", 0, "--engine", "ray").refused(2, "--cpus-per-run must be at least 1")
    cli("study", file, "--address", "auto").refused(2, "--address is for a cluster; add --engine ray")
    cli("study", file, "--engine", "slurm").refused(2, "slurm")
    cli("study", recipe(faces, tta="experts")).refused(
        2, "tta: experts is for ride and sade, whose networks have several; the run 'ce' is ce"
    )
    file = recipe(faces)
    cli("study", file, "--job", 2).refused(2, "Unknown flag --job; did you mean --jobs?")
    cli("study", recipe(faces, runs={"a": {"method": "rbfc"}})).refused(2, "small.yaml: the run 'a': Unknown method 'rbfc'")
    missing = cli("study", recipe(tmp_path / "no faces"))  # told at once, not by each run
    assert (missing.code, missing.out) == (1, "")
    assert "no faces does not exist" in missing.err
    assert not Path("runs").exists()


@pytest.mark.slow
def test_ctrl_c_and_the_same_command_again(faces: Path, home: Path) -> None:
    file = recipe(faces, base={**BASE, "data_dir": str(faces), "epochs": 400, "batch_size": 2}, runs={"ce": {}, "eac": {"method": "eac"}})
    words = [sys.executable, "-m", "evenface", "study", str(file), "--jobs", "2"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and len(list(Path("runs/small").glob("*/log.csv"))) < 2:
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Stopped by Ctrl-C: 0 of 2 runs are done" in err
    assert f"Go on with: evenface study {shlex.quote(str(file))} --jobs 2" in err
    assert err.count("\n") == 1
    for log in Path("runs/small").glob("*/study.log"):
        assert "the state is saved" in log.read_text()
    assert len(list(Path("runs/small").glob("*/study.log"))) == 2
    shown = subprocess.run([*words, "--dry-run"], capture_output=True, text=True, check=True).stdout
    assert shown.count("stopped in epoch") == 2
