"""Runs in the layout of the paper's tables and Fig. 9: hand-made answers, so that every cell can be worked out."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from evenface.errors import ConfigError
from evenface.evaluation.compare import RunPredictions, compare_runs
from evenface.labels import BASIC, ORDERS
from evenface.report.grid import Grid
from evenface.report.paper import LAYOUTS
from evenface.report.paper.lambda_mu import CHOICE
from evenface.report.paper.scored import Entry, Part, Rendered, Scored


NAMES = ORDERS["rafdb"]  # not the order of the paper's columns
EACH = 4  # images per class


def answers(method: str, right: Mapping[str, int], seed: int = 0) -> RunPredictions:
    """So many of the four images of each class are right (all, where a class is not named); the others are taken for the next class."""
    true = np.repeat(np.arange(7), EACH)
    predicted = true.copy()
    for i, name in enumerate(NAMES):
        wrong = EACH - right.get(name, EACH)
        predicted[i * EACH : i * EACH + wrong] = (i + 1) % 7
    ids = tuple(f"{i:02d}" for i in range(len(true)))
    return RunPredictions(method, method, seed, ids, true, predicted, NAMES, np.zeros(len(true), dtype=bool))


def part(runs: Sequence[RunPredictions], names: Mapping[str, str] | None = None) -> Part:
    methods = [run.method for run in runs]
    return Part(names or {method: method for method in methods}, compare_runs(runs, resamples=200), dict.fromkeys(methods, 1.5))


def entry(name: str, dataset: str = "rafdb", model: str = "resnet18", **options: float) -> Entry:
    return Entry(name, {}, dataset, model, options)


def row(grid: Grid, name: str) -> dict[str, str]:
    (found,) = [cells for cells in grid.rows if cells[0] == name]
    return dict(zip(grid.head, found, strict=True))


def lines(rendered: Rendered) -> dict[str, dict[str, str]]:
    return {each["run"]: each for each in csv.DictReader(io.StringIO(rendered.csv)) if each["run"]}


def table1(dataset: str = "rafdb", model: str = "resnet18") -> Rendered:
    entries = tuple(entry(name, dataset, model) for name in ("ce", "scn", "rbcf", "focal"))
    runs = [answers("ce", {"fear": 1, "disgust": 2}), answers("rbcf", {"fear": 3}), answers("focal", {"fear": 0})]
    return LAYOUTS["table1"].render(Scored(entries, (part(runs),), "test"))


def test_every_table_of_the_paper_and_fig_9_has_a_layout() -> None:
    assert set(LAYOUTS) == {*(f"table{i}" for i in range(1, 8)), "fig9"}


def test_rows_and_columns_stand_as_in_the_paper() -> None:
    (page,) = table1().page
    assert [head.split(" (")[0] for head in page.head[1:8]] == list(BASIC)
    assert page.head[7] == "fear (n 4)"
    assert page.head[8:10] == ("Overall", "Mean")
    assert [cells[0] for cells in page.rows] == ["Baseline", "CB", "SCN", "BBN", "PT", "RUL", "EAC", "MEK", "Ours", "focal"]
    assert "Not in the paper: focal." in page.notes


def test_ours_stands_above_the_reported() -> None:
    (page,) = table1().page
    ours = row(page, "Ours")
    assert ours["fear (n 4)"].startswith("75.0 [")  # 3 of 4
    assert ours["fear (n 4)"].endswith("]\n(67.57)")
    assert ours["Overall"].startswith("96.4 [")  # 27 of 28
    assert ours["Overall"].endswith("\n(90.36)")
    assert ours["Mean"].startswith("96.4 [")
    assert ours["gain"].startswith("+14.3 [")  # fear from 1 to 3 of 4, disgust from 2 to 4 of 4, over seven classes
    assert "\n(" not in row(page, "focal")["Mean"]


def test_what_is_missing_is_a_dash() -> None:
    (page,) = table1().page
    scn, cb = row(page, "SCN"), row(page, "CB")
    assert (scn["fear (n 4)"], scn["gain"]) == ("-\n(45.95)", "-")  # in the recipe, not trained
    assert (cb["fear (n 4)"], cb["Mean"], cb["seeds"]) == ("-", "-", "-")  # not in the recipe
    assert row(page, "Baseline")["gain"] == ""


def test_numbers_of_the_paper_stand_beside_no_drawn_faces() -> None:
    rendered = table1("synthetic", "test_resnet")
    assert not any("\n(" in cell for cells in rendered.page[0].rows for cell in cells)
    assert any("stand beside no drawn faces" in note for note in rendered.page[0].notes)
    assert {each["mean_recall_reported"] for each in lines(rendered).values()} == {""}


def test_other_faces_or_another_network_are_marked() -> None:
    def whose(rendered: Rendered) -> str:
        return next(note for note in rendered.page[0].notes if note.startswith("In brackets"))

    assert "not to be compared" not in whose(table1())
    assert "other faces, so not to be compared" in whose(table1("ferplus"))
    assert "another network (ResNet-18, here resnet10t), so not to be compared" in whose(table1(model="resnet10t"))
    assert "other faces and another network" in whose(table1("ferplus", "resnet10t"))


def test_a_row_of_table_2_names_the_network_that_ran() -> None:
    entries = (entry("ce-mobilenet", model="test_efficientnet"), entry("ce-resnet18"))
    rendered = LAYOUTS["table2"].render(Scored(entries, (part([answers("ce", {})], {"ce": "ce-resnet18"}),), "test"))
    names = [cells[0] for cells in rendered.page[0].rows]
    assert names[:3] == ["MobileNet (here test_efficientnet)", "MobileNet + proposed", "ResNet-18"]
    assert row(rendered.page[0], "ResNet-18")["Mean"].startswith("100.0")


def test_parts_have_their_own_baselines() -> None:
    parts = (
        part([answers("ce", {"fear": 2}), answers("rbcf", {})], {"ce": "ce-50", "rbcf": "rbcf-50"}),
        part([answers("ce", {"fear": 4}), answers("rbcf", {"fear": 1})], {"ce": "ce-100", "rbcf": "rbcf-100"}),
    )
    entries = tuple(
        Entry(f"{run}-{factor}", {"imbalance": factor}, "rafdb", "resnet18", {}) for factor in ("50", "100") for run in ("ce", "rbcf")
    )
    rendered = LAYOUTS["table4"].render(Scored(entries, parts, "test"))
    found = lines(rendered)
    assert float(found["rbcf-50"]["gain"]) == pytest.approx(2 / 4 / 7)
    assert float(found["rbcf-100"]["gain"]) == pytest.approx(-3 / 4 / 7)
    assert {found[run]["gain"] for run in ("ce-50", "ce-100")} == {""}
    assert found["rbcf-100"]["imbalance"] == "100"
    assert any("ce-50, ce-100, each among its own" in note for note in rendered.page[0].notes)


def test_the_csv_holds_what_the_table_shows() -> None:
    found = lines(table1())
    assert float(found["rbcf"]["recall_fear"]) == 0.75
    assert float(found["rbcf"]["recall_fear_reported"]) == 0.6757
    assert float(found["rbcf"]["overall"]) == pytest.approx(27 / 28)
    assert found["rbcf"]["reported_of"] == "RAF-DB, ResNet-18"
    assert found["scn"]["mean_recall"] == ""
    assert (found["focal"]["row"], found["focal"]["mean_recall_reported"], found["focal"]["minutes"]) == ("", "", "1.5")


def test_the_grids_for_a_terminal_fit_a_hundred_and_ten_columns() -> None:
    for grid in table1().grids:
        assert max(map(len, grid.text(110).splitlines())) <= 110
        assert "…" not in grid.text(110)
        assert "Ours" in grid.text(110)


def test_a_layout_of_other_runs_is_refused() -> None:
    with pytest.raises(ConfigError, match="'table3' has rows for runs named ce, rbc, rbcf, rbf, and none is in the recipe"):
        LAYOUTS["table3"].check((entry("mirror"),))
    with pytest.raises(ConfigError, match="let the `axes` be those two"):
        LAYOUTS["fig9"].check((entry("a", lam=0.1, mu=0.5), entry("b")))  # both at the defaults


# -------------------- Fig. 9


def fig9() -> Rendered:
    entries = tuple(entry(name, lam=lam, mu=mu) for name, lam, mu in (("p", 0.1, 0.5), ("a", 0.1, 1.0), ("b", 0.5, 0.5), ("c", 1.0, 1.0)))
    runs = [answers("p", {"fear": 2}), answers("a", {"fear": 3}), answers("b", {"fear": 0, "anger": 3})]
    return LAYOUTS["fig9"].render(Scored(entries, (part(runs),), "validation"))


def test_the_grid_of_fig_9() -> None:
    mean, overall = fig9().page
    assert mean.head == ("", "mu 0.5", "mu 1")
    assert [cells[0] for cells in mean.rows] == ["lambda 0.1", "lambda 0.5", "lambda 1"]
    first = row(mean, "lambda 0.1")
    assert [first[mu].split("\n")[0] for mu in ("mu 0.5", "mu 1")] == ["92.9", "96.4"]  # 6.5 of 7, 6.75 of 7
    assert row(mean, "lambda 0.5")["mu 1"] == ""  # no point of the grid
    assert row(mean, "lambda 1")["mu 1"] == "-"  # a point without scores
    assert mean.notes[0].startswith("Percent of the 28 validation faces")
    assert mean.notes[1].startswith("Best at lambda 0.1, mu 1: 96.4. Over the paper's 0.1 and 0.5: +3.6 [")
    assert overall.title == "Fig. 9: overall accuracy on validation"


def test_the_csv_of_fig_9_has_the_intervals() -> None:
    found = {(float(each["lambda"]), float(each["mu"])): each for each in csv.DictReader(io.StringIO(fig9().csv))}
    assert set(found) == {(0.1, 0.5), (0.1, 1.0), (0.5, 0.5), (1.0, 1.0)}
    assert float(found[0.5, 0.5]["mean_recall"]) == pytest.approx((5 + 3 / 4) / 7)
    assert float(found[0.5, 0.5]["overall"]) == pytest.approx(23 / 28)
    assert float(found[0.5, 0.5]["mean_recall_low"]) < (5 + 3 / 4) / 7 < float(found[0.5, 0.5]["mean_recall_high"]) + 1e-9
    assert found[1.0, 1.0]["mean_recall"] == ""
    assert found[0.1, 0.5]["gain"] == ""
    assert float(found[0.1, 1.0]["gain"]) == pytest.approx(1 / 4 / 7)


def test_the_picture_of_fig_9_says_what_its_numbers_say() -> None:
    (drawing,) = fig9().drawings
    mean, overall, *_ = drawing.figure.axes
    places = {
        (round(text.get_position()[0]), round(text.get_position()[1])): text for text in mean.texts if "\u2013" not in text.get_text()
    }
    assert {place: text.get_text() for place, text in places.items()} == {(0, 0): "92.9", (1, 0): "96.4", (0, 1): "82.1"}
    assert [text.get_text() for text in places.values() if text.get_fontweight() == "bold"] == ["96.4"]
    assert [label.get_text() for label in mean.get_yticklabels()] == ["0.1", "0.5", "1"]
    frames = [patch for patch in mean.patches if patch.get_linewidth() > 2]
    assert [(round(frame.get_x() + 0.47), round(frame.get_y() + 0.47)) for frame in frames] == [(0, 0)]
    assert CHOICE == (0.1, 0.5)
    assert overall.get_title() == "Overall accuracy, percent"
    text = io.BytesIO()
    drawing.figure.savefig(text, format="svg")
    assert text.getvalue().count(b"<svg") == 1


def test_without_scores_there_is_no_picture() -> None:
    rendered = LAYOUTS["fig9"].render(Scored((entry("p", lam=0.1, mu=0.5), entry("a", lam=1.0, mu=0.5)), (), "validation"))
    assert rendered.drawings == ()
