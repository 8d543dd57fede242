"""Train the runs of a recipe, score them on one split, and put them into one table.

  evenface study recipes/rivals-tiny.yaml --dry-run
  evenface study recipes/rivals-tiny.yaml --jobs 2
  evenface study recipes/rivals_ferplus_cpu.yaml --data-dir DIR --only ce,rbcf --seeds 0,1,2
  evenface study recipes/table1.yaml --data-dir DIR --init resnet18_msceleb.pth

A finished run is never trained again and an interrupted one is gone on with: the same command goes on with a study that was stopped.
The table is printed and written to table.md and table.csv in the study's folder; with --only it is of those runs, and printed only.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from evenface.report.grid import Grid
    from evenface.report.paper.scored import Drawing, Rendered
    from evenface.study import Recipe, Run, StudyResult


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", metavar="RECIPE", type=Path, help="YAML file, such as recipes/rivals-tiny.yaml")
    parser.add_argument("--data-dir", help="where the data set lies (default: the recipe's)")
    parser.add_argument("--init", help="a start in place of the file that the recipe's runs start from: a file, a run, or pretrained")
    parser.add_argument("--seeds", metavar="N,N", help="in place of the recipe's")
    parser.add_argument("--only", metavar="RUN,RUN", help="train these runs, and those that they start from")
    parser.add_argument("--dry-run", action="store_true", help="list the runs and how far they are, and stop")
    parser.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="trainings side by side, each on its share of the cores (default: 1)"
    )
    parser.add_argument("-o", "--output", type=Path, help="folder of the run folders and tables (default: the recipe's)")


def run(args: argparse.Namespace) -> int:
    from evenface.cli.output import console
    from evenface.errors import ConfigError, TrainingError
    from evenface.study import Task, collect, plan, read_recipe, run_locally, state_of
    from evenface.training.data import load_manifest

    if args.jobs < 1:
        raise ConfigError("--jobs must be at least 1.")
    recipe = read_recipe(args.recipe)
    output = recipe.output if args.output is None else args.output
    seeds = None if args.seeds is None else _numbers(args.seeds)
    whole = plan(recipe, data_dir=args.data_dir, init=args.init, seeds=seeds, output=output)
    only = None if args.only is None else [name.strip() for name in args.only.split(",")]
    runs = plan(recipe, data_dir=args.data_dir, init=args.init, seeds=seeds, output=output, only=only)
    out = console()
    if args.dry_run:
        out.print(_listed(recipe, whole, runs, output))
        return 0
    _check_starts(runs)
    command = ["evenface", *sys.argv[1:]]
    failed = {}
    if not all(state_of(each, recipe.split, recipe.tta).done for each in runs):
        for each in {(run.config.dataset, run.config.data_dir): run for run in runs}.values():
            load_manifest(each.config).split(recipe.split)  # what is wrong with the data is told at once, and not by each run
        task = Task(recipe.split, recipe.tta, command)
        try:
            failed = run_locally(runs, task, jobs=args.jobs, say=lambda text: _say(out, text))
        except TrainingError as error:
            raise TrainingError(f"{error} Go on with: {shlex.join(command)}") from error
    if len(failed) < len(runs):
        # A part of the runs is shown and not written: table.md is that of the whole recipe.
        _show(out, recipe, collect(recipe, whole if only is None else runs), None if only is not None else output, command)
    for name, reason in failed.items():
        print(f"evenface study: {name} failed: {reason}", file=sys.stderr)
    return 1 if failed else 0


def _check_starts(runs: Sequence[Run]) -> None:
    """A file to start from that is not there is told once, and not by each run."""
    from evenface.errors import ModelError
    from evenface.study.plan import starts_from_file

    for run in runs:
        if run.after is None and starts_from_file(run.config) and not Path(run.config.init).expanduser().exists():
            raise ModelError(
                f"{run.name} starts from {run.config.init}, which is not here; give your file with --init FILE, "
                "or another start with --init pretrained (ImageNet weights)."
            )


def _numbers(text: str) -> list[int]:
    from evenface.errors import ConfigError

    try:
        return [int(word) for word in text.split(",")]
    except ValueError:
        raise ConfigError(f"--seeds takes whole numbers with commas between them, such as 0,1,2; not '{text}'.") from None


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, soft_wrap=True, markup=False)


def _listed(recipe: Recipe, whole: Sequence[Run], runs: Sequence[Run], output: Path) -> Grid:
    """The runs and how far they are; and the folders beside them that belong to other settings or seeds."""
    from evenface.report.grid import Grid
    from evenface.study import state_of

    states = [state_of(run, recipe.split, recipe.tta) for run in runs]
    rows = [(run.name, str(run.seed), run.config.method, str(state), run.folder.name) for run, state in zip(runs, states, strict=True)]
    notes = [f"{sum(state.done for state in states)} of {len(runs)} are done. Folders are in {output}."]
    others = sorted({file.parent.name for file in output.glob("*/config.yaml")} - {run.folder.name for run in whole})
    if others:
        notes.append(f"Of other settings or seeds: {', '.join(others)}.")
    return Grid(recipe.name, ("run", "seed", "method", "state", "folder"), tuple(rows), notes=tuple(notes))


def _show(console: Console, recipe: Recipe, result: StudyResult, output: Path | None, command: Sequence[str]) -> None:
    """Prints the tables, and writes them where there is an output."""
    from evenface.files import write_text

    found = _rendered(recipe, result)
    for grid in found.grids:
        console.print(grid)
    for note in result.notes:
        _say(console, note)
    if output is None:
        return
    tta = "" if recipe.tta == "none" else f", --tta {recipe.tta}"
    faces = " or ".join(map(str, dict.fromkeys(sum(table.comparison.n) for table in result.tables)))
    scope = f"Split: {recipe.split}{tta}, n = {faces}. Command:"
    head = "\n\n".join([f"# {recipe.name}", *([recipe.about] if recipe.about else []), scope, f"    {shlex.join(command)}", ""])
    notes = "".join(f"\n{note}\n" for note in result.notes)
    pictures = "".join(f"\n![{drawing.name}]({drawing.name}.png)\n" for drawing in found.drawings)
    write_text(output / "table.md", head + "\n".join(grid.markdown() for grid in found.page) + pictures + notes)
    write_text(output / "table.csv", found.csv)
    written = [output / "table.md", output / "table.csv"]
    for drawing in found.drawings:
        written += _write_figure(drawing, output)
    _say(console, "written   " + "\n          ".join(map(str, written)))


def _rendered(recipe: Recipe, result: StudyResult) -> Rendered:
    """The study in the recipe's layout; without one a table per combination of the axes."""
    from evenface.report.paper import LAYOUTS
    from evenface.report.paper.scored import Rendered
    from evenface.report.study import study_grid, study_grids, summary_grid, tables_csv
    from evenface.study.layout import scored
    from evenface.study.result import at

    if recipe.layout is not None:
        return LAYOUTS[recipe.layout].render(scored(recipe, result))
    tables = [(table.comparison, table.minutes, table.train_counts, at(table.labels)) for table in result.tables]
    summary = (summary_grid([(table.labels, table.comparison) for table in result.tables]),) if recipe.crossed else ()
    grids = (*(grid for table in tables for grid in study_grids(*table)), *summary)
    csv = tables_csv([(table.labels, table.comparison, table.minutes) for table in result.tables])
    return Rendered(grids, (*summary, *(study_grid(*table) for table in tables)), csv)


def _write_figure(drawing: Drawing, output: Path) -> list[Path]:
    """The picture as PNG and SVG."""
    import functools

    from evenface.files import write_aside

    paths = [output / f"{drawing.name}.png", output / f"{drawing.name}.svg"]
    for path in paths:
        write_aside(path, functools.partial(drawing.figure.savefig, format=path.suffix[1:], dpi=150, facecolor="white"))
    return paths
