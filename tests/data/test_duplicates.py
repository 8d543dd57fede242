from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evenface.data.duplicates import duplicates_of_train, scan_images
from evenface.data.ferplus import read_ferplus
from evenface.data.manifest import Manifest, build
from evenface.errors import DataError


def encoded(pixels: np.ndarray, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, **options)
    return out.getvalue()


@pytest.fixture
def twins() -> Manifest:
    """Validation: train's first as WebP, it with one pixel changed, train's grey one as RGB, the first in another shape, a broken one."""
    rng = np.random.default_rng(0)
    colour = rng.integers(0, 256, (4, 6, 3), dtype=np.uint8)
    grey = rng.integers(0, 256, (4, 6), dtype=np.uint8)
    changed = colour.copy()
    changed[3, 5, 2] ^= 1
    images = [
        encoded(colour, "PNG"),
        encoded(grey, "PNG"),
        b"",
        encoded(colour, "WEBP", lossless=True),
        encoded(changed, "PNG"),
        encoded(np.repeat(grey[..., None], 3, axis=2), "BMP"),
        encoded(colour.reshape(6, 4, 3), "PNG"),
        b"",
        encoded(colour, "BMP"),
    ]
    split = ["train"] * 3 + ["validation"] * 5 + ["test"]
    return build({"id": list("abcdefghi"), "split": split, "label": ["fear"] * 9, "image": images}, ("fear",), name="twins")


@pytest.mark.parametrize("workers", [1, 4, None])
def test_pixels_decide_not_files(twins: Manifest, workers: int | None) -> None:
    assert duplicates_of_train(twins, "validation", workers).tolist() == [True, False, True, False, False]
    assert duplicates_of_train(twins, "test", workers).tolist() == [True]
    assert duplicates_of_train(twins, "train", workers).tolist() == [False] * 3


def test_the_scan_tells_sizes_and_what_cannot_be_read(twins: Manifest) -> None:
    scan = scan_images(twins)
    assert scan.readable.tolist() == [True, True, False, True, True, True, True, False, True]
    assert scan.sizes.tolist() == [[6, 4], [6, 4], [0, 0], [6, 4], [6, 4], [6, 4], [4, 6], [0, 0], [6, 4]]
    assert scan.in_train(twins.table["split"].to_pylist()).tolist() == [False] * 3 + [True, False, True, False, False, True]


def test_without_train_there_are_none(make: Callable[..., Manifest]) -> None:
    m = make({"test": {"fear": 3}})
    assert duplicates_of_train(m, "test").tolist() == [False] * 3
    with pytest.raises(DataError, match="no validation split"):
        duplicates_of_train(m, "validation")


@pytest.mark.slow
def test_the_real_set(shared: Path) -> None:
    m = read_ferplus(shared / "data" / "ferplus")
    twins = scan_images(m).in_train(m.table["split"].to_pylist())
    split = np.array(m.table["split"].to_pylist())
    assert [int(twins[split == s].sum()) for s in ("train", "validation", "test")] == [0, 248, 257]
