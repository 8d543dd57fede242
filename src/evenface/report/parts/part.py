"""What a section of a report is made from, and what it gives."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from evenface.evaluation.compare import MethodScores
from evenface.evaluation.metrics import confusion_matrix
from evenface.report.data import Data
from evenface.report.figures.colours import AT_MOST
from evenface.report.figures.figure import Figure
from evenface.report.gather import OWN, Run, Scores, counts_of, evaluate_command
from evenface.report.page import Section, folded
from evenface.report.tables import percent


@dataclasses.dataclass(frozen=True, eq=False)
class Context:
    """What the sections are about.

    Attributes:
        runs: all that were named.
        splits: their scores, the split that matters most first.
        tta, prior: how they were scored.
        resamples: of the paired test.
        data: that were asked for in place of each run's own.
    """

    runs: Sequence[Run]
    splits: Sequence[Scores]
    tta: str
    prior: str
    resamples: int
    data: Data = OWN

    def command(self, run: Run, split: str) -> str:
        """What a user types for the scores of a run that are missing."""
        return evaluate_command(run, split, self.tta, self.prior, self.data)

    @property
    def main(self) -> Scores:
        """Test where it was scored, else validation."""
        return self.splits[0]

    @property
    def single(self) -> bool:
        """One training, and not several to be compared."""
        return len(self.main.runs) == 1


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """A section with what is written beside the page.

    Attributes:
        section: of the page.
        figures: in it.
        tables: name -> text of a CSV.
    """

    section: Section
    figures: tuple[Figure, ...] = ()
    tables: Mapping[str, str] = dataclasses.field(default_factory=dict)


def per_split(context: Context, draw: Callable[[Scores], str]) -> str:
    """The HTML of each split: the first one open, the others folded."""
    parts = []
    for i, scores in enumerate(context.splits):
        chosen = ", optimistic" if scores.optimistic else ""
        html = draw(scores)
        parts.append(html if i == 0 else folded(f"The same on {scores.split} ({len(scores.true):,} faces{chosen})", html))
    return "".join(parts)


def shown(scores: Scores) -> tuple[list[MethodScores], str]:
    """The methods that a figure can tell apart, the baseline and the best ones by mean recall; and a sentence where there are others."""
    methods = list(scores.comparison.methods)
    if len(methods) <= AT_MOST:
        return methods, ""
    best = sorted(methods[1:], key=lambda m: -m.mean("mean_recall"))[: AT_MOST - 1]
    chosen = [m for m in methods if m is methods[0] or m in best]
    return chosen, f"Drawn are the baseline and the {AT_MOST - 1} methods with the highest mean recall; the tables have all {len(methods)}."


def estimate(value: float | None, interval: Sequence[float] | NDArray[np.float64] | None) -> str:
    """`76.3 [61.2, 87.0]`, percent; a dash where there is no value, and no interval where all resamples gave the same one."""
    text = percent(value)
    if text == "-" or interval is None or interval[0] == interval[1]:
        return text
    return f"{text} [{percent(interval[0])}, {percent(interval[1])}]"


def members(scores: Scores, methods: Sequence[MethodScores]) -> list[tuple[str, list[int]]]:
    """Label and places of the runs of these methods."""
    wanted = {m.method for m in methods}
    return [(label, places) for label, places in scores.methods if label in wanted]


def confusions(scores: Scores, places: Sequence[int]) -> NDArray[np.int64]:
    """(S, L, L) counts of these runs."""
    return np.stack([confusion_matrix(scores.true, scores.predicted[i], len(scores.class_names)) for i in places])


def train_counts(scores: Scores) -> dict[str, int] | None:
    """Training faces per class of the first run or model."""
    return counts_of(scores.runs)
