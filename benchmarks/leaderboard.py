"""The leaderboard: every method with several seeds from one start with one budget, the most valuable runs first, as time allows.

    python benchmarks/leaderboard.py --data-dir DIR --minutes 60         # goes on where it was; stops after an hour, or by Ctrl-C
    python benchmarks/leaderboard.py --table                             # trains nothing, writes the document of what is there
    python benchmarks/leaderboard.py --recipe recipes/leaderboard_ferplus_gpu.yaml --data-dir DIR --jobs 3

The runs are those of a recipe of `evenface study`, in its order: all with the first seed, then all with the second. Whenever a run more is
done, docs/leaderboard.md (another recipe: docs/NAME.md) and, beside it, the raw numbers of each run as CSV are written anew: with 2,000
resamples while trainings go on, with 10,000 at the end. At the end each run is also asked under one prior, the balanced one, so that better
models are told from other operating points. NAME.parquet and NAME-balanced.parquet have each run's answer for each face: a machine that has
not the run folders goes on from them.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import shlex
import signal
import sys
import threading
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from leaderboard_page import FAIR, RECIPE, Board, document, raw

from evenface.errors import ConfigError, EvenfaceError
from evenface.files import write_text
from evenface.runs.evaluate import evaluate
from evenface.study import Recipe, Run, Task, plan, read_recipe, run_locally, state_of
from evenface.study.kept import keep, names_in, restore
from evenface.study.schedule import Stopped
from evenface.training.data import load_manifest
from evenface.zoo import KEPT


ROUGH, FINE = 2_000, 10_000
MOST_MINUTES = 100_000


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", type=Path, default=RECIPE)
    parser.add_argument("--data-dir", help="where the data set lies")
    parser.add_argument("--minutes", type=float, help="stop after so many; trainings at work save their state (default: until all is done)")
    parser.add_argument("--jobs", type=int, default=1, help="trainings side by side (default: 1)")
    parser.add_argument("--table", action="store_true", help="train nothing, write the document of what is there")
    parser.add_argument("--anew", action="store_true", help="replace a document that has runs of which nothing is left here")
    parser.add_argument("-o", "--output", type=Path, help="folder of the runs (default: the recipe's)")
    parser.add_argument("--document", type=Path, help="default: docs/leaderboard.md, of another recipe docs/NAME.md")
    args = parser.parse_args(words)
    if args.jobs < 1 or (args.minutes is not None and not 0 < args.minutes <= MOST_MINUTES):
        parser.error(f"--jobs must be at least 1, and --minutes above 0 and at most {MOST_MINUTES}.")
    try:
        return _main(args, ["python", "benchmarks/leaderboard.py", *(sys.argv[1:] if words is None else words)])
    except EvenfaceError as error:
        print(f"leaderboard: {error}", file=sys.stderr)
        return error.exit_code


def _main(args: argparse.Namespace, command: list[str]) -> int:
    recipe = read_recipe(args.recipe)
    runs = plan(recipe, data_dir=args.data_dir, output=args.output)
    place = args.document or Path("docs") / ("leaderboard.md" if args.recipe.name == RECIPE.name else f"{recipe.name}.md")
    answers = place.with_suffix(".parquet")
    brought = restore(runs, answers, recipe.scoring, train=not args.table, say=print).taken
    if brought:
        print(f"{len(brought)} finished runs are taken from {answers}.", flush=True)
    done = [run for run in runs if state_of(run, recipe.scoring).done]  # what others still start from is to be trained, and stays away
    restore(done, _fair_answers(place), recipe.under(FAIR).scoring, train=False)
    if not args.anew:  # with it, whatever is there is replaced
        _require_all(runs, recipe, place, set() if args.table else names_in(answers))
    if args.table:
        _ask(recipe, runs)
        write(recipe, runs, place, FINE)
        return 0
    load_manifest(runs[0].config).split(recipe.split)  # what is wrong with the data is told at once
    told, failed, stopped = _done(recipe, runs), {}, ""

    def say(text: str) -> None:
        nonlocal told
        print(text, flush=True)
        now = _done(recipe, runs)
        if now > told and not text.startswith(" "):  # the next training has begun, so none waits for the document
            write(recipe, runs, place, ROUGH)
            told = now

    out_of_time = threading.Event()
    try:
        with _alarm(args.minutes, out_of_time):
            failed = run_locally(runs, Task(recipe.scoring, command), jobs=args.jobs, say=say)
    except Stopped as error:
        stopped, failed = f"{error} Go on with: {shlex.join(command)}", error.failed
    if _done(recipe, runs):
        _ask(recipe, runs)
        write(recipe, runs, place, FINE)
    if stopped:  # it names those that failed
        print(stopped, file=sys.stdout if out_of_time.is_set() else sys.stderr)
    else:
        for name, reason in failed.items():
            print(f"leaderboard: {name} failed: {reason}", file=sys.stderr)
    return 1 if failed or (stopped and not out_of_time.is_set()) else 0


def _ask(recipe: Recipe, runs: Sequence[Run]) -> None:
    """Scores the models that are done under the prior that is the same for all; Ctrl-C leaves the others for another time."""
    fair = recipe.under(FAIR).scoring
    for run in runs:
        there = state_of(run, recipe.scoring).done and not (run.folder / KEPT).is_file()  # else it has answers and no model
        if there and not state_of(run, fair).done:
            try:
                evaluate(run.folder, **fair._asdict(), device=run.config.device, workers=run.config.workers)
            except EvenfaceError as error:  # such as one that was not calibrated, since a class has no face in validation
                print(f"        {run}: cannot be asked under the prior '{FAIR}'; {error}", flush=True)
            except KeyboardInterrupt:
                return
            else:
                print(f"        {run}: asked under the prior '{FAIR}'", flush=True)


def _fair_answers(place: Path) -> Path:
    return place.with_name(f"{place.stem}-{FAIR}.parquet")


def _require_all(runs: Sequence[Run], recipe: Recipe, place: Path, kept: Collection[str]) -> None:
    """No run of the document that is there is lost by writing it again.

    Args:
        kept: runs of which there are answers: what another run starts from is trained anew, and missing until then.

    Raises:
        ConfigError: one would be.
    """
    table = place.with_suffix(".csv")
    if not table.is_file():
        if place.exists():
            raise ConfigError(f"{place} has no table of runs beside it, and would be replaced; name another document with --document.")
        return
    here = {run.folder.name for run in runs if run.folder.name in kept or state_of(run, recipe.scoring).done}
    rows = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
    if any("folder" not in row for row in rows):
        raise ConfigError(f"{table} is no table of a leaderboard, and would be replaced; name another document with --document.")
    there = {row["folder"] for row in rows}
    if lost := len(there - here):
        raise ConfigError(
            f"{table} has {lost} runs of which neither the folders nor the answers are here, and they would be lost; "
            "write another document (--document FILE), or begin again (--anew)."
        )


def _done(recipe: Recipe, runs: Sequence[Run]) -> int:
    return sum(state_of(run, recipe.scoring).done for run in runs)


@contextlib.contextmanager
def _alarm(after: float | None, rung: threading.Event) -> Iterator[None]:
    """Stops the trainings as Ctrl-C does, when the minutes are over, and sets `rung`; they save their states."""

    def ring() -> None:
        rung.set()
        signal.raise_signal(signal.SIGTERM)

    timer = threading.Timer(60 * (after or 0), ring)
    timer.daemon = True
    if after is not None:
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


def write(recipe: Recipe, runs: Sequence[Run], place: Path, resamples: int) -> None:
    """The document and, beside it, the raw numbers and the answers. Nothing is written where no run is done.

    Raises:
        DataError: no run is done yet.
    """
    board = Board.of(recipe, runs, resamples)
    write_text(place, document(board, place.stem))
    write_text(place.with_suffix(".csv"), raw(board))
    keep(runs, place.with_suffix(".parquet"), recipe.scoring)
    keep(runs, _fair_answers(place), recipe.under(FAIR).scoring)
    print(f"written   {place}, {place.stem}.csv, {place.stem}.parquet", flush=True)


if __name__ == "__main__":
    sys.exit(main())
