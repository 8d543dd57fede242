"""Annotated copies: a box around each face, its label, and a bar for every class.

draw(pixels, result).save("annotated.jpg")
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from evenface.boxes import shared_areas
from evenface.results import Box, Face, FrameResult


COLOURS = {
    "happiness": (240, 228, 66), "neutral": (200, 200, 200), "sadness": (86, 180, 233), "surprise": (230, 159, 0),
    "disgust": (0, 158, 115), "anger": (232, 80, 30), "fear": (204, 121, 167), "contempt": (0, 114, 178),
}  # fmt: skip
"""RGB per class, after Okabe and Ito: told apart by the colour-blind too."""

_OTHER = (255, 255, 255)
_PANEL = (18, 18, 22, 190)
_INK = (255, 255, 255, 255)


def draw(pixels: np.ndarray, result: FrameResult) -> Image.Image:
    """An annotated copy of a picture (H, W, 3), uint8 RGB, at its own size."""
    image = Image.fromarray(pixels)
    brush = ImageDraw.Draw(image, "RGBA")
    size = _letters(result, image.size)
    numbered = len(result.faces) > 1 or result.frame > 0
    taken = [face.box for face in result.faces]
    for face in result.faces:
        _draw_box(brush, face, size)
    for face in result.faces:
        _draw_panel(brush, face, f" #{face.id}" if numbered else "", size, image.size, taken)
    return image


@lru_cache(maxsize=8)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _letters(result: FrameResult, limits: tuple[int, int]) -> int:
    """The height of the letters in pixels: by the picture, and smaller where many faces, or large ones, leave little room."""
    crowd = max(1.0, (len(result.faces) / 3) ** 0.5)
    size = min(limits) / (34 * crowd)
    areas = [(face.box[2] - face.box[0]) * (face.box[3] - face.box[1]) for face in result.faces]
    if sum(areas) > 0.25 * limits[0] * limits[1]:
        size = min(size, float(np.median(areas)) ** 0.5 / 20)
    return int(np.clip(size, 10, 60))


def _colour(name: str) -> tuple[int, int, int]:
    return COLOURS.get(name, _OTHER)


def _draw_box(brush: ImageDraw.ImageDraw, face: Face, size: int) -> None:
    brush.rectangle(face.box, outline=(0, 0, 0, 160), width=max(3, size // 4))
    brush.rectangle(face.box, outline=_colour(face.label), width=max(2, size // 6))


def _draw_panel(brush: ImageDraw.ImageDraw, face: Face, number: str, size: int, limits: tuple[int, int], taken: list[Box]) -> None:
    """The label and a bar per class, highest first, where it covers the least of the faces and of the other panels."""
    font, small = _font(round(1.15 * size)), _font(size)
    rows = list(face.top().items())
    head = f"{face.label} {100 * face.score:.0f} %{number}"
    names = max(brush.textlength(name, font=small) for name, _ in rows)
    pad, line = size // 2, round(1.35 * size)
    bar = round(4.5 * size)
    width = max(names + bar + 3 * pad, brush.textlength(head, font=font) + 2 * pad)
    height = round(1.7 * size) + line * len(rows) + pad
    left, top = _place(face.box, width, height, limits, taken)
    taken.append((left, top, left + width, top + height))
    brush.rectangle((left, top, left + width, top + height), fill=_PANEL)
    brush.text((left + pad, top + pad / 2), head, font=font, fill=_colour(face.label))
    for i, (name, score) in enumerate(rows):
        y = top + round(1.7 * size) + line * i
        brush.text((left + pad, y), name, font=small, fill=_INK)
        x = left + 2 * pad + names
        brush.rectangle((x, y + 0.2 * size, x + bar, y + 0.9 * size), fill=(255, 255, 255, 50))
        brush.rectangle((x, y + 0.2 * size, x + max(1.0, bar * score), y + 0.9 * size), fill=_colour(name))


def _place(box: Box, width: float, height: float, limits: tuple[int, int], taken: Sequence[Box]) -> tuple[float, float]:
    """The corner from which the panel covers the least of what stands there: beside, below or above the box, else in its own corners.

    To cover one's own face is half as bad as to cover another one or another panel, since it is clear whose panel it is.
    """
    gap = 4.0
    columns = (box[2] + gap, box[0] - width - gap, box[0], box[2] - width)
    rows = (box[1], box[3] - height, box[3] + gap, box[1] - height - gap)
    best, least = (0.0, 0.0), float("inf")
    for order, (x, y) in enumerate(itertools.product(columns, rows)):
        left = min(max(0.0, x), max(0.0, limits[0] - width - 1))
        top = min(max(0.0, y), max(0.0, limits[1] - height - 1))
        panel = (left, top, left + width, top + height)
        covered = shared_areas([panel], taken).sum() - 0.5 * shared_areas([panel], [box])[0, 0] + 1e-3 * order
        if covered < least:
            best, least = (left, top), covered
    return best
