"""Check `labels`: doubtful labels. A judge that has not learned from a face (`folds.py`) takes it for another class than its label says.

Doubtful is not wrong: the face may be ambiguous, or the judge poor. The faces of all splits are judged; copies of a picture and faces of a
person are judged by folds that have seen none of them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from evenface.audit.facts import people
from evenface.audit.finding import Finding, odd
from evenface.audit.folds import joined, out_of_fold
from evenface.audit.judge import doubtful, margins
from evenface.audit.rows import Rows
from evenface.errors import ConfigError


def labels(
    rows: Rows,
    features: np.ndarray,
    visible: np.ndarray,
    copies: list[list[int]],
    *,
    folds: int,
    rule: str,
    reach: Callable[[int], None],
) -> list[Finding] | str:
    """A finding per doubtful label; the score is by how much the other class is more probable. Or why none is sought.

    Args:
        features: (kept rows, C).
        visible: bool (kept rows,), False for pictures that show nothing; they are not judged.
        copies: rows that show the same photo, together.
        folds, rule: see `out_of_fold` and `doubtful`.
    """
    if folds < 2:
        raise ConfigError(f"--folds is at least 2, not {folds}.")
    groups = joined(rows.kept, [*copies, *people(rows).values()])
    names = np.array(rows.labels[: rows.kept], dtype=object)
    enough = {name for name in set(names[visible]) if len(set(groups[visible & (names == name)].tolist())) >= folds}
    judged = np.flatnonzero(visible & np.isin(names, sorted(enough)))
    if len(enough) < 2:
        return f"Fewer than two classes have {folds} distinct faces, so there is nothing to judge by."
    classes = [name for name in rows.manifest.class_names if name in enough]
    index = {name: i for i, name in enumerate(classes)}
    given = np.array([index[name] for name in names[judged]], dtype=np.int64)
    p = out_of_fold(features[judged], given, groups[judged], folds, reach)
    mask = doubtful(given, p, rule)
    by, other = margins(given, p)
    found = []
    for i in np.flatnonzero(mask).tolist():
        verdict = f"looks like {classes[other[i]]} ({p[i, other[i]]:.2f}; {classes[given[i]]} {p[i, given[i]]:.2f})"
        found.append(odd(rows, int(judged[i]), "labels", verdict, round(float(by[i]), 4)))
    return found
