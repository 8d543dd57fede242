"""What a model card is made of: the model's config, what the run folder says of the training, and every score of this very model.

    facts = gather(Path("runs/x"), config)               # of a run: config.yaml, environment.json, log.csv, metrics-*.json, notes.md
    facts = stored(Path("model_folder"), config)         # of a model folder: card.json, which goes along with the model, and notes.md

Scores of an earlier epoch, and those under a prior that rest on an earlier calibration, are left out and named.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evenface.calibration import PRIORS
from evenface.cards.places import without_places
from evenface.cards.reading import (
    SCHEMA_VERSION,
    VIEWS,
    Stored,
    are_scores,
    read_environment,
    read_facts,
    read_log,
    read_settings,
    read_text,
)
from evenface.errors import DataError
from evenface.evaluation.records import Scoring, read_metrics
from evenface.files import printable


NOTES = "notes.md"

Scores = Mapping[str, Any]
"""The part of a metrics.json that a card is written from, and `own`: whether it is on the run's own data."""

_OF_METRICS = (
    *("dataset", "split", "n", "class_names", "confusion", "overall", "mean_recall", "macro_f1", "ci95", "per_class"),
    *("duplicates_of_train", "tta", "prior", "calibration", "optimistic", "learned_from", "epoch", "command", "paper"),
)
_OF_ENVIRONMENT = ("command", "evenface", "python", "packages", "device", "precision", "threads", "processes", "notes", "data_ids")
_PLACES = ("data_dir", "output", "device", "workers", "store", "save_minutes", "tensorboard", "watch", "unlabelled", "exclude")


@dataclasses.dataclass(frozen=True)
class Facts:
    """Everything that a card says.

    Attributes:
        name: of the model.
        config: the content of the model's `config.json`.
        run: of the training: `settings`, `environment`, `epochs` (done), `images_per_second` (median over the epochs), `minutes`; each
            only where it is known.
        scores: of this very model, no two alike in data set, split, views and prior.
        left_out: scores that lie there and are of an earlier epoch or calibration.
        notes: a person's own words, Markdown.
    """

    name: str
    config: Mapping[str, Any]
    run: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    scores: tuple[Scores, ...] = ()
    left_out: tuple[Scores, ...] = ()
    notes: str = ""

    def to_json(self, card_sha256: str) -> bytes:
        """As `card.json` holds it: what stands neither in `config.json` nor in `notes.md`, and the hash of the card that was written."""
        scores = [*self.scores, *self.left_out]
        values = {"schema_version": SCHEMA_VERSION, "name": self.name, "run": self.run, "scores": scores, "card_sha256": card_sha256}
        return (json.dumps(values, ensure_ascii=False, allow_nan=False) + "\n").encode()

    def best_scores(self, split: str, dataset: str | None = None) -> Scores | None:
        """Those on a split of the run's own data that say most of the model as it is: one view, its own prior; else the nearest to it.

        Args:
            dataset: another one than the run's own.
        """
        fits = [
            s for s in self.scores if s["split"] == split and (s["own"] if dataset is None else s["dataset"] == dataset and not s["own"])
        ]
        return min(fits, key=setting_order, default=None)


def setting_order(scores: Scores) -> tuple[int, int]:
    """Sorts the model as it is first: by prior, then by views."""
    return PRIORS.index(scores["prior"]), VIEWS.index(scores["tta"])


def gather(run: Path, config: Mapping[str, Any], *, minutes: float | None = None, trained: Scores | None = None) -> Facts:
    """The facts of a run.

    Args:
        config: that of its best model.
        minutes: of training, where the caller knows.
        trained: the scores that the training itself found for the best epoch; they stand until `evaluate` has scored the same.

    Raises:
        DataError: the `card.json` of the best model is damaged.
    """
    former = Stored() if trained is not None else read_facts(run / "best")  # a training's new best model takes its place
    environment, settings = read_environment(run), read_settings(run)
    epochs, speeds = read_log(run)
    epoch = config.get("epoch")
    about: dict[str, Any] = {
        "settings": {key: value for key, value in settings.items() if key not in _PLACES},
        "environment": {key: environment[key] for key in _OF_ENVIRONMENT if key in environment},
        "epochs": max(epochs, epoch if isinstance(epoch, int) else 0),
        "minutes": minutes if minutes is not None else former.run.get("minutes"),
        "images_per_second": statistics.median(speeds) if speeds else None,
    }
    found, left = _scores(run, config)
    if trained is None:
        trained = next((s for s in former.scores if s.get("by") == "training" and _fresh(s, config)), None)
    if trained is not None and all(not s["own"] or s["split"] != trained["split"] or setting_order(s) != (0, 0) for s in found):
        found.append(trained)
    return Facts(
        printable(run.resolve().name),
        without_places(dict(config)),
        without_places({key: value for key, value in about.items() if value not in (None, {})}),
        tuple(without_places(sorted(found, key=lambda s: (not s["own"], s["dataset"], s["split"], setting_order(s))))),
        tuple(without_places(left)),
        read_text(run / NOTES),
    )


def stored(folder: Path, config: Mapping[str, Any]) -> Facts:
    """The facts that lie in a model folder.

    Raises:
        DataError: its `card.json` is damaged.
    """
    known = read_facts(folder)
    found = tuple(s for s in known.scores if _fresh(s, config))
    left = tuple(s for s in known.scores if s not in found)
    name = known.name or printable(folder.resolve().name)
    return Facts(name, without_places(dict(config)), known.run, found, left, read_text(folder / NOTES))


def setting(scores: Scores) -> str:
    """`ferplus test, prior balanced, flip`."""
    prior = [] if scores["prior"] == "model" else [f"prior {scores['prior']}"]
    return ", ".join([f"{scores['dataset']} {scores['split']}", *prior, *([] if scores["tta"] == "none" else [scores["tta"]])])


def of_metrics(metrics: Mapping[str, Any], own: bool) -> dict[str, Any]:
    """The part of a metrics.json that a card needs."""
    found = {key: metrics[key] for key in _OF_METRICS if metrics.get(key) is not None}
    return {"tta": "none", "prior": "model", **found, "own": own}


def _scores(run: Path, config: Mapping[str, Any]) -> tuple[list[Scores], list[Scores]]:
    """Those of the model as it is now, and the others. A file that cannot be read is none."""
    found: list[Scores] = []
    left: list[Scores] = []
    for file in sorted(run.glob("metrics-*.json")):
        try:
            scores = of_metrics(read_metrics(file), own=False)
        except DataError:
            continue
        if are_scores(scores):
            scores["own"] = file.name == f"metrics-{Scoring(scores['split'], scores['tta'], scores['prior']).stem}.json"
            (found if _fresh(scores, config) else left).append(scores)
    return found, left


def _fresh(scores: Scores, config: Mapping[str, Any]) -> bool:
    keys = ("epoch",) if scores.get("prior", "model") == "model" else ("epoch", "calibration")
    return all(scores.get(key) == config.get(key) for key in keys)
