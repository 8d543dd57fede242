"""A study on its way into a table or figure of the paper: `layout: table3` in a recipe.

    check_layout("table3", entries_of(recipe))
    rendered = LAYOUTS[recipe.layout].render(scored(recipe, collect(recipe, plan(recipe))))

What a layout does is in `evenface.report.paper`, which knows no recipes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from evenface.errors import ConfigError, unknown_name
from evenface.report.paper import LAYOUTS
from evenface.report.paper.scored import Entry, Part, Scored
from evenface.study.settings import config_of


if TYPE_CHECKING:
    from evenface.study.recipe import Point, Recipe
    from evenface.study.result import StudyResult


def check_layout(layout: Any, entries: tuple[Entry, ...]) -> str:
    """The name of a layout that some of the runs have a place in.

    Raises:
        ConfigError: an unknown layout, or one that is of other runs.
    """
    if not isinstance(layout, str) or layout not in LAYOUTS:
        raise ConfigError(unknown_name("layout", str(layout), LAYOUTS))
    LAYOUTS[layout].check(entries)
    return layout


def entries_of(runs: Mapping[str, Mapping[str, Any]], points: Mapping[str, Point]) -> tuple[Entry, ...]:
    """The runs of a recipe as a layout sees them."""
    found = []
    for name, settings in runs.items():
        config = config_of(name, settings)
        found.append(Entry(name, points[name].labels, config.dataset, config.model, config.method_options))
    return tuple(found)


def scored(recipe: Recipe, result: StudyResult) -> Scored:
    """The runs of a recipe with the scores that they have."""
    whole = {(point.run, tuple(point.labels.values())): name for name, point in recipe.points.items()}
    parts = []
    for table in result.tables:
        labels = [method.method for method in table.comparison.methods]
        names = {label: whole[label, tuple(table.labels.values())] if recipe.crossed else label for label in labels}
        parts.append(Part(names, table.comparison, table.minutes))
    return Scored(entries_of(recipe.runs, recipe.points), tuple(parts), recipe.split)
