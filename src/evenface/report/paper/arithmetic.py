"""Can a printed table come from the test set that it names? Whole images, exact fractions.

    check = check_row(reported()["table7"].row("rbcf"), reported()["table7"].test_set.n)
    check.cells["disgust"].right          # None: no number of 18 images is 43.26 %

A recall is k / n: k images right of the n of its class. A cell passes if some k gives its printed digits, rounded, rounded up or cut off;
all are allowed, so a cell passes too often rather than too seldom (`blind` says how often by chance). The mean and the overall are then
computed from these k, and where a cell has none, from everything that its digits could stand for.

What fails is at odds with *one* pass over *that* test set. It says nothing of why: a slip of the pen, another test set, and a mean over
several runs or epochs fail alike (`runs_needed` looks at the last).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

from evenface.report.paper.reported import ReportedRow


MOST_RUNS = 20  # beyond, nearly every row could be a mean of so many runs


@dataclasses.dataclass(frozen=True)
class CellCheck:
    """One recall.

    Attributes:
        printed: percent.
        n: images of the class.
        right: the k that gives it, or None.
        cut: the digits are k / n only if they were cut off or rounded up, not rounded.
    """

    printed: Decimal
    n: int
    right: int | None
    cut: bool


@dataclasses.dataclass(frozen=True)
class TotalCheck:
    """A mean or an overall.

    Attributes:
        printed: percent.
        implied: what the row's cells give, rounded to the printed digits.
        follows: the printed one can come from the row.
    """

    printed: Decimal
    implied: Decimal
    follows: bool


@dataclasses.dataclass(frozen=True)
class RowCheck:
    """A row.

    Attributes:
        row: as printed.
        cells: by class.
        mean, overall: over the classes, and over all images.
        solved: where one cell alone has no k: the class and the only k with which both mean and overall follow.
        runs: where cells have no k: the smallest number of runs whose mean recalls all cells could be, up to MOST_RUNS; else None.
    """

    row: ReportedRow
    cells: Mapping[str, CellCheck]
    mean: TotalCheck
    overall: TotalCheck
    solved: tuple[str, int] | None
    runs: int | None

    @property
    def no_count(self) -> tuple[str, ...]:
        """Classes whose cell is no k / n."""
        return tuple(name for name, cell in self.cells.items() if cell.right is None)

    @property
    def adds_up(self) -> bool:
        return not self.no_count and self.mean.follows and self.overall.follows


def check_row(row: ReportedRow, n: Mapping[str, int]) -> RowCheck:
    """Checks a row against the images per class of its test set."""
    cells = {name: check_cell(value, n[name]) for name, value in row.cells.items()}
    ends = [_ends(cell) for cell in cells.values()]
    sizes = [cell.n for cell in cells.values()]
    mean = _total(row.mean, [(low, high, _middle(cell)) for (low, high), cell in zip(ends, cells.values(), strict=True)], [1] * len(sizes))
    overall = _total(row.overall, [(low, high, _middle(cell)) for (low, high), cell in zip(ends, cells.values(), strict=True)], sizes)
    missing = [name for name, cell in cells.items() if cell.right is None]
    solved = _solve(row, cells, missing[0]) if len(missing) == 1 else None
    return RowCheck(row, cells, mean, overall, solved, runs_needed(row, n) if missing else None)


def check_cell(printed: Decimal, n: int) -> CellCheck:
    """Looks for the number of right images; the nearest, where n is so large that several fit."""
    near = Fraction(printed) * n / 100
    fitting = [k for k in (math.floor(near), math.ceil(near)) if 0 <= k <= n and _same_digits(Fraction(100 * k, n), printed)]
    if not fitting:
        return CellCheck(printed, n, None, False)
    right = min(fitting, key=lambda k: abs(k - near))
    return CellCheck(printed, n, right, abs(Fraction(100 * right, n) - Fraction(printed)) > _unit(printed) / 2)


def blind(n: int, decimals: int = 2) -> float:
    """The share of all values from 0 to 100 with so many decimals that pass for a class of n images: how often a made-up cell would."""
    scale = 100 * int(10**decimals)
    passing = {digits for k in range(n + 1) for digits in (scale * k // n, -(-scale * k // n))}
    return len(passing) / (scale + 1)


def runs_needed(row: ReportedRow, n: Mapping[str, int]) -> int | None:
    """The smallest number of runs (or epochs) whose mean recalls the cells of a row could be, up to MOST_RUNS."""
    for runs in range(1, MOST_RUNS + 1):
        if all(check_cell(value, runs * n[name]).right is not None for name, value in row.cells.items()):
            return runs
    return None


def _unit(printed: Decimal) -> Fraction:
    """One of the last printed digit."""
    return Fraction(Decimal(1).scaleb(int(printed.as_tuple().exponent)))


def _same_digits(value: Fraction, printed: Decimal) -> bool:
    """Whether the value has these digits after rounding, up or down."""
    return abs(value - Fraction(printed)) < _unit(printed)


def _middle(cell: CellCheck) -> Fraction:
    return Fraction(cell.printed) if cell.right is None else Fraction(100 * cell.right, cell.n)


def _ends(cell: CellCheck) -> tuple[Fraction, Fraction]:
    """The least and the largest recall that the cell can stand for."""
    slack = _unit(cell.printed) if cell.right is None else Fraction(0)
    return max(Fraction(0), _middle(cell) - slack), min(Fraction(100), _middle(cell) + slack)


def _total(printed: Decimal, ends: list[tuple[Fraction, Fraction, Fraction]], weights: list[int]) -> TotalCheck:
    """The weighted mean of the cells beside the printed one."""
    low, high, middle = (sum((w * each[i] for w, each in zip(weights, ends, strict=True)), Fraction(0)) / sum(weights) for i in range(3))
    unit = _unit(printed)
    implied = (Decimal(middle.numerator) / Decimal(middle.denominator)).quantize(printed, rounding=ROUND_HALF_UP)
    return TotalCheck(printed, implied, low - unit < Fraction(printed) < high + unit)


def _solve(row: ReportedRow, cells: Mapping[str, CellCheck], name: str) -> tuple[str, int] | None:
    """The only number of right images of that class with which both mean and overall follow."""
    found = []
    for k in range(cells[name].n + 1):
        right = {other: k if other == name else cell.right or 0 for other, cell in cells.items()}
        mean = sum((Fraction(100 * right[other], cell.n) for other, cell in cells.items()), Fraction(0)) / len(cells)
        overall = Fraction(100 * sum(right.values()), sum(cell.n for cell in cells.values()))
        if _same_digits(mean, row.mean) and _same_digits(overall, row.overall):
            found.append(k)
    return (name, found[0]) if len(found) == 1 else None
