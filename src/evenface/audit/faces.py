"""Checks on the face that a detector found in each picture: `no-face` and `alignment`. A detector errs: look at what they find.

`no-face` has the pictures in which no face is found however they are shown. `alignment` has the faces that lie otherwise in their pictures
than the others do: turned, off the middle, too large or too small. Their landmarks are compared with the set's own medians by the
similarity transform of least squares. In a set of whole photos, where faces lie anywhere, there is nothing to compare with, and the check
says so.
"""

from __future__ import annotations

import math

import numpy as np

from evenface.audit.finding import Finding, odd
from evenface.audit.pictures import shows_nothing
from evenface.audit.rows import Rows
from evenface.audit.scan import Scan
from evenface.audit.search import LOWEST, SURE, Searched
from evenface.faces.alignment import similarity


RELIABLE = {"mtcnn": 0.9, "yunet": 0.7}  # score of a face whose landmarks are believed; YuNet gives lower ones to the same faces
FEWEST = 20  # faces that medians are taken from
TURNED, SHIFTED, SCALED = 30.0, 0.20, 1.5  # degrees; share of the picture's side; factor
LOOSE = 0.08  # median shift above which a set is not cut out alike


def no_face(rows: Rows, scan: Scan, faces: Searched) -> list[Finding]:
    """A finding per picture that shows something, and no face of score 0.7 or more; the score is 1 less that of the best face."""
    found = np.flatnonzero(~shows_nothing(scan) & (faces.scores < SURE))
    verdicts = {int(r): "no face found" if faces.scores[r] < LOWEST else f"best face has a score of {faces.scores[r]:.2f}" for r in found}
    return [odd(rows, row, "no-face", verdict, round(1 - float(faces.scores[row]), 4)) for row, verdict in verdicts.items()]


def reliable(detector: str) -> float:
    """The limit of a detector, as it is asked for by `--detector`."""
    return RELIABLE[detector.partition(":")[0]]


def _believed(faces: Searched, detector: str) -> np.ndarray:
    """The rows whose faces are compared."""
    found: np.ndarray = np.flatnonzero((faces.scores >= reliable(detector)) & np.isfinite(faces.points).all(axis=(1, 2)))
    return found


def not_compared(faces: Searched, detector: str) -> list[str]:
    """What a reader must know where some faces are left out."""
    n, total = len(_believed(faces, detector)), int((faces.scores >= LOWEST).sum())
    return [f"Alignment: {n:,} of {total:,} faces have landmarks that are believed; the others were not compared."] * (n < total)


def alignment(rows: Rows, faces: Searched, detector: str = "mtcnn") -> list[Finding] | str:
    """A finding per face beyond one of the limits; the score is the largest excess, 1 at the limit. Or why none is sought."""
    believed = _believed(faces, detector)
    if len(believed) < FEWEST:
        return f"Fewer than {FEWEST} faces have reliable landmarks; where they belong is not known."
    points = faces.points[believed].astype(float)
    middle = np.median(points, axis=0)
    shifts = np.linalg.norm(points.mean(axis=1) - middle.mean(axis=0), axis=1)
    if np.median(shifts) > LOOSE:
        return "The faces of this set lie in different places of their pictures (not cut out alike), so none can be misplaced."
    found = []
    for row, five, shift in zip(believed.tolist(), points, shifts.tolist(), strict=True):
        matrix = similarity(middle, five)
        angle, size = math.degrees(math.atan2(matrix[1, 0], matrix[0, 0])), math.hypot(matrix[0, 0], matrix[1, 0])
        told = []
        if abs(angle) >= TURNED:
            told.append(f"turned by {abs(angle):.0f} degrees")
        if shift >= SHIFTED:
            told.append(f"{100 * shift:.0f} % of the side off its place")
        if not 1 / SCALED < size < SCALED:
            told.append(f"{size:.2f} times the usual size")
        if told:
            excess = max(abs(angle) / TURNED, shift / SHIFTED, abs(math.log(size)) / math.log(SCALED))
            found.append(odd(rows, row, "alignment", ", ".join(told), round(excess, 3)))
    return found
