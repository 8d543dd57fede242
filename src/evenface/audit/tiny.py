"""Check `tiny`: pictures whose shorter side has few pixels. They are enlarged for the network and show little."""

from __future__ import annotations

import numpy as np

from evenface.audit.finding import Finding
from evenface.audit.odd import odd
from evenface.audit.rows import Rows
from evenface.audit.scan import Scan


MIN_SIDE = 32  # pixels


def tiny(rows: Rows, scan: Scan, min_side: int = MIN_SIDE) -> list[Finding]:
    """A finding per readable picture with a side below `min_side` pixels; the score is by how much, 0 to 1."""
    shorter = scan.sizes.min(axis=1)
    found = np.flatnonzero(scan.readable & (shorter < min_side))
    return [odd(rows, int(r), "tiny", f"{scan.sizes[r][0]} x {scan.sizes[r][1]} pixels", 1 - float(shorter[r]) / min_side) for r in found]
