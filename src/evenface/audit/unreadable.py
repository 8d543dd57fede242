"""Check `unreadable`: pictures that cannot be decoded, with the reason. Training skips them; in train they are suggested for exclusion."""

from __future__ import annotations

import numpy as np

from evenface.audit.finding import Finding
from evenface.audit.odd import pictureless
from evenface.audit.rows import Rows
from evenface.audit.scan import Scan


def unreadable(rows: Rows, scan: Scan) -> list[Finding]:
    """A finding per picture that cannot be read; score 1."""
    return [pictureless(rows, int(row), "unreadable", str(scan.problems[row]), 1.0) for row in np.flatnonzero(~scan.readable)]
