"""Train the runs of a recipe, score them on one split, and put them into one table.

  evenface study recipes/rivals-tiny.yaml --dry-run
  evenface study recipes/rivals-tiny.yaml --jobs 2
  evenface study recipes/rivals_ferplus_cpu.yaml --data-dir DIR --only ce,rbcf --seeds 0,1,2
  evenface study recipes/table1.yaml --data-dir DIR --init resnet18_msceleb.pth
  evenface study recipes/rivals_ferplus_cpu.yaml --data-dir DIR --engine ray --address auto --cpus-per-run 4
  evenface study recipes/rivals_ferplus_cpu.yaml --data-dir DIR --keep rivals.parquet
  evenface study recipes/rivals_ferplus_cpu.yaml --data-dir DIR --prior balanced

A finished run is never trained again and an interrupted one is gone on with: the same command goes on with a study that was stopped.
The table is printed and written to table.md and table.csv in the study's folder; with --only it is of those runs, and printed only.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from evenface.cli.flags import PRIORS


if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from evenface.study import Recipe, Run
    from evenface.study.kept import Restored


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", metavar="RECIPE", type=Path, help="YAML file, such as recipes/rivals-tiny.yaml")
    parser.add_argument("--data-dir", help="where the data set lies (default: the recipe's)")
    parser.add_argument("--init", help="a start in place of the file that the recipe's runs start from: a file, a run, or pretrained")
    parser.add_argument("--seeds", metavar="N,N", help="in place of the recipe's")
    parser.add_argument(
        "--only", metavar="RUN,RUN", help="train these runs, and those that they start from; with or without labels, or rbcf-*"
    )
    parser.add_argument("--dry-run", action="store_true", help="list the runs, how far they are and what is still to come, and stop")
    parser.add_argument(
        "--jobs",
        type=int,
        default=1,
        metavar="N",
        help="trainings side by side (on each machine; of a search in all), each on its share of a machine's cores (default: 1)",
    )
    parser.add_argument(
        "--engine", choices=["local", "ray"], default="local", help="processes here, or tasks of a Ray cluster (extra: ray)"
    )
    parser.add_argument("--address", help="--engine ray: of the cluster (default: RAY_ADDRESS, or a new one on this machine)")
    parser.add_argument("--cpus-per-run", type=int, metavar="N", help="--engine ray: cores of a training (default: a machine's, by --jobs)")
    parser.add_argument(
        "--without-duplicates", action="store_true", help="leave out of the table the images that stand in train pixel for pixel"
    )
    parser.add_argument(
        "--prior", choices=PRIORS, help="ask all runs under this prior, and write its own tables, table-PRIOR.md (default: the recipe's)"
    )
    parser.add_argument("-o", "--output", type=Path, help="folder of the run folders and tables (default: the recipe's)")
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="FILE",
        help="keep the answers of finished runs in this small Parquet file too; runs whose folders are gone are taken from it",
    )


def run(args: argparse.Namespace) -> int:
    from evenface.cli.output import console
    from evenface.cli.study_runs import bring, numbers, say
    from evenface.cli.study_table import show
    from evenface.errors import ConfigError
    from evenface.study import collect, plan, read_recipe
    from evenface.study.kept import Restored, restore
    from evenface.study.recipe import check_one_set

    if args.jobs < 1 or (args.cpus_per_run is not None and args.cpus_per_run < 1):
        raise ConfigError(f"{'--jobs' if args.jobs < 1 else '--cpus-per-run'} must be at least 1.")
    if args.engine == "local" and (args.address is not None or args.cpus_per_run is not None):
        raise ConfigError(f"{'--address' if args.address is not None else '--cpus-per-run'} is for a cluster; add --engine ray.")
    recipe = read_recipe(args.recipe)
    if args.keep is not None and recipe.search is not None:
        raise ConfigError("--keep goes with no search, whose trials go on from their states.")
    if args.prior is not None:
        recipe = recipe.under(args.prior)
    output = recipe.output if args.output is None else args.output
    out = console()
    command = ["evenface", *sys.argv[1:]]
    searched: tuple[str, ...] = ()
    failed_trials: dict[str, str] = {}
    if recipe.search is not None:
        if args.init is not None:
            raise ConfigError("--init goes with no search; change the `init` of the recipe.")
        from evenface.cli.study_search import found_best

        found = found_best(recipe, args, output, out, command)
        if found is None:
            return 0
        recipe, note, failed_trials = found
        searched = (note,)
    seeds = None if args.seeds is None else numbers(args.seeds)
    whole = plan(recipe, data_dir=args.data_dir, init=args.init, seeds=seeds, output=output)
    only = None if args.only is None else [name.strip() for name in args.only.split(",")]
    runs = plan(recipe, data_dir=args.data_dir, init=args.init, seeds=seeds, output=output, only=only)
    kept = Restored([], [])
    if args.keep is not None:
        check_one_set({str(each): dataclasses.asdict(each.config) for each in runs}, recipe.split)

        def told(text: str) -> None:
            say(out, f"kept      {text}")

        kept = restore(runs, args.keep, recipe.scoring, write=not args.dry_run, say=told)
    if args.dry_run:
        _list(out, recipe, whole, runs, output, args.jobs, kept)
        return 0
    if kept.taken:
        say(out, f"kept      {len(kept.taken)} finished run{'s' if len(kept.taken) > 1 else ''} taken from {args.keep}")
    failed = bring(recipe, runs, args, out, command)
    lost = failed_trials | failed
    if len(failed) < len(runs):
        # A part of the runs is shown and not written: table.md is that of the whole recipe.
        result = collect(recipe, whole if only is None else runs, without_duplicates=args.without_duplicates)
        result = dataclasses.replace(result, notes=(*searched, *result.notes))
        show(out, recipe, result, None if only is not None else output, command)
    for name, reason in lost.items():
        print(f"evenface study: {name} failed: {reason}", file=sys.stderr)
    return 1 if lost else 0


def _list(console: Console, recipe: Recipe, whole: Sequence[Run], runs: Sequence[Run], output: Path, jobs: int, kept: Restored) -> None:
    """Prints the runs, how far they are and how long they will take; and the folders beside them of other settings or seeds.

    Args:
        kept: runs whose folders are not here, and whose answers are; and the other way round.
    """
    from evenface.report.grid import Grid
    from evenface.study import State, state_of
    from evenface.study.estimate import estimate_study, in_words
    from evenface.study.probe import Probe

    known = {run.folder: State(1, 1, begun=True, scored=True) for run in kept.taken}
    known |= {run.folder: State(0, run.config.epochs, begun=False, scored=False) for run in kept.dropped}
    states = [known.get(run.folder) or state_of(run, recipe.scoring) for run in runs]
    estimate = estimate_study(runs, states, jobs=jobs, probe=Probe())
    rows = []
    for run, state in zip(runs, states, strict=True):
        took = estimate.minutes.get(run.folder)
        text = "-" if took is None else in_words(took)
        rows.append((run.name, str(run.seed), run.config.method, str(state), text, run.folder.name))
    notes = [f"{sum(state.done for state in states)} of {len(runs)} are done. Folders are in {output}."]
    if estimate.minutes:
        side = f", {in_words(estimate.wall)} with --jobs {jobs}" if jobs > 1 else ""
        notes.append(f"To come: {in_words(estimate.sum)} of training{side}; {estimate.source}.")
    elif estimate.source:
        notes.append(f"To come: {estimate.source}.")
    others = sorted({file.parent.name for file in output.glob("*/config.yaml")} - {run.folder.name for run in whole})
    if others:
        notes.append(f"Of other settings or seeds: {', '.join(others)}.")
    console.print(Grid(recipe.name, ("run", "seed", "method", "state", "to come", "folder"), tuple(rows), notes=tuple(notes)))
