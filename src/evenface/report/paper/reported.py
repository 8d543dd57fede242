"""The numbers that the paper prints in its Tables 1 to 7, as printed; `evenface reported table4` shows them.

    table = reported()["table4"]
    table.row("rbcf-50").cells["fear"]         # Decimal("50.00"), percent

The paper is Zhu, Chen, Yang, Dai, Zhao, "A Facial Expression Recognition Network Using Rebalance-Based Regulation of Attention Consistency
and Focus" (2025). Its numbers are context: what they can and cannot be is in `arithmetic.py`, and no test expects them of a training.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.resources
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import yaml

from evenface.errors import ConfigError, unknown_name


@dataclasses.dataclass(frozen=True)
class TestSet:
    """The faces that a table was scored on.

    Attributes:
        dataset: our name of the data set.
        title: its own.
        n: images per class.
        source: where those counts are from.
    """

    __test__ = False  # pytest takes the name for a test

    dataset: str
    title: str
    n: Mapping[str, int]
    source: str


@dataclasses.dataclass(frozen=True)
class ReportedRow:
    """A row of a table; all numbers are percent, with the printed decimals.

    Attributes:
        name: as printed.
        run: the run of our recipe that stands for it.
        backbone: as printed.
        model: what evenface calls that backbone.
        cells: recall per class, in the printed order.
        overall, mean: the last two columns.
    """

    name: str
    run: str
    backbone: str
    model: str
    cells: Mapping[str, Decimal]
    overall: Decimal
    mean: Decimal


@dataclasses.dataclass(frozen=True)
class ReportedTable:
    """A table as printed.

    Attributes:
        name: table1 to table7.
        title: the printed caption.
        test_set: what it was scored on.
        rows: in the printed order.
    """

    name: str
    title: str
    test_set: TestSet
    rows: tuple[ReportedRow, ...]

    @property
    def heading(self) -> str:
        return f"Table {self.name.removeprefix('table')}"

    @property
    def classes(self) -> tuple[str, ...]:
        """In the printed order of the columns."""
        return tuple(self.test_set.n)

    def row(self, run: str) -> ReportedRow:
        """The row that a run of our recipe stands for.

        Raises:
            ConfigError: no row for such a run.
        """
        for row in self.rows:
            if row.run == run:
                return row
        raise ConfigError(unknown_name("run", run, [row.run for row in self.rows]))


@functools.cache
def reported() -> Mapping[str, ReportedTable]:
    """All tables by name, table1 to table7."""
    text = importlib.resources.files("evenface.report.paper").joinpath("reported.yaml").read_text(encoding="utf-8")
    # Cells stay texts: a binary fraction would not be what was printed.
    values = yaml.safe_load(text)
    classes = values["classes"]
    sets = {
        name: TestSet(name, found["title"], dict(zip(classes, found["n"], strict=True)), found["source"])
        for name, found in values["test_sets"].items()
    }
    return {name: _table(name, found, classes, sets, values["models"]) for name, found in values["tables"].items()}


def get_table(name: str) -> ReportedTable:
    """A table by its name.

    Raises:
        ConfigError: there is none of that name; the message has the nearest spelling.
    """
    found = reported()
    if name not in found:
        raise ConfigError(unknown_name("table", name, found))
    return found[name]


def _table(
    name: str, found: Mapping[str, Any], classes: list[str], sets: Mapping[str, TestSet], models: Mapping[str, str]
) -> ReportedTable:
    rows = []
    for row in found["rows"]:
        *cells, overall, mean = map(Decimal, row["cells"].split())
        backbone = row.get("backbone") or found["backbone"]
        recalls = dict(zip(classes, cells, strict=True))
        rows.append(ReportedRow(str(row["name"]), str(row["run"]), backbone, models[backbone], recalls, overall, mean))
    return ReportedTable(name, found["title"], sets[found["dataset"]], tuple(rows))
