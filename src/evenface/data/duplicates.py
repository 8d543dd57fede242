"""Faces of one split that stand in train pixel for pixel, whatever file format holds them.

    duplicates_of_train(read_ferplus("ferplus"), "test").sum()          # 257 of 3,137

Every image is decoded to RGB and its size and pixels are hashed (blake2b). A near twin (rescaled, re-encoded with loss) is not found.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from evenface.data.decode import UNREADABLE, open_rgb
from evenface.data.manifest import Manifest


_CHUNK = 256  # rows per task: handing single faces to threads costs as much as decoding them


@dataclasses.dataclass(frozen=True, eq=False)
class ImageScan:
    """What one pass over the images of a manifest finds.

    Attributes:
        digests: a hash of size and pixels per row, or None where the image cannot be read.
        sizes: width and height per row (n, 2), int64; 0 where it cannot be read.
    """

    digests: tuple[bytes | None, ...]
    sizes: np.ndarray

    @property
    def readable(self) -> np.ndarray:
        """Bool (n,)."""
        return np.array([d is not None for d in self.digests], dtype=bool)

    def in_train(self, splits: list[str]) -> np.ndarray:
        """Which rows outside train have the pixels of a train row; bool (n,), False in train itself."""
        train = {d for d, s in zip(self.digests, splits, strict=True) if s == "train" and d is not None}
        return np.array([s != "train" and d in train for d, s in zip(self.digests, splits, strict=True)], dtype=bool)


def scan_images(manifest: Manifest, workers: int | None = None) -> ImageScan:
    """Decodes and hashes every image once, in threads (Pillow works outside the interpreter lock)."""

    def one(row: int) -> tuple[bytes | None, tuple[int, int]]:
        try:
            image = open_rgb(manifest.image_bytes(row))
        except UNREADABLE:
            return None, (0, 0)
        size = image.size
        return hashlib.blake2b(image.tobytes(), digest_size=16, salt=f"{size[0]}x{size[1]}".encode()[:16]).digest(), size

    def some(start: int) -> list[tuple[bytes | None, tuple[int, int]]]:
        return [one(row) for row in range(start, min(start + _CHUNK, len(manifest)))]

    with ThreadPoolExecutor(workers or min(os.cpu_count() or 1, 16)) as pool:
        found = [face for faces in pool.map(some, range(0, len(manifest), _CHUNK)) for face in faces]
    return ImageScan(tuple(d for d, _ in found), np.array([s for _, s in found], dtype=np.int64).reshape(-1, 2))


def duplicates_of_train(manifest: Manifest, split: str, workers: int | None = None) -> np.ndarray:
    """Which rows of a split stand in train pixel for pixel; bool (n of that split,), in the manifest's order.

    Without a train split nothing does. Unreadable images count as no duplicate.

    Raises:
        DataError: no row has that split.
    """
    part = manifest.split(split)
    if split == "train" or "train" not in manifest.splits:
        return np.zeros(len(part), dtype=bool)
    train = {d for d in scan_images(manifest.split("train"), workers).digests if d is not None}
    return np.array([d in train for d in scan_images(part, workers).digests], dtype=bool)
