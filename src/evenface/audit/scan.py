"""One look at every picture: what the checks on pixels need, some 300 bytes a row.

    scan = scan_rows(rows, folder, workers=2, reach=print)
    scan.digests[0], scan.sizes[0], scan.thumbs[0]          # (16,) uint8, (2,) int32, (16, 16) uint8

| array | of each row |
|---|---|
| `digests` | blake2b of size and pixels, as `evenface.data.duplicates` has it; 0 where it cannot be read |
| `sizes` | width and height; 0 where it cannot be read |
| `problems` | why it cannot be read; "" where it can |
| `flat` | share of the pixels within 3 grey levels of the median |
| `spread` | standard deviation of the grey levels, 0 to 255 |
| `thumbs` | the whole picture in grey at 16 x 16 pixels, by area |
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from PIL import UnidentifiedImageError

from evenface.audit.parts import Arrays, in_parts
from evenface.audit.rows import Rows
from evenface.data.decode import UNREADABLE, open_rgb


SIDE = 16  # of a thumb
NEAR = 3  # grey levels that count as the same
VERSION = 1  # of what a scan holds


@dataclasses.dataclass(frozen=True, eq=False)
class Scan:
    """The arrays of the module's table."""

    digests: np.ndarray
    sizes: np.ndarray
    problems: np.ndarray
    flat: np.ndarray
    spread: np.ndarray
    thumbs: np.ndarray

    @property
    def readable(self) -> np.ndarray:
        """Bool (n,)."""
        mask: np.ndarray = self.sizes[:, 0] > 0
        return mask


def scan_rows(rows: Rows, folder: Path, key: str, *, workers: int, reach: Callable[[int], None]) -> Scan:
    """Looks at all rows, in threads; see `evenface.audit.parts` for `folder` and `reach`, `key` names the pictures."""
    with ThreadPoolExecutor(workers) as pool:

        def look(part: range) -> Arrays:
            found = list(pool.map(lambda row: _look(rows, row), part))
            kinds = {
                "digests": np.uint8,
                "sizes": np.int32,
                "problems": np.str_,
                "flat": np.float32,
                "spread": np.float32,
                "thumbs": np.uint8,
            }
            return {name: np.array([each[i] for each in found], dtype=kind) for i, (name, kind) in enumerate(kinds.items())}

        return Scan(**in_parts(folder, f"scan{VERSION}-{key}", len(rows), look, reach))


def _look(rows: Rows, row: int) -> tuple[np.ndarray, tuple[int, int], str, float, float, np.ndarray]:
    try:
        image = open_rgb(rows.image_bytes(row))
    except UNREADABLE as error:
        return np.zeros(16, np.uint8), (0, 0), reason(error), 0.0, 0.0, np.zeros((SIDE, SIDE), np.uint8)
    size = image.size
    digest = hashlib.blake2b(image.tobytes(), digest_size=16, salt=f"{size[0]}x{size[1]}".encode()[:16]).digest()
    grey = cv2.cvtColor(np.asarray(image), cv2.COLOR_RGB2GRAY)
    flat = float((np.abs(grey.astype(np.int16) - np.int16(np.median(grey))) <= NEAR).mean())
    thumb = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return np.frombuffer(digest, np.uint8), size, "", flat, float(grey.std()), thumb


def reason(error: BaseException) -> str:
    """Why a picture cannot be read, in a few words; the same for the same damage."""
    if isinstance(error, FileNotFoundError):
        return "the file is missing"
    if isinstance(error, UnidentifiedImageError):
        return "no picture, or of an unknown kind"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return re.sub(r"\s*<[^>]*0x[0-9a-f]+>", "", str(error)).strip() or type(error).__name__
