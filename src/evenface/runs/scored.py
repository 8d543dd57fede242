"""Folders of scores that are no run: those of a model folder or a model that ships, of a run on other data, and another tool's answers.

evaluate("ferplus-rbf", dataset="ferplus", data_dir=DIR, tta="flip", output="scores/shipped")
score_answers("deepface.csv", dataset="ferplus", data_dir=DIR, output="scores/deepface")
compare(["scores/deepface", "scores/shipped"], tta="flip")
"""

from __future__ import annotations

import contextlib
import itertools
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from evenface.data.pictures import same_pictures
from evenface.distill.config import METHOD as DISTILLED
from evenface.errors import ConfigError, DataError
from evenface.evaluation.records import Predictions, Scoring, read_metrics, read_predictions
from evenface.training.environment import pictures_in


class Scored(NamedTuple):
    """Answers on one split, and the metrics file beside them."""

    predictions: Predictions
    metrics: Mapping[str, Any]

    @property
    def tool(self) -> bool:
        """Whether another tool gave the answers: they stand as they are, whatever view or prior was asked for."""
        return "answers" in self.metrics


def all_metrics(folder: Path) -> dict[str, dict[str, Any]]:
    """The metrics in a folder that is no run, by the part of their files' names that says of what; none in any other folder.

    Raises:
        DataError: a damaged file.
    """
    if (folder / "config.yaml").exists():
        return {}
    return {file.stem.removeprefix("metrics-"): read_metrics(file) for file in sorted(folder.glob("metrics-*.json"))}


def require_one_source(file: Path, *, dataset: str, run: str | None = None, answers: str | None = None) -> None:
    """A folder that is no run has the scores of one model or of one tool, and a file in it is not replaced by what is of another.

    Args:
        file: the metrics that are to be written.
        dataset: on whose faces.
        run, answers: whose they are: the name of the run or model folder, or of the tool's file. A tool may have a file for each split.

    Raises:
        ConfigError: something else lies there. What is damaged is taken for nothing.
    """
    if (file.parent / "config.yaml").exists():
        return
    for other in sorted(file.parent.glob("metrics-*.json")):
        with contextlib.suppress(DataError):
            before = read_metrics(other)
            whose = before.get("answers")
            same = (answers is not None and (other != file or whose == answers)) if whose else (answers is None and before["run"] == run)
            if not same or (other == file and before["dataset"] != dataset):
                raise ConfigError(
                    f"{other} has the scores of {whose or before['run']} on {before['dataset']}; "
                    f"name another folder for those of {answers or run} on {dataset} with -o/--output, or remove that file."
                )


def files_in(folder: Path, scoring: Scoring) -> tuple[Path, Path] | None:
    """The files of predictions and metrics of that split and way of scoring in such a folder; None where they are not there.

    Raises:
        ConfigError: there are some of several data sets.
        DataError: a damaged file.
    """
    found = all_metrics(folder)
    stem = Scoring(scoring.split).stem if of_tool(found) else scoring.stem
    # A run's scores on other data than its own are named after the data.
    fits = [stem] if stem in found else [name for name, metrics in found.items() if name == f"{metrics['dataset']}-{stem}"]
    if len(fits) > 1:
        several = ", ".join(str(found[name]["dataset"]) for name in fits)
        raise ConfigError(f"{folder} has scores on {scoring} of several data sets ({several}); give each a folder of its own, with -o.")
    files = [(folder / f"predictions-{name}.parquet", folder / f"metrics-{name}.json") for name in fits]
    return next((pair for pair in files if pair[0].is_file()), None)


def scored_in(folder: Path, scoring: Scoring) -> Scored | None:
    """The scores in a folder that is no run; None where there are none.

    Raises:
        ConfigError: there are some, and not of that split or way of scoring, or of several data sets.
        DataError: a damaged file.
    """
    if not (found := all_metrics(folder)):
        return None
    files = files_in(folder, scoring)
    if files is None:
        asked = scoring.split if of_tool(found) else scoring
        raise ConfigError(f"{folder} has no scores on {asked}; run: {command_for(folder, scoring)}")
    return Scored(read_predictions(files[0]), read_metrics(files[1]))


def other_pictures(scored: Mapping[str, tuple[Path, Mapping[str, Any], Sequence[str]]]) -> tuple[str, str] | None:
    """Two of several scores, by name, that are of one split's ids and not of the same pictures; what is not known is taken for the same.

    Args:
        scored: the folder, the metrics and the ids of each. In another order of the ids the fingerprints tell nothing.
    """
    told = [(name, _pictures(folder, metrics), ids) for name, (folder, metrics, ids) in scored.items()]
    for (first, pictures, ids), (second, others, theirs) in itertools.combinations(told, 2):
        if ids == theirs and not same_pictures(pictures, others):
            return first, second
    return None


def _pictures(folder: Path, metrics: Mapping[str, Any]) -> dict[str, str]:
    """The fingerprint of the pictures that scores are of, under no name; empty where nobody wrote it down."""
    if "pictures" in metrics:
        return {"": str(metrics["pictures"])}
    # Without it, scores of an earlier version: those on other data than the run's, and a student's, whose faces held out are others.
    unknown = "data_dir" in metrics or (metrics.get("method") or {}).get("name") == DISTILLED
    own = {} if unknown else pictures_in(folder)
    return {"": own[metrics["split"]]} if metrics["split"] in own else {}


def command_for(folder: Path, scoring: Scoring, data: str = " --dataset SET --data-dir DIR") -> str:
    """What a user types for the scores that such a folder lacks.

    Args:
        data: the flags that say on which faces.
    """
    tool = of_tool(all_metrics(folder))
    what, flags = ("ANSWERS.csv", "") if tool else ("MODEL", scoring.flags)
    return f"evenface evaluate {what}{data} --split {scoring.split}{flags} -o {shlex.quote(str(folder))}"


def of_tool(found: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether another tool gave the answers of `all_metrics`: they stand as they are, whatever view or prior is asked for."""
    return any("answers" in metrics for metrics in found.values())
