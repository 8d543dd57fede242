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
import dataclasses
import io
import shlex
import signal
import sys
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from evenface.errors import ConfigError, EvenfaceError
from evenface.evaluation.compare import Comparison, MethodScores
from evenface.evaluation.records import read_metrics
from evenface.files import write_text
from evenface.methods._costs import costs
from evenface.report.grid import Grid
from evenface.report.tables import TITLES, class_order, p_text, percent, points
from evenface.runs.evaluate import evaluate
from evenface.study import Recipe, Run, StudyResult, Task, collect, plan, read_recipe, run_locally, state_of
from evenface.study.kept import keep, names_in, restore
from evenface.study.schedule import Stopped
from evenface.study.state import minutes
from evenface.training.data import load_manifest
from evenface.training.environment import environment_of
from evenface.zoo import KEPT


RECIPE = Path("recipes/leaderboard_ferplus_cpu.yaml")
SECOND = "ce_two_views"  # the fair baseline of methods that learn from two views
FAIR = "balanced"  # the prior under which all are asked besides
ROUGH, FINE = 2_000, 10_000


@dataclasses.dataclass(frozen=True)
class Board:
    """The runs against the recipe's first one, and against the second baseline where that is done; `fair` is the same under one prior."""

    recipe: Recipe
    runs: Sequence[Run]
    first: StudyResult
    second: StudyResult | None
    fair: Board | None = None

    @classmethod
    def of(cls, recipe: Recipe, runs: Sequence[Run], resamples: int) -> Board:
        first, second = collect(recipe, runs, resamples=resamples), None
        names = {m.method for m in first.comparison.methods}
        if SECOND in names and len(names) > 1:
            order = [SECOND, *(name for name in recipe.runs if name != SECOND)]
            turned = dataclasses.replace(recipe, runs={name: recipe.runs[name] for name in order})
            second = collect(turned, runs, resamples=resamples)
        return cls(recipe, runs, first, second)


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
    if args.jobs < 1 or (args.minutes is not None and args.minutes <= 0):
        parser.error("--jobs must be at least 1, and --minutes above 0.")
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
    if not args.anew:
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

    try:
        with _alarm(args.minutes):
            failed = run_locally(runs, Task(recipe.scoring, command), jobs=args.jobs, say=say)
    except Stopped as error:
        stopped, failed = f"{error} Go on with: {shlex.join(command)}", error.failed
    if _done(recipe, runs):
        _ask(recipe, runs)
        write(recipe, runs, place, FINE)
    if stopped:
        print(stopped)
    else:
        for name, reason in failed.items():
            print(f"leaderboard: {name} failed: {reason}", file=sys.stderr)
    return 1 if failed else 0


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
        return
    here = {run.folder.name for run in runs if run.folder.name in kept or state_of(run, recipe.scoring).done}
    there = {row["folder"] for row in csv.DictReader(table.read_text(encoding="utf-8").splitlines())}
    if lost := len(there - here):
        raise ConfigError(
            f"{table} has {lost} runs of which neither the folders nor the answers are here, and they would be lost; "
            "write another document (--document FILE), or begin again (--anew)."
        )


def _done(recipe: Recipe, runs: Sequence[Run]) -> int:
    return sum(state_of(run, recipe.scoring).done for run in runs)


@contextlib.contextmanager
def _alarm(after: float | None) -> Iterator[None]:
    """Stops the trainings as Ctrl-C does, when the minutes are over; they save their states."""
    timer = threading.Timer(60 * (after or 0), signal.raise_signal, [signal.SIGTERM])
    timer.daemon = True
    if after is not None:
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


# -------------------- the document


def write(recipe: Recipe, runs: Sequence[Run], place: Path, resamples: int) -> None:
    """The document and, beside it, the raw numbers and the answers. Nothing is written where no run is done.

    Raises:
        DataError: no run is done yet.
    """
    board, fair = Board.of(recipe, runs, resamples), recipe.under(FAIR)
    if _done(fair, runs):
        board = dataclasses.replace(board, fair=Board.of(fair, runs, resamples))
    write_text(place, document(board, place.stem))
    write_text(place.with_suffix(".csv"), raw(board))
    keep(runs, place.with_suffix(".parquet"), recipe.scoring)
    keep(runs, _fair_answers(place), fair.scoring)
    print(f"written   {place}, {place.stem}.csv, {place.stem}.parquet", flush=True)


def document(board: Board, stem: str) -> str:
    """The whole page; `stem` names the files beside it."""
    table, answers = f"{stem}.csv", f"{stem}.parquet"
    comparison, counts = board.first.comparison, board.first.train_counts
    seeds = sorted({seed for m in comparison.methods for seed in m.seeds})
    under = "" if board.fair is None else f" and, under one prior, [{stem}-{FAIR}.parquet]({stem}-{FAIR}.parquet)"
    about = "rivals.md" if board.recipe.name == RECIPE.stem else "studies.md"
    parts = [
        "# How do the methods rank, as far as has been measured?",
        board.recipe.about,
        f"Written by `benchmarks/leaderboard.py`, which goes on where it was; every number of every run is in [{table}]({table}), "
        f"every answer in [{answers}]({answers}){under}. "
        + (
            f"[rivals.md]({about}) says how the numbers of seed 0 are to be read."
            if about == "rivals.md"
            else f"[studies.md]({about}) says how it works."
        ),
        "```sh\npython benchmarks/leaderboard.py " + _options(board) + "--data-dir DIR --minutes 60\n```",
        _standing(board, seeds),
        f"Split: {board.recipe.split}, n = {sum(comparison.n):,}; the epoch of each run was chosen on validation. {_made(board)}",
        "## Scores",
        _scores(board).markdown(),
        "## Against both baselines",
        "Points of mean recall and of overall, paired on the same faces; p by Holm for all methods of the table.",
        _unbroken(_gains(board)).markdown(),
        *_under_one_prior(board),
        "## Recall of each class",
        _unbroken(_recalls(comparison, counts)).markdown(),
        "## Notes",
        "\n".join(f"* {note}" for note in dict.fromkeys((*comparison.notes, *board.first.notes)) if "Not there yet" not in note),
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _under_one_prior(board: Board) -> list[str]:
    if board.fair is None:
        return []
    was = {m.method: str(place) for place, m in enumerate(_ranked(board.first.comparison), 1)}
    rows = []
    for place, m in enumerate(_ranked(board.fair.first.comparison), 1):
        cells = [_cell(m.mean(key), m.ci95[key]) for key in ("mean_recall", "overall", "macro_f1")]
        rows.append((m.method, str(place), was[m.method], str(len(m.seeds)), *cells))
    head = ("method", "rank", "as they stand", "seeds", "mean recall", "overall", "macro F1")
    return [
        "## Under one prior",
        "A method that has a prior in its loss, or draws the classes evenly, answers at another operating point than `ce`: it trades "
        "frequent expressions for rare ones, which a prior does to any model for nothing. Here each model is asked as if all expressions "
        f"were equally frequent (`--prior {FAIR}`, from its calibration on validation: [scores](scores.md)). "
        "What is left of a lead is a better model.",
        Grid(f"By mean recall under --prior {FAIR}", head, tuple(rows)).markdown(),
        _unbroken(dataclasses.replace(_gains(board.fair), title=f"Gains under --prior {FAIR}")).markdown(),
    ]


def _options(board: Board) -> str:
    return "" if board.recipe.name == RECIPE.stem else f"--recipe recipes/{board.recipe.name}.yaml "


def _standing(board: Board, seeds: Sequence[int]) -> str:
    """How much of the recipe is there, and what that means."""
    done, whole = len(board.runs) - len(board.first.missing), len(board.runs)
    methods, of = len(board.first.comparison.methods), len(board.recipe.runs)
    twice = " (cross-entropy stands twice, on one view and on both)" if {"ce", "ce_two_views"} <= set(board.recipe.runs) else ""
    text = (
        f"**{done} of {whole} runs are done: {methods} of {of} methods{twice}, seed{'s' if len(seeds) > 1 else ''} "
        f"{', '.join(map(str, seeds))}.**"
    )
    known = {m.method for m in board.first.comparison.methods}
    if absent := [f"`{name}`" for name in board.recipe.runs if name not in known]:
        text += f" Not there yet: {', '.join(absent)}."
    if len(seeds) == 1:
        return text + (
            " So far each method was trained once: the intervals cover other test faces and not other seeds, so methods within a few "
            "points of one another have no order."
        )
    few = [m.method for m in board.first.comparison.methods if len(m.seeds) < len(board.recipe.seeds)]
    if len(few) == len(known) > 3:
        return text + f" No method has all {len(board.recipe.seeds)} seeds yet."
    return text + (f" Not all seeds yet: {', '.join(f'`{name}`' for name in few)}." if few else "")


def _made(board: Board) -> str:
    """The versions and devices that the runs were made with."""
    found = set()
    for values in filter(None, (environment_of(run.folder) for run in board.runs)):
        torch = values.get("packages", {}).get("torch")
        found.add(f"evenface {values.get('evenface')}, torch {torch}, {values.get('device')} {values.get('precision')}")
    return f"Made with {'; '.join(sorted(found))}." if found else ""


def _minutes(folders: Sequence[Path]) -> str:
    """The mean of one training, apart for each kind of device: "4.8", and where a GPU took part "4.8 cpu, 0.4 cuda"."""
    spent: dict[str, list[float]] = {}
    for folder in folders:
        if (one := minutes(folder)) is not None:
            spent.setdefault(str(environment_of(folder).get("device", "cpu")).partition(":")[0], []).append(one)
    means = {kind: f"{sum(values) / len(values):.1f}" for kind, values in sorted(spent.items())}
    if means.keys() <= {"cpu"}:
        return means.get("cpu", "-")
    return ", ".join(f"{mean} {kind}" for kind, mean in means.items())


def _ranked(comparison: Comparison) -> list[MethodScores]:
    return sorted(comparison.methods, key=lambda m: -m.mean("mean_recall"))


def _scores(board: Board) -> Grid:
    comparison, cost = board.first.comparison, costs()["methods"]
    several = any(len(m.seeds) > 1 for m in comparison.methods)
    rows = []
    for place, m in enumerate(_ranked(comparison), 1):
        cells = [_cell(m.mean(key), m.ci95[key]) for key in ("mean_recall", "overall", "macro_f1")]
        spread = [percent(m.sd("mean_recall"))] * several
        known = cost.get(m.method)
        relative = None if known is None else known["time"] * known["steps"]
        times = ["-" if relative is None else f"{relative:.1f}", _minutes([Path(folder) for folder in m.runs])]
        rows.append((m.method, str(place), str(len(m.seeds)), *cells, *spread, *times))
    head = (
        "method",
        "rank",
        "seeds",
        "mean recall",
        "overall",
        "macro F1",
        *(["sd of mean recall"] if several else []),
        "epoch, x ce",
        "minutes",
    )
    notes = [
        "Percent [95 % interval]: stratified bootstrap over the test faces"
        + (", and over seeds where there are several." if several else "."),
        "Epoch: its time relative to one of one-view cross-entropy, as `evenface methods` has it. Minutes: of one training, as it ran, "
        "beside whatever else the machine did; those of the run that crt and tau_norm start from come on top.",
    ]
    return Grid("By mean recall", head, tuple(rows), notes=tuple(notes))


def _gains(board: Board) -> Grid:
    """The paired test against both baselines."""
    results = [result for result in (board.first, board.second) if result is not None and result.comparison.pairs]
    against = [{pair.method: pair for pair in result.comparison.pairs} for result in results]
    names = [result.comparison.methods[0].method for result in results]
    rows = []
    for m in _ranked(board.first.comparison):
        cells: list[str] = []
        for pairs in against:
            pair = pairs.get(m.method)
            cells += ["", "", ""] if pair is None else [points(pair.mean_recall), p_text(pair.holm_p), points(pair.overall)]
        rows.append((m.method, *cells))
    head = ("method", *(f"{what} {name}" for name in names for what in ("mean recall over", "Holm p,", "overall over")))
    note = (
        f"Paired stratified bootstrap, {board.first.comparison.resamples:,} resamples; the least p that Holm's rule can give with them is "
    )
    least = 2 / (board.first.comparison.resamples + 1)
    return Grid("Gains in points [95 % interval]", head, tuple(rows), notes=(note + f"{min(1.0, least * max(1, len(rows) - 1)):.3f}.",))


def _recalls(comparison: Comparison, counts: Mapping[str, int] | None) -> Grid:
    names = class_order(comparison.class_names, counts)
    rows = []
    for m in _ranked(comparison):
        rows.append((m.method, *(_cell(m.recall[i], m.recall_ci95[i]) for i in map(comparison.class_names.index, names))))
    head = ("method", *(f"{name} (n {comparison.n[comparison.class_names.index(name)]})" for name in names))
    return Grid("Percent [Wilson's 95 % interval]", head, tuple(rows))


def _unbroken(grid: Grid) -> Grid:
    """No cell breaks: a wide table is pushed aside rather than read in scraps."""
    return dataclasses.replace(grid, rows=tuple(tuple(cell.replace(" ", "\u00a0") for cell in row) for row in grid.rows))


def raw(board: Board) -> str:
    """A line per run, in the order of the recipe: rates 0 to 1, the folder with its hash, minutes of training."""
    where = {folder: (m, i) for m in board.first.comparison.methods for i, folder in enumerate(m.runs)}
    rows: list[dict[str, Any]] = []
    for run in board.runs:
        if str(run.folder) not in where:
            continue
        m, i = where[str(run.folder)]
        metrics = read_metrics(run.folder / f"metrics-{board.recipe.scoring.stem}.json")
        row: dict[str, Any] = {"method": run.name, "seed": run.seed, "split": board.recipe.split, "n": sum(board.first.comparison.n)}
        row |= {key: getattr(m, key)[i] for key in TITLES}
        row |= {f"recall_{name}": metrics["per_class"][name]["recall"] for name in board.first.comparison.class_names}
        if board.fair is not None:
            asked = {folder: (n, j) for n in board.fair.first.comparison.methods for j, folder in enumerate(n.runs)}.get(str(run.folder))
            row |= {f"{FAIR}_{key}": "" if asked is None else getattr(asked[0], key)[asked[1]] for key in TITLES}
        device = environment_of(run.folder).get("device")
        row |= {"epoch": metrics.get("epoch"), "minutes": minutes(run.folder), "device": device, "folder": run.folder.name}
        rows.append(row)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _cell(rate: float, interval: Any) -> str:
    text = percent(rate)
    return text if text == "-" else f"{text} [{percent(interval[0])}, {percent(interval[1])}]"


if __name__ == "__main__":
    sys.exit(main())
