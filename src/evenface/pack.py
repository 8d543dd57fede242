"""A model folder to give away: the best model of a run with half the bytes, its calibration, and a card that tells all that the run knows.

    pack("runs/x", "my_model")                          # float16 weights; loaded they are float32 again
    pack("runs/x", "my_model", precision="fp32", licence="CC BY 4.0")

What names a place on this machine (the file that the weights started from, say) is cut down to the last part of its path. The facts of the
card go along as `card.json`, so that it can be written anew without the run, and a person's words as `notes.md`.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from evenface.cards.folder import contents, facts_of, further
from evenface.cards.places import without_places
from evenface.cards.reading import FACTS
from evenface.errors import ConfigError, unknown_name
from evenface.model_folder import load_model, read_card, save_model, standing
from evenface.runs.find import find_model
from evenface.training.checkpoint import minutes


PRECISIONS = {"fp16": "float16", "fp32": "float32"}
_OF_THE_CLASSIFIER = ("schema_version", "architecture", "network", "class_names", "mean", "std", "img_size", "evenface")


def pack(target: str | os.PathLike[str], out: str | os.PathLike[str], precision: str = "fp16", *, licence: str | None = None) -> Path:
    """Writes a model folder `out` from a run's best model or from a model folder, and returns its path.

    Args:
        precision: of the weights in the file, "fp16" or "fp32". The running statistics of batch norm stay float32.
        licence: of the weights, in words; by default as the model's config says, if it does.

    Raises:
        ConfigError: neither a run nor a model folder, an unknown precision, or an `out` that exists.
        ModelError: a broken model, or weights that float16 cannot tell.
        DataError: a damaged `card.json`.
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
    values = {**without_places(values), "weights_dtype": PRECISIONS[precision], **({} if licence is None else {"licence": licence})}
    known = facts_of(folder, run if config is not None else None, minutes=minutes(run) if config is not None else None)
    facts = dataclasses.replace(known, name=place.resolve().name, config={**known.config, **values}, notes=without_places(known.notes))
    text, data = contents(facts)
    if config is None and not (standing(folder) / FACTS).is_file() and not facts.notes:
        # An earlier version's or a person's own card: all that is known of the model stands in it.
        text, extra = without_places(read_card(folder)), {}
    else:
        extra = dict(further(facts, data))
    save_model(place, classifier, values, text, extra)
    return place
