"""Checks on single pictures, from what the scan saw: `unreadable`, `tiny` and `blank`.

An unreadable or blank picture (such as FER2013's black ones) shows nothing: in train it is suggested for exclusion. A tiny one is enlarged
for the network and shows little; it stays.
"""

from __future__ import annotations

import numpy as np

from evenface.audit.finding import Finding, odd, pictureless
from evenface.audit.rows import Rows
from evenface.audit.scan import Scan


MIN_SIDE = 32  # pixels
FLAT = 0.98  # share of pixels near the median
SPREAD = 3.0  # standard deviation of the grey levels


def unreadable(rows: Rows, scan: Scan) -> list[Finding]:
    """A finding per picture that cannot be read; score 1."""
    return [pictureless(rows, int(row), "unreadable", str(scan.problems[row]), 1.0) for row in np.flatnonzero(~scan.readable)]


def tiny(rows: Rows, scan: Scan, min_side: int = MIN_SIDE) -> list[Finding]:
    """A finding per readable picture with a side below `min_side` pixels; the score is by how much, 0 to 1."""
    shorter = scan.sizes.min(axis=1)
    found = np.flatnonzero(scan.readable & (shorter < min_side))
    return [odd(rows, int(r), "tiny", f"{scan.sizes[r][0]} x {scan.sizes[r][1]} pixels", 1 - float(shorter[r]) / min_side) for r in found]


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
