"""Every figure draws the numbers that stand in its CSV, and these are the right ones."""

from __future__ import annotations

import csv
import dataclasses
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from PIL import Image
from sklearn.metrics import average_precision_score, confusion_matrix, f1_score, precision_score, recall_score

from evenface.evaluation.changes import confusion_changes
from evenface.evaluation.compare import RunPredictions, compare_runs
from evenface.evaluation.ranking import class_rankings
from evenface.evaluation.reliability import calibration_errors, reliability
from evenface.report.figures.calibration import Calibrated, reliability_figure
from evenface.report.figures.colours import METHODS, class_colour, wrapped
from evenface.report.figures.confusion import change_figure, confusion_figure
from evenface.report.figures.counts import counts_figure
from evenface.report.figures.curves import curves_figure
from evenface.report.figures.figure import Figure
from evenface.report.figures.precision_recall import precision_recall_figure
from evenface.report.figures.recall import recall_figure
from evenface.report.figures.scores import gain_figure, scores_figure
from evenface.report.gather import Scores, find_runs, read_scores
from evenface.report.parts.classes import class_scores
from evenface.report.parts.part import confusions
from evenface.report.parts.results import _pairs

from .conftest import COUNTS, Made


@pytest.fixture(scope="module")
def many(made: Made) -> Scores:
    found, _ = read_scores(find_runs(made.all, made.root)[0], "test", "none", "model", resamples=200)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def single(made: Made) -> Scores:
    found, _ = read_scores(find_runs([str(made.one)], made.root)[0], "test", "none", "model", resamples=200)
    assert found is not None
    return found


def table(figure: Figure) -> list[dict[str, str]]:
    return list(csv.DictReader(figure.csv().splitlines()))


def texts(figure: Figure) -> str:
    """All the words of the drawing."""
    return " ".join(ET.fromstring(figure.svg()).itertext())


def dots(axes: Any) -> list[float]:
    return [float(x) for line in axes.lines if line.get_linestyle() == "None" for x in line.get_xdata()]


def contrast(one: Any, other: Any) -> float:
    """WCAG 2's ratio of two colours, 1 to 21."""

    def luminance(colour: Any) -> float:
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
        return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_the_bars_of_one_training(single: Scores) -> None:
    figure = recall_figure("recall", "test", single.class_names, single.n, single.comparison.methods)
    recalls = recall_score(single.true, single.predicted[0], average=None)
    assert [float(row["recall"]) for row in table(figure)] == pytest.approx(recalls)
    (axes,) = figure.drawing.axes
    assert [bar.get_width() for bar in axes.patches] == pytest.approx(100 * recalls)
    assert [bar.get_facecolor()[:3] for bar in axes.patches] == [class_colour(c) for c in single.class_names]
    ends = [line.get_xdata() for line in axes.lines]
    assert np.array(ends) == pytest.approx(np.array([[100 * float(row["low"]), 100 * float(row["high"])] for row in table(figure)]))
    assert f"{100 * recalls[0]:.1f} [" in texts(figure)
    assert "happiness (n 30)" in " ".join(texts(figure).split())


def test_the_dots_of_several_methods(many: Scores) -> None:
    figure = recall_figure("recall", "test", many.class_names, many.n, many.comparison.methods)
    expected = [np.mean([recall_score(many.true, many.predicted[i], average=None) for i in places], axis=0) for _, places in many.methods]
    assert [float(row["recall"]) for row in table(figure)] == pytest.approx(np.array(expected).T.ravel())
    assert dots(figure.drawing.axes[0]) == pytest.approx(100 * np.array(expected).ravel())


def test_the_confusion_matrices(many: Scores) -> None:
    panels = [(label, confusions(many, places)) for label, places in many.methods]
    figure = confusion_figure("confusion", "test", many.class_names, panels)
    rows = table(figure)
    slow = [sum(confusion_matrix(many.true, many.predicted[i], labels=range(3)) for i in places) for _, places in many.methods]
    assert [int(row["count"]) for row in rows] == np.array(slow).ravel().tolist()
    for row in rows:
        n = 2 * dict(zip(many.class_names, many.n, strict=True))[row["true"]]  # of two trainings
        assert float(row["rate"]) == pytest.approx(int(row["count"]) / n)
        assert float(row["low"]) <= float(row["rate"]) <= float(row["high"])
    for axes in figure.drawing.axes[:2]:  # letters stand out: WCAG 2 asks for 3 of large ones and 4.5 of small ones
        for text in axes.texts:
            column, row = (round(v) for v in text.get_position())
            ground = colormaps["Blues"](float(axes.images[0].get_array()[row, column]) / 100)
            assert contrast(text.get_color(), ground) > 4
            assert text.get_alpha() is None
    images = [axes.images[0] for axes in figure.drawing.axes if axes.images]
    assert [image.get_clim() for image in images] == [(0, 100)] * 2  # one scale
    assert images[1].get_array().data.ravel() == pytest.approx([100 * float(row["rate"]) for row in rows[9:]])


def test_the_changes_are_of_the_seeds_that_both_have(many: Scores) -> None:
    """A third training of the baseline alone, with a seed between the others: the test and the picture leave it out."""
    (base, a), _ = many.methods
    runs = [dataclasses.replace(run, seed=2 * run.seed) for run in many.runs]
    extra = dataclasses.replace(runs[a[0]], name="extra", seed=1)
    predicted = np.vstack([many.predicted, (many.predicted[a[0]] + 1) % 3])
    answers = [
        RunPredictions(run.name, run.label, run.seed, many.ids, many.true, row, many.class_names, many.duplicates)
        for run, row in zip([*runs, extra], predicted, strict=True)
    ]
    comparison = compare_runs([each for each in answers if each.method == base] + [each for each in answers if each.method != base])
    uneven = dataclasses.replace(many, runs=(*runs, extra), predicted=predicted, comparison=comparison)
    ((was, before),), ((pair, now),) = (_pairs(scores)[0] for scores in (many, uneven))
    assert pair.seeds == (0, 2)
    assert pair.mean_recall.value == was.mean_recall.value
    for name in ("value", "ci95"):
        np.testing.assert_array_equal(getattr(now, name), getattr(before, name))


def test_the_changes(many: Scores) -> None:
    (base, a), (label, b) = many.methods
    found = confusion_changes(many.true, many.predicted[a].T, many.predicted[b].T, 3, resamples=200)
    figure = change_figure("change", "test", many.class_names, many.n, base, [(label, found)])
    rates = [
        sum(confusion_matrix(many.true, many.predicted[i], labels=range(3), normalize="true") for i in places) / 2 for places in (a, b)
    ]
    assert [float(row["difference"]) for row in table(figure)] == pytest.approx((rates[1] - rates[0]).ravel())
    bold = [text.get_text() for text in figure.drawing.axes[0].texts if text.get_fontweight() == "bold"]
    clear = [row for row in table(figure) if float(row["low"]) > 0 or float(row["high"]) < 0]
    assert bold == [f"{100 * float(row['difference']):+.1f}".replace("-", "\u2212") for row in clear]
    gain = gain_figure("gain", "test", many.class_names, many.n, [(many.comparison.pairs[0], found)])
    rows = table(gain)
    assert [row["what"] for row in rows] == ["mean recall", *many.class_names]
    assert float(rows[0]["difference"]) == pytest.approx((rates[1] - rates[0]).diagonal().mean())
    assert [float(row["difference"]) for row in rows[1:]] == pytest.approx((rates[1] - rates[0]).diagonal())
    assert dots(gain.drawing.axes[0]) == pytest.approx([100 * float(row["difference"]) for row in rows])
    lines = [c for c in gain.drawing.axes[0].collections if isinstance(c, LineCollection)]
    drawn = np.array([c.get_segments()[0][:, 0] for c in lines])
    assert drawn == pytest.approx(np.array([[100 * float(row["low"]), 100 * float(row["high"])] for row in rows]))


def test_the_numbers_over_all_classes(many: Scores) -> None:
    figure = scores_figure("scores", "test", many.comparison)
    rows = table(figure)
    for row in rows:
        places = dict(many.methods)[row["method"]]
        slow = {
            "mean_recall": [recall_score(many.true, many.predicted[i], average="macro") for i in places],
            "overall": [np.mean(many.predicted[i] == many.true) for i in places],
            "macro_f1": [f1_score(many.true, many.predicted[i], average="macro") for i in places],
        }[row["score"]]
        assert float(row["value"]) == pytest.approx(np.mean(slow))
        assert [float(value) for value in row["values"].split()] == pytest.approx(slow, abs=1e-6)
        assert float(row["low"]) < float(row["value"]) < float(row["high"])
    drawn = [x for axes in figure.drawing.axes for line in axes.lines if line.get_marker() != "|" for x in line.get_xdata()]
    assert drawn == pytest.approx([100 * float(row["value"]) for row in rows])


def test_counts_and_weights() -> None:
    names = ["happiness", "anger", "fear"]
    figure = counts_figure("counts", "folder", names, COUNTS, [0.5, 0.9, 1.6], "B by hand.")
    assert table(figure) == [
        {"class": "happiness", "train": "20", "weight": "0.5"}, {"class": "anger", "train": "9", "weight": "0.9"},
        {"class": "fear", "train": "4", "weight": "1.6"},
    ]  # fmt: skip
    left, right = figure.drawing.axes
    assert [bar.get_width() for bar in left.patches] == [20, 9, 4]
    assert [bar.get_width() for bar in right.patches] == [0.5, 0.9, 1.6]
    assert "5.0 times the smallest" in figure.caption  # 20 / 4
    assert "is 3.20" in figure.caption  # 1.6 / 0.5


def test_the_course_of_one_and_of_several_trainings(many: Scores) -> None:
    logs = [(run.name, run.log(), run.epoch) for run in many.runs]
    one = curves_figure("training", "validation", [("ce", logs[:1])])
    assert [row["kept"] for row in table(one)] == ["False", "True", "False"]
    assert [float(row["validation_mean_recall"]) for row in table(one)] == pytest.approx([0.15, 0.30, 0.45])
    left, right = one.drawing.axes
    assert left.lines[0].get_ydata() == pytest.approx([2, 1, 2 / 3])
    assert right.lines[0].get_ydata() == pytest.approx([15, 30, 45])
    several = curves_figure("training", "validation", [("ce", logs[:2]), ("rbcf", logs[2:])])
    colours = [line.get_color() for line in several.drawing.axes[0].lines]
    assert colours == [METHODS[0]] * 2 + [METHODS[1]] * 2
    assert len(table(several)) == 4 * 3
    gone = (logs[0][0], [], 2)  # the log of the first training
    for methods, labels in (([("ce", [gone, logs[1]]), ("rbcf", logs[2:])], ["ce", "rbcf"]), ([("ce", [gone]), ("rbcf", [gone])], [])):
        found = curves_figure("training", "validation", methods).drawing
        assert [text.get_text() for legend in found.legends for text in legend.get_texts()] == labels


def test_precision_and_recall(single: Scores, many: Scores) -> None:
    found = class_rankings(single.probabilities, single.true, resamples=50)
    figure = precision_recall_figure("pr", "test", single.class_names, [("rbcf", found)])
    rows = table(figure)
    for c, name in enumerate(single.class_names):
        mine = [row for row in rows if row["class"] == name]
        order = np.argsort(-single.probabilities[0][:, c], kind="stable")
        hits = np.cumsum(single.true[order] == c)
        for row in mine:
            k = int(np.argmax(hits >= float(row["recall"]) * hits[-1] - 1e-9))
            assert float(row["precision"]) == pytest.approx(hits[k] / (k + 1))
        axes = figure.drawing.axes[c]
        assert axes.lines[0].get_ydata() == pytest.approx([100 * float(row["precision"]) for row in mine])
        assert axes.lines[1].get_ydata() == pytest.approx([100 * single.n[c] / 47] * 2)
        expected = average_precision_score(single.true == c, single.probabilities[0][:, c])
        assert f"AP {100 * expected:.1f}" in texts(figure)
    both = [(label, class_rankings(many.probabilities[places], many.true, resamples=20)) for label, places in many.methods]
    assert len(table(precision_recall_figure("pr", "test", many.class_names, both))) == 2 * 3 * 100


def test_reliability(many: Scores) -> None:
    panels = []
    for label, places in many.methods:
        p = many.probabilities[places]
        found, errors = reliability(p.max(axis=2), p.argmax(axis=2) == many.true), calibration_errors(p, many.true, resamples=20)
        panels.append(Calibrated(label, found, errors, found, errors, (1.0, 1.0), "by hand"))
    figure = reliability_figure("reliability", "test", 47, panels)
    rows = table(figure)
    p = many.probabilities[many.methods[0][1]]
    for row in rows[:15]:
        inside = (p.max(axis=2) > float(row["above"]) + 1e-9) & (p.max(axis=2) <= float(row["up_to"]) + 1e-9)
        assert float(row["n"]) == inside.sum() / 2
        if inside.any():
            assert float(row["right"]) == pytest.approx((p.argmax(axis=2) == many.true)[inside].mean())
            assert float(row["mean_score"]) == pytest.approx(p.max(axis=2)[inside].mean())
        else:
            assert row["right"] == ""
    top = figure.drawing.axes[0]
    drawn = [100 * float(row["right"]) for row in rows[:15] if row["right"]]
    assert top.lines[1].get_ydata() == pytest.approx(drawn)
    assert "mathdefault" not in figure.svg()


def test_precision_and_f1_of_the_classes(many: Scores) -> None:
    for _, places in many.methods:
        found = class_scores(many, places)
        precision = np.mean([precision_score(many.true, many.predicted[i], average=None) for i in places], axis=0)
        f1 = np.mean([f1_score(many.true, many.predicted[i], average=None) for i in places], axis=0)
        assert found.precision == pytest.approx(precision)
        assert found.f1 == pytest.approx(f1)
        assert found.called.sum() == pytest.approx(47)
        for value, ends in ((precision, found.precision_ci95), (f1, found.f1_ci95)):
            assert (ends[:, 0] <= value).all()
            assert (value <= ends[:, 1]).all()


def test_the_files(single: Scores, tmp_path: Path) -> None:
    figure = recall_figure("recall", "test", single.class_names, single.n, single.comparison.methods)
    figure.save(tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["recall.csv", "recall.png", "recall.svg"]
    with Image.open(tmp_path / "recall.png") as image:
        assert image.width == pytest.approx(200 * 4.6, abs=1)
        assert image.convert("RGB").getpixel((1, 1)) == (255, 255, 255)
    assert (tmp_path / "recall.svg").read_text() == figure.svg()
    assert "<metadata>" not in figure.html()


def test_names_with_signs_of_their_own(single: Scores) -> None:
    """Neither matplotlib's mathematics nor the page's markup."""
    names = ["<b>$x_1$", "a & b", "\\frac{1}{2}$"]
    figure = recall_figure("recall", "test", names, single.n, single.comparison.methods)
    assert "<b>$x_1$ (n 30)" in " ".join(texts(figure).split())
    assert "<b>" not in figure.html()


def test_drawing_leaves_matplotlib_as_it_was(single: Scores) -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    recall_figure("recall", "test", single.class_names, single.n, single.comparison.methods).svg()
    assert dict(matplotlib.rcParams) == before


def test_long_labels_are_cut() -> None:
    text = wrapped("ce " + 30 * "option=value ", 20, 2)
    assert len(text.splitlines()) == 2
    assert max(map(len, text.splitlines())) <= 20
    assert text.endswith("…")
    assert wrapped("rbcf") == "rbcf"
