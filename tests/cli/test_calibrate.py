"""`evenface calibrate` and `--prior`: what is printed is what is stored, and wrong words are one line."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest

from evenface.calibration import HOTTEST
from evenface.cli.calibrate import tables
from evenface.model_folder import read_config
from evenface.runs.calibrate import calibrate


@pytest.fixture
def run(trained: Path) -> Path:
    return Path(shutil.copytree(trained, "run"))


def test_what_is_printed_is_what_is_stored(cli: Any, run: Path) -> None:
    answer = cli("calibrate", run, "--device", "cpu", "-j", 1)
    assert answer.code == 0, answer.err
    fitted = read_config(run / "best").fitted
    assert fitted is not None
    assert f"{fitted.temperature_only:.3f}" in answer.out
    assert f"{fitted.temperature:.3f}" in answer.out
    for name in ("model", "train", "half", "balanced", *fitted.bias):
        assert name in answer.out
    assert f"written   {run / 'best' / 'config.json'}" in answer.out


def test_the_tables_hold_the_numbers(run: Path) -> None:
    found = calibrate(run, device="cpu")
    fits, classes, priors = tables(found)
    c = found.calibration
    assert fits.rows[1] == ("negative log-likelihood", *(f"{value:.4f}" for value in c.nll))
    assert fits.rows[2] == ("calibration error, %", *(f"{100 * value:.2f}" for value in c.ece))
    assert [row[:3] for row in classes.rows] == [(name, "3", f"{c.bias[name]:+.2f}") for name in c.bias]
    assert [row[0] for row in priors.rows] == ["model", "train", "half", "balanced"]
    for name, *rates in priors.rows:
        assert rates == [f"{100 * found.priors[name][key]:.1f}" for key in ("overall", "mean_recall")]


def test_a_temperature_at_its_limit_is_told(run: Path) -> None:
    found = calibrate(run, device="cpu")
    hot = dataclasses.replace(found.calibration, temperature=HOTTEST)
    told, *_ = tables(dataclasses.replace(found, calibration=hot))
    assert "T is at its limit of 20" in told.text()
    cool = dataclasses.replace(found.calibration, temperature=2.0, temperature_only=2.0)
    told, *_ = tables(dataclasses.replace(found, calibration=cool))
    assert "limit" not in told.text()


def test_scores_under_a_prior(cli: Any, run: Path) -> None:
    answer = cli("evaluate", run, "--prior", "balanced", "--device", "cpu", "-j", 1)
    assert answer.code == 0, answer.err
    assert "test, prior balanced" in answer.out
    assert "metrics-test-balanced.json" in answer.out
    assert cli("compare", run, "--prior", "balanced", "--resamples", 200).code == 0


def test_several_views_and_priors_in_one_call(cli: Any, run: Path) -> None:
    """The files are those of one call each; a wrong name in the list is told before any work."""
    answer = cli("evaluate", run, "--split", "validation", "--tta", "none,flip", "--prior", "half,balanced,half", "-j", 1)
    assert answer.code == 0, answer.err
    assert answer.out.count("prior half") == answer.out.count("prior balanced") == 2
    found = {path.name for path in run.glob("metrics-validation*")}
    assert {f"metrics-validation{view}-{prior}.json" for view in ("", "-flip") for prior in ("half", "balanced")} <= found
    for file in run.glob("metrics-validation-flip*"):
        file.unlink()
    cli("evaluate", run, "--split", "validation", "--tta", "flip", "--prior", "model,flat").refused(2, "Unknown --prior 'flat'")
    assert not list(run.glob("metrics-validation-flip*"))


def test_wrong_words(cli: Any, run: Path) -> None:
    cli("evaluate", run, "--prior", "flat").refused(2, "Unknown --prior 'flat'")
    cli("calibrate", "nowhere").refused(2, "nowhere does not exist")
    cli("calibrate", run, "--split", "train").refused(2, "invalid choice: 'train'")
    cli("calibrate", run, "-j", 0).refused(2, "--workers must be at least 1")
    (run / "best" / "model.safetensors").write_bytes(b"damaged")
    cli("calibrate", run, "--device", "cpu").refused(1, "model.safetensors")
