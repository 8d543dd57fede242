"""The table of a study, on the terminal and as table.md and table.csv; with a `layout` that of the paper, with its pictures."""

from __future__ import annotations

import functools
import shlex
from pathlib import Path
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from evenface.report.paper.scored import Drawing, Rendered
    from evenface.study import Recipe, StudyResult


def show(console: Console, recipe: Recipe, result: StudyResult, output: Path | None, command: Sequence[str]) -> None:
    """Prints the tables, and writes them where there is an output."""
    from evenface.files import write_text

    found = _rendered(recipe, result)
    for grid in found.grids:
        console.print(grid)
    for note in result.notes:
        _say(console, note)
    if output is None:
        return
    under = "" if recipe.scoring.prior == "model" else f"-{recipe.scoring.prior}"  # beside the tables of other priors
    faces = " or ".join(map(str, dict.fromkeys(sum(table.comparison.n) for table in result.tables)))
    scope = f"Split: {recipe.scoring}, n = {faces}. Command:"
    head = "\n\n".join([f"# {recipe.name}", *([recipe.about] if recipe.about else []), scope, f"    {shlex.join(command)}", ""])
    notes = "".join(f"\n{note}\n" for note in result.notes)
    pictures = "".join(f"\n![{drawing.name}]({drawing.name}{under}.png)\n" for drawing in found.drawings)
    page, table = output / f"table{under}.md", output / f"table{under}.csv"
    write_text(page, head + "\n".join(grid.markdown() for grid in found.page) + pictures + notes)
    write_text(table, found.csv)
    written = [page, table]
    for drawing in found.drawings:
        written += _draw(drawing, output / f"{drawing.name}{under}")
    _say(console, "written   " + "\n          ".join(map(str, written)))


def _rendered(recipe: Recipe, result: StudyResult) -> Rendered:
    """The study in the recipe's layout; without one a table per combination of the axes."""
    from evenface.report.paper import LAYOUTS
    from evenface.report.paper.scored import Rendered
    from evenface.report.study import study_grid, study_grids, summary_grid, tables_csv
    from evenface.study.result import at, scored

    if recipe.layout is not None:
        return LAYOUTS[recipe.layout].render(scored(recipe, result))
    tables = [(table.comparison, table.minutes, table.train_counts, at(table.labels)) for table in result.tables]
    summary = (summary_grid([(table.labels, table.comparison) for table in result.tables]),) if recipe.crossed else ()
    grids = (*(grid for table in tables for grid in study_grids(*table)), *summary)
    csv = tables_csv([(table.labels, table.comparison, table.minutes) for table in result.tables])
    return Rendered(grids, (*summary, *(study_grid(*table) for table in tables)), csv)


def _draw(drawing: Drawing, place: Path) -> list[Path]:
    """The picture as PNG and SVG, beside one another."""
    from evenface.files import write_aside

    paths = [place.with_name(f"{place.name}.{kind}") for kind in ("png", "svg")]
    for path in paths:
        write_aside(path, functools.partial(drawing.figure.savefig, format=path.suffix[1:], dpi=150, facecolor="white"))
    return paths


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, soft_wrap=True, markup=False)
