"""What a layout is given, and what it makes of it: the runs of a study with their scores, as tables and pictures.

`evenface.study.layout` makes a `Scored` from a recipe and its result.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from evenface.evaluation.compare import Comparison, MethodScores, PairedComparison
from evenface.report.grid import Grid


if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclasses.dataclass(frozen=True)
class Entry:
    """A run of a recipe, trained or not.

    Attributes:
        name: in the recipe, with the labels of its axes.
        labels: by axis.
        dataset, model: settings of the run.
        options: of its method, as the recipe gives them.
    """

    name: str
    labels: Mapping[str, str]
    dataset: str
    model: str
    options: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Part:
    """Runs that are compared with one another.

    Attributes:
        names: of the comparison's methods -> of the recipe's runs.
        comparison: their scores, and each against the first.
        minutes: of a training by the comparison's name; None where it is not known.
    """

    names: Mapping[str, str]
    comparison: Comparison
    minutes: Mapping[str, float | None]


@dataclasses.dataclass(frozen=True)
class Scored:
    """A study with the scores that it has so far.

    Attributes:
        entries: all runs of the recipe.
        parts: those that have scores.
        split: what they were scored on.
    """

    entries: tuple[Entry, ...]
    parts: tuple[Part, ...]
    split: str

    def find(self, run: str) -> tuple[Part, MethodScores, PairedComparison | None] | None:
        """The scores of a run and its test against the baseline; None where it has no scores yet."""
        for part in self.parts:
            label = next((label for label, name in part.names.items() if name == run), None)
            method = next((method for method in part.comparison.methods if method.method == label), None)
            if method is not None:
                pair = next((pair for pair in part.comparison.pairs if pair.method == label), None)
                return part, method, pair
        return None


@dataclasses.dataclass(frozen=True)
class Drawing:
    """A picture, to be written as PNG and SVG.

    Attributes:
        name: of the files.
        figure: of matplotlib.
    """

    name: str
    figure: Figure


@dataclasses.dataclass(frozen=True)
class Rendered:
    """A study in the paper's layout.

    Attributes:
        grids: for a terminal of a hundred columns.
        page: the same for a document.
        csv: all numbers, rates 0 to 1.
        drawings: pictures of them.
    """

    grids: tuple[Grid, ...]
    page: tuple[Grid, ...]
    csv: str
    drawings: tuple[Drawing, ...] = ()


class Layout(Protocol):
    """A table or figure of the paper that runs can become."""

    def check(self, entries: tuple[Entry, ...]) -> None:
        """Raises ConfigError where none of the runs has a place in it."""

    def render(self, scored: Scored) -> Rendered:
        """The runs in their places; those that are missing or not finished are dashes."""
