"""A validation split for sets that have none: a stratified part of train (RAF-DB, AffectNet, own folders).

    manifest = stratified_validation(read_rafdb("RAFDB"), 0.1)      # a tenth of each class moves from train to validation

Where the set has a column `subject`, all faces of a person go to the same side, since the same person in both makes validation too easy.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from evenface.data.manifest import Manifest
from evenface.data.order import shuffled
from evenface.errors import ConfigError, DataError


def stratified_validation(manifest: Manifest, fraction: float = 0.1, seed: int = 0) -> Manifest:
    """Moves about `fraction` of each class from train to validation; rows keep their order.

    Of each class round(fraction * n) faces move, at least one where n > 1, and at least one stays in train. Without subjects a larger
    fraction moves all that a smaller one does. With subjects whole persons move, in seeded order, as long as that brings their classes
    nearer to those counts.

    Raises:
        ConfigError: a fraction outside (0, 1), or a validation split exists.
        DataError: there is no train split, or the subjects cannot be divided.
    """
    if not 0 < fraction < 1:
        raise ConfigError(f"The validation part of train is between 0 and 1, not {fraction}.")
    if "validation" in manifest.splits:
        raise ConfigError(f"The data set '{manifest.name}' has a validation split already.")
    wanted = {name: _part(count, fraction) for name, count in manifest.split("train").counts().items()}
    rows = np.flatnonzero([split == "train" for split in manifest.table["split"].to_pylist()])
    labels = manifest.table["label"].to_pylist()
    ids = manifest.ids()
    chosen: list[int] = []
    if "subject" in manifest.table.column_names:
        chosen = _by_subject(manifest, rows.tolist(), wanted, seed)
    else:
        for name, count in wanted.items():
            members = [row for row in rows.tolist() if labels[row] == name]
            chosen += [members[i] for i in shuffled([ids[row] for row in members], seed, "validation")[:count]]
    splits = manifest.table["split"].to_pylist()
    for row in chosen:
        splits[row] = "validation"
    table = manifest.table.set_column(manifest.table.column_names.index("split"), "split", pa.array(splits, pa.string()))
    note = f"{len(chosen)} of {len(rows)} train faces became the validation split (fraction {fraction:g} of each class, seed {seed})."
    return manifest.replace(table, notes=(*manifest.notes, note))


def _part(count: int, fraction: float) -> int:
    return min(max(round(fraction * count), 1), count - 1) if count > 1 else 0


def _by_subject(manifest: Manifest, rows: list[int], wanted: dict[str, int], seed: int) -> list[int]:
    """Rows of the persons that move. A row whose subject is unknown is a person of its own."""
    labels, ids = manifest.table["label"].to_pylist(), manifest.ids()
    subjects = manifest.table["subject"].to_pylist()
    people: dict[str, list[int]] = {}
    for row in rows:
        people.setdefault(f"id {ids[row]}" if subjects[row] is None else f"subject {subjects[row]}", []).append(row)
    names = list(people)
    left = manifest.split("train").counts()
    need = dict(wanted)
    chosen: list[int] = []
    for i in shuffled(names, seed, "validation"):
        faces = people[names[i]]
        counts = _counts(faces, labels)
        gain = sum(abs(need[name]) - abs(need[name] - n) for name, n in counts.items())
        if gain > 0 and all(left[name] > n for name, n in counts.items()):
            chosen += faces
            for name, n in counts.items():
                need[name] -= n
                left[name] -= n
    if not chosen:  # few people, each with more than is wanted: the one who brings the least too much
        able = [name for name in names if all(left[label] > n for label, n in _counts(people[name], labels).items())]
        over = {name: sum(abs(need.get(label, 0) - n) for label, n in _counts(people[name], labels).items()) for name in able}
        chosen = people[min(able, key=lambda name: (over[name], name))] if able else []
    if not chosen:
        raise DataError(
            f"The {len(people)} subjects of '{manifest.name}' cannot be divided into train and validation; each class needs two people."
        )
    return chosen


def _counts(faces: list[int], labels: list[str]) -> dict[str, int]:
    return {name: sum(labels[row] == name for row in faces) for name in {labels[row] for row in faces}}
