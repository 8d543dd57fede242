"""Some faces of a split to look at: named by their ids, or so many of each class, drawn by a seed.

    rows = chosen(load_dataset("ferplus", "path/to/ferplus").split("validation"), "fer0028638,fer0028642")
    rows = chosen(part, "2")                                # two of each class

The drawing is that of `evenface.data.order`: it depends on ids and seed only, and two of each class are among three of each class.
"""

from __future__ import annotations

import numpy as np

from evenface.data.manifest import Manifest
from evenface.data.order import shuffled
from evenface.errors import ConfigError, DataError, unknown_name


def chosen(part: Manifest, which: str, seed: int = 0) -> np.ndarray:
    """Rows (n,), int64, of the faces that a text asks for: ids with commas between, or a whole number N for N of each class.

    A whole number that is the id of a face is that face.

    Raises:
        ConfigError: an id that the split does not have, or nothing asked for.
    """
    words = [word.strip() for word in which.split(",") if word.strip()]
    if not words:
        raise ConfigError("Name faces by their ids, with commas between, or say how many of each class, such as 1.")
    if len(words) == 1 and words[0].isdecimal() and words[0] not in set(part.ids()):
        return per_class(part, int(words[0]), seed)
    return named(part, words)


def named(part: Manifest, ids: list[str]) -> np.ndarray:
    """Rows of these ids, each once, in the order in which they are named.

    Raises:
        ConfigError: an id that the manifest does not have; names the nearest one.
    """
    place = {name: row for row, name in enumerate(part.ids())}
    for name in ids:
        if name not in place:
            known = f"one of the {len(place):,} of '{part.name}', such as {next(iter(place), 'none')}"
            hint = unknown_name("id", name, place).partition("; ")[2]
            raise ConfigError(f"Unknown id '{name}'; {hint if hint.startswith('did you') else f'it must be {known}.'}")
    return np.array([place[name] for name in dict.fromkeys(ids)], dtype=np.int64)


def per_class(part: Manifest, n: int, seed: int = 0) -> np.ndarray:
    """Rows of `n` faces of each class, or of all that a class has, class by class.

    Raises:
        ConfigError: n below 1.
        DataError: no face at all.
    """
    if n < 1:
        raise ConfigError(f"The number of faces of each class must be at least 1, not {n}.")
    ids, targets = np.array(part.ids(), dtype=object), part.targets()
    rows = []
    for label in range(len(part.class_names)):
        members = np.flatnonzero(targets == label)
        if len(members):
            rows.append(members[shuffled(ids[members], seed, "explain")[:n]])
    if not rows:
        raise DataError(f"The data set '{part.name}' has no face to look at.")
    return np.concatenate(rows)


def at_random(part: Manifest, n: int, seed: int = 0) -> np.ndarray:
    """Rows of `n` faces of all classes, as frequent as they are in the split, in the order of the split; all of them where n is larger."""
    return np.sort(shuffled(part.ids(), seed, "explain")[:n])
