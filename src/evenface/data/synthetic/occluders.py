"""What may stand in front of a face: a hand, a mask, sunglasses, a bar (of a frame, a lamp post, a caption), a lock of hair.

Each painter takes a place (u, v), both in [-1, 1], and a colour. `OCCLUDERS` names them all; to add one, write a function and a line.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from evenface.data.synthetic.canvas import Canvas, Colour, Patch, capsule, clamp, ellipse, mix, rounded
from evenface.data.synthetic.person import Person


Place = tuple[float, float]


def paint_hand(canvas: Canvas, person: Person, place: Place, tint: Colour) -> None:
    """Over a corner of the mouth or over an eye; `tint` is its skin."""
    side = 1 if place[0] > 0 else -1
    x, y = side * 0.42 + 0.1 * place[1], 0.62 if place[1] > -0.2 else -0.05
    patch = canvas.all("face")
    shade = mix(tint, (60, 24, 20), 0.45)
    fingers = [_finger(patch, x, y, side, k) for k in range(4)]
    palm = ellipse(patch.x, patch.y, x + side * 0.30, y + 0.30, 0.34, 0.36)
    arm = capsule(patch.x, patch.y, (x + side * 0.35, y + 0.4), (x + side * 0.75, y + 1.1), 0.27)
    hand = np.maximum(palm, arm)
    for finger in fingers:
        hand = np.maximum(hand, finger)
    patch.fill(hand, tint)
    beyond = np.maximum(side * (patch.x - x) - 0.22, 0.0)  # the gaps between the fingers end at the knuckles
    for finger in fingers:
        patch.line(np.abs(finger) + beyond, 0.013, shade, 0.6)


def _finger(patch: Patch, x: float, y: float, side: int, k: int) -> np.ndarray:
    tip = (x - side * (0.14 - 0.03 * abs(k - 1)), y - 0.17 + 0.16 * k)
    return capsule(patch.x, patch.y, (x + side * 0.30, y + 0.02 + 0.15 * k), tip, 0.082)


def paint_mask(canvas: Canvas, person: Person, place: Place, tint: Colour) -> None:
    """A pleated mask over nose and mouth."""
    patch = canvas.patch(-1.0, 0.0, 1.0, 1.3)
    cloth = mix((206, 222, 230), tint, 0.25)
    fold = mix(cloth, (60, 80, 100), 0.35)
    x = patch.x * (1.0 / person.width)
    top = 0.20 + 0.16 * x * x - 0.05 * clamp(1.0 - 4.0 * np.abs(x), 0.0, 1.0)
    body = np.minimum(patch.y - top, (1.08 - 0.42 * x * x) * person.chin - patch.y)
    body = np.minimum(body, (0.90 - np.abs(x)) * person.width)
    patch.fill(body, cloth)
    for k in range(3):
        pleat = np.abs(patch.y - 0.42 - 0.16 * k - 0.10 * x * x)
        patch.line(np.maximum(pleat, 0.03 - body), 0.012, fold, 0.8)


def paint_sunglasses(canvas: Canvas, person: Person, place: Place, tint: Colour) -> None:
    patch = canvas.patch(-1.0, -0.5, 1.0, 0.35)
    dark = mix((22, 22, 26), tint, 0.12)
    for side in (-1, 1):
        lens = rounded(patch.x, patch.y, side * 0.37, -0.07, 0.30, 0.20, 0.13)
        patch.fill(lens, dark, 0.97)
        gleam = 0.05 - np.abs(patch.x - side * 0.37 + 0.08 + 0.6 * patch.y)
        patch.fill(np.minimum(lens - 0.04, gleam), (255, 255, 255), 0.22, soft=0.05)
        patch.fill(capsule(patch.x, patch.y, (side * 0.64, -0.14), (side * (person.width + 0.02), -0.16), 0.022), dark)
    patch.fill(capsule(patch.x, patch.y, (-0.1, -0.13), (0.1, -0.13), 0.025), dark)


def paint_bar(canvas: Canvas, person: Person, place: Place, tint: Colour) -> None:
    """Across the image or down it."""
    patch = canvas.all("image")
    if place[1] > 0:
        patch.fill(rounded(patch.x, patch.y, 0.0, 0.55 * place[0], 1.6, 0.17, 0.02), tint)
    else:
        patch.fill(rounded(patch.x, patch.y, 0.75 * place[0], 0.0, 0.20, 1.6, 0.02), tint)


def paint_lock(canvas: Canvas, person: Person, place: Place, tint: Colour) -> None:
    """Hair that falls over an eye."""
    side = 1 if place[0] > 0 else -1
    patch = canvas.patch(-1.1, -1.2, 1.1, 0.7)
    w = (patch.y + 1.0) * (1.0 / 1.5)
    middle = patch.x - side * (0.10 + 0.75 * w - 0.10 * w * w)
    width = clamp(0.24 * (1.05 - w * w), -0.1, 0.3)
    cover = patch.cover(np.minimum(width - np.abs(middle), patch.y + 1.02))
    patch.paint(cover, mix(person.hair, tint, 0.08))
    strand = np.abs(9.0 * middle - np.rint(9.0 * middle))
    patch.paint(cover * clamp(0.2 - strand, 0.0, 0.2) * 2.0, mix(person.hair, (8, 6, 8), 0.5))


OCCLUDERS: dict[str, Callable[[Canvas, Person, Place, Colour], None]] = {
    "hand": paint_hand,
    "mask": paint_mask,
    "sunglasses": paint_sunglasses,
    "bar": paint_bar,
    "lock": paint_lock,
}
