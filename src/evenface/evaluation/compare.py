"""Runs against each other on the same images: scores per method, and a paired test of each method against the first.

    comparison = compare_runs([RunPredictions.of("runs/a", "ce", 0, read_predictions(...)), ...])
    comparison.pairs[0].mean_recall        # Difference(value, ci95, p_value)

Runs with the same `method` text are one method trained with several seeds (`method_labels` makes that text from the runs'
options); the method of the first run is the baseline. Images are aligned by id and classes by name, whatever the order in the
files; runs on other images, labels or classes cannot be compared and are refused.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evenface.errors import ConfigError, DataError
from evenface.evaluation.intervals import bootstrap_scores, wilson
from evenface.evaluation.metrics import AGGREGATES, confusion_matrix, scores
from evenface.evaluation.paired import Difference, McNemar, holm, mcnemar_exact, paired_bootstrap
from evenface.evaluation.records import Predictions
from evenface.labels import require_same


@dataclasses.dataclass(frozen=True, eq=False)
class RunPredictions:
    """One run's answers on one split.

    Attributes:
        name: of the run, for messages.
        method: runs with the same text are repeats of one method.
        seed: of the training.
        ids: (n,) unique names of the images.
        true: (n,) int64, positions in `class_names`.
        predicted: (n,) int64, positions in `class_names`.
        class_names: in this run's order.
        duplicates: (n,) bool, the image stands in the run's train part pixel for pixel.
    """

    name: str
    method: str
    seed: int
    ids: tuple[str, ...]
    true: NDArray[np.int64]
    predicted: NDArray[np.int64]
    class_names: tuple[str, ...]
    duplicates: NDArray[np.bool_]

    @classmethod
    def of(cls, name: str, method: str, seed: int, predictions: Predictions) -> RunPredictions:
        p = predictions
        return cls(name, method, seed, p.ids, p.true, p.predicted, p.class_names, p.duplicates)


@dataclasses.dataclass(frozen=True, eq=False)
class MethodScores:
    """One method over its seeds.

    Attributes:
        method: its label.
        runs: their names.
        seeds: in rising order, as are the values below.
        overall, mean_recall, macro_f1: one value per seed.
        ci95: of the mean over the seeds; one seed: images drawn anew, several: images and seeds.
        recall: (L,) mean over the seeds, NaN for a class without images.
        recall_ci95: (L, 2), Wilson's interval of that recall among the class's n images.
    """

    method: str
    runs: tuple[str, ...]
    seeds: tuple[int, ...]
    overall: tuple[float, ...]
    mean_recall: tuple[float, ...]
    macro_f1: tuple[float, ...]
    ci95: Mapping[str, tuple[float, float]]
    recall: NDArray[np.float64]
    recall_ci95: NDArray[np.float64]

    def mean(self, name: str) -> float:
        """Mean over the seeds of `overall`, `mean_recall` or `macro_f1`."""
        return float(np.mean(getattr(self, name)))

    def sd(self, name: str) -> float | None:
        """Standard deviation over the seeds (divisor S - 1); None with one seed."""
        values = getattr(self, name)
        return float(np.std(values, ddof=1)) if len(values) > 1 else None


@dataclasses.dataclass(frozen=True)
class PairedComparison:
    """A method against the baseline; every difference is method - baseline.

    Attributes:
        baseline, method: labels.
        overall, mean_recall, macro_f1: differences with intervals and p-values.
        holm_p: the p of the mean recall, corrected for the number of methods that are compared with the baseline.
        mcnemar: on the overall, one per pair of trainings with the same seed; empty where seeds cannot be paired.
        seeds: the paired seeds, () where the trainings were drawn apart.
    """

    baseline: str
    method: str
    overall: Difference
    mean_recall: Difference
    macro_f1: Difference
    holm_p: float
    mcnemar: tuple[McNemar, ...]
    seeds: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What `evenface compare` prints.

    Attributes:
        class_names: in the first run's order.
        n: images per class.
        methods: the baseline first.
        pairs: one per method after the baseline.
        notes: what a reader must know, one sentence each.
        resamples: of the bootstrap.
        finished: methods that are a tool or a model as it is; their seed says nothing.
    """

    class_names: tuple[str, ...]
    n: tuple[int, ...]
    methods: tuple[MethodScores, ...]
    pairs: tuple[PairedComparison, ...]
    notes: tuple[str, ...]
    resamples: int
    finished: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain types for JSON (write it with `records.write_metrics`, which turns NaN into null)."""
        return dataclasses.asdict(self)


def compare_runs(
    runs: Sequence[RunPredictions],
    *,
    without_duplicates: bool = False,
    resamples: int = 10_000,
    seed: int = 0,
    finished: Collection[str] = (),
) -> Comparison:
    """Scores of each method, and the paired test of each method against the first.

    Where baseline and method have two or more seeds in common, the trainings with these are paired and the others left out of the test, as
    a note says (one training of each is a pair whatever the seeds); else each method's trainings are drawn apart and McNemar's test is
    left out.

    Arguments:
        runs: at least one; the first one's method is the baseline.
        without_duplicates: leave out every image that stands in the train part of any of the runs.
        resamples: R of the bootstrap.
        seed: of the bootstrap.
        finished: methods that are a tool or a model as it is, and no training that could be repeated; nobody is told to give more seeds.

    Raises:
        DataError: runs on other images or with other true labels, or no image left.
        LabelError: runs with other classes.
        ConfigError: no run, or a method with the same seed twice.
    """
    names, true, predicted, duplicates = align(runs)
    notes = []
    if duplicates.any():
        count = int(duplicates.sum())
        notes.append(
            f"{count} of {len(true)} images stand in train pixel for pixel and {'are left out' if without_duplicates else 'are counted'}."
        )
    if without_duplicates:
        true, predicted = true[~duplicates], predicted[~duplicates]
        if len(true) == 0:
            raise DataError("Every image stands in train pixel for pixel; there is nothing left to compare without duplicates.")
    groups = _groups(runs)
    methods = tuple(_method_scores(label, members, runs, true, predicted, names, resamples, seed) for label, members in groups.items())
    n = np.bincount(true, minlength=len(names))
    (baseline, first), *others = groups.items()
    pairs = []
    partly: dict[tuple[int, ...], list[str]] = {}
    for label, members in others:
        mine, members = _in_common([(runs[i].seed, i) for i in first], [(runs[i].seed, i) for i in members])
        seeds_a, seeds_b = [runs[i].seed for i in mine], [runs[i].seed for i in members]
        paired = seeds_a == seeds_b or len(mine) == len(members) == 1
        if (len(mine), len(members)) != (len(first), len(groups[label])):
            partly.setdefault(tuple(seeds_a), []).append(label)
        if not paired and not {baseline, label} & set(finished):
            notes.append(_apart(label, seeds_b, baseline, seeds_a))
        a, b = predicted[:, mine], predicted[:, members]
        found = paired_bootstrap(true, a, b, len(names), resamples=resamples, seed=seed, pair_seeds=paired)
        exact = tuple(mcnemar_exact(a[:, s] == true, b[:, s] == true) for s in range(len(mine))) if paired else ()
        seeds = tuple(seeds_a) if seeds_a == seeds_b else ()
        pairs.append(PairedComparison(baseline, label, **found, holm_p=1.0, mcnemar=exact, seeds=seeds))
    for seeds, labels in partly.items():
        both = ", ".join(map(str, seeds))
        notes.append(f"Against {baseline} on the seeds that both have, {both}, and no others: {', '.join(labels)}.")
    corrected = holm([pair.mean_recall.p_value for pair in pairs])
    pairs = [dataclasses.replace(pair, holm_p=p) for pair, p in zip(pairs, corrected, strict=True)]
    if any(len(group.seeds) == 1 and group.method not in finished for group in methods):
        notes.append("A method with one seed: its numbers speak of that training, not of the method; give at least 3 seeds.")
    empty = [name for name, count in zip(names, n, strict=True) if count == 0]
    if empty:
        notes.append(f"No image of {', '.join(empty)}: left out of the means.")
    return Comparison(names, tuple(int(count) for count in n), methods, tuple(pairs), tuple(notes), resamples, tuple(finished))


def align(
    runs: Sequence[RunPredictions],
) -> tuple[tuple[str, ...], NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Puts all runs in the image and class order of the first.

    Returns:
        class names (L), true labels (n,), predictions (n, K) with a column per run, and (n,) bool: a duplicate in any run.

    Raises:
        ConfigError: no run.
        LabelError: other class names.
        DataError: other ids, or another true label for an id.
    """
    if not runs:
        raise ConfigError("There is no run to compare; name at least one run folder that has been evaluated.")
    first = runs[0]
    place = {identity: row for row, identity in enumerate(first.ids)}
    position = {name: index for index, name in enumerate(first.class_names)}
    predicted = np.empty((len(first.ids), len(runs)), dtype=np.int64)
    duplicates = np.zeros(len(first.ids), dtype=bool)
    for column, run in enumerate(runs):
        require_same(first.class_names, run.class_names, f"the run {run.name}")
        other = place.keys() ^ set(run.ids)
        if other or len(run.ids) != len(place):
            raise DataError(
                f"The runs {first.name} ({len(first.ids)} images) and {run.name} ({len(run.ids)}) were evaluated on different images "
                f"({len(other)} ids stand in one only, such as {min(other, default='an id given twice')}); evaluate both on the same split."
            )
        rows = np.array([place[identity] for identity in run.ids], dtype=np.int64)
        names = np.array([position[name] for name in run.class_names], dtype=np.int64)
        wrong = np.flatnonzero(names[run.true] != first.true[rows])
        if wrong.size:
            raise DataError(
                f"The runs {first.name} and {run.name} disagree on the true label of {wrong.size} images (such as {run.ids[wrong[0]]}); "
                "train and evaluate both on the same labels."
            )
        predicted[rows, column] = names[run.predicted]
        duplicates[rows] |= run.duplicates
    return first.class_names, first.true, predicted, duplicates


def method_labels(
    options: Sequence[Mapping[str, object]],
    *,
    always: Sequence[str] = ("model", "init", "dataset"),
    ignore: Sequence[str] = ("seed", "output", "resume", "device", "workers"),
) -> list[str]:
    """A text per run that tells methods apart and groups seeds: the method's name and the options that differ.

    Arguments:
        options: each run's flat options with the key `method`.
        always: keys that are shown as soon as they differ between any two runs.
        ignore: keys that never make another method.

    Returns:
        Such as ["ce", "ce cls_views=both", "rbcf"]: any other key is shown where it differs between runs of one method.
    """

    def differ(key: str, among: Sequence[Mapping[str, object]]) -> bool:
        return len({repr(run.get(key)) for run in among}) > 1

    labels = []
    for run in options:
        family = [other for other in options if other["method"] == run["method"]]
        keys = sorted({key for other in family for key in other} - {"method", *ignore})
        shown = [key for key in keys if differ(key, options if key in always else family)]
        labels.append(" ".join([str(run["method"]), *(f"{key}={run.get(key)}" for key in shown)]))
    return labels


def _in_common(first: Sequence[tuple[int, int]], second: Sequence[tuple[int, int]]) -> tuple[list[int], list[int]]:
    """The columns of two methods, each with its seed: of the seeds that both have, where these are two or more; else all."""
    both = {seed for seed, _ in first} & {seed for seed, _ in second}
    if len(both) < 2:
        both = {seed for seed, _ in (*first, *second)}
    return [column for seed, column in first if seed in both], [column for seed, column in second if seed in both]


def _apart(label: str, seeds: Sequence[int], baseline: str, others: Sequence[int]) -> str:
    """What a reader must know of an interval where trainings could not be paired by seed."""
    if 1 not in (len(seeds), len(others)):
        return f"{label} and {baseline} have different seeds; their trainings were drawn apart, which widens the interval."
    single = label if len(seeds) == 1 else baseline
    return (
        f"{label} against {baseline}: {single} has one seed, so how far its trainings lie apart is not in the interval; "
        "that is too narrow, and p too small."
    )


def _groups(runs: Sequence[RunPredictions]) -> dict[str, list[int]]:
    """Columns of each method, by seed; methods in order of first mention."""
    groups: dict[str, list[int]] = {}
    for column, run in enumerate(runs):
        groups.setdefault(run.method, []).append(column)
    for label, members in groups.items():
        members.sort(key=lambda column: runs[column].seed)
        for left, right in itertools.pairwise(members):
            if runs[left].seed == runs[right].seed:
                raise ConfigError(
                    f"The runs {runs[left].name} and {runs[right].name} are both '{label}' with seed {runs[left].seed}; leave one out."
                )
    return groups


def _method_scores(
    label: str,
    members: list[int],
    runs: Sequence[RunPredictions],
    true: NDArray[np.int64],
    predicted: NDArray[np.int64],
    names: tuple[str, ...],
    resamples: int,
    seed: int,
) -> MethodScores:
    found = scores(np.stack([confusion_matrix(true, predicted[:, column], len(names)) for column in members]))
    recall, n = found.recall.mean(axis=0), found.n[0]
    low, high = wilson(np.where(n > 0, recall, 0.0) * n, n)
    return MethodScores(
        method=label,
        runs=tuple(runs[column].name for column in members),
        seeds=tuple(runs[column].seed for column in members),
        **{name: tuple(float(value) for value in getattr(found, name)) for name in AGGREGATES},
        ci95=bootstrap_scores(true, predicted[:, members], len(names), resamples, seed),
        recall=recall,
        recall_ci95=np.stack([low, high], axis=1),
    )
