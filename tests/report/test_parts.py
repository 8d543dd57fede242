"""What single sections say, against what a person would read off the same scores."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from evenface.calibration import fit_calibration
from evenface.report.gather import Scores, find_runs, read_scores
from evenface.report.parts.classes import class_scores
from evenface.report.parts.faces import doubtful
from evenface.report.parts.maps import LESS, MORE, overlay, typical
from evenface.report.parts.meaning import calibrated
from evenface.report.parts.part import Context
from evenface.report.parts.results import _classes
from evenface.report.parts.summary import _weakest

from .conftest import Made


@pytest.fixture(scope="module")
def scores(made: Made) -> Scores:
    found, _ = read_scores(find_runs(made.all, made.root)[0], "test", "none", "model", resamples=100)
    assert found is not None
    return found


def slow_error(p: np.ndarray, true: np.ndarray) -> float:
    """ECE of the chosen class, 15 bins."""
    score, right, total = p.max(axis=1), p.argmax(axis=1) == true, 0.0
    for m in range(15):
        inside = (score > m / 15) & (score <= (m + 1) / 15)
        total += abs(right[inside].sum() - score[inside].sum()) / len(true)
    return total


def test_the_weakest_class_is_the_one_that_is_found_least(scores: Scores) -> None:
    for label, places in scores.methods:
        recalls = [np.mean([np.mean(scores.predicted[i][scores.true == c] == c) for i in places]) for c in range(len(scores.class_names))]
        text = _weakest(scores, label, places, named=True)
        worst = scores.class_names[int(np.argmin(recalls))]
        assert text.startswith(f"{label} is weakest on {worst}")
        assert f"it finds {100 * min(recalls):.1f} % [" in text
        wrong = [np.sum(scores.predicted[places][:, scores.true == np.argmin(recalls)] == c) for c in range(len(scores.class_names))]
        wrong[int(np.argmin(recalls))] = 0
        assert text.endswith(f"of them {scores.class_names[int(np.argmax(wrong))]}.")


def test_what_was_never_called_so_has_no_precision(scores: Scores) -> None:
    """Nothing of nothing is neither right nor wrong."""
    one = np.full_like(scores.predicted, 0)
    found = class_scores(dataclasses.replace(scores, predicted=one), scores.methods[0][1])
    assert found.called.tolist() == [len(scores.true), 0, 0]
    grid = _classes(scores, found)
    precision, called = (grid.head.index(name) for name in ("precision", "called so"))
    assert [row[called] for row in grid.rows] == [str(len(scores.true)), "0", "0"]
    assert [row[precision] for row in grid.rows][1:] == ["-", "-"]
    assert grid.rows[0][precision] == f"{100 * np.mean(scores.true == 0):.1f}"  # the same in all resamples, which are drawn class by class


def test_errors_with_the_temperature_are_those_of_divided_logits(scores: Scores) -> None:
    """These runs have no temperature of their own, so one is fitted on their validation scores, by the same likelihood."""
    context = Context(scores.runs, [scores], "none", "model", 100)
    label, places = scores.methods[0]
    found = calibrated(context, scores, label, list(places))
    assert len(found.temperatures) == len(places)
    validation, _ = read_scores(scores.runs, "validation", "none", "model", resamples=100)
    assert validation is not None
    for place, temperature in zip(places, found.temperatures, strict=True):
        logits = np.log(validation.probabilities[place])
        fitted = fit_calibration(logits, validation.true, validation.class_names, split="validation")
        assert temperature == pytest.approx(fitted.temperature_only)
    plain = [slow_error(scores.probabilities[i], scores.true) for i in places]
    assert found.before_errors.overall == pytest.approx(np.mean(plain), abs=1e-6)
    divided = []
    for i, temperature in zip(places, found.temperatures, strict=True):
        z = np.log(scores.probabilities[i].astype(float)) / temperature
        divided.append(slow_error(np.exp(z) / np.exp(z).sum(axis=1, keepdims=True), scores.true))
    assert found.after_errors is not None
    assert found.after_errors.overall == pytest.approx(np.mean(divided), abs=1e-6)


def test_a_typical_face_is_right_everywhere_and_of_middling_score(scores: Scores) -> None:
    picked = typical(scores)
    assert [scores.true[i] for i in picked] == list(range(len(scores.class_names)))
    mean = [float(np.mean([p[i, scores.true[i]] for p in scores.probabilities])) for i in range(len(scores.true))]
    for c, i in enumerate(picked):
        members = [k for k in range(len(scores.true)) if scores.true[k] == c]
        good = [k for k in members if all(answers[k] == c for answers in scores.predicted)] or members
        assert i == sorted(good, key=lambda k: mean[k])[len(good) // 2]


@pytest.mark.parametrize("order", [("test", "train"), ("train", "test"), ("test", "validation")])
def test_doubts_of_training_faces_come_with_a_warning_wherever_they_stand(order: tuple[str, str], scores: Scores) -> None:
    context = Context(scores.runs, [dataclasses.replace(scores, split=split) for split in order], "none", "model", 100)
    html = doubtful(context, [(None, "No faces here.")] * 2).section.html
    warned = ["Beware: these are training faces" in part for part in html.split("The same on ")]
    assert warned == [split == "train" for split in order]
    assert "These faces were not trained on" not in html


def test_what_speaks_for_a_class_is_orange_and_what_speaks_against_it_blue() -> None:
    face = np.full((32, 32, 3), 128, np.uint8)
    found = overlay(face, np.array([[3.0, 1.0]]), 1.0).astype(int)
    left, right = found[:, :6].mean((0, 1)), found[:, -6:].mean((0, 1))
    assert np.abs(left - MORE).max() < np.abs(left - LESS).max()
    assert np.abs(right - LESS).max() < np.abs(right - MORE).max()
    assert (overlay(face, np.ones((2, 2)), 1.0) == 128).all()
