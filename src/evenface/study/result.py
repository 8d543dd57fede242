"""The scores of a study's runs, each run a method over its seeds, against the first run of the recipe.

result = collect(recipe, plan(recipe))
result.comparison                               # of a recipe without axes
for table in result.tables:                     # with axes and several runs: one per combination of labels
    table.labels, table.comparison.methods      # {"imbalance": "50"}, a MethodScores per run
LAYOUTS[recipe.layout].render(scored(recipe, result))
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from evenface.errors import DataError
from evenface.evaluation.compare import Comparison, MethodScores, PairedComparison, RunPredictions, compare_runs
from evenface.evaluation.records import optimistic_notes, read_metrics, read_predictions, why_optimistic
from evenface.model_folder import read_config
from evenface.report.paper.scored import Part, Scored
from evenface.study.layout import entries_of
from evenface.study.plan import Run
from evenface.study.recipe import Recipe
from evenface.study.state import minutes, state_of


@dataclasses.dataclass(frozen=True)
class StudyTable:
    """Runs that are compared with one another.

    Attributes:
        labels: of the combination by axis; none where all runs share one table.
        comparison: a method per run, named as in the recipe's `runs`, or with its labels where all runs share one table; the baseline
            first, where it is there. Without it there are no pairs.
        minutes: of one training, the mean over the seeds; None where the states were deleted.
        train_counts: training faces per class of the first run.
    """

    labels: Mapping[str, str]
    comparison: Comparison
    minutes: Mapping[str, float | None]
    train_counts: Mapping[str, int] | None

    def scores(self, run: str) -> MethodScores | None:
        """The scores of a run; None where it has none yet."""
        return next((method for method in self.comparison.methods if method.method == run), None)

    def pair(self, run: str) -> PairedComparison | None:
        """The run against the baseline; None for the baseline itself and where one of the two is missing."""
        return next((pair for pair in self.comparison.pairs if pair.method == run), None)


@dataclasses.dataclass(frozen=True)
class StudyResult:
    """What the tables of a study are made of.

    Attributes:
        tables: one; of a recipe with axes and several runs one per combination that has scores, in the recipe's order.
        missing: runs that have no scores yet, as text.
        notes: what a reader must know besides, one sentence each.
    """

    tables: tuple[StudyTable, ...]
    missing: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def comparison(self) -> Comparison:
        """Of the first table."""
        return self.tables[0].comparison

    @property
    def minutes(self) -> Mapping[str, float | None]:
        """Of the first table."""
        return self.tables[0].minutes

    @property
    def train_counts(self) -> Mapping[str, int] | None:
        """Of the first table."""
        return self.tables[0].train_counts

    def table(self, labels: Mapping[str, str]) -> StudyTable | None:
        """The table at a combination of labels; None where nothing is done there yet."""
        return next((table for table in self.tables if dict(table.labels) == dict(labels)), None)


def collect(recipe: Recipe, runs: Sequence[Run], *, without_duplicates: bool = False, resamples: int = 10_000) -> StudyResult:
    """Reads the predictions of all runs that are done and compares them.

    Without the baseline (the first run of the recipe, or of the recipe's `runs` at each combination) there are scores, and no differences.

    Args:
        without_duplicates: leave out every image that stands in the train part of any of the runs of its table.

    Raises:
        DataError: no run is done yet, or runs that were scored on different images.
    """
    done = [run for run in runs if state_of(run, recipe.scoring).done]
    if not done:
        raise DataError(f"No run of the study '{recipe.name}' has been scored on {recipe.split} yet.")
    parts: dict[tuple[str, ...], list[Run]] = {}
    for run in sorted(done, key=lambda run: list(recipe.runs).index(run.name)) if recipe.crossed else done:
        parts.setdefault(tuple(run.labels.values()) if recipe.crossed else (), []).append(run)
    baseline = recipe.names[0] if recipe.crossed else next(iter(recipe.runs))
    tables = tuple(_table(recipe, part, baseline, without_duplicates, resamples) for part in parts.values())
    notes = [] if recipe.scoring.prior == "model" else [f"All runs were asked under the prior '{recipe.scoring.prior}'."]
    alone = [table for table in tables if table.scores(baseline) is None]
    if alone:
        where = f" at {'; '.join(at(table.labels) for table in alone)}" if recipe.crossed else ""
        notes.append(f"{baseline}, the first run of the recipe, is not among the runs here{where}; without it there are no differences.")
    missing = tuple(str(run) for run in runs if run not in done)
    if missing:
        notes.append(f"Not there yet: {', '.join(missing)}.")
    whys = {str(run): why_optimistic(read_metrics(run.folder / f"metrics-{recipe.scoring.stem}.json")) for run in done}
    notes += optimistic_notes(whys, f"the {recipe.split} images themselves")
    return StudyResult(tables, missing, tuple(notes))


def scored(recipe: Recipe, result: StudyResult) -> Scored:
    """The runs of a recipe with the scores that they have."""
    whole = {(point.run, tuple(point.labels.values())): name for name, point in recipe.points.items()}
    parts = []
    for table in result.tables:
        labels = [method.method for method in table.comparison.methods]
        names = {label: whole[label, tuple(table.labels.values())] if recipe.crossed else label for label in labels}
        parts.append(Part(names, table.comparison, table.minutes))
    return Scored(entries_of(recipe.runs, {name: point.labels for name, point in recipe.points.items()}), tuple(parts), recipe.split)


def at(labels: Mapping[str, str]) -> str:
    """`imbalance 50, lr 0.001`."""
    return ", ".join(f"{axis} {label}" for axis, label in labels.items())


def _table(recipe: Recipe, runs: Sequence[Run], baseline: str, without_duplicates: bool, resamples: int) -> StudyTable:
    """The runs of one combination, or of all."""
    named = [(run.base if recipe.crossed else run.name, run) for run in runs]
    named.sort(key=lambda each: each[0] != baseline)  # stable: the others stay in their order
    file = f"predictions-{recipe.scoring.stem}.parquet"
    comparison = compare_runs(
        [RunPredictions.of(str(run.folder), name, run.seed, read_predictions(run.folder / file)) for name, run in named],
        without_duplicates=without_duplicates,
        resamples=resamples,
    )
    if named[0][0] != baseline:
        comparison = dataclasses.replace(comparison, pairs=())
    spent = {name: [minutes(other.folder) for label, other in named if label == name] for name, _ in named}
    means = {name: float(np.mean([m for m in found if m is not None])) if any(found) else None for name, found in spent.items()}
    counts = read_config(named[0][1].folder / "best", weights=False).train_counts
    return StudyTable(named[0][1].labels if recipe.crossed else {}, comparison, means, counts)
