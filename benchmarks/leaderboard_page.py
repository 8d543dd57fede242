"""The page of the leaderboard and its raw numbers, from runs that are done; `leaderboard.py` writes both."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evenface.evaluation.compare import Comparison, MethodScores
from evenface.evaluation.records import read_metrics, read_predictions
from evenface.methods._costs import costs
from evenface.report.grid import Grid
from evenface.report.tables import TITLES, class_order, p_text, percent, points
from evenface.study import Recipe, Run, StudyResult, collect, state_of
from evenface.study.state import minutes
from evenface.training.environment import environment_of


RECIPE = Path("recipes/leaderboard_ferplus_cpu.yaml")
SECOND = "ce_two_views"  # the fair baseline of methods that learn from two views
FAIR = "balanced"  # the prior under which all are asked besides


@dataclasses.dataclass(frozen=True)
class Board:
    """The runs against the recipe's first one, and against the second baseline where that is done.

    Attributes:
        apart: the same without the faces that stand in train; None where there are none, or no others.
        fair: both under one prior.
    """

    recipe: Recipe
    runs: Sequence[Run]
    first: StudyResult
    second: StudyResult | None
    apart: Board | None = None
    fair: Board | None = None

    @classmethod
    def of(cls, recipe: Recipe, runs: Sequence[Run], resamples: int) -> Board:
        board, under = cls._of(recipe, runs, resamples), recipe.under(FAIR)
        standing = _done(recipe, runs)  # what is asked besides, stands in the first tables too
        return dataclasses.replace(board, fair=cls._of(under, standing, resamples)) if any(_done(under, standing)) else board

    @classmethod
    def _of(cls, recipe: Recipe, runs: Sequence[Run], resamples: int) -> Board:
        board, file = cls._against(recipe, runs, resamples, without_duplicates=False), f"predictions-{recipe.scoring.stem}.parquet"
        found = np.any([read_predictions(run.folder / file).duplicates for run in _done(recipe, runs)], axis=0)
        some = found.any() and not found.all()
        return dataclasses.replace(board, apart=cls._against(recipe, runs, resamples, without_duplicates=True)) if some else board

    @classmethod
    def _against(cls, recipe: Recipe, runs: Sequence[Run], resamples: int, *, without_duplicates: bool) -> Board:
        how: dict[str, Any] = {"resamples": resamples, "without_duplicates": without_duplicates}
        first, second = collect(recipe, runs, **how), None
        names = {m.method for m in first.comparison.methods}
        if SECOND in names and len(names) > 1:
            order = [SECOND, *(name for name in recipe.runs if name != SECOND)]
            turned = dataclasses.replace(recipe, runs={name: recipe.runs[name] for name in order})
            second = collect(turned, runs, **how)
        return cls(recipe, runs, first, second)


def _done(recipe: Recipe, runs: Sequence[Run]) -> list[Run]:
    return [run for run in runs if state_of(run, recipe.scoring).done]


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
        + (f"[rivals.md]({about}) says how they are to be read." if about == "rivals.md" else f"[studies.md]({about}) says how it works."),
        "```sh\npython benchmarks/leaderboard.py " + _options(board) + "--data-dir DIR --minutes 60\n```",
        _standing(board, seeds),
        f"Split: {board.recipe.split}, n = {sum(comparison.n):,}; the epoch of each run was chosen on validation. {_made(board)}",
        "## Scores",
        _scores(board).markdown(),
        "## Against both baselines",
        "Points of mean recall and of overall, paired on the same faces; p by Holm for all methods of the table.",
        _unbroken(_gains(board)).markdown(),
        *_under_one_prior(board),
        *_without_duplicates(board),
        "## Recall of each class",
        _unbroken(_recalls(comparison, counts)).markdown(),
        "## Notes",
        "\n".join(f"* {note}" for note in dict.fromkeys(_notes(board)) if "Not there yet" not in note),
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _notes(board: Board) -> list[str]:
    second = () if board.second is None else board.second.comparison.notes
    return [*board.first.comparison.notes, *second, *board.first.notes]


def _under_one_prior(board: Board) -> list[str]:
    if board.fair is None:
        return []
    return [
        "## Under one prior",
        "A method that has a prior in its loss, or draws the classes evenly, answers at another operating point than `ce`: it trades "
        "frequent expressions for rare ones, which a prior does to any model without training. Here each model is asked as if all "
        f"expressions were equally frequent (`--prior {FAIR}`, from its calibration on validation: [scores](scores.md)). "
        "What is left of a lead may be a better model, or chance: see its interval and Holm's p.",
        _again(board.fair, board, f"By mean recall under --prior {FAIR}", "as they stand").markdown(),
        _unbroken(_gains(board.fair, f"Gains under --prior {FAIR}")).markdown(),
    ]


def _without_duplicates(board: Board) -> list[str]:
    if board.apart is None:
        return []
    n, left = sum(board.first.comparison.n), sum(board.apart.first.comparison.n)
    rare = class_order(board.first.comparison.class_names, board.first.train_counts)[-1]
    of = board.apart.first.comparison.n[board.first.comparison.class_names.index(rare)]
    parts = [
        "## Without the faces that stand in train",
        f"{n - left:,} of these {n:,} faces stand in train pixel for pixel: who has learned one by heart finds it again. What is left on "
        f"the other {left:,}, of which {of} show {rare}:",
        _again(board.apart, board, "By mean recall without them", "with them").markdown(),
        _unbroken(_gains(board.apart, "Gains without them")).markdown(),
    ]
    if board.fair is not None and board.fair.apart is not None:
        parts.append(_unbroken(_gains(board.fair.apart, f"Gains without them under --prior {FAIR}")).markdown())
    return parts


def _again(other: Board, board: Board, title: str, before: str) -> Grid:
    """The scores of a board that was asked or scored otherwise, with the ranks that the methods had."""
    was = {m.method: str(place) for place, m in enumerate(_ranked(board.first.comparison), 1)}
    rows = []
    for place, m in enumerate(_ranked(other.first.comparison), 1):
        cells = [_cell(m.mean(key), m.ci95[key]) for key in ("mean_recall", "overall", "macro_f1")]
        rows.append((m.method, str(place), was[m.method], str(len(m.seeds)), *cells))
    return Grid(title, ("method", "rank", before, "seeds", "mean recall", "overall", "macro F1"), tuple(rows))


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
    """The versions and devices that the runs were made with, and which seeds where these differ."""
    found: dict[str, set[int]] = {}
    for run in board.runs:
        if values := environment_of(run.folder):
            torch = values.get("packages", {}).get("torch")
            what = f"evenface {values.get('evenface')}, torch {torch}, {values.get('device')} {values.get('precision')}"
            found.setdefault(what, set()).add(run.seed)
    if len(found) == 1:
        return f"Made with {next(iter(found))}."
    each = [f"{what} (seed{'s' * (len(seeds) > 1)} {', '.join(map(str, sorted(seeds)))})" for what, seeds in sorted(found.items())]
    return f"Made with {'; '.join(each)}." if each else ""


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


def _gains(board: Board, title: str = "Gains") -> Grid:
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
    return Grid(f"{title} in points [95 % interval]", head, tuple(rows), notes=(note + f"{min(1.0, least * max(1, len(rows) - 1)):.3f}.",))


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
        for what, other in (("without_duplicates", board.apart), (FAIR, board.fair)):
            if other is not None:
                found = {folder: (n, j) for n in other.first.comparison.methods for j, folder in enumerate(n.runs)}.get(str(run.folder))
                row |= {f"{what}_{key}": "" if found is None else getattr(found[0], key)[found[1]] for key in TITLES}
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
