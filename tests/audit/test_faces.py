"""Searching for faces, with scikit-image's photo of an astronaut: found however it lies, and where it lies; and what is said of it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from evenface.audit.faces import alignment, no_face, not_compared
from evenface.audit.rows import Rows
from evenface.audit.scan import Scan
from evenface.audit.search import FRAME, VIEWS, Searched, framed, search_rows

from .conftest import manifest_of, png


def astronaut(turn: float = 0.0) -> np.ndarray:
    """Her face, cut out tightly as 64 x 64 pixels."""
    data = pytest.importorskip("skimage.data")
    picture = data.astronaut()
    centre = (222.0, 118.0)  # between eyes and mouth
    matrix = cv2.getRotationMatrix2D(centre, turn, 0.55)
    matrix[:, 2] += np.array([32, 32]) - centre
    face: np.ndarray = cv2.warpAffine(picture, matrix, (64, 64), flags=cv2.INTER_AREA)
    return face


def test_a_frame_and_its_matrix_belong_together() -> None:
    """A bright dot in the picture lies in the frame where the matrix says, in each view."""
    for view in VIEWS:
        for x, y in ((20, 10), (50, 60), (40, 33)):
            picture = np.zeros((80, 100, 3), np.uint8)
            picture[y - 2 : y + 3, x - 2 : x + 3] = 255  # its middle is at (x + 0.5, y + 0.5)
            frame, matrix = framed(picture, *view)
            assert frame.shape == (FRAME, FRAME, 3)
            rows, columns = np.nonzero(frame[..., 0] > 128)
            expected = matrix[:, :2] @ [(x + 0.5) / 100, (y + 0.5) / 80] + matrix[:, 2]
            assert [columns.mean() + 0.5, rows.mean() + 0.5] == pytest.approx(expected.tolist(), abs=0.7)


def test_faces_are_found_where_they_are(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    items = [
        ("face", "train", "happiness", png(astronaut())), ("turned", "train", "happiness", png(astronaut(40))),
        ("noise", "train", "anger", png(noise)), ("broken", "train", "anger", b"?"),
    ]  # fmt: skip
    found = search_rows(Rows(manifest_of(items)), tmp_path, "0", workers=2, reach=lambda done: None)
    assert (found.scores[:2] > 0.9).all()
    assert found.scores[2] < 0.7
    assert found.scores[3] == 0
    eyes = found.points[0, :2]
    assert eyes[0, 0] < eyes[1, 0]  # left, right as seen
    assert abs(eyes[0, 1] - eyes[1, 1]) < 0.1
    assert (found.points[0, 3:, 1] > eyes[:, 1].max()).all()  # the mouth is below
    level, tilted = (np.degrees(np.arctan2(*(points[1] - points[0])[::-1])) for points in found.points[:2])
    assert level - tilted == pytest.approx(40, abs=8)  # turned against the clock; y goes down


def scan_of(n: int, blank: int | None = None) -> Scan:
    flat = np.array([1.0 if i == blank else 0.1 for i in range(n)])
    return Scan(
        np.zeros((n, 16), np.uint8), np.full((n, 2), 48), np.array([""] * n), flat, np.full(n, 50.0), np.zeros((n, 16, 16), np.uint8)
    )


FIVE = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]])


def test_no_face() -> None:
    rows = Rows(manifest_of([(f"r{i}", "train", "anger", b"") for i in range(4)]))
    faces = Searched(np.array([0.99, 0.4, 0.0, 0.0], np.float32), np.full((4, 5, 2), np.nan, np.float32))
    found = {rows.ids[f.row]: (f.verdict, f.score, f.suggestion) for f in no_face(rows, scan_of(4, blank=3), faces)}
    assert found == {"r1": ("best face has a score of 0.40", 0.6, "keep"), "r2": ("no face found", 1.0, "keep")}


def test_alignment() -> None:
    """30 faces in place, one turned by 45 degrees, one shifted, one twice as large, one turned that is not to be believed."""
    rng = np.random.default_rng(0)
    rows = Rows(manifest_of([(f"r{i}", "train", "anger", b"") for i in range(34)]))
    points = np.stack([FIVE + rng.normal(0, 0.002, (5, 2)) for _ in range(34)])
    a = np.radians(45)
    turn = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    middle = FIVE.mean(0)
    points[30] = (FIVE - middle) @ turn.T + middle
    points[31] = FIVE + np.array([0.25, 0])
    points[32] = (FIVE - middle) * 2 + middle
    points[33] = points[30]
    scores = np.array([0.99] * 33 + [0.8], np.float32)
    found = {rows.ids[f.row]: f for f in alignment(rows, Searched(scores, points.astype(np.float32)))}  # type: ignore[union-attr]
    assert set(found) == {"r30", "r31", "r32"}
    assert found["r30"].verdict == "turned by 45 degrees"
    assert found["r30"].score == pytest.approx(1.5, abs=0.05)
    assert found["r31"].verdict == "25 % of the side off its place"
    assert found["r32"].verdict.startswith("2.0")
    faces = Searched(scores, points.astype(np.float32))
    assert not_compared(faces, "mtcnn") == ["Alignment: 33 of 34 faces have landmarks that are believed; the others were not compared."]
    by_yunet = alignment(rows, faces, "yunet:some/file.onnx")  # whose scores are lower
    assert {rows.ids[f.row] for f in by_yunet} == {"r30", "r31", "r32", "r33"}  # type: ignore[union-attr]
    assert not_compared(faces, "yunet") == []


def test_faces_that_lie_anywhere_have_no_place() -> None:
    rng = np.random.default_rng(0)
    rows = Rows(manifest_of([(f"r{i}", "train", "anger", b"") for i in range(40)]))
    points = np.stack([FIVE * 0.3 + rng.uniform(0, 0.7, 2) for _ in range(40)]).astype(np.float32)
    assert "not cut out alike" in str(alignment(rows, Searched(np.full(40, 0.99, np.float32), points)))
    assert "Fewer than 20" in str(alignment(rows, Searched(np.full(40, 0.5, np.float32), points)))
