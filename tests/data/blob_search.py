"""A detector for pictures with a black ground: every connected bright patch is a face. Other processes import it by its name."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence

import cv2
import numpy as np

from evenface.faces.detection import Detection


def blobs(images: Sequence[np.ndarray]) -> list[list[Detection]]:
    """The score is the share of the patch that is bright; the landmarks lie where the template arcface wants them in the box."""
    return [_faces(image) for image in images]


def deadly(images: Sequence[np.ndarray]) -> list[list[Detection]]:
    """The same, but the process is killed at the first picture with a pure red pixel in its corner, as long as a file is there."""
    fuse = os.environ.get("BLOB_FUSE", "")
    if any((image[0, 0] == (255, 0, 0)).all() for image in images) and os.path.exists(fuse):
        os.unlink(fuse)
        os.kill(os.getpid(), signal.SIGKILL)
    return blobs(images)


def _faces(image: np.ndarray) -> list[Detection]:
    count, _, stats, _ = cv2.connectedComponentsWithStats((image[1:].max(axis=2) > 0).astype(np.uint8))
    faces = []
    for left, top, width, height, area in stats[1:count].tolist():
        box = (float(left), float(top + 1), float(left + width), float(top + 1 + height))
        points = ((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041))
        marks = tuple((box[0] + x / 112 * width, box[1] + y / 112 * height) for x, y in points)
        faces.append(Detection(box, area / (width * height), marks))
    return faces
