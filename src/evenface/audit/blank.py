"""Check `blank`: pictures of (almost) one colour, such as FER2013's black ones. In train they are suggested for exclusion."""

from __future__ import annotations

import numpy as np

from evenface.audit.finding import Finding
from evenface.audit.odd import pictureless
from evenface.audit.rows import Rows
from evenface.audit.scan import Scan


FLAT = 0.98  # share of pixels near the median
SPREAD = 3.0  # standard deviation of the grey levels


def blank(rows: Rows, scan: Scan) -> list[Finding]:
    """A finding per readable picture in which all but 2 % of the pixels lie within 3 grey levels of the median, or whose grey levels have a
    standard deviation below 3; the score is the share of these pixels.
    """
    found = np.flatnonzero(scan.readable & shows_nothing(scan))
    return [pictureless(rows, int(r), "blank", f"{100 * scan.flat[r]:.0f} % of one colour", float(scan.flat[r])) for r in found]


def shows_nothing(scan: Scan) -> np.ndarray:
    """Bool (n,): shows nothing, blank or not readable."""
    mask: np.ndarray = ~scan.readable | (scan.flat >= FLAT) | (scan.spread < SPREAD)
    return mask
