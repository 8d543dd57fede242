"""A study on its way into a table or figure of the paper: `layout: table3` in a recipe.

    check_layout("table3", entries_of(runs, labels))

What a layout does is in `evenface.report.paper`, which knows no recipes; `evenface.study.result.scored` gives it the scores.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evenface.errors import ConfigError, unknown_name
from evenface.report.paper import LAYOUTS
from evenface.report.paper.scored import Entry
from evenface.study.settings import config_of


def check_layout(layout: Any, entries: tuple[Entry, ...]) -> str:
    """The name of a layout that some of the runs have a place in.

    Raises:
        ConfigError: an unknown layout, or one that is of other runs.
    """
    if not isinstance(layout, str) or layout not in LAYOUTS:
        raise ConfigError(unknown_name("layout", str(layout), LAYOUTS))
    LAYOUTS[layout].check(entries)
    return layout


def entries_of(runs: Mapping[str, Mapping[str, Any]], labels: Mapping[str, Mapping[str, str]]) -> tuple[Entry, ...]:
    """The runs of a recipe as a layout sees them.

    Args:
        runs: the settings of each by name.
        labels: of each by name, by axis.
    """
    found = []
    for name, settings in runs.items():
        config = config_of(name, settings)
        found.append(Entry(name, labels[name], config.dataset, config.model, config.method_options))
    return tuple(found)
