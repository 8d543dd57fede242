"""What a model card is made of: the model's config, what the run folder says of the training, and every score of this very model.

    facts = gather(Path("runs/x"), config)               # of a run: config.yaml, environment.json, log.csv, metrics-*.json, notes.md
    facts = stored(Path("model_folder"), config)         # of a model folder: card.json, which goes along with the model, and notes.md

Scores of an earlier epoch, and those under a prior that rest on an earlier calibration, are left out and named.
"""

from __future__ import annotations

import csv
import dataclasses
import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from evenface.calibration import PRIORS
from evenface.cards.places import without_places
from evenface.errors import DataError
from evenface.evaluation.records import Scoring, read_metrics


SCHEMA_VERSION = 1
FACTS, NOTES = "card.json", "notes.md"

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
    views = ("none", "flip", "experts")
    return PRIORS.index(scores["prior"]), views.index(scores["tta"])


def gather(run: Path, config: Mapping[str, Any], *, minutes: float | None = None, trained: Scores | None = None) -> Facts:
    """The facts of a run.

    Args:
        config: that of its best model.
        minutes: of training, where the caller knows.
        trained: the scores that the training itself found for the best epoch; they stand until `evaluate` has scored the same.
    """
    former = _json(run / "best" / FACTS)
    known = former.get("run") if isinstance(former.get("run"), dict) else {}
    environment, log = _json(run / "environment.json"), _log(run / "log.csv")
    settings = _settings(run / "config.yaml")
    about: dict[str, Any] = {
        "settings": {key: value for key, value in settings.items() if key not in _PLACES},
        "environment": {key: environment[key] for key in _OF_ENVIRONMENT if key in environment},
        "epochs": max(len(log), int(config.get("epoch") or 0)),
        "minutes": minutes if minutes is not None else (known or {}).get("minutes"),
    }
    speeds = [float(row["images_per_second"]) for row in log if row.get("images_per_second")]
    about["images_per_second"] = statistics.median(speeds) if speeds else None
    found, left = _scores(run, config)
    if trained is None:
        trained = next((s for s in former.get("scores", ()) if s.get("by") == "training" and _fresh(s, config)), None)
    if trained is not None and all(not s["own"] or s["split"] != trained["split"] or setting_order(s) != (0, 0) for s in found):
        found.append(trained)
    return Facts(
        run.resolve().name,
        without_places(dict(config)),
        without_places({key: value for key, value in about.items() if value not in (None, {})}),
        tuple(without_places(sorted(found, key=lambda s: (not s["own"], s["dataset"], s["split"], setting_order(s))))),
        tuple(without_places(left)),
        _text(run / NOTES),
    )


def stored(folder: Path, config: Mapping[str, Any]) -> Facts:
    """The facts that lie in a model folder."""
    values = _json(folder / FACTS)
    all_scores = values.get("scores") or []
    found = [s for s in all_scores if _fresh(s, config)]
    left = [s for s in all_scores if s not in found]
    name = values.get("name") or folder.resolve().name
    return Facts(name, without_places(dict(config)), values.get("run") or {}, tuple(found), tuple(left), _text(folder / NOTES))


def card_sha256(folder: Path) -> str | None:
    """The hash of the card that was written into a model folder with its facts; None where none is known."""
    found = _json(folder / FACTS).get("card_sha256")
    return found if isinstance(found, str) else None


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
            metrics = read_metrics(file)
            tta, prior = metrics.get("tta", "none"), metrics.get("prior", "model")
            scores = of_metrics(metrics, own=file.name == f"metrics-{Scoring(metrics['split'], tta, prior).stem}.json")
            setting_order(scores)
        except (DataError, ValueError):
            continue
        if _fresh(scores, config):
            found.append(scores)
        else:
            left.append(scores)
    return found, left


def _fresh(scores: Scores, config: Mapping[str, Any]) -> bool:
    keys = ("epoch",) if scores.get("prior", "model") == "model" else ("epoch", "calibration")
    return all(scores.get(key) == config.get(key) for key in keys)


def _settings(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(_text(path))
    except yaml.YAMLError:
        return {}
    return values if isinstance(values, dict) else {}


def _log(path: Path) -> Sequence[Mapping[str, str]]:
    return list(csv.DictReader(_text(path).splitlines()))


def _json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(_text(path))
    except ValueError:
        return {}
    return values if isinstance(values, dict) else {}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
