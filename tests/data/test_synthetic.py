"""Synthetic faces: the same everywhere, nested, to the counts asked for, and moved where anatomy says."""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from evenface.data.synthetic import contact_sheet, read_synthetic, sets, synthetic_face, synthetic_manifest
from evenface.data.synthetic.canvas import Canvas, Pose, capsule, ellipse, rounded
from evenface.data.synthetic.dice import Dice
from evenface.data.synthetic.units import PROTOTYPES, UNITS, Expression, sample
from evenface.errors import ConfigError, DataError, LabelError
from evenface.labels import BASIC, CLASSES


BROWS, EYES, NOSE, MOUTH = (0.12, 0.42), (0.38, 0.56), (0.44, 0.64), (0.60, 0.95)  # bands of rows, shares of the height
BARE = 114  # a seed whose person has neither hair, glasses, beard nor freckles


def _pixels(blob: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(blob)))


def _change(units: dict[int, float | tuple[float, float]], seed: int = BARE) -> np.ndarray:
    """Mean absolute change of each pixel against the face at rest, (96, 96)."""
    rest = synthetic_face("neutral", seed, 96, plain=True, units={}).astype(float)
    moved = synthetic_face("neutral", seed, 96, plain=True, units=units).astype(float)
    return np.abs(moved - rest).mean(axis=2)


def _share(change: np.ndarray, band: tuple[float, float]) -> float:
    """The part of a change that lies in a band of rows and the middle of the columns."""
    size = len(change)
    rows = slice(int(band[0] * size), int(band[1] * size))
    return float(change[rows, size // 8 : -size // 8].sum() / change.sum())


# --- the same on every machine


def test_pixels_are_those_of_every_other_machine():
    """A golden hash: if it changes, every published number on this set changes with it."""
    faces = [synthetic_face(label, (3, i), size) for i, label in enumerate(CLASSES) for size in (48, 64)]
    faces += [synthetic_face("fear", (7, i), 40, occlusion=1.0) for i in range(12)]
    digest = hashlib.blake2b(b"".join(face.tobytes() for face in faces), digest_size=16).hexdigest()
    assert digest == "5aa2eecbe8c7450b44ec36489b7f1158"


def test_dice_have_known_numbers():
    """SHAKE-128 by hand: the first word of the stream, shifted to 53 bits."""
    word = int.from_bytes(hashlib.shake_128(b"evenface/1/5,6/1").digest(8), "little")
    assert Dice((5, 6), 1).unit() == (word >> 11) / 2**53
    dice = Dice((0,), 0)
    draws = np.array([dice.bell(2.0, 0.5) for _ in range(4000)])
    assert draws.min() >= 1.0
    assert draws.max() <= 3.0
    assert draws.mean() == pytest.approx(2.0, abs=0.03)
    assert draws.std() == pytest.approx(0.5 / np.sqrt(3), abs=0.02)


def test_the_same_twice_and_another_with_another_seed():
    first = synthetic_face("anger", 4)
    assert np.array_equal(first, synthetic_face("angry", [4]))
    assert not np.array_equal(first, synthetic_face("anger", 5))


@pytest.mark.parametrize("size", [16, 33, 96])
def test_shape_type_and_range(size: int):
    face = synthetic_face("surprise", 1, size)
    assert face.shape == (size, size, 3)
    assert face.dtype == np.uint8
    assert face.flags.c_contiguous
    assert np.ptp(face) > 100


def test_a_seed_is_the_same_face_at_every_size():
    large = Image.fromarray(synthetic_face("happiness", 2, 128, plain=True)).resize((64, 64), Image.Resampling.BOX)
    small = synthetic_face("happiness", 2, 64, plain=True).astype(float)
    assert np.abs(np.asarray(large, dtype=float) - small).mean() < 4


# --- drawing


def test_coverage_of_a_circle_is_its_area():
    canvas = Canvas(64, Pose())
    patch = canvas.all("image")
    cover = patch.cover(ellipse(patch.x, patch.y, 0.03, -0.02, 0.5, 0.5))
    assert cover.dtype == np.float32
    assert cover.sum() / patch.ppu**2 == pytest.approx(np.pi * 0.25, rel=1e-3)


def test_distances_by_hand():
    x, y = np.array([[0.0, 2.0, 0.0]], np.float32), np.array([[0.0, 0.0, 3.0]], np.float32)
    assert rounded(x, y, 0.0, 0.0, 1.0, 0.5, 0.1) == pytest.approx(np.array([[0.5, -1.0, -2.5]]))
    assert capsule(x, y, (-1.0, 0.0), (1.0, 0.0), 0.25) == pytest.approx(np.array([[0.25, -0.75, -2.75]]))


@pytest.mark.parametrize("space", ["face", "head", "image"])
@settings(max_examples=25, deadline=None)
@given(yaw=st.floats(-1.5, 1.5), pitch=st.floats(-1, 1), tilt=st.floats(-0.15, 0.15), x=st.floats(-0.9, 0.8), y=st.floats(-0.9, 0.8))
def test_a_patch_misses_no_pixel_of_its_box(space: str, yaw: float, pitch: float, tilt: float, x: float, y: float):
    canvas = Canvas(64, Pose(yaw, pitch, tilt, 0.95, 0.05, -0.04))
    patch, everything = canvas.patch(x, y, x + 0.2, y + 0.15, space), canvas.all(space)

    def inside(p):
        return int(((p.x >= x) & (p.x <= x + 0.2) & (p.y >= y) & (p.y <= y + 0.15)).sum())

    assert inside(patch) == inside(everything)


def test_edges_are_anti_aliased():
    """Between the hair or skin and the plain background there must be in-between levels, not a stair of two."""
    face = synthetic_face("neutral", 5, 64, plain=True)
    row = face[26].astype(int).sum(axis=1)
    steps = np.abs(np.diff(row))
    assert len(np.unique(face.reshape(-1, 3), axis=0)) > 800
    assert steps.max() < 0.75 * np.ptp(row)


# --- action units


@pytest.mark.parametrize("unit", sorted(UNITS))
def test_every_unit_moves_the_face(unit: int):
    assert _change({unit: 1.0}).max() > 25


@pytest.mark.parametrize(
    ("unit", "band"),
    [
        (1, BROWS), (2, BROWS), (4, BROWS), (5, EYES), (43, EYES), (7, EYES), (9, (0.2, 0.64)),
        (12, MOUTH), (15, MOUTH), (16, MOUTH), (17, MOUTH), (20, MOUTH), (23, MOUTH), (25, MOUTH), (26, MOUTH), (14, MOUTH),
    ],
)  # fmt: skip
def test_units_act_where_their_muscles_are(unit: int, band: tuple[float, float]):
    change = _change({unit: 1.0})
    other = BROWS if band is MOUTH else MOUTH
    assert _share(change, band) > 0.6
    assert _share(change, band) > 2 * _share(change, other)


def test_brows_go_up_and_down():
    """The darkest row over the eye on the right: AU 1 + 2 raise it, AU 4 lowers it."""

    def row(units: dict[int, float]) -> float:
        face = synthetic_face("neutral", BARE, 96, plain=True, units=units).astype(float).sum(axis=2)
        return float(face[18:38, 59:65].mean(axis=1).argmin())

    assert row({1: 1.0, 2: 1.0}) < row({}) < row({4: 1.0})


def test_intensity_is_graded():
    weak, middle, strong = (_change({12: level}).sum() for level in (0.2, 0.5, 1.0))
    assert 0 < weak < middle < strong


def test_contempt_is_on_one_side_and_mirrors():
    left, right = _change({12: (0.9, 0.0), 14: (0.9, 0.0)}), _change({12: (0.0, 0.9), 14: (0.0, 0.9)})
    assert left[:, :48].sum() > 2 * left[:, 48:].sum()
    assert right[:, 48:].sum() > 2 * right[:, :48].sum()
    assert np.abs(left - right[:, ::-1]).sum() < 0.25 * left.sum()
    sides = [sample("contempt", Dice((i,), 0)).units[12] for i in range(60)]
    assert {s[0] > s[1] for s in sides} == {True, False}


def test_expressions_are_their_prototypes():
    for label in CLASSES:
        seen = Counter(unit for i in range(300) for unit in sample(label, Dice((1, i), 0)).units)
        for unit, part in PROTOTYPES[label].items():
            assert seen[unit] / 300 == pytest.approx(part.probability, abs=0.1)
    assert set(PROTOTYPES) == set(CLASSES)
    assert {1, 2, 5, 26} <= set(PROTOTYPES["fear"]) & set(PROTOTYPES["surprise"])
    assert {4, 7, 17} <= set(PROTOTYPES["disgust"]) & set(PROTOTYPES["anger"])


def test_facs_notation():
    assert Expression({12: (0.7, 0.7), 6: (0.1, 0.19)}).code() == "6A+12D"
    assert Expression({12: (0.5, 0.0), 14: (0.0, 1.0), 4: (0.01, 0.0)}).code() == "R12C+L14E"
    assert Expression({}).code() == ""


# --- sets


def test_growing_a_class_keeps_the_faces_that_were_there():
    few = synthetic_manifest({"train": {"fear": 2, "anger": 1}}, 32)
    many = synthetic_manifest({"train": {"fear": 4, "anger": 3, "neutral": 2}, "test": {"fear": 1}}, 32)
    later = {face_id: many.image_bytes(i) for i, face_id in enumerate(many.ids())}
    for i, face_id in enumerate(few.ids()):
        assert np.array_equal(_pixels(few.image_bytes(i)), _pixels(later[face_id]))
    assert len({_pixels(blob).tobytes() for blob in later.values()}) == len(many)


@settings(max_examples=12, deadline=None)
@given(
    train=st.dictionaries(st.sampled_from(CLASSES), st.integers(0, 3), min_size=1),
    test=st.dictionaries(st.sampled_from(CLASSES), st.integers(0, 2)),
    size=st.integers(16, 24),
)
def test_any_counts(train: dict[str, int], test: dict[str, int], size: int):
    if not sum(train.values()) + sum(test.values()):
        with pytest.raises(DataError, match="every count is zero"):
            synthetic_manifest({"train": train, "test": test}, size)
        return
    manifest = synthetic_manifest({"train": train, "test": test}, size)
    assert manifest.class_names == tuple(c for c in CLASSES if c in train or c in test)
    for split, counts in (("train", train), ("test", test)):
        assert manifest.counts(split) == {c: counts.get(c, 0) for c in manifest.class_names}
    assert {_pixels(manifest.image_bytes(i)).shape for i in range(len(manifest))} == {(size, size, 3)}


def test_columns_and_png():
    manifest = synthetic_manifest({"train": {"surprise": 2}}, 40, seed=1, occlusion=1.0)
    assert manifest.ids() == ["synthetic-train-surprise-00000", "synthetic-train-surprise-00001"]
    assert manifest.licence.startswith("CC0")
    assert np.array_equal(_pixels(manifest.image_bytes(1)), synthetic_face("surprise", (1, 0, 3, 1), 40, occlusion=1.0))
    assert all(manifest.table["occluder"].to_pylist())
    assert "26" in "".join(manifest.table["au"].to_pylist())


def test_label_noise_is_symmetric_and_only_in_training(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sets, "draw_face", lambda face, size, key: np.zeros((1, 1, 3), np.uint8))
    counts = {"train": {"happiness": 700, "fear": 300, "anger": 200}, "test": {"fear": 100}}
    manifest = synthetic_manifest(counts, label_noise=0.3)
    pairs = list(
        zip(manifest.table["split"].to_pylist(), manifest.table["drawn"].to_pylist(), manifest.table["label"].to_pylist(), strict=True)
    )
    train = [(drawn, label) for split, drawn, label in pairs if split == "train"]
    assert np.mean([drawn != label for drawn, label in train]) == pytest.approx(0.3, abs=0.04)
    wrong = Counter(label for drawn, label in train if drawn == "happiness" and label != drawn)
    assert wrong["fear"] == pytest.approx(wrong["anger"], rel=0.4)
    assert all(drawn == label for split, drawn, label in pairs if split == "test")
    again = synthetic_manifest(counts, label_noise=0.3)
    assert manifest.table.equals(again.table)


@pytest.mark.parametrize("classes", [7, 8])
def test_embedded_set(classes: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("EVENFACE_HOME", str(tmp_path))  # faces of one pixel must not stay in a cache that others read
    monkeypatch.setattr(sets, "draw_face", lambda face, size, key: np.zeros((1, 1, 3), np.uint8))
    manifest = read_synthetic(classes=classes)
    assert manifest.class_names == CLASSES[:classes]
    train = manifest.counts("train")
    assert max(train.values()) / min(train.values()) == 50
    assert 2000 <= sum(train.values()) <= 2600
    assert set(manifest.counts("validation").values()) == {60}
    assert set(manifest.counts("test").values()) == {100}
    assert len(set(manifest.ids())) == len(manifest)
    kept = list(tmp_path.rglob("*.parquet"))
    assert len(kept) == 1
    monkeypatch.setattr(sets, "draw_face", None)  # the second time nothing is drawn
    assert read_synthetic(classes=classes).table.equals(manifest.table)


def test_contact_sheet_has_a_row_per_class():
    sheet = contact_sheet(BASIC[:2], columns=3, size=32, seed=4)
    assert sheet.mode == "RGB"
    assert sheet.size == (3 * 34 + 2, 2 * 34 + 2)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: synthetic_face("hapiness", 0), LabelError, "happiness"),
        (lambda: synthetic_face("fear", -1), ConfigError, "seed"),
        (lambda: synthetic_face("fear", 0, 8), ConfigError, "16 pixels"),
        (lambda: synthetic_face("fear", 0, units={3: 1.0}), ConfigError, "action unit 3"),
        (lambda: synthetic_face("fear", 0, occlusion=2), ConfigError, "occluded share"),
        (lambda: synthetic_manifest({"dev": {"fear": 1}}), ConfigError, "Unknown split 'dev'"),
        (lambda: synthetic_manifest({"train": {"fear": -1}}), ConfigError, "negative"),
        (lambda: synthetic_manifest({"train": {"fear": 1}}, label_noise=1.5), ConfigError, "label noise"),
        (lambda: synthetic_manifest({"train": {"fear": 1}}, class_names=("anger",)), LabelError, "fear"),
        (lambda: read_synthetic(Path("somewhere")), ConfigError, "--data-dir"),
        (lambda: read_synthetic(classes=6), LabelError, "7 or 8"),
    ],
)
def test_mistakes_get_one_clear_line(call, error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        call()
