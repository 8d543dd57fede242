"""A set of drawn faces with planted faults: what each check must find is known by construction."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from evenface.audit.rows import Rows
from evenface.audit.scan import Scan, scan_rows
from evenface.data.manifest import Manifest, build
from evenface.data.synthetic import synthetic_face


LABELS = ("happiness", "sadness", "anger")


def png(rgb: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(rgb).save(out, "PNG")
    return out.getvalue()


def jpeg(rgb: np.ndarray, quality: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(rgb).save(out, "JPEG", quality=quality)
    return out.getvalue()


def face(seed: int, label: str = "happiness", size: int = 64) -> np.ndarray:
    """A drawn face behind a pattern of its own, for drawn faces are more alike than photos."""
    rng = np.random.default_rng(seed)
    pattern = cv2.resize(rng.normal(0, 45, (12, 12, 1)).astype(np.float32), (size, size), interpolation=cv2.INTER_CUBIC)
    return np.clip(synthetic_face(label, seed=seed, size=size) * 0.6 + 50 + pattern[..., None], 0, 255).astype(np.uint8)


Item = tuple[str, str, str, bytes]  # id, split, label, picture


def manifest_of(items: list[Item], **columns: Any) -> Manifest:
    names, splits, labels, images = (list(column) for column in zip(*items, strict=True))
    return build({"id": names, "split": splits, "label": labels, "image": images, **columns}, LABELS, name="planted")


@pytest.fixture(scope="session")
def planted() -> list[Item]:
    """60 distinct faces, and the faults that the tests name."""
    items = [(f"f{i}", ("train", "train", "test")[i % 3], LABELS[i // 20], png(face(i, LABELS[i // 20]))) for i in range(60)]
    first, third = face(0), face(3)
    items += [
        ("copy-test", "test", "happiness", png(first)),  # of f0, in train
        ("copy-train", "train", "sadness", png(third)),  # of f3, in train, with another label
        ("mirror", "validation", "happiness", png(np.ascontiguousarray(face(6)[:, ::-1]))),  # of f6, in train
        ("dark", "train", "happiness", png((face(9) * 0.7 + 10).astype(np.uint8))),  # of f9, in train
        ("small", "train", "happiness", png(cv2.resize(face(12), (48, 48), interpolation=cv2.INTER_AREA))),  # of f12, in train
        ("pressed", "test", "happiness", jpeg(face(15), 40)),  # of f15, in train
        ("tiny", "train", "anger", png(np.random.default_rng(0).integers(0, 256, (20, 90, 3), dtype=np.uint8))),
        ("black", "train", "anger", png(np.zeros((64, 64, 3), np.uint8))),
        ("grey-test", "test", "anger", png(np.full((64, 64, 3), 90, np.uint8))),
        ("cut", "train", "anger", png(face(99))[:300]),
        ("empty", "train", "anger", b""),
        ("text", "test", "anger", b"not a picture at all"),
    ]
    return items


@pytest.fixture(scope="session")
def rows(planted: list[Item]) -> Rows:
    return Rows(manifest_of(planted))


@pytest.fixture(scope="session")
def scan(rows: Rows, tmp_path_factory: pytest.TempPathFactory) -> Scan:
    return scan_rows(rows, tmp_path_factory.mktemp("scan"), rows.pictures_key(), workers=2, reach=lambda done: None)


@pytest.fixture
def named(rows: Rows) -> Callable[[Any], dict[str, Any]]:
    """Findings by the id of their row."""
    return lambda findings: {rows.ids[f.row]: f for f in findings}
