"""Insertion and deletion against curves worked by hand, and the table of methods against a slow loop."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from evenface.errors import DataError
from evenface.explain import faithfulness
from evenface.explain.cells import upsample
from evenface.explain.faithfulness import STEPS, _centre, area, blur, check_methods, insertion_deletion, mean_of
from evenface.explain.tables import check_table
from evenface.model_folder import load_model
from evenface.recognizer import Recognizer

from .conftest import PX


SIZE = 20
FACE = np.random.default_rng(0).integers(0, 255, (SIZE, SIZE, 3), dtype=np.uint8)


def left_half(views: Sequence[np.ndarray]) -> np.ndarray:
    """A model that only counts the sharp pixels of the left half: its share of them, for class 1."""
    sharp = (np.stack(views) == FACE).all(axis=3)[:, :, : SIZE // 2].mean(axis=(1, 2))
    return np.stack([1 - sharp, sharp], axis=1)


def test_the_blur_by_hand() -> None:
    """The mean of the neighbours by a bell of a tenth of the side; beyond the border the face is mirrored. It changes every pixel."""
    bell = np.exp(-(np.arange(-6, 7) ** 2) / (2 * (SIZE / 10) ** 2))
    weights = np.outer(bell, bell) / bell.sum() ** 2
    wide = np.pad(FACE.astype(float), ((6, 6), (6, 6), (0, 0)), mode="reflect")
    expected = [[np.einsum("yx,yxc->c", weights, wide[y : y + 13, x : x + 13]) for x in range(SIZE)] for y in range(SIZE)]
    found = blur(FACE)
    np.testing.assert_allclose(found.astype(float), expected, atol=1.5)
    assert (found != FACE).any(axis=2).all()


@pytest.mark.parametrize(("cells", "inserted", "deleted"), [([[1.0, 0.0]], 0.75, 0.25), ([[0.0, 1.0]], 0.25, 0.75)])
def test_curves_of_a_model_that_looks_left(cells: list[list[float]], inserted: float, deleted: float) -> None:
    """A map of the left half puts it in first: min(1, 2 t), whose area is 3/4; one of the right half puts it in last: max(0, 2 t - 1)."""
    curves = insertion_deletion(left_half, FACE, np.array(cells), 1)
    t = np.arange(STEPS + 1) / STEPS
    rise = np.minimum(1, 2 * t) if inserted > 0.5 else np.maximum(0, 2 * t - 1)
    np.testing.assert_allclose(curves, [rise, 1 - rise], atol=1e-12)
    np.testing.assert_allclose(area(curves), [inserted, deleted], atol=1e-12)
    np.testing.assert_allclose(insertion_deletion(left_half, FACE, np.array(cells), 0), [1 - rise, rise], atol=1e-12)


def test_pixels_of_equal_value_follow_the_other_map() -> None:
    flat = np.zeros((3, 3))
    left = insertion_deletion(left_half, FACE, flat, 1, ties=np.array([[1.0, 0.0]]))
    np.testing.assert_array_equal(left, insertion_deletion(left_half, FACE, np.array([[1.0, 0.0]]), 1))
    right = insertion_deletion(left_half, FACE, flat, 1, ties=np.array([[0.0, 1.0]]))
    np.testing.assert_array_equal(right, insertion_deletion(left_half, FACE, np.array([[0.0, 1.0]]), 1))
    # Ties are broken within equal values only.
    both = insertion_deletion(left_half, FACE, np.array([[1.0, 0.0]]), 1, ties=np.array([[0.0, 1.0]]))
    np.testing.assert_array_equal(both, left)


def test_cells_come_to_lie_on_their_share_of_the_face() -> None:
    found = upsample(np.array([[0.0, 1.0], [2.0, 3.0]]), 8)
    assert found.shape == (8, 8)
    np.testing.assert_allclose(found[[0, 0, -1, -1], [0, -1, 0, -1]], [0, 1, 2, 3])
    np.testing.assert_allclose(found[0], [0, 0, 0.125, 0.375, 0.625, 0.875, 1, 1])  # middles of the cells at 2 and 6


def test_a_mean_and_its_resamples_by_hand() -> None:
    found = mean_of(np.array([1.0, 2.0, 6.0]), np.array([[0, 0, 0], [0, 1, 2], [2, 2, 2]]))
    assert (found.value, found.ci95) == (3.0, pytest.approx((1 + 0.05 * 2, 3 + 0.95 * 3)))  # of 1, 3 and 6
    assert mean_of(np.array([1.0]), np.zeros((3, 1), int)).ci95 is None  # one face has no spread


def test_the_table_against_a_slow_loop(wide: Path) -> None:
    model, config = load_model(wide)
    recognizer = Recognizer(model, config, detector="none", device="cpu")
    faces = np.random.default_rng(3).integers(0, 255, (3, PX, PX, 3), dtype=np.uint8)
    faces = np.stack([cv2.GaussianBlur(face, (0, 0), 2) for face in faces])

    ticks: list[tuple[int, int]] = []
    found = check_methods(model, recognizer.scores, faces, ["class-map", "grad-cam"], seed=4, progress=lambda *now: ticks.append(now))
    assert [row.method for row in found.rows] == ["class-map", "grad-cam", "random", "centre"]
    assert ticks[-1] == (12, 12)
    inserted, deleted, wholes = [], [], []
    for face in faces:
        x = torch.tensor(face.astype(np.float32) / 255).permute(2, 0, 1)[None]
        with torch.no_grad():
            out = model(x)
        target = int(out.logits.argmax())
        fine = cv2.resize(out.maps[0, target].numpy(), (PX, PX), interpolation=cv2.INTER_LINEAR)
        order = sorted(((-fine[y, x], y, x) for y in range(PX) for x in range(PX)), key=lambda each: each[0])
        soft = cv2.GaussianBlur(face, (0, 0), PX / 10)
        curves = [[], []]
        for step in range(11):
            first, second = soft.copy(), face.copy()
            for _, y, at in order[: round(step / 10 * PX * PX)]:
                first[y, at], second[y, at] = face[y, at], soft[y, at]
            for curve, view in zip(curves, (first, second), strict=True):
                x = torch.tensor(view.astype(np.float32) / 255).permute(2, 0, 1)[None]
                with torch.no_grad():
                    curve.append(float(model(x).logits.softmax(1)[0, target]))
        areas = [sum((a + b) / 2 for a, b in itertools.pairwise(c)) / 10 for c in curves]
        inserted.append(areas[0])
        deleted.append(areas[1])
        wholes.append(curves[0][-1])
    row, chance = found.rows[0], found.rows[2]
    assert row.insertion.value == pytest.approx(np.mean(inserted), abs=2e-3)  # equal values may be ranked otherwise
    assert row.deletion.value == pytest.approx(np.mean(deleted), abs=2e-3)
    assert found.whole == pytest.approx(np.mean(wholes), abs=1e-5)
    assert chance.gain is None
    assert row.gain is not None
    assert row.gain.value == pytest.approx(
        row.insertion.value - row.deletion.value - chance.insertion.value + chance.deletion.value, abs=1e-9
    )
    assert row.insertion.ci95 is not None
    assert row.insertion.ci95[0] <= row.insertion.value <= row.insertion.ci95[1]
    again = check_methods(model, recognizer.scores, faces, ["class-map", "grad-cam"], seed=4)
    assert again == found
    assert check_methods(model, recognizer.scores, faces, ["class-map"], seed=5).rows[1] != chance  # other random maps
    text = check_table(found, "3 faces").text(110)
    assert f"{row.insertion.value:.3f} [" in text
    assert found.to_dict()["methods"]["random"]["gain"] is None


def test_random_maps_have_the_cells_of_the_layer(wide: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = []
    original = insertion_deletion

    def spy(predict: Any, face: np.ndarray, cells: np.ndarray, target: int, **more: Any) -> np.ndarray:
        shapes.append(cells.shape)
        return original(predict, face, cells, target, **more)

    monkeypatch.setattr(faithfulness, "insertion_deletion", spy)
    face = np.random.default_rng(0).integers(0, 255, (1, PX, PX, 3), dtype=np.uint8)
    model = load_model(wide)[0]
    constant = lambda views: np.tile([0.9, 0.1], (len(views), 1))  # noqa: E731
    found = check_methods(model, constant, face, ["layer-cam"], layer="earlier")
    assert shapes == [(6, 6)] * 3
    assert found.rows[0].gain is not None
    assert (found.rows[0].insertion.value, found.rows[0].gain.value) == (pytest.approx(0.9), pytest.approx(0))


def test_no_face_is_no_check(wide: Path) -> None:
    with pytest.raises(DataError, match="one face"):
        check_methods(load_model(wide)[0], left_half, np.zeros((0, PX, PX, 3), np.uint8), ["class-map"])


def test_the_centre_is_the_middle() -> None:
    found = _centre((3, 3), PX)
    assert found.shape == (3, 3)
    assert np.unravel_index(found.argmax(), found.shape) == (1, 1)
    corners = found[[0, 0, -1, -1], [0, -1, 0, -1]]
    assert corners == pytest.approx([found.min()] * 4)
    assert (found[[0, 1, 1, 2], [1, 0, 2, 1]] > found.min()).all()


@pytest.mark.parametrize("shape", [(2, 2), (1, 2), (1, 1)])
def test_the_centre_of_cells_that_are_all_as_far_from_it(shape: tuple[int, int], wide: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pixels by their distance from the middle: a model of the share s in the middle, some half of them, sees min(1, t / s)."""
    model = load_model(wide)[0]
    cells = np.ones((1, 1, *shape), np.float32)
    monkeypatch.setattr(faithfulness, "explain", lambda *_, **__: cells)
    face = np.random.default_rng(1).integers(0, 255, (SIZE, SIZE, 3), dtype=np.uint8)
    far = np.array([[math.dist((y, x), (9.5, 9.5)) for x in range(SIZE)] for y in range(SIZE)])
    inner = far <= np.sort(far, axis=None)[SIZE * SIZE // 2 - 1]

    def middle(views: Sequence[np.ndarray]) -> np.ndarray:
        sharp = (np.stack(views) == face).all(axis=3)[:, inner].mean(axis=1)
        return np.stack([sharp, 1 - sharp], axis=1)

    rows = {row.method: row for row in check_methods(model, middle, face[None], ["class-map"]).rows}
    assert rows["centre"].insertion.value == pytest.approx(1 - inner.mean() / 2, abs=0.01)
    assert rows["centre"].deletion.value == pytest.approx(inner.mean() / 2, abs=0.01)
    assert rows["random"].insertion.value == pytest.approx(0.5, abs=0.1)
