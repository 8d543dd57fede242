"""A validation split for sets that have none: a stratified part of train (RAF-DB, AffectNet, own folders).

    manifest = stratified_validation(read_rafdb("RAFDB"), 0.1)      # a tenth of each class moves from train to validation

Where the set has a column `subject`, all faces of a person go to the same side, since the same person in both makes validation too easy.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa

from evenface.data.manifest import Manifest
from evenface.data.order import shuffled
from evenface.errors import ConfigError, DataError


def stratified_validation(manifest: Manifest, fraction: float = 0.1, seed: int = 0) -> Manifest:
    """Moves about `fraction` of each class from train to validation; rows keep their order.

    Of each class round(fraction * n) faces move, at least one where n > 1, and at least one stays in train. Without subjects a larger
    fraction moves all that a smaller one does. With subjects whole persons move, in seeded order, as long as that brings their classes
    nearer to those counts; then, for each class that validation still lacks, the one of those who have it who brings the least too much.
    The notes name a class that validation lacks even so.

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
    notes = [f"{len(chosen)} of {len(rows)} train faces became the validation split (fraction {fraction:g} of each class, seed {seed})."]
    found = {labels[row] for row in chosen}
    lacking = [name for name, count in wanted.items() if count and name not in found]
    if lacking:
        notes.append(f"The validation split has no face of {', '.join(lacking)}: whoever shows it is needed in train.")
    return manifest.replace(table, notes=(*manifest.notes, *notes))


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
    counts = {name: Counter(labels[row] for row in faces) for name, faces in people.items()}
    chosen: list[int] = []

    def able(name: str) -> bool:
        return all(left[label] > n for label, n in counts[name].items())

    def gain(name: str) -> int:
        return sum(abs(need[label]) - abs(need[label] - n) for label, n in counts[name].items())

    def move(name: str) -> None:
        chosen.extend(people[name])
        for label, n in counts[name].items():
            need[label] -= n
            left[label] -= n

    for i in shuffled(names, seed, "validation"):
        if gain(names[i]) > 0 and able(names[i]):
            move(names[i])
    for label, count in wanted.items():  # few people show it, each more often than is wanted: the one who brings the least too much
        those = [name for name in names if label in counts[name] and able(name)]
        if count and need[label] == count and those:
            move(min(those, key=lambda name: (-gain(name), name)))
    if not chosen:
        raise DataError(
            f"The {len(people)} subjects of '{manifest.name}' cannot be divided into train and validation; each class needs two people."
        )
    return chosen
