"""The tables hold the right numbers, fit in a hundred columns and take nothing for markup."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from evenface.cards.markdown import rate
from evenface.errors import ConfigError, DataError, LabelError
from evenface.evaluation.compare import Comparison, RunPredictions, compare_runs
from evenface.evaluation.paired import Difference
from evenface.evaluation.records import summarise
from evenface.report.grid import Grid
from evenface.report.parts.part import estimate
from evenface.report.study import tall, wide
from evenface.report.tables import class_order, comparison_table, methods_table, p_text, per_class_table, percent, points, runs_table


NAMES = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")
TRAIN = {"surprise": 1290, "fear": 281, "disgust": 717, "happiness": 4772, "sadness": 1982, "anger": 705, "neutral": 2524}
PAPER = ["happiness", "neutral", "sadness", "surprise", "disgust", "anger", "fear"]
TRUE = np.repeat(np.arange(7), (33, 7, 16, 118, 48, 16, 68))


def predict(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.where(rng.random(TRUE.size) < 0.7, TRUE, rng.integers(0, 7, TRUE.size))


def metrics(seed: int = 0, duplicates: int = 0, **provenance: Any) -> dict[str, Any]:
    again = np.arange(TRUE.size) < duplicates
    return summarise(TRUE, predict(seed), NAMES, again, dataset="rafdb", split="test", provenance=provenance, resamples=100)


def compared(methods: int, seeds: int) -> Comparison:
    ids = tuple(f"face-{i}" for i in range(TRUE.size))
    nothing = np.zeros(TRUE.size, dtype=bool)
    runs = [
        RunPredictions(f"{m}-{s}", name, s, ids, TRUE, predict(10 * m + s), NAMES, nothing)
        for m, name in enumerate(["ce", "ce cls_views=both", "rbcf", "focal"][:methods])
        for s in range(seeds)
    ]
    return compare_runs(runs, resamples=100)


def row(text: str, start: str) -> str:
    return next(line for line in text.splitlines() if line.strip().startswith(start))


def test_classes_in_the_papers_order() -> None:
    assert class_order(NAMES, TRAIN) == PAPER
    assert class_order(NAMES, None) == list(NAMES)
    assert [cells[0] for cells in per_class_table(metrics(), TRAIN).rows] == PAPER


def test_per_class_table_holds_the_numbers() -> None:
    m = metrics()
    text = per_class_table(m, TRAIN).text()
    fear = m["per_class"]["fear"]
    cells = row(text, "fear").split()
    low, high = (f"{100 * end:.1f}" for end in fear["ci95"])
    expected = ["fear", "281", "7", f"{100 * fear['recall']:.1f}", f"[{low},", f"{high}]"]
    assert cells == [*expected, f"{100 * fear['precision']:.1f}", f"{100 * fear['f1']:.1f}"]
    assert f"{100 * m['mean_recall']:.1f} [" in row(text, "mean recall")
    assert str(TRUE.size) in row(text, "overall")
    assert "rafdb test" in text
    assert "optimistic" not in text.lower()


def test_what_was_chosen_on_these_images_is_tagged() -> None:
    m = metrics(optimistic=True, protocol="paper")
    assert "(optimistic)" in per_class_table(m).text()
    assert "rbcf (optimistic)" in runs_table({"rbcf": m}).head
    assert any("chosen on these test images" in note for note in runs_table({"rbcf": m}).notes)
    assert "optimistic" not in per_class_table(metrics(optimistic=False, protocol="paper")).text()


@pytest.mark.parametrize(("epochs", "told"), [([1, 2, 3, 4, 5], "five"), ([6, 7, 8, 9, 10], "five"), ([1, 2, 3], "3"), ([1], "1")])
def test_the_papers_way_of_reporting_is_told(epochs: list[int], told: str) -> None:
    paper = {
        key: {"epochs": which, "overall": 0.5, "mean_recall": value}
        for key, which, value in (("last", epochs[-1:], 0.25), ("best", epochs[:1], 0.5), ("last_5", epochs, 0.375))
    }
    text = " ".join(per_class_table(metrics(optimistic=True, paper=paper)).text().split())
    assert f"last epoch 50.0 / 25.0, best epoch 50.0 / 50.0, mean of the last {told} 50.0 / 37.5" in text


def test_duplicates_are_told() -> None:
    m = metrics(duplicates=20)
    text = " ".join(per_class_table(m).text().split())
    assert f"20 of {TRUE.size} images stand in train pixel for pixel; without them (n {TRUE.size - 20}): overall" in text
    side = runs_table({"a": m, "b": metrics(1, duplicates=20)})
    assert side.footer[-1][0] == "mean recall *"
    assert side.footer[-1][2].startswith(f"{100 * m['duplicates_of_train']['without']['mean_recall']:.1f} [")
    assert "mean recall *" not in runs_table({"a": metrics()}).text()


def test_of_a_model_on_other_data_it_is_said_whose_train_is_meant() -> None:
    text = per_class_table(metrics(duplicates=20, trained_on="ferplus"), TRAIN).text(width=200)
    assert "20 of 306 images stand in train of rafdb (this model was trained on ferplus) pixel for pixel" in text
    assert "train (ferplus)" in text
    assert "was trained on" not in per_class_table(metrics(duplicates=20), TRAIN).text(width=200)


def test_an_interval_without_width_is_not_shown() -> None:
    """Of a model with one answer for all, no resample differs, and that says nothing of other faces; Wilson's stand."""
    one = np.full_like(TRUE, NAMES.index("neutral"))
    found = summarise(TRUE, one, NAMES, np.zeros(TRUE.size, dtype=bool), dataset="rafdb", split="test", provenance={}, resamples=100)
    text = per_class_table(found).text(width=100)
    assert row(text, "overall").split() == ["overall", "306", "22.2"]
    assert row(text, "mean recall").split() == ["mean", "recall", "306", "14.3"]
    assert "0.0 [0.0, 35.4]" in row(text, "fear")  # 7 faces: 1.96^2 / (7 + 1.96^2) = 0.354


@pytest.mark.parametrize(
    ("words", "gap", "end"),
    [(estimate, " [", "]"), (rate, " [", "]"), (wide, " [", "]"), (tall, "\n", "")],
    ids=["report", "card", "wide", "tall"],
)
def test_so_do_cards_and_the_pages_of_reports_and_studies(words: Any, gap: str, end: str) -> None:
    between = "-" if gap == "\n" else ", "
    assert words(0.25, (0.125, 0.5)) == f"25.0{gap}12.5{between}50.0{end}"
    assert words(0.25, (0.25, 0.25)) == "25.0"


def test_a_class_without_images_shows_a_dash() -> None:
    m = summarise([0, 1], [0, 1], ("fear", "anger", "disgust"), [False] * 2, dataset="x", split="test", resamples=20)
    text = per_class_table(m).text()
    assert row(text, "disgust").split() == ["disgust", "0", "-", "0.0", "-"]
    assert "No image of disgust" in text


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6])
def test_runs_side_by_side_fit_in_a_hundred_columns(count: int) -> None:
    grid = runs_table({f"run-{i}": metrics(i) for i in range(count)}, TRAIN)
    text = grid.text(100)
    assert max(map(len, text.splitlines())) <= 100
    assert "…" not in text
    for i in range(count):
        recall = metrics(i)["per_class"]["fear"]["recall"]
        assert f"{100 * recall:.1f}" in row(text, "fear")


@pytest.mark.parametrize(("methods", "seeds"), [(1, 1), (2, 1), (3, 3), (4, 2)])
def test_comparisons_fit_in_a_hundred_columns(methods: int, seeds: int) -> None:
    comparison = compared(methods, seeds)
    side = methods_table(comparison, TRAIN)
    assert [cells[0] for cells in side.rows] == PAPER
    assert ("sd of mean recall" in side.text()) == (seeds > 1)
    assert max(map(len, side.text(100).splitlines())) <= 100
    if methods == 1:
        with pytest.raises(ConfigError, match="two methods"):
            comparison_table(comparison)
        return
    grid = comparison_table(comparison)
    text = grid.text(100)
    assert max(map(len, text.splitlines())) <= 100
    assert ("Holm p" in grid.head) == (methods > 2)
    last = comparison.pairs[-1]
    assert points(last.mean_recall) in text
    assert all(f"{test.b} / {test.c}" in text for test in last.mcnemar)


def test_markdown_is_a_table() -> None:
    text = comparison_table(compared(3, 1)).markdown()
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len(lines) == 2 + 2
    assert len({line.count(" | ") for line in lines}) == 1
    assert "ce cls\\_views=both" in text
    bold = per_class_table(metrics(), TRAIN).markdown()
    assert "| **overall** |  | **306** | **" in bold


def test_names_are_not_taken_for_markup() -> None:
    grid = Grid("[bold]title", ("[red]run|x", "n"), (("[/] a*b", "1"),))
    assert "[red]run|x" in grid.text()
    assert "[/] a*b" in grid.text()
    assert "run\\|x" in grid.markdown()
    out = io.StringIO()
    Console(file=out, width=60).print(grid)
    assert "[bold]title" in out.getvalue()
    assert "\x1b" not in out.getvalue()


def test_an_ascii_terminal_can_print_it() -> None:
    raw = io.BytesIO()
    with io.TextIOWrapper(raw, encoding="ascii", errors="strict") as stream:
        Console(file=stream, width=100).print(per_class_table(metrics(duplicates=9), TRAIN))
        Console(file=stream, width=100).print(comparison_table(compared(3, 1)))
        stream.flush()
        assert b"mean recall" in raw.getvalue()


def test_numbers_as_text() -> None:
    assert [percent(0.7634), percent(None), percent(float("nan")), percent(1.0)] == ["76.3", "-", "-", "100.0"]
    assert points(Difference(0.0213, (-0.004, 0.0461), 0.1)) == "+2.1 [-0.4, +4.6]"
    assert points(Difference(-0.0001, (-0.1, 0.0), 0.1)) == "+0.0 [-10.0, +0.0]"
    assert [p_text(0.0002), p_text(0.0312), p_text(1.0)] == ["<0.001", "0.031", "1.000"]


def test_runs_that_do_not_belong_together() -> None:
    with pytest.raises(ConfigError, match="no run"):
        runs_table({})
    fewer = summarise(TRUE[1:], TRUE[1:], NAMES, [False] * (TRUE.size - 1), dataset="rafdb", split="test", resamples=10)
    with pytest.raises(DataError, match="different images"):
        runs_table({"a": metrics(), "b": fewer})
    other = summarise([0], [0], ("fear",), [False], dataset="rafdb", split="test", resamples=10)
    with pytest.raises(LabelError, match="b do not match"):
        runs_table({"a": metrics(), "b": other})
