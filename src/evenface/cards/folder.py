"""Keeping the card of a model folder in step with what is known of the model, and a person's words in it.

    renew(Path("runs/x/best"), run=Path("runs/x"))         # from the run's own files
    renew(Path("model_folder"))                            # from the facts that went along with the model
    keep_notes(Path("words.md"), Path("runs/x"))           # from now on in the card

A person's own words stand in `notes.md`, in the run folder or, for a model folder of its own, in that. A card that is another than the one
evenface wrote last is first kept as `README.old.md`, so that nobody's text is lost.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evenface.cards.facts import NOTES, Facts, gather, stored
from evenface.cards.page import card
from evenface.cards.reading import FACTS, read_facts
from evenface.errors import DataError
from evenface.files import write_aside, write_text
from evenface.model_folder import CARD, read_card, read_config, standing


def facts_of(folder: Path, run: Path | None, *, minutes: float | None = None) -> Facts:
    """What is known of the model in a folder, and of the run that it is the best model of.

    Raises:
        ModelError: no model folder, or a broken one.
        DataError: its `card.json` is damaged.
    """
    config = read_config(folder).to_dict()
    return stored(standing(folder), config) if run is None else gather(run, config, minutes=minutes)


def contents(facts: Facts) -> tuple[str, bytes]:
    """The card, and the `card.json` that belongs to it."""
    text = card(facts)
    return text, facts.to_json(hashlib.sha256(text.encode()).hexdigest())


def renew(folder: Path, run: Path | None = None, *, minutes: float | None = None) -> Path:
    """Writes the card of a model folder anew, and returns its path.

    Args:
        run: the run folder that the model belongs to.

    Raises:
        ModelError: no model folder, or a broken one.
        DataError: its `card.json` is damaged.
        StorageError: it cannot be written.
    """
    text, data = contents(facts_of(folder, run, minutes=minutes))
    place = standing(folder)
    if read_card(place) != text:  # a call that was stopped has written it, and not its hash
        keep_edited(place, place if run is None else run)
    write_text(place / CARD, text)
    write_aside(place / FACTS, lambda file: file.write(data))
    return place / CARD


def keep_edited(folder: Path, place: Path) -> Path | None:
    """Copies a card that evenface did not write as it stands to `README.old.md` in `place` (or -2, -3 ...); None where it did."""
    text, written = read_card(folder), None
    with contextlib.suppress(DataError):  # damaged, so that nobody knows whose card it is
        written = read_facts(standing(folder)).card_sha256
    if not text or hashlib.sha256(text.encode()).hexdigest() == written:
        return None
    number, data = 1, (standing(folder) / CARD).read_bytes()  # byte for byte, whatever their encoding
    while (path := place / f"README.old{'' if number == 1 else f'-{number}'}.md").exists():
        if path.read_bytes() == data:
            return path
        number += 1
    write_aside(path, lambda file: file.write(data))
    return path


def keep_notes(file: Path, place: Path) -> Path:
    """Takes a person's words over into `notes.md` of a run or of a model folder.

    Raises:
        DataError: no such file, or no text.
        StorageError: it cannot be written.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        raise DataError(f"The notes {file} cannot be read ({reason}); give a text file, Markdown if you like.") from error
    write_text(place / NOTES, text)
    return place / NOTES


def further(facts: Facts, data: bytes) -> Mapping[str, bytes]:
    """The files that go into a model folder beside the card: its facts, and the notes where there are some."""
    found: dict[str, Any] = {FACTS: data}
    return found | ({NOTES: facts.notes.encode()} if facts.notes.strip() else {})
