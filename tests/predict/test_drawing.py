"""Annotated copies: what is drawn where, without touching the rest."""

from __future__ import annotations

import numpy as np
import pytest

from evenface.predict.drawing import COLOURS, draw
from evenface.results import Face, FrameResult


MODEL = {"name": "m", "version": "1", "classes": ["fear", "anger"]}


def result(*boxes: tuple[float, float, float, float], size: tuple[int, int] = (400, 300), label: str = "fear") -> FrameResult:
    other = "anger" if label == "fear" else "fear"
    faces = tuple(Face(box, {label: 0.9, other: 0.1}, id=i) for i, box in enumerate(boxes))
    return FrameResult("x", *size, MODEL, faces)


def changed(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    return (before != after).any(axis=2)


def test_a_picture_without_a_face_stays_as_it_is() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    assert (np.asarray(draw(pixels, result())) == pixels).all()


def test_the_box_has_the_colour_of_its_label_and_the_face_stays_free() -> None:
    pixels = np.full((300, 400, 3), 128, dtype=np.uint8)
    for label in ("fear", "anger"):
        copy = np.asarray(draw(pixels, result((100, 100, 180, 190), label=label)))
        assert tuple(copy[100, 140]) == COLOURS[label]
        assert tuple(copy[190, 140]) == COLOURS[label]
        assert not changed(pixels, copy)[110:180, 110:170].any()


def test_the_longest_bar_is_that_of_the_highest_score() -> None:
    pixels = np.full((300, 400, 3), 128, dtype=np.uint8)
    copy = np.asarray(draw(pixels, result((40, 60, 120, 150))))
    area = {name: int((copy[:, 125:] == COLOURS[name]).all(axis=2).sum()) for name in ("fear", "anger")}
    assert area["fear"] > 4 * area["anger"] > 0


@pytest.mark.parametrize("size", [(40, 30), (64, 400), (3000, 2000)])
def test_any_size_can_be_drawn_on(size: tuple[int, int]) -> None:
    pixels = np.zeros((size[1], size[0], 3), dtype=np.uint8)
    copy = draw(pixels, result((-5, -5, size[0] / 2, size[1] + 9), size=size))
    assert copy.size == size
    assert changed(pixels, np.asarray(copy)).any()


def test_panels_avoid_the_faces_where_there_is_room() -> None:
    pixels = np.full((600, 900, 3), 128, dtype=np.uint8)
    boxes = [(50.0, 50.0, 150.0, 150.0), (400.0, 50.0, 500.0, 150.0), (50.0, 400.0, 150.0, 500.0)]
    copy = np.asarray(draw(pixels, result(*boxes, size=(900, 600))))
    for left, top, right, bottom in boxes:
        assert not changed(pixels, copy)[int(top) + 8 : int(bottom) - 8, int(left) + 8 : int(right) - 8].any()
