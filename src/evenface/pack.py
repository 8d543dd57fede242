"""A model folder to give away: the best model of a run with half the bytes, its calibration, and a card that tells its scores.

    pack("runs/x", "my_model")                          # float16 weights; loaded they are float32 again
    pack("runs/x", "my_model", precision="fp32")

What names a place on this machine (the file that the weights started from, say) is cut down to the last part of its path.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from evenface.errors import ConfigError, unknown_name
from evenface.model_folder import load_model, read_card, save_model
from evenface.report.tables import per_class_table
from evenface.runs import find_model, is_scored


PRECISIONS = {"fp16": "float16", "fp32": "float32"}
_OF_THE_CLASSIFIER = ("schema_version", "architecture", "network", "class_names", "mean", "std", "img_size", "evenface")
_PATH = re.compile(r"(?<![\w.:/~])(?:/(?:[^\s/]+/)+|[A-Za-z]:\\(?:[^\s\\]+\\)+)([^\s/\\]+)")


def pack(target: str | os.PathLike[str], out: str | os.PathLike[str], precision: str = "fp16") -> Path:
    """Writes a model folder `out` from a run's best model or from a model folder, and returns its path.

    Args:
        precision: of the weights in the file, "fp16" or "fp32". The running statistics of batch norm stay float32.

    Raises:
        ConfigError: neither a run nor a model folder, an unknown precision, or an `out` that exists.
        ModelError: a broken model, or weights that float16 cannot tell.
        StorageError: it cannot be written.
    """
    if precision not in PRECISIONS:
        raise ConfigError(unknown_name("precision", precision, PRECISIONS))
    place = Path(out)
    if place.exists():
        raise ConfigError(f"{place} exists already; choose another name for the packed model.")
    config, run, folder = find_model(Path(target))
    classifier, about = load_model(folder)
    values = {name: value for name, value in about.to_dict().items() if name not in _OF_THE_CLASSIFIER}
    card = read_card(folder)
    if config is not None:
        card += "".join(_scores(run, split, about.train_counts) for split in ("validation", "test") if is_scored(run, split, "none"))
    save_model(place, classifier, {**_without_places(values), "weights_dtype": PRECISIONS[precision]}, _without_places(card))
    return place


def _scores(run: Path, split: str, train_counts: dict[str, int] | None) -> str:
    """A section of the card with the run's scores on a split, class by class."""
    metrics = json.loads((run / f"metrics-{split}.json").read_text(encoding="utf-8"))
    return f"\n## Scores on {split}\n\n{per_class_table(metrics, train_counts).markdown()}"


def _without_places(value: Any) -> Any:
    """Texts, at any depth, with every absolute path cut down to its last part."""
    if isinstance(value, str):
        return _PATH.sub(r"\1", value)
    if isinstance(value, dict):
        return {name: _without_places(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_without_places(each) for each in value]
    return value
