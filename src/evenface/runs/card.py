"""The card of a run's model or of a model folder: as it would be now, written anew, with its author's own words."""

from __future__ import annotations

import os
from pathlib import Path

from evenface import zoo
from evenface.cards import folder as cards
from evenface.cards.page import card
from evenface.errors import ConfigError
from evenface.runs.find import find_model
from evenface.training.checkpoint import minutes


def model_card(target: str | os.PathLike[str]) -> str:
    """The model card of a run or a model folder as it would be written now, with all that is known of it.

    Raises:
        ConfigError, ModelError: neither a run nor a model folder, or a broken one.
    """
    config, run, folder = find_model(Path(target))
    return card(cards.facts_of(folder, run, minutes=minutes(run)) if config is not None else cards.facts_of(folder, None))


def renew_card(target: str | os.PathLike[str]) -> Path:
    """Writes the model card of a run or a model folder anew, and returns its path; see `evenface.cards.folder.renew`.

    Raises:
        ConfigError, ModelError: neither a run nor a model folder, a broken one, or one that ships.
        StorageError: it cannot be written.
    """
    config, run, folder = find_model(Path(target))
    _require_own(folder)
    return cards.renew(folder, run, minutes=minutes(run)) if config is not None else cards.renew(folder)


def keep_notes(target: str | os.PathLike[str], file: str | os.PathLike[str]) -> Path:
    """Takes the words of a Markdown file over into `notes.md` of a run or a model folder, for its card; returns its path.

    Raises:
        ConfigError, ModelError: neither a run nor a model folder, a broken one, or one that ships.
        DataError: no such file, or no text.
        StorageError: it cannot be written.
    """
    config, run, folder = find_model(Path(target))
    _require_own(folder)
    return cards.keep_notes(Path(file), run if config is not None else folder)


def _require_own(folder: Path) -> None:
    if folder.resolve().is_relative_to(zoo.PRETRAINED):
        raise ConfigError(
            f"{folder.name} ships with evenface and stays as it is; run `evenface models pack {folder.name} my_model` and write into that."
        )
