"""Going through many picture files: decoded ahead by threads, searched and classified in batches, in the order of the list.

for path, pixels, result in predict_pictures(recognizer, paths, failed=failed): ...
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from evenface.errors import DataError
from evenface.files import printable
from evenface.pictures import read_picture
from evenface.recognizer import Recognizer
from evenface.results import FrameResult


BATCH = 16  # pictures, and at most so many pixels at once: a folder of 40-megapixel photos must fit into memory
PIXELS = 24_000_000


def predict_pictures(
    recognizer: Recognizer, paths: Sequence[Path], *, failed: list[tuple[Path, str]], workers: int = 2
) -> Iterator[tuple[Path, np.ndarray, FrameResult]]:
    """Path, pixels (H, W, 3) and result of each picture, in order; a file that cannot be read is added to `failed` with its reason."""
    held: list[tuple[Path, np.ndarray]] = []
    for path, pixels in _decoded(paths, failed, workers):
        if held and (len(held) == BATCH or sum(p.size for _, p in held) + pixels.size > 3 * PIXELS):
            yield from _recognized(recognizer, held)
            held = []
        held.append((path, pixels))
    if held:
        yield from _recognized(recognizer, held)


def _recognized(recognizer: Recognizer, held: list[tuple[Path, np.ndarray]]) -> Iterator[tuple[Path, np.ndarray, FrameResult]]:
    results = recognizer.recognize([pixels for _, pixels in held], [printable(path) for path, _ in held])
    for (path, pixels), result in zip(held, results, strict=True):
        yield path, pixels, result


def _decoded(paths: Sequence[Path], failed: list[tuple[Path, str]], workers: int) -> Iterator[tuple[Path, np.ndarray]]:
    """Pixels in the order of the paths, `workers` files ahead."""
    ahead: deque[tuple[Path, Future[np.ndarray]]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        rest = iter(paths)
        try:
            while True:
                while len(ahead) <= workers and (path := next(rest, None)) is not None:
                    ahead.append((path, pool.submit(read_picture, path)))
                if not ahead:
                    return
                path, pixels = ahead.popleft()
                try:
                    yield path, pixels.result()
                except (DataError, OSError) as error:
                    failed.append((path, str(error)))
        finally:
            for _, waiting in ahead:
                waiting.cancel()
