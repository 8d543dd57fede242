"""The paper's tables as printed, and what whole images make of them; answers are worked by hand or by a loop over all counts."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import pytest

from evenface.errors import ConfigError
from evenface.labels import BASIC
from evenface.losses import class_weights
from evenface.report.paper.arithmetic import RowCheck, blind, check_cell, check_row, runs_needed
from evenface.report.paper.audit import counts_table, printed_table, reported_csv, summary_table
from evenface.report.paper.reported import get_table, reported


ROOT = Path(__file__).resolve().parents[2]
N = {"happiness": 1185, "neutral": 680, "sadness": 478, "surprise": 329, "disgust": 160, "anger": 162, "fear": 74}  # RAF-DB, test


def check(table: str, run: str) -> RowCheck:
    found = get_table(table)
    return check_row(found.row(run), found.test_set.n)


# -------------------- what is printed


def test_the_tables_are_there_whole() -> None:
    rows = {name: len(table.rows) for name, table in reported().items()}
    assert rows == {"table1": 9, "table2": 8, "table3": 4, "table4": 15, "table5": 5, "table6": 6, "table7": 4}
    for table in reported().values():
        assert table.classes == BASIC  # the order of the paper's columns
        assert len({row.run for row in table.rows}) == len(table.rows)
        for row in table.rows:
            assert tuple(row.cells) == BASIC
            assert all(0 <= value <= 100 and value.as_tuple().exponent == -2 for value in [*row.cells.values(), row.overall, row.mean])
    assert {table.test_set.dataset for table in reported().values()} == {"rafdb", "affectnet", "ferplus"}


def test_cells_that_were_read_off_the_paper_by_hand() -> None:
    ours = get_table("table1").row("rbcf")
    assert (str(ours.cells["disgust"]), str(ours.overall), str(ours.mean)) == ("74.38", "90.36", "84.45")
    assert (ours.backbone, ours.model) == ("ResNet-18", "resnet18")
    assert str(get_table("table4").row("mek-100").cells["fear"]) == "34.62"
    assert str(get_table("table7").row("rbcf").cells["disgust"]) == "43.26"
    assert str(get_table("table6").row("scn").cells["happiness"]) == "95.20"
    assert get_table("table2").row("rbcf-swin_t").backbone == "Swin-T"


def test_rows_that_the_paper_prints_twice_agree() -> None:
    def cells(table: str, run: str) -> list[Decimal]:
        row = get_table(table).row(run)
        return [*row.cells.values(), row.overall, row.mean]

    assert cells("table1", "ce") == cells("table2", "ce-resnet18")
    assert cells("table1", "rbcf") == cells("table2", "rbcf-resnet18")
    assert cells("table2", "rbcf-swin_t") == cells("table3", "rbcf") == cells("table5", "mirror")


def test_the_test_sets_have_the_sizes_that_the_paper_states() -> None:
    sizes = {table.test_set.dataset: table.test_set.n for table in reported().values()}
    assert sizes["rafdb"] == N
    assert sum(N.values()) == 3068
    assert sum(sizes["ferplus"].values()) == 3137
    assert set(sizes["affectnet"].values()) == {500}


def test_unknown_names_have_the_nearest_spelling() -> None:
    with pytest.raises(ConfigError, match="Unknown table 'tabel4'; did you mean 'table4'"):
        get_table("tabel4")
    with pytest.raises(ConfigError, match="Unknown run 'rbfc'; did you mean 'rbcf'"):
        get_table("table1").row("rbfc")


# -------------------- one cell


@pytest.mark.parametrize(
    ("printed", "n", "right", "cut"),
    [
        ("67.57", 74, 50, False),  # 50/74 = 67.5676
        ("67.56", 74, 50, True),  # cut off
        ("67.58", 74, None, False),
        ("45.85", 74, None, False),  # 33/74 = 44.59, 34/74 = 45.95
        ("45.95", 74, 34, False),
        ("65.62", 160, 105, False),  # 65.625: half way, either is a rounding
        ("65.63", 160, 105, False),
        ("43.26", 18, None, False),  # 7/18 = 38.89, 8/18 = 44.44
        ("38.89", 18, 7, False),
        ("38.88", 18, 7, True),
        ("0.00", 74, 0, False),
        ("100.00", 74, 74, False),
        ("2.70", 74, 2, False),
        ("50.94", 162, None, False),  # 82/162 = 50.62, 83/162 = 51.23
        ("66.89", 160, None, False),  # 107/160 = 66.875
    ],
)
def test_a_cell(printed: str, n: int, right: int | None, cut: bool) -> None:
    found = check_cell(Decimal(printed), n)
    assert (found.right, found.cut) == (right, cut)


@pytest.mark.parametrize("n", [3, 18, 74, 160])
def test_exactly_the_counts_pass_and_as_often_as_blind_says(n: int) -> None:
    """Against all digits of all counts, written down in a loop of whole numbers."""
    passing = set()
    for k in range(n + 1):
        passing |= {10_000 * k // n, (10_000 * k + n - 1) // n}  # hundredths of a percent, down and up
    found = {value for value in range(10_001) if check_cell(Decimal(value).scaleb(-2), n).right is not None}
    assert found == passing
    assert blind(n) == pytest.approx(len(passing) / 10_001)


# -------------------- one row


def test_the_first_rows_follow_from_their_counts() -> None:
    found = check("table1", "ce")
    right = [1131, 602, 409, 275, 94, 127, 44]  # 95.44 % of 1185 is 1130.96, and so on
    assert [cell.right for cell in found.cells.values()] == right
    assert found.adds_up
    assert sum(right) / 3068 == pytest.approx(0.8742, abs=5e-5)
    assert str(found.overall.implied) == "87.42"


KNOWN: list[tuple[str, str, set[str], bool, bool, str | None, str | None]] = [
    # table, run, cells that are no counts, Mean follows, Overall follows, implied Mean, implied Overall
    ("table1", "rbcf", set(), True, False, "84.45", "90.25"),
    ("table1", "pt", {"happiness", "neutral", "sadness", "surprise", "anger", "fear"}, True, True, None, None),
    ("table2", "rbcf-resnet50", set(), True, False, None, "91.33"),
    ("table3", "ce", {"anger", "fear"}, False, False, "82.66", None),
    ("table3", "rbc", set(), True, True, "87.71", "92.31"),
    ("table3", "rbf", set(), True, False, None, "91.17"),
    ("table3", "rbcf", set(), True, False, "88.06", "92.99"),
    ("table4", "mek-50", {"fear"}, False, False, "75.74", None),
    ("table4", "mek-100", {"fear"}, False, False, "71.64", None),
    ("table4", "mek-150", {"fear"}, False, False, "68.65", None),
    ("table4", "rbcf-150", {"neutral", "disgust", "fear"}, True, False, None, None),
    ("table5", "intensity", {"happiness", "sadness", "surprise", "disgust", "anger", "fear"}, False, False, "86.11", None),
    ("table5", "vertical", set(), True, True, None, None),
    ("table7", "rbcf", set(BASIC), True, False, None, "89.11"),
    ("table7", "mek", set(), True, True, "76.35", "88.68"),
]


@pytest.mark.parametrize(("table", "run", "no_count", "mean", "overall", "implied_mean", "implied"), KNOWN)
def test_a_row(table: str, run: str, no_count: set[str], mean: bool, overall: bool, implied_mean: str | None, implied: str | None) -> None:
    found = check(table, run)
    assert set(found.no_count) == no_count
    assert (found.mean.follows, found.overall.follows) == (mean, overall)
    assert implied_mean in (None, str(found.mean.implied))
    assert implied in (None, str(found.overall.implied))


def test_where_one_cell_alone_is_wrong_the_totals_may_tell_which_number_was_meant() -> None:
    assert check("table4", "ce-100").solved == ("anger", 89)  # 54.94, printed 50.94
    assert check("table4", "mek-100").solved == ("fear", 33)  # 44.59, printed 34.62
    assert check("table1", "mek").solved == ("disgust", 107)  # 66.875, printed 66.89
    assert check("table4", "mek-50").solved is None  # no number of fears gives both
    assert check("table7", "rbcf").solved is None  # seven cells


def test_a_solved_row_is_the_only_one_among_all_counts() -> None:
    row = get_table("table4").row("ce-100")
    others = {name: round(float(value) * N[name] / 100) for name, value in row.cells.items() if name != "anger"}
    fitting = []
    for k in range(N["anger"] + 1):
        right = {**others, "anger": k}
        mean = sum(100 * right[name] / N[name] for name in N) / 7
        overall = 100 * sum(right.values()) / 3068
        if abs(mean - 58.12) < 0.01 and abs(overall - 80.96) < 0.01:
            fitting.append(k)
    assert fitting == [89]


def test_means_of_several_runs_are_looked_at_too() -> None:
    table = get_table("table6")
    assert runs_needed(table.row("scn"), table.test_set.n) == 2  # 82.7 is 827 of 1,000
    ferplus = get_table("table7")
    found = runs_needed(ferplus.row("rbcf"), ferplus.test_set.n)

    def could_be(runs: int, n: Mapping[str, int]) -> bool:
        hundredths = {name: int(value * 100) for name, value in ferplus.row("rbcf").cells.items()}
        return all(
            any(hundredths[name] in (10_000 * k // (runs * n[name]), -(-10_000 * k // (runs * n[name]))) for k in range(runs * n[name] + 1))
            for name in n
        )

    smallest = next(runs for runs in range(1, 21) if could_be(runs, ferplus.test_set.n))
    assert found == smallest


# -------------------- shown


def test_the_grids_mark_what_fails() -> None:
    text = printed_table(get_table("table4")).text(110)
    assert "*45.85" in text
    assert "*45.95" not in text
    assert "with 33 of 74 (44.59) for the 34.62 of fear" in text
    counts = counts_table(get_table("table7"))
    assert counts.rows[0][1:] == ("816", "919", "298", "369", "6", "232", "45", "2685", "85.59")
    assert counts.rows[3][1:] == ("-",) * 9
    assert counts.footer[0][1:-1] == ("893", "1090", "384", "396", "18", "273", "83", "3137")
    assert len(summary_table().rows) == 7


def test_the_csv_has_a_line_per_cell() -> None:
    rows = list(csv.DictReader(io.StringIO(reported_csv(list(reported().values())))))
    assert len(rows) == (9 + 8 + 4 + 15 + 5 + 6 + 4) * 9
    (cell,) = [row for row in rows if (row["table"], row["run"], row["column"]) == ("table7", "bbn", "disgust")]
    assert (cell["printed"], cell["n"], cell["right"], cell["cut"]) == ("33.33", "18", "6", "0")
    (total,) = [row for row in rows if (row["table"], row["run"], row["column"]) == ("table1", "rbcf", "overall")]
    assert (total["printed"], total["implied"], total["follows"]) == ("90.36", "90.25", "0")


@pytest.mark.parametrize("name", ["summary", *reported()])
def test_the_document_is_what_the_code_gives(name: str) -> None:
    page = (ROOT / "docs" / "reported.md").read_text(encoding="utf-8")
    grid = summary_table() if name == "summary" else printed_table(get_table(name))
    assert grid.markdown() in page, "print it anew with `evenface reported --format markdown`"


def test_what_the_document_says_of_the_weights() -> None:
    affectnet = [74874, 134415, 25459, 14090, 6378, 3803, 24882]
    weights = class_weights(affectnet)
    assert max(weights) / min(weights) == pytest.approx(1.02, abs=0.005)
    assert "1.02" in (ROOT / "docs" / "reported.md").read_text(encoding="utf-8")
