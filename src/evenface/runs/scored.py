"""Folders of scores that are no run: those of a model folder or a model that ships, of a run on other data, and another tool's answers.

evaluate("ferplus-rbf", dataset="ferplus", data_dir=DIR, tta="flip", output="scores/shipped")
score_answers("deepface.csv", dataset="ferplus", data_dir=DIR, output="scores/deepface")
compare(["scores/deepface", "scores/shipped"], tta="flip")
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from evenface.errors import ConfigError
from evenface.evaluation.records import Predictions, Scoring, read_metrics, read_predictions


class Scored(NamedTuple):
    """Answers on one split, and the metrics file beside them."""

    predictions: Predictions
    metrics: Mapping[str, Any]

    @property
    def tool(self) -> bool:
        """Whether another tool gave the answers: they stand as they are, whatever view or prior was asked for."""
        return "answers" in self.metrics


def scored_in(folder: Path, scoring: Scoring) -> Scored | None:
    """The scores in a folder that is no run; None where there are none.

    Raises:
        ConfigError: there are some, and not of that split or way of scoring, or of several data sets.
        DataError: a damaged file.
    """
    if (folder / "config.yaml").exists():
        return None
    found = {file.stem.removeprefix("metrics-"): read_metrics(file) for file in sorted(folder.glob("metrics-*.json"))}
    if not found:
        return None
    tool = any("answers" in metrics for metrics in found.values())
    stem = Scoring(scoring.split).stem if tool else scoring.stem
    # A run's scores on other data than its own are named after the data.
    fits = [stem] if stem in found else [name for name, metrics in found.items() if name == f"{metrics['dataset']}-{stem}"]
    if len(fits) > 1:
        several = ", ".join(str(found[name]["dataset"]) for name in fits)
        raise ConfigError(f"{folder} has scores on {scoring} of several data sets ({several}); give each a folder of its own, with -o.")
    if not fits or not (folder / f"predictions-{fits[0]}.parquet").is_file():
        what = "ANSWERS.csv" if tool else "MODEL"
        flags = "" if tool else scoring.flags
        raise ConfigError(
            f"{folder} has no scores on {scoring.split if tool else scoring}; run: "
            f"evenface evaluate {what} --dataset SET --data-dir DIR --split {scoring.split}{flags} -o {shlex.quote(str(folder))}"
        )
    return Scored(read_predictions(folder / f"predictions-{fits[0]}.parquet"), found[fits[0]])
