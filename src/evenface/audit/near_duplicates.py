"""Check `near-duplicates`: the same photo mirrored, scaled, brightened, compressed again or shifted by a little.

Candidates (`hashing.py`) are compared by their pixels: both are brought to 48 pixels, only details of some 2 to 6 pixels are kept (the
difference of two blurs: the lighting and the frame of a face are much alike in all portraits, its details are not), and these are
correlated at all shifts of up to 2 pixels, over the whole picture and over its middle, where the expression is. Of 91 random pairs of
FERPlus above 0.80 over the whole, 3 were different photos to the eye, all below 0.83; the few above that are alike by their frame only
(12 of 3,698) fall to the middle. Drawn faces of few strokes on plain grounds are alike in both, and may be taken for twins.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import cv2
import numpy as np

from evenface.audit.finding import Finding, twin
from evenface.audit.hashing import candidates
from evenface.audit.pictures import shows_nothing
from evenface.audit.rows import Rows
from evenface.audit.scan import Scan
from evenface.data.decode import decode


SIDE = 48  # pixels
FINE, COARSE = 1.0, 3.0  # the blurs' sigma, pixels
SHIFT = 2  # pixels
SAME = 0.83  # correlation of the details that makes two pictures the same photo
SAME_MIDDLE = 0.80  # and in the middle of them
BORDER = 10  # pixels around the middle
_HELD = 4096  # pictures


def near_duplicates(rows: Rows, scan: Scan, begin: Callable[[int], None], reach: Callable[[int], None]) -> list[Finding]:
    """A finding per row of the manifest that has a near twin; the score is the highest correlation. Exact copies are not named again.

    Args:
        begin: told the number of candidates.
        reach: told how many of them are done.
    """
    first, copies = _distinct(rows, scan)
    pairs = first[candidates(scan.thumbs[first])]
    begin(len(pairs))
    detail = functools.lru_cache(_HELD)(lambda row: details(decode(rows.image_bytes(row))))
    near: dict[int, dict[int, float]] = {}
    for done, (a, b) in enumerate(pairs.tolist(), 1):
        likeness, inner = alike(detail(a), detail(b))
        if likeness >= SAME and inner >= SAME_MIDDLE:
            for i, j in ((a, b), (b, a)):
                near.setdefault(i, {})[j] = likeness
        if done % 256 == 0 or done == len(pairs):
            reach(done)
    found = []
    for one, twins in near.items():
        others = [row for other in twins for row in copies[other]]
        found += [twin(rows, row, "near-duplicates", others, round(max(twins.values()), 4)) for row in copies[one]]
    return sorted(found, key=lambda f: f.row)


def _distinct(rows: Rows, scan: Scan) -> tuple[np.ndarray, dict[int, list[int]]]:
    """The first row of each distinct picture that shows something, and all rows with its pixels."""
    seen: dict[bytes, int] = {}
    copies: dict[int, list[int]] = {}
    for row in np.flatnonzero(~shows_nothing(scan)[: rows.kept]).tolist():
        first = seen.setdefault(scan.digests[row].tobytes(), row)
        copies.setdefault(first, []).append(row)
    return np.array(sorted(copies), dtype=np.int64), copies


def details(rgb: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 -> (48, 48) float32: what is left of the grey picture between the two blurs."""
    grey = cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA if min(grey.shape) > SIDE else cv2.INTER_CUBIC).astype(np.float32)
    band: np.ndarray = cv2.GaussianBlur(small, (0, 0), FINE) - cv2.GaussianBlur(small, (0, 0), COARSE)
    return band


def alike(one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """The highest correlation, -1 to 1, of one picture's details with the other's or their mirror, over all shifts; and there, that of the
    middles alone.
    """
    whole = np.ascontiguousarray(one[SHIFT:-SHIFT, SHIFT:-SHIFT])
    best = (-1.0, -1.0)
    for view in (other, np.ascontiguousarray(other[:, ::-1])):
        found = cv2.matchTemplate(view, whole, cv2.TM_CCOEFF_NORMED)
        y, x = np.unravel_index(found.argmax(), found.shape)
        if found[y, x] > best[0]:
            there = view[y : y + len(whole), x : x + len(whole)]
            inner = [part[BORDER:-BORDER, BORDER:-BORDER].ravel().astype(float) for part in (whole, there)]
            inner = [part - part.mean() for part in inner]
            size = float(np.linalg.norm(inner[0]) * np.linalg.norm(inner[1]))
            best = (float(found[y, x]), float(inner[0] @ inner[1]) / size if size > 0 else -1.0)
    return best
