"""Paints what frames a face: shoulders, neck, ears, the head and its shading, hair, beard and glasses."""

from __future__ import annotations

import numpy as np

from evenface.data.synthetic import anatomy
from evenface.data.synthetic.canvas import Canvas, Colour, Patch, capsule, clamp, ellipse, mix, rounded
from evenface.data.synthetic.person import Person
from evenface.data.synthetic.units import Expression


TOP = 1.08


def outline(patch: Patch, person: Person, drop: float = 0.0, grow: float = 0.0) -> np.ndarray:
    """Signed distance to the contour of a head whose chin went down by `drop`."""
    width, top, chin = person.width + grow, TOP + grow, person.chin + drop + grow
    below = np.maximum(patch.y, 0.0) * (1.0 / chin)
    above = np.minimum(patch.y, 0.0) * (1.0 / top)
    square = below * below
    u = patch.x * (1.0 / width) / (1.0 - person.jaw * square)
    uu = u * u
    radius = np.sqrt(uu + square + above * above - 0.22 * uu * (square + above * above))
    distance: np.ndarray = (1.0 - radius) * (0.9 * width)
    return distance


def paint_head(canvas: Canvas, person: Person, expression: Expression, light: float) -> None:
    """Everything behind and around the features; `light` in [-1, 1] is the side that the light comes from."""
    drop = anatomy.jaw_drop(expression)
    shadow = mix(person.skin, (60, 24, 20), 0.5)
    _paint_back_hair(canvas, person)
    _paint_shoulders(canvas, person, shadow)
    for side in (-1, 1):
        x = side * person.width
        patch = canvas.patch(x - 0.12, -0.2, x + 0.12, 0.24, "head")
        ear = ellipse(patch.x, patch.y, side * (person.width + 0.005), 0.02, 0.10, 0.19)
        patch.fill(ear, mix(person.skin, shadow, 0.18))
        patch.fill(ear - 0.045, shadow, 0.45, soft=0.04)
    patch = canvas.patch(-person.width, -TOP, person.width, person.chin + drop, "head")
    distance = outline(patch, person, drop)
    patch.fill(distance, person.skin)
    rim = clamp(0.34 - distance, 0.0, 0.34) * (1.0 / 0.34)
    inside = patch.cover(distance)
    away = clamp(0.55 - 0.6 * light * patch.x, 0.0, 1.1)
    patch.paint(inside * rim * rim * away * 0.62, shadow)
    glow = clamp(0.75 - np.abs(patch.x - light * 0.30) - 0.7 * np.abs(patch.y + 0.45), 0.0, 1.0)
    patch.paint(inside * glow * 0.28, mix(person.skin, (255, 248, 238), 0.8))


def paint_front(canvas: Canvas, person: Person) -> None:
    """Hair over the forehead and glasses: painted after the features."""
    _paint_front_hair(canvas, person)
    if person.glasses:
        _paint_glasses(canvas, person)


def paint_beard(canvas: Canvas, person: Person, expression: Expression) -> None:
    """Beard and moustache: painted before the lips, so that the mouth stays readable."""
    if person.beard:
        patch = canvas.patch(-1.0, 0.1, 1.0, 1.25)
        drop = anatomy.jaw_drop(expression)
        side = np.minimum(np.abs(patch.x) * (1.0 / person.width), 1.0)
        line = patch.y - (0.80 - 0.10 * side - 0.62 * side * side * side)
        patch.fill(np.minimum(outline(patch, person, drop, 0.015), line), person.hair, person.beard, soft=0.07)
    if person.moustache:
        mouth = anatomy.mouth_of(person, expression)
        y = mouth.y - mouth.open_up - mouth.upper - 0.045
        patch = canvas.patch(-0.45, y - 0.15, 0.45, y + 0.25)
        u = patch.x * (1.0 / (mouth.half * 1.08))
        offset = patch.y - y - 0.07 * u * u - min(mouth.corner) * 0.6 * u * u
        wing = np.maximum(1.0 - u * u, 0.0) * (0.45 + 0.75 * np.abs(u))  # thinner under the nose
        patch.fill(np.where(wing > 0.0, 0.050 * wing - np.abs(offset), np.float32(-9.0)), person.hair, 0.92, soft=0.03)


def _paint_shoulders(canvas: Canvas, person: Person, shadow: Colour) -> None:
    patch = canvas.patch(-2.0, 0.5, 2.0, 2.0, "head")
    patch.fill(ellipse(patch.x, patch.y, 0.0, 1.95, 1.45, 0.85), person.cloth)
    patch.fill(ellipse(patch.x, patch.y, 0.0, 1.95, 1.45, 0.85) - 0.25, mix(person.cloth, (20, 20, 30), 0.3), 0.5, soft=0.4)
    neck = rounded(patch.x, patch.y, 0.0, 0.85, person.width * 0.52, 0.42, 0.16)
    patch.fill(neck, mix(person.skin, shadow, 0.30))
    patch.fill(np.minimum(neck, person.chin + 0.14 - patch.y), shadow, 0.45, soft=0.12)


def _paint_back_hair(canvas: Canvas, person: Person) -> None:
    patch = canvas.all()
    dark = mix(person.hair, (10, 6, 8), 0.35)
    x, y, width = patch.x, patch.y, person.width
    if person.style == "long":
        fall = rounded(x, y, 0.0, 0.28, width + 0.20, 1.43, 0.98)
        patch.fill(fall, dark)
    elif person.style == "fringe":
        patch.fill(rounded(x, y, 0.0, -0.16, width + 0.17, 1.02, 0.85), dark)
    elif person.style == "bun":
        patch.fill(ellipse(x, y, 0.0, -1.12, 0.34, 0.26), person.hair)
        patch.fill(ellipse(x, y, 0.0, -1.08, 0.24, 0.16), dark, 0.5, soft=0.2)
        patch.fill(outline(patch, person, 0.0, 0.07) + np.minimum(-y, 0.0), dark)
    elif person.style == "curls":
        ring = ellipse(x, y, 0.0, -0.36, width + 0.27, 0.93)
        for cx, cy in ((-1.0, -0.25), (-0.92, -0.72), (-0.52, -1.12), (0.0, -1.22), (0.52, -1.12), (0.92, -0.72), (1.0, -0.25)):
            ring = np.maximum(ring, ellipse(x, y, cx * (width + 0.12), cy, 0.26, 0.26))
        patch.fill(ring, dark)
        patch.fill(ring - 0.10, person.hair, 0.8, soft=0.15)


def _paint_front_hair(canvas: Canvas, person: Person) -> None:
    """The hair inside the outline of the head, above a hairline y = h(x)."""
    style = person.style
    if style == "bald":
        return
    patch = canvas.patch(-1.25, -1.5, 1.25, 0.45, "head")
    x, y = patch.x, patch.y
    u = x * (1.0 / person.width)
    uu = np.minimum(u * u, 0.96)
    grow = {"crop": 0.045, "receding": 0.03, "curls": 0.12}.get(style, 0.075)
    if style == "crop":
        line = -0.80 + 0.26 * uu + 0.28 * uu * uu
    elif style == "receding":
        line = -0.95 + 0.20 * uu + 0.45 * uu * uu
    elif style == "side":
        lean = u * person.part
        line = -0.80 - 0.12 * lean + 0.20 * uu + 0.34 * uu * uu - 0.16 * clamp(0.25 - np.abs(lean + 0.45), 0.0, 0.25)
    elif style == "fringe":
        line = -0.56 + 0.05 * uu + 0.85 * uu * uu * uu * uu
    elif style == "long":
        line = -0.93 + 0.52 * np.abs(u - 0.12 * person.part) + 0.75 * uu * uu * uu
    elif style == "curls":
        line = -0.76 + 0.16 * uu + 0.36 * uu * uu + 0.05 * np.abs(3.0 * u - np.rint(3.0 * u))
    else:
        line = -0.86 + 0.30 * uu + 0.36 * uu * uu * uu
    head = outline(patch, person)
    volume = grow * clamp(-2.2 * y - 0.25, 0.0, 1.0)  # none at the ears, where it would stand off like a cap
    hair = np.minimum(head + volume, (line - y) * 0.85)
    patch.fill(np.minimum(hair + 0.05, head), mix(person.skin, (40, 16, 14), 0.5), 0.35, soft=0.10)  # the shade that it throws
    cover = patch.cover(hair)
    patch.paint(cover, person.hair)
    gleam = clamp(0.11 - np.abs(y + 0.93 - 0.30 * uu), 0.0, 0.11) * (1.0 / 0.11)
    patch.paint(cover * gleam * clamp(1.1 - uu, 0.0, 1.0) * 0.40, mix(person.hair, (255, 236, 206), 0.6))
    strand = np.abs(7.0 * u + 1.5 * y - np.rint(7.0 * u + 1.5 * y))
    patch.paint(cover * clamp(0.16 - strand, 0.0, 0.16) * 1.6, mix(person.hair, (8, 6, 8), 0.6))


def _paint_glasses(canvas: Canvas, person: Person) -> None:
    kind, eye_x = person.glasses, person.eye_x
    patch = canvas.patch(-1.0, -0.5, 1.0, 0.35)
    frame: Colour = (44, 38, 42) if kind == 2 else (120, 84, 52)
    for side in (-1, 1):
        x = side * (eye_x + 0.01)
        if kind == 1:
            lens = ellipse(patch.x, patch.y, x, -0.06, 0.275, 0.255)
        else:
            lens = rounded(patch.x, patch.y, x, -0.06, 0.295, 0.215, 0.09)
        patch.fill(lens, (226, 238, 246), 0.13)
        patch.fill(np.minimum(lens, 0.03 - np.abs(patch.x - x + 0.10 - 0.5 * (patch.y + 0.06))), (255, 255, 255), 0.25)
        patch.line(lens, 0.020, frame)
        patch.fill(capsule(patch.x, patch.y, (side * (eye_x + 0.28), -0.10), (side * (person.width + 0.02), -0.14), 0.018), frame)
    bridge = patch.y + 0.10 - 0.9 * patch.x * patch.x
    patch.line(np.where(np.abs(patch.x) < eye_x - 0.25, bridge, np.float32(9.0)).astype(np.float32), 0.020, frame)
