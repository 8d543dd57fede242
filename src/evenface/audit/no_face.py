"""Check `no-face`: pictures in which the detector finds no face however it is shown them. A detector errs: look at them."""

from __future__ import annotations

import numpy as np

from evenface.audit.blank import shows_nothing
from evenface.audit.finding import Finding
from evenface.audit.odd import odd
from evenface.audit.rows import Rows
from evenface.audit.scan import Scan
from evenface.audit.searched import LOWEST, SURE, Searched


def no_face(rows: Rows, scan: Scan, faces: Searched) -> list[Finding]:
    """A finding per picture that shows something, and no face of score 0.7 or more; the score is 1 less that of the best face."""
    found = np.flatnonzero(~shows_nothing(scan) & (faces.scores < SURE))
    verdicts = {int(r): "no face found" if faces.scores[r] < LOWEST else f"best face has a score of {faces.scores[r]:.2f}" for r in found}
    return [odd(rows, row, "no-face", verdict, round(1 - float(faces.scores[row]), 4)) for row, verdict in verdicts.items()]
