"""What a card is written from, read from disk: `card.json` as it was written, and of other files what is whole.

    known = read_facts(Path("model_folder"))             # card.json; nothing is known where there is none
    are_scores(read_metrics("metrics-test.json"))

A person or a broken disk may have changed these files. Of a `card.json` that is no table of ours nothing is guessed, since the new one
would take its place; elsewhere an entry of another shape is left out, and costs its own part of the card only.
"""

from __future__ import annotations

import csv
import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from types import NoneType
from typing import Any

import yaml

from evenface.calibration import PRIORS
from evenface.errors import DataError


SCHEMA_VERSION = 1
FACTS = "card.json"
VIEWS = ("none", "flip", "experts")

_NUMBER = int | float
_RATE = _NUMBER | None
_RATES = dict.fromkeys(("overall", "mean_recall", "macro_f1"), _RATE)
_OVER_ALL = {"n": int, **_RATES, "ci95": dict.fromkeys(_RATES, ([_RATE, _RATE], NoneType))}
_OF_A_CLASS = {"n": int, "recall": _RATE, "precision": _RATE, "f1": _RATE, "ci95": ([_NUMBER, _NUMBER], NoneType)}
_OF_AN_EPOCH = {"overall": _RATE, "mean_recall": _RATE}
_SCORES = {**_OVER_ALL, **dict.fromkeys(("dataset", "split", "tta", "prior"), str), "class_names": list, "own": bool}
_MAYBE = {
    "duplicates_of_train": {"n": int, "without": (_OVER_ALL, NoneType)},
    "paper": {"last": _OF_AN_EPOCH, "best": _OF_AN_EPOCH, "last_5": {**_OF_AN_EPOCH, "epochs": list}},
}
_RUN = {"settings": dict, "environment": dict, "epochs": int, "minutes": _NUMBER, "images_per_second": _NUMBER}
_ENVIRONMENT = {"packages": dict, "notes": list}


@dataclasses.dataclass(frozen=True)
class Stored:
    """What a `card.json` tells; see `evenface.cards.facts.Facts`."""

    name: str | None = None
    run: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    scores: tuple[Mapping[str, Any], ...] = ()
    card_sha256: str | None = None


def read_facts(folder: Path) -> Stored:
    """What lies in a model folder; nothing is known where it has no `card.json`.

    Raises:
        DataError: it has one that is no table of ours.
    """
    path = folder / FACTS
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Stored()
    except (OSError, ValueError) as error:
        raise _not_ours(path, str(error)) from error
    if not isinstance(values, dict) or values.get("schema_version") != SCHEMA_VERSION:
        raise _not_ours(path, f"it is no table of schema_version {SCHEMA_VERSION}")
    run = _whole(values.get("run"), _RUN)
    if "environment" in run:
        run["environment"] = _whole(run["environment"], _ENVIRONMENT)
    texts = _whole(values, {"name": str, "card_sha256": str})
    scores = values.get("scores")
    found = tuple(filter(are_scores, scores if isinstance(scores, list) else ()))
    return Stored(texts.get("name"), run, found, texts.get("card_sha256"))


def are_scores(value: Any) -> bool:
    """Whether a value of JSON has all that a card shows of scores."""
    if not _fits(value, _SCORES) or not all(_fits(value[key], each) for key, each in _MAYBE.items() if value.get(key) is not None):
        return False
    names = value["class_names"]
    n = len(names)
    return (
        value["prior"] in PRIORS
        and value["tta"] in VIEWS
        and _fits(names, [str] * n)
        and _fits(value.get("confusion"), [[int] * n] * n)
        and _fits(value.get("per_class"), dict.fromkeys(names, _OF_A_CLASS))
        and len(value["per_class"]) == n
    )


def read_environment(run: Path) -> dict[str, Any]:
    """`environment.json` of a run."""
    try:
        return _whole(json.loads(read_text(run / "environment.json")), _ENVIRONMENT)
    except ValueError:
        return {}


def read_settings(run: Path) -> dict[str, Any]:
    """`config.yaml` of a run, unchecked."""
    try:
        values = yaml.safe_load(read_text(run / "config.yaml"))
    except yaml.YAMLError:
        return {}
    return values if isinstance(values, dict) else {}


def read_log(run: Path) -> tuple[int, list[float]]:
    """The epochs in `log.csv` of a run, and the images per second of those that tell."""
    rows = list(csv.DictReader(read_text(run / "log.csv").splitlines()))
    speeds = [_number(row.get("images_per_second")) for row in rows]
    return len(rows), [speed for speed in speeds if math.isfinite(speed)]


def read_text(path: Path) -> str:
    """A text file; empty where there is none."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _not_ours(path: Path, why: str) -> DataError:
    return DataError(
        f"{path} cannot be read ({why}); put back the one that came with the model, or remove it, and the card is written without it."
    )


def _whole(values: object, kinds: Mapping[str, Any]) -> dict[str, Any]:
    """A table without the entries of another kind than theirs; empty for what is no table."""
    return {key: each for key, each in values.items() if isinstance(each, kinds.get(key, object))} if isinstance(values, dict) else {}


def _fits(value: object, shape: Any) -> bool:
    """Whether a value has a shape: a type, one of a tuple of shapes, a list with a shape for each place, or a table with these keys."""
    if isinstance(shape, tuple):
        return any(_fits(value, each) for each in shape)
    if isinstance(shape, list):
        return isinstance(value, list) and len(value) == len(shape) and all(map(_fits, value, shape))
    if isinstance(shape, dict):
        return isinstance(value, dict) and all(key in value and _fits(value[key], each) for key, each in shape.items())
    return isinstance(value, shape)


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan
