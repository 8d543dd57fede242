"""The scores of a study's runs, each run a method over its seeds, against the first run of the recipe."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from evenface.errors import DataError
from evenface.evaluation.compare import Comparison, RunPredictions, compare_runs
from evenface.evaluation.records import read_predictions
from evenface.model_folder import read_config
from evenface.runs import chosen_on, stem_of
from evenface.study.recipe import Recipe, Run
from evenface.study.state import minutes, state_of


@dataclasses.dataclass(frozen=True)
class StudyResult:
    """What the table of a study is made of.

    Attributes:
        comparison: a method per run name of the recipe; the baseline first, where it is there.
        minutes: of one training, the mean over the seeds; None where the states were deleted.
        train_counts: training faces per class of the first run.
        missing: runs that have no scores yet, as text.
        notes: what a reader must know besides, one sentence each.
    """

    comparison: Comparison
    minutes: Mapping[str, float | None]
    train_counts: Mapping[str, int] | None
    missing: tuple[str, ...]
    notes: tuple[str, ...]


def collect(recipe: Recipe, runs: Sequence[Run], *, resamples: int = 10_000) -> StudyResult:
    """Reads the predictions of all runs that are done and compares them.

    Without the baseline (the first run of the recipe) there are scores, and no differences.

    Raises:
        DataError: no run is done yet, or runs that were scored on different images.
    """
    done = [run for run in runs if state_of(run, recipe.split, recipe.tta).done]
    if not done:
        raise DataError(f"No run of the study '{recipe.name}' has been scored on {recipe.split} yet.")
    baseline = next(iter(recipe.runs))
    done.sort(key=lambda run: run.name != baseline)  # stable: the others stay in their order
    file = f"predictions-{stem_of(recipe.split, recipe.tta)}.parquet"
    comparison = compare_runs(
        [RunPredictions.of(str(run.folder), run.name, run.seed, read_predictions(run.folder / file)) for run in done], resamples=resamples
    )
    notes = []
    if done[0].name != baseline:
        comparison = dataclasses.replace(comparison, pairs=())
        notes.append(f"{baseline}, the first run of the recipe, is not among the runs here; without it there are no differences.")
    missing = tuple(str(run) for run in runs if run not in done)
    if missing:
        notes.append(f"Not there yet: {', '.join(missing)}.")
    if any(chosen_on(read_config(run.folder / "best"), recipe.split) for run in done):
        notes.append(f"Optimistic: the epoch was chosen on the {recipe.split} images themselves; not an estimate for new faces.")
    spent = {run.name: [minutes(other.folder) for other in done if other.name == run.name] for run in done}
    means = {name: float(np.mean([m for m in found if m is not None])) if any(found) else None for name, found in spent.items()}
    return StudyResult(comparison, means, read_config(done[0].folder / "best").train_counts, missing, tuple(notes))
