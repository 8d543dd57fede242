"""The paper's tables as printed, each cell marked with what whole images make of it; `evenface reported`.

    print(summary_table().text(110))
    print(printed_table(get_table("table7")).text(110))
    print(counts_table(get_table("table7")).text(110))

docs/reported.md is made of these three, and a test holds it to them.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from evenface.report.grid import Grid
from evenface.report.paper.arithmetic import RowCheck, TotalCheck, blind, check_row
from evenface.report.paper.reported import ReportedTable, reported


MARK = "*"


def checks(table: ReportedTable) -> tuple[RowCheck, ...]:
    """Every row of a table, checked."""
    return tuple(check_row(row, table.test_set.n) for row in table.rows)


def summary_table() -> Grid:
    """How many cells and rows of each table can come from its test set."""
    rows = []
    for table in reported().values():
        found = checks(table)
        cells = len(found) * len(table.classes)
        chance = len(found) * sum(map(blind, table.test_set.n.values()))
        rows.append(
            (
                table.heading,
                table.test_set.title,
                str(len(found)),
                f"{cells - sum(len(row.no_count) for row in found)} of {cells}",
                f"{chance:.0f}",
                str(sum(row.mean.follows for row in found)),
                str(sum(row.overall.follows for row in found)),
                str(sum(row.adds_up for row in found)),
            )
        )
    head = ("table", "test set", "rows", "recalls that are counts", "by chance", "Mean follows", "Overall follows", "all three")
    note = "By chance: as many of the recalls would be counts if their digits were made up."
    return Grid("What adds up", head, tuple(rows), notes=(note,))


def printed_table(table: ReportedTable) -> Grid:
    """The table as printed; a star where a recall is no count, and in brackets what the row gives where Mean or Overall does not follow."""
    found = checks(table)
    with_backbone = len({row.backbone for row in table.rows}) > 1
    rows = []
    for check in found:
        cells = [f"{MARK if cell.right is None else ''}{cell.printed}" for cell in check.cells.values()]
        rows.append((check.row.name, *cells, _total(check.overall), _total(check.mean)))
    sizes = ("n", *(str(table.test_set.n[name]) for name in table.classes), str(sum(table.test_set.n.values())), "")
    on = table.test_set.title if with_backbone else f"{table.test_set.title}, {table.rows[0].backbone}"
    return Grid(f"{table.heading}: {table.title} ({on})", _head(table), tuple(rows), (sizes,), _notes(table, found))


def counts_table(table: ReportedTable) -> Grid:
    """The images of each class that were right, as the digits imply; a dash where there is no such number."""
    total = sum(table.test_set.n.values())
    rows = []
    for check in checks(table):
        right = [cell.right for cell in check.cells.values()]
        known = [k for k in right if k is not None]
        whole = (str(sum(known)), f"{100 * sum(known) / total:.2f}") if len(known) == len(right) else ("-", "-")
        rows.append((check.row.name, *("-" if k is None else str(k) for k in right), *whole))
    sizes = ("n", *(str(table.test_set.n[name]) for name in table.classes), str(total), "")
    return Grid(f"{table.heading}: images that were right", ("", *table.classes, "all", "percent"), tuple(rows), (sizes,))


def reported_csv(tables: Sequence[ReportedTable]) -> str:
    """A line per cell: what is printed, and what it can be."""
    lines: list[dict[str, Any]] = []
    for table in tables:
        for check in checks(table):
            place = {"table": table.name, "row": check.row.name, "run": check.row.run, "backbone": check.row.backbone}
            for name, cell in check.cells.items():
                lines.append({**place, "column": name, "printed": cell.printed, "n": cell.n, "right": cell.right, "cut": int(cell.cut)})
            for column, total in (("overall", check.overall), ("mean", check.mean)):
                lines.append({**place, "column": column, "printed": total.printed, "implied": total.implied, "follows": int(total.follows)})
    text = io.StringIO()
    names = ["table", "row", "run", "backbone", "column", "printed", "n", "right", "cut", "implied", "follows"]
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def _head(table: ReportedTable) -> tuple[str, ...]:
    return ("", *table.classes, "Overall", "Mean")


def _total(total: TotalCheck) -> str:
    return str(total.printed) if total.follows else f"{total.printed} ({total.implied})"


def _notes(table: ReportedTable, found: Sequence[RowCheck]) -> tuple[str, ...]:
    notes = [f"n: {table.test_set.source}."]
    if any(check.no_count for check in found):
        notes.append(f"{MARK} no whole number of the class's n images has these digits, rounded, rounded up or cut off.")
    if not all(check.mean.follows and check.overall.follows for check in found):
        notes.append("In brackets: what the recalls of the row give, where the printed one cannot come from them.")
    for check in found:
        if check.solved is not None:
            name, k = check.solved
            n, cell = check.cells[name].n, check.cells[name].printed
            notes.append(f"{check.row.name}: with {k} of {n} ({100 * k / n:.2f}) for the {cell} of {name}, Mean and Overall both follow.")
    for runs in sorted({check.runs for check in found if check.runs is not None}):
        names = [check.row.name for check in found if check.runs == runs]
        notes.append(f"As means of {runs} runs or epochs, all recalls of these rows could be counts: {', '.join(names)}.")
    return tuple(notes)
