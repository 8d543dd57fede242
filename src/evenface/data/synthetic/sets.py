"""Sets of synthetic faces: any counts per split and class, as a manifest.

    from evenface.data.synthetic import read_synthetic, synthetic_manifest
    read_synthetic().counts("train")                                # the embedded set, imbalance 50
    synthetic_manifest({"train": {"fear": 20, "surprise": 900}})    # your own

A face is seeded by (seed, split, class, index): raising a count adds faces and leaves the others as they are.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from evenface.data.manifest import SPLITS, Manifest, build
from evenface.data.synthetic.dice import Dice
from evenface.data.synthetic.face import draw_face, sample_face
from evenface.errors import ConfigError, DataError, StorageError
from evenface.labels import CLASSES, canonical, class_set
from evenface.paths import cache_folder


LICENCE = "CC0-1.0 (generated)"
SIZE = 64
TRAIN_COUNTS = {
    "happiness": 800, "neutral": 520, "sadness": 340, "surprise": 240, "disgust": 24, "anger": 110, "fear": 16, "contempt": 20,
}  # fmt: skip
"""Faces per class of the embedded training split: the order and the factor of 50 are those of expression sets in the wild."""
HELD_OUT = {"validation": 60, "test": 100}
_NOISE_STREAM = 8


def synthetic_manifest(
    counts: Mapping[str, Mapping[str, int]],
    size: int = SIZE,
    seed: int = 0,
    *,
    label_noise: float = 0.0,
    occlusion: float = 0.15,
    class_names: tuple[str, ...] | None = None,
    name: str = "synthetic",
) -> Manifest:
    """Draws a set: `counts[split][class]` faces as PNG bytes, with the columns `au` (FACS code), `drawn` (the class before noise)
    and `occluder`.

    Args:
        counts: faces per split (train, validation, test) and class.
        size: side in pixels.
        seed: whole number >= 0; another seed is another set.
        label_noise: probability that a *training* label is replaced by another class, each equally likely (symmetric noise).
        occlusion: share of faces with something in front.
        class_names: classes of the manifest; by default the canonical order of those that occur.

    Raises:
        ConfigError: an unknown split, a negative count, a rate outside 0 to 1. LabelError: an unknown class.
        DataError: all counts are zero.
    """
    wanted = {split: {canonical(label): n for label, n in per.items()} for split, per in counts.items()}
    _check(wanted, label_noise)
    names = class_names or tuple(c for c in CLASSES if any(c in per for per in wanted.values()))
    rows: dict[str, list[str | bytes]] = {key: [] for key in ("id", "split", "label", "image", "au", "drawn", "occluder")}
    for split in (s for s in SPLITS if s in wanted):
        for label in (c for c in CLASSES if c in wanted[split]):
            for i in range(wanted[split][label]):
                key = (seed, SPLITS.index(split), CLASSES.index(label), i)
                face = sample_face(label, key, occlusion=occlusion)
                rows["id"].append(f"{name}-{split}-{label}-{i:05d}")
                rows["split"].append(split)
                rows["label"].append(_noisy(label, names, key, label_noise if split == "train" else 0.0))
                rows["image"].append(_png(draw_face(face, size, key)))
                rows["au"].append(face.expression.code())
                rows["drawn"].append(label)
                rows["occluder"].append(face.scene.occluder)
    if not rows["id"]:
        raise DataError("A synthetic set needs at least one face; every count is zero.")
    return build(rows, names, name=name, notes=(f"Drawn from facial action units with seed {seed}, {size} px.",), licence=LICENCE)


def read_synthetic(data_dir: Path | None = None, *, classes: int = 7) -> Manifest:
    """The embedded set: 64 px, strongly imbalanced training faces, balanced validation and test (`--dataset synthetic`).

    It is drawn once, in some ten seconds, and kept in the cache.

    Raises:
        ConfigError: a data folder is given. LabelError: `classes` is not 7 or 8.
    """
    if data_dir is not None:
        raise ConfigError("The synthetic set is drawn, not read; leave --data-dir out.")
    names = class_set(classes)
    path = _cached(classes)
    if path is not None and path.exists():
        with contextlib.suppress(DataError):  # damaged: drawn again
            return Manifest.load(path)
    counts = {"train": {c: TRAIN_COUNTS[c] for c in names}, **{split: dict.fromkeys(names, n) for split, n in HELD_OUT.items()}}
    manifest = synthetic_manifest(counts, class_names=names)
    if path is not None:
        with contextlib.suppress(StorageError):  # a full cache costs time, not the set
            manifest.save(path)
    return manifest


def _cached(classes: int) -> Path | None:
    """Where the embedded set is kept once it is drawn; the name is a hash of the code that draws it. None without a place for it."""
    code = hashlib.blake2b(digest_size=8)
    for source in sorted(Path(__file__).parent.glob("*.py")):
        code.update(source.read_bytes())
    try:
        return cache_folder() / "synthetic" / f"{code.hexdigest()}-{classes}.parquet"
    except OSError:
        return None


def contact_sheet(
    classes: tuple[str, ...] = CLASSES, columns: int = 10, size: int = 96, seed: int = 0, *, occlusion: float = 0.15, plain: bool = False
) -> Image.Image:
    """A picture with a row per class and a column per seed, RGB. The person of a column is the same in every row where `plain`."""
    gap = 2
    sheet = Image.new("RGB", (columns * (size + gap) + gap, len(classes) * (size + gap) + gap), "white")
    for row, label in enumerate(classes):
        for column in range(columns):
            key = (seed, column) if plain else (seed, 9, row, column)
            image = draw_face(sample_face(label, key, occlusion=occlusion, plain=plain), size, key)
            sheet.paste(Image.fromarray(image), (gap + column * (size + gap), gap + row * (size + gap)))
    return sheet


def _check(wanted: Mapping[str, Mapping[str, int]], label_noise: float) -> None:
    strange = sorted(set(wanted) - set(SPLITS))
    if strange:
        raise ConfigError(f"Unknown split '{strange[0]}'; a split is train, validation or test.")
    negative = [f"{split}/{label}" for split, per in wanted.items() for label, n in per.items() if n < 0]
    if negative:
        raise ConfigError(f"The count of {negative[0]} is negative.")
    if not 0 <= label_noise <= 1:
        raise ConfigError(f"The label noise must be between 0 and 1, not {label_noise}.")


def _noisy(label: str, names: tuple[str, ...], key: tuple[int, ...], rate: float) -> str:
    """The label, or with that probability one of the other classes."""
    dice = Dice(key, _NOISE_STREAM)
    others = [n for n in names if n != label]
    return others[dice.index(len(others))] if others and dice.chance(rate) else label


def _png(image: np.ndarray) -> bytes:
    """PNG, lightly packed: the pixels are the same on every machine, the packed bytes depend on its zlib."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
