"""Paints eyes, brows, nose, mouth and the lines of expression, following the curves of anatomy.py."""

from __future__ import annotations

import numpy as np

from evenface.data.synthetic import anatomy
from evenface.data.synthetic.canvas import Canvas, Colour, capsule, clamp, ellipse, mix
from evenface.data.synthetic.person import Person
from evenface.data.synthetic.units import Expression


_DARK: Colour = (46, 26, 26)
_WHITE: Colour = (248, 246, 243)
_TEETH: Colour = (246, 242, 232)
_CAVITY: Colour = (78, 22, 30)
_TONGUE: Colour = (206, 96, 104)


def paint_features(canvas: Canvas, person: Person, expression: Expression) -> None:
    """All that lies inside the outline of the face."""
    shadow = mix(person.skin, (70, 24, 18), 0.50)
    _paint_cheeks(canvas, person, expression)
    _paint_forehead(canvas, person, expression, shadow)
    _paint_nose(canvas, person, expression, shadow)
    for side in (-1, 1):
        _paint_eye(canvas, person, expression, side, shadow)
    _paint_folds(canvas, person, expression, shadow)
    _paint_mouth(canvas, person, expression, shadow)
    for side in (-1, 1):
        _paint_brow(canvas, person, expression, side)


def _paint_cheeks(canvas: Canvas, person: Person, expression: Expression) -> None:
    rosy = mix(person.skin, (226, 84, 84), 0.45)
    light = mix(person.skin, (255, 244, 230), 0.45)
    for side in (-1, 1):
        lift = expression.side(6, side)
        patch = canvas.patch(min(side * 0.2, side * 0.85), -0.1, max(side * 0.2, side * 0.85), 0.62)
        x, y = side * 0.50, 0.30 - 0.07 * lift
        patch.fill(ellipse(patch.x, patch.y, x, y, 0.17, 0.13), rosy, person.blush + 0.25 * lift, soft=0.22)
        patch.fill(ellipse(patch.x, patch.y, x - side * 0.06, y - 0.06, 0.10, 0.055), light, 0.15 + 0.45 * lift, soft=0.12)
        if person.freckles:
            for k, (dx, dy) in enumerate(((0, 0), (0.09, 0.03), (-0.08, 0.04), (0.02, 0.08), (0.13, -0.04))):
                spot = ellipse(patch.x, patch.y, side * (0.46 + dx), 0.22 + dy, 0.017, 0.015)
                patch.fill(spot, mix(person.skin, (120, 60, 30), 0.5), 0.5 + 0.05 * k)


def _paint_forehead(canvas: Canvas, person: Person, expression: Expression, shadow: Colour) -> None:
    """Horizontal lines of AU 1 and 2, upright ones between the brows of AU 4."""
    raised = (expression.both(1) + expression.both(2)) / 2
    inner = expression.both(1)
    patch = canvas.patch(-0.6, -0.95, 0.6, -0.45)
    depth = min(1.0, max(0.0, 0.85 * raised + 0.15 * inner - 0.12) * (0.6 + 0.6 * person.age) + 0.22 * person.age)
    if depth > 0.03:
        for k in range(3):
            u = patch.x * (1.0 / (0.36 + 0.06 * (k % 2)))
            bend = 0.03 * raised - 0.05 * (inner - raised)
            offset = patch.y - (-0.66 - 0.075 * k - 0.03 * raised) + bend * (1.0 - u * u)
            patch.line(offset, 0.015 * np.maximum(1.0 - u * u, 0.0), shadow, 0.75 * depth)
    frown = min(1.0, expression.both(4) + 0.25 * expression.both(9))
    if frown > 0.03:
        patch = canvas.patch(-0.16, -0.60, 0.16, -0.12)
        for side in (-1, 1):
            v = (patch.y + 0.36) * (1.0 / 0.14)
            offset = patch.x - side * (0.055 + 0.012 * v * v)
            patch.line(offset, 0.020 * np.maximum(1.0 - v * v, 0.0), shadow, 0.95 * frown)


def _paint_nose(canvas: Canvas, person: Person, expression: Expression, shadow: Colour) -> None:
    nose = anatomy.nose_of(person, expression)
    light = mix(person.skin, (255, 246, 234), 0.5)
    patch = canvas.patch(-0.34, -0.42, 0.34, nose.y + 0.14)
    x, y = patch.x, patch.y
    bridge = clamp((y + 0.34) * (1.0 / (nose.y + 0.34)), 0.0, 1.0)
    fade = clamp((y + 0.36) * 4.0, 0.0, 1.0)
    patch.paint(patch.cover(0.030 + 0.030 * bridge - np.abs(x) - np.maximum(y - nose.y, 0.0), 0.10) * fade * 0.32, light)
    flank = np.abs(np.abs(x) - 0.075 - 0.045 * bridge)
    patch.paint(patch.cover(0.02 * bridge - flank - np.maximum(y - nose.y + 0.05, 0.0), 0.12) * fade * 0.22, shadow)
    patch.fill(ellipse(x, y, 0.0, nose.y + 0.055, nose.half * 0.95, 0.045), shadow, 0.40, soft=0.08)
    wing_y = nose.y - nose.lift
    patch.fill(ellipse(x, y, 0.0, nose.y - 0.015, nose.half * 0.55, 0.085), mix(person.skin, light, 0.30), 0.9, soft=0.08)
    for side in (-1, 1):
        patch.fill(ellipse(x, y, side * nose.half * 0.80, wing_y, 0.052, 0.055), mix(person.skin, shadow, 0.10), 0.8, soft=0.05)
        u = (y - wing_y) * (1.0 / 0.065)
        patch.line(x - side * (nose.half * 0.80 + 0.052 * (1.0 - u * u)), 0.016 * np.maximum(1.0 - u * u, 0.0), shadow, 0.75)
        hole = ellipse(x, y, side * nose.half * 0.42, nose.y + 0.040 - 0.5 * nose.lift, 0.044, 0.020)
        patch.fill(hole, mix(shadow, _DARK, 0.55), 0.85)
    patch.fill(ellipse(x, y, 0.0, nose.y - 0.04, 0.035, 0.03), (255, 250, 244), 0.35, soft=0.06)
    if nose.wrinkle > 0.03:
        for k in range(3):  # lines across the bridge, bent like a V turned over
            u = x * (1.0 / (0.115 + 0.022 * k))
            offset = y - (-0.115 + 0.072 * k) - 0.045 * u * u
            patch.line(offset, 0.021 * np.maximum(1.0 - u * u, 0.0), shadow, min(1.0, 1.1 * nose.wrinkle))
        for side in (-1, 1):  # and beside it, from the corners of the eyes down
            v = (y - 0.07) * (1.0 / 0.15)
            offset = x - side * (0.135 + 0.05 * v)
            patch.line(offset, 0.019 * np.maximum(1.0 - v * v, 0.0), shadow, nose.wrinkle)


def _paint_eye(canvas: Canvas, person: Person, expression: Expression, side: int, shadow: Colour) -> None:
    eye = anatomy.eye_of(person, expression, side)
    patch = canvas.patch(eye.x - 0.42, eye.y - 0.36, eye.x + 0.42, eye.y + 0.32)
    x = patch.x - eye.x
    u = x * (side / eye.half)  # -1 at the inner corner, 1 at the outer
    y = patch.y - eye.y + eye.tilt * 0.4 * u * eye.half / 0.2
    arc = 1.0 - u * u
    bow = np.maximum(arc, 0.0)
    upper, lower = -arc * np.maximum(eye.up * (1.0 + 0.18 * arc) + eye.slant * u, 0.004), eye.low * arc
    # The socket, then the ball, then what lies on it, then the lids over all.
    patch.fill(ellipse(x, y, 0.0, -0.07, 0.26, 0.15), shadow, 0.28, soft=0.16)
    opening = np.minimum(y - upper, lower - y)
    ball = patch.cover(opening)
    patch.paint(ball, _WHITE)
    patch.paint(ball * clamp(0.55 - (y - upper) * 9.0, 0.0, 0.45), (150, 130, 132))  # the lid's shade on the ball
    iris_y = -0.012
    disc = ellipse(x, y, -side * 0.004, iris_y, person.iris_r, person.iris_r)
    patch.fill(np.minimum(disc, opening), mix(person.iris, _DARK, 0.55))
    patch.fill(np.minimum(disc - 0.018, opening), person.iris)
    patch.fill(np.minimum(ellipse(x, y, 0.0, iris_y + 0.03, 0.07, 0.05), opening), mix(person.iris, (255, 240, 200), 0.35), 0.6, soft=0.05)
    patch.fill(np.minimum(ellipse(x, y, -side * 0.004, iris_y, 0.050, 0.050), opening), (16, 12, 14))
    patch.fill(np.minimum(ellipse(x, y, -0.035, iris_y - 0.04, 0.028, 0.028), opening), (255, 255, 255), 0.95)
    lash = 0.024 * (0.45 + 0.55 * bow)
    reach = 1.12 - u * u
    patch.line(np.where(reach > 0.0, y - upper, 9.0).astype(np.float32), lash, _DARK, 0.95)
    patch.line(y - lower, 0.013 * bow, mix(shadow, _DARK, 0.35), 0.75)
    crease = upper - 0.042 - 0.02 * (eye.up / person.eye_h)
    patch.line(y - crease - 0.02 * (1.0 - bow), 0.011 * bow, shadow, 0.7)
    if eye.pouch > 0.03:
        v = u * 0.95
        patch.line(y - (eye.low * 0.9 + 0.065) * (1.0 - v * v) - 0.012, 0.019 * np.maximum(1.0 - v * v, 0.0), shadow, 0.75 * eye.pouch)
    if eye.crow > 0.08:
        out, start = x * side, eye.half + 0.035
        for slope in (-0.5, 0.05, 0.55):
            w = (out - start) * (1.0 / 0.095)
            patch.line(y - slope * (out - start) - slope * 0.04, 0.014 * np.maximum(w * (1.0 - w) * 4.0, 0.0), shadow, 0.6 * eye.crow)


def _paint_brow(canvas: Canvas, person: Person, expression: Expression, side: int) -> None:
    brow = anatomy.brow_of(person, expression, side)
    middle, half = (brow.inner_x + brow.outer_x) / 2, abs(brow.outer_x - brow.inner_x) / 2
    top = min(brow.inner_y, brow.mid_y, brow.outer_y)
    patch = canvas.patch(middle - half - 0.05, top - 0.14, middle + half + 0.05, max(brow.inner_y, brow.mid_y, brow.outer_y) + 0.12)
    u = (patch.x - middle) * (side / half)
    tilt, bend = (brow.outer_y - brow.inner_y) / 2, (brow.inner_y + brow.outer_y) / 2 - brow.mid_y
    centre = brow.mid_y + tilt * u + bend * u * u
    slope = (tilt + 2.0 * bend * u) * (1.0 / half)
    offset = (patch.y - centre) / np.sqrt(1.0 + slope * slope)
    body = clamp((1.0 + u) * 3.0, 0.0, 1.0) * clamp((1.0 - u) * 0.9, 0.0, 1.0)  # blunt inside, tapering outside
    colour = mix(person.hair, (52, 36, 32), 0.45)
    patch.line(offset, brow.thick * body, colour, 0.92)


def _paint_folds(canvas: Canvas, person: Person, expression: Expression, shadow: Colour) -> None:
    """The folds from the nose's wings to the corners of the mouth, and the chin's boss."""
    mouth = anatomy.mouth_of(person, expression)
    nose = anatomy.nose_of(person, expression)
    for side in (-1, 1):
        au = expression.side
        depth = min(1.0, 0.75 * au(12, side) + 0.85 * au(9, side) + 0.6 * au(10, side) + 0.3 * au(6, side) + 0.25 * au(20, side))
        depth = min(1.0, depth + 0.08 + 0.22 * person.age + 0.15 * au(15, side))
        top = (nose.half + 0.06, nose.y - nose.lift - 0.03)
        low = (mouth.half + 0.085, mouth.y + mouth.corner[side > 0] * 0.6)
        near, far = (0.1, 0.75) if side > 0 else (-0.75, -0.1)
        patch = canvas.patch(near, top[1] - 0.1, far, low[1] + 0.12)
        v = (patch.y - top[1]) * (1.0 / max(0.12, low[1] - top[1]))
        reach = np.maximum(v * (1.0 - v) * 4.0, 0.0)
        bulge = 0.035 + 0.05 * au(12, side) + 0.03 * au(9, side)
        offset = patch.x * side - (top[0] + (low[0] - top[0]) * v + bulge * v * (1.0 - v) * 4.0)
        patch.fill(0.03 * reach - np.abs(offset), shadow, 0.35 * depth, soft=0.06)
        patch.line(offset * 0.85, 0.020 * np.minimum(reach, 1.0), shadow, 0.75 * depth)
    boss = max(0.0, expression.both(17))
    y = mouth.y + mouth.open_low + mouth.lower
    patch = canvas.patch(-0.35, y - 0.05, 0.35, y + 0.34)
    u = patch.x * (1.0 / 0.20)
    patch.fill(0.025 * (1.0 - u * u) - np.abs(patch.y - y - 0.045), shadow, 0.30, soft=0.05)
    if boss > 0.03:
        patch.line(patch.y - (y + 0.05) - 0.05 * u * u, 0.020 * np.maximum(1.0 - u * u, 0.0), shadow, 0.85 * boss)
        for k, (dx, dy) in enumerate(((-0.09, 0.16), (0.0, 0.13), (0.09, 0.16), (-0.045, 0.20), (0.045, 0.20))):
            patch.fill(ellipse(patch.x, patch.y, dx, y + dy, 0.024, 0.017), shadow, (0.6 + 0.02 * k) * boss, soft=0.02)


def _paint_mouth(canvas: Canvas, person: Person, expression: Expression, shadow: Colour) -> None:
    mouth = anatomy.mouth_of(person, expression)
    patch = canvas.patch(mouth.x - mouth.half - 0.16, mouth.y - 0.42, mouth.x + mouth.half + 0.16, mouth.y + 0.52)
    u = (patch.x - mouth.x) * (1.0 / mouth.half)
    square = u * u
    arc = 1.0 - square
    bow = np.maximum(arc, 0.0)
    root = np.sqrt(bow)
    corner = np.where(u < 0.0, np.float32(mouth.corner[0]), np.float32(mouth.corner[1]))
    middle = mouth.y + corner * square
    gape = bow + (root - bow) * max(mouth.square, min(1.0, 0.9 * expression.both(26)))
    inner_up, inner_low = middle - mouth.open_up * gape, middle + mouth.open_low * gape
    cupid = bow * (0.80 + 1.1 * square * bow) + 0.10 * root * bow
    outer_up = inner_up - mouth.upper * cupid
    outer_low = inner_low + mouth.lower * (0.55 * bow + 0.45 * root)
    y = patch.y
    inside = np.where(arc > 0.0, np.float32(9.0), arc * (0.5 * mouth.half)).astype(np.float32)
    shade = mix(person.lips, (70, 16, 24), 0.25)
    patch.fill(0.05 * (1.0 - square) - np.abs(y - outer_low - 0.03), shadow, 0.35, soft=0.07)
    patch.fill(np.minimum(np.minimum(y - outer_up, inner_up - y + 0.01), inside), shade)
    patch.fill(np.minimum(np.minimum(y - inner_low + 0.01, outer_low - y), inside), person.lips)
    glow = mix(person.lips, (255, 226, 220), 0.5)
    gloss = 0.25 * mouth.lower * bow - np.abs(y - inner_low - 0.5 * mouth.lower) - 0.02 * square
    patch.fill(np.minimum(gloss, 0.6 - np.abs(u)), glow, 0.55, soft=0.03)
    gap = np.minimum(np.minimum(y - inner_up, inner_low - y), inside)
    total = mouth.open_up + mouth.open_low
    if total > 0.012:
        patch.fill(gap, _CAVITY)
        if total > 0.14:
            tongue = ellipse(patch.x, y, mouth.x, mouth.y + mouth.open_low * 1.02, mouth.half * 0.62, total * 0.34)
            patch.fill(np.minimum(gap - 0.008, tongue), _TONGUE, 0.9, soft=0.03)
        teeth = 0.105 - 0.065 * min(1.0, expression.both(26))
        patch.fill(np.minimum(np.minimum(gap - 0.006, inner_up + teeth - y), 0.90 - np.abs(u)), _TEETH, min(1.0, total * 12.0))
        lower_teeth = 0.06 * min(1.0, 1.2 * expression.both(16) + 0.5 * expression.both(20))
        if lower_teeth > 0.01:
            patch.fill(np.minimum(np.minimum(gap - 0.006, y - inner_low + lower_teeth), 0.75 - np.abs(u)), mix(_TEETH, _CAVITY, 0.12))
    pressed = 1.0 + 0.5 * expression.both(24)
    seam = np.where(arc > -0.06, y - inner_up, np.float32(9.0)).astype(np.float32)
    patch.line(seam, 0.014 * pressed * (0.5 + 0.5 * bow), mix(shade, _DARK, 0.6), 0.9)
    for side, dent in zip((-1, 1), mouth.dimple, strict=True):
        cx, cy = mouth.x + side * (mouth.half + 0.012), mouth.y + mouth.corner[side > 0]
        patch.fill(ellipse(patch.x, y, cx, cy, 0.022, 0.022), mix(shadow, _DARK, 0.4), 0.55, soft=0.03)
        if dent > 0.05:
            a, b = (cx + side * 0.035, cy - 0.07), (cx + side * 0.045, cy + 0.05)
            patch.fill(capsule(patch.x, y, a, b, 0.014), shadow, 0.85 * dent, soft=0.025)
