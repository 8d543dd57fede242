"""Tiny pictures and label files for the readers' fixtures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evenface.data.manifest import Manifest, build


Picture = Callable[..., Path]


@pytest.fixture
def picture() -> Picture:
    """Writes a small random picture; the same seed gives the same pixels."""

    def write(path: Path, seed: int = 0, size: tuple[int, int] = (6, 5), grey: bool = False) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        shape = (size[1], size[0]) if grey else (size[1], size[0], 3)
        Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)).save(path)
        return path

    return write


@pytest.fixture
def make() -> Callable[..., Manifest]:
    """A manifest without pixels: `make({"train": {"fear": 3}, ...})`."""

    def manifest(counts: dict[str, dict[str, int]], **columns: list[object]) -> Manifest:
        rows = [(split, label) for split, per_class in counts.items() for label, n in per_class.items() for _ in range(n)]
        names = tuple(dict.fromkeys(label for per_class in counts.values() for label in per_class))
        ids = [f"face{i:06d}" for i in range(len(rows))]
        table = {"id": ids, "split": [s for s, _ in rows], "label": [label for _, label in rows], "image": [f"{i}.png" for i in ids]}
        return build(table | columns, names, name="made")

    return manifest
