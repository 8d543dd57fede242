"""How action units move a face: a person at rest and an expression in, the places of lids, brows, nose and lips out.

    mouth = mouth_of(person, expression)

This is the one file that says what a unit does; the painting (features.py) only follows the curves. Every displacement is in
face units at full intensity and is linear in the intensity, so a trace of a unit is a trace of its motion. y points down.
"""

from __future__ import annotations

import dataclasses

from evenface.data.synthetic.person import Person
from evenface.data.synthetic.units import Expression


EYE_Y = -0.10


@dataclasses.dataclass(frozen=True)
class Eye:
    """One eye; `up` and `low` are the heights of the lids' arcs over the line between the corners."""

    x: float
    y: float
    half: float
    up: float
    low: float
    tilt: float
    slant: float  # > 0: the upper lid hangs inside (AU 4), < 0: outside (AU 1)
    pouch: float  # bag under the eye, 0 to 1 (AU 6, 7)
    crow: float  # crow's feet (AU 6)


@dataclasses.dataclass(frozen=True)
class Brow:
    """One brow: a parabola through its inner end, middle and outer end."""

    inner_x: float
    outer_x: float
    inner_y: float
    mid_y: float
    outer_y: float
    thick: float


@dataclasses.dataclass(frozen=True)
class Mouth:
    """The lips. Heights are for the middle; the corners are given apart, (left of the image, right of it)."""

    x: float
    y: float
    half: float
    corner: tuple[float, float]  # y of the corners relative to the middle line
    open_up: float  # the gap between the lips above and below that line
    open_low: float
    upper: float  # thickness of the lips
    lower: float
    square: float  # 0: the gap is a lens, 1: it is as high near the corners as in the middle
    dimple: tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Nose:
    y: float
    half: float
    lift: float  # of the wings (AU 9, 10)
    wrinkle: float  # across the bridge (AU 9)


def jaw_drop(expression: Expression) -> float:
    """How far the chin goes down."""
    return 0.15 * expression.both(26) + 0.02 * expression.both(25)


def eye_of(person: Person, expression: Expression, side: int) -> Eye:
    """The eye on the left (-1) or right (+1) of the image."""
    cheek, lid, wide = expression.side(6, side), expression.side(7, side), expression.side(5, side)
    closed, snarl, frown = expression.side(43, side), expression.side(9, side), expression.side(4, side)
    inner = expression.side(1, side)
    up = person.eye_h * (1 + 0.85 * wide - 0.42 * lid - 0.12 * cheek - 0.25 * snarl - 0.15 * frown) * (1 - 0.9 * closed)
    low = person.eye_h * 0.78 * (1 + 0.18 * wide - 0.50 * cheek - 0.45 * lid - 0.30 * snarl)
    return Eye(
        x=side * person.eye_x,
        y=EYE_Y,
        half=person.eye_w,
        up=max(up, 0.008),
        low=max(low, 0.012),
        tilt=person.eye_tilt,
        slant=(0.034 * frown * (1 - inner) - 0.030 * inner * (1 - wide)) * (1 - closed),
        pouch=min(1.0, 0.75 * cheek + 0.5 * lid + 0.35 * snarl + 0.3 * person.age),
        crow=min(1.0, 0.9 * cheek + 0.1 * person.age),
    )


def brow_of(person: Person, expression: Expression, side: int) -> Brow:
    """The brow on the left (-1) or right (+1) of the image."""
    inner, outer, frown = expression.side(1, side), expression.side(2, side), expression.side(4, side)
    snarl, wide = expression.side(9, side), expression.side(5, side)
    y = EYE_Y - person.brow_y
    raise_frown = 1.0 - 0.6 * min(1.0, inner)  # with AU 1 the corrugator draws the brows together rather than down
    return Brow(
        inner_x=side * (person.eye_x - person.brow_w * 0.92 - 0.065 * frown - 0.02 * snarl),
        outer_x=side * (person.eye_x + person.brow_w),
        inner_y=y + 0.02 + person.brow_tilt - 0.19 * inner - 0.02 * outer + raise_frown * 0.175 * frown + 0.10 * snarl,
        mid_y=y - person.brow_arch - 0.06 * inner - 0.15 * outer + raise_frown * 0.105 * frown + 0.05 * snarl - 0.01 * wide,
        outer_y=y + 0.012 - person.brow_tilt - 0.15 * outer + 0.03 * inner + 0.03 * frown,
        thick=person.brow_thick,
    )


def nose_of(person: Person, expression: Expression) -> Nose:
    snarl, lift = expression.both(9), expression.both(10)
    return Nose(
        y=person.nose_y - 0.035 * snarl,
        half=person.nose_w * (1 + 0.18 * snarl + 0.06 * lift + 0.05 * expression.both(12)),
        lift=0.075 * snarl + 0.03 * lift,
        wrinkle=snarl,
    )


def mouth_of(person: Person, expression: Expression) -> Mouth:
    """The mouth; units of one side move only that corner."""
    au = expression.both
    pull = (expression.side(12, -1), expression.side(12, 1))
    dent = (expression.side(14, -1), expression.side(14, 1))
    depress = (expression.side(15, -1), expression.side(15, 1))
    sag = -0.014 + 0.035 * au(20) + 0.02 * au(17)
    left, right = (sag - 0.195 * p - 0.05 * d + 0.165 * s for p, d, s in zip(pull, dent, depress, strict=True))
    narrowed = 0.40 * au(26) * (1 - 0.6 * au(20)) + 0.16 * au(23) + 0.06 * au(24) + 0.06 * au(17)
    half = person.mouth_w * (1 + 0.30 * au(12) + 0.34 * au(20) + 0.08 * au(14) + 0.02 * au(15) - narrowed)
    part, jaw, grin = au(25), au(26), au(12)
    thin = 1 - 0.55 * au(23) - 0.45 * au(24) - 0.20 * au(20) - 0.18 * grin
    raised = 0.055 * au(9) + 0.075 * au(10)
    pushed = 0.065 * au(17)
    lowered = 0.075 * au(16)
    gap = 0.070 * part + 0.05 * part * au(20) + 0.03 * part * grin + 0.28 * jaw
    return Mouth(
        x=person.mouth_w * (0.15 * (pull[1] - pull[0]) + 0.04 * (dent[1] - dent[0])),  # so that a corner at rest stays in place
        y=person.mouth_y + 0.045 * min(pull) + 0.10 * jaw - 0.6 * pushed - 0.3 * raised,
        half=half,
        corner=(left, right),
        open_up=0.40 * gap + 0.5 * raised * (0.5 + part),
        open_low=0.60 * gap + lowered + 0.01 * raised,
        upper=max(0.018, person.lip_upper * thin + 0.10 * raised),
        lower=max(0.020, person.lip_lower * thin + 0.30 * pushed),
        square=min(1.0, 0.75 * au(20) + 0.45 * au(10) + 0.35 * au(16) + 0.35 * au(12) * part),
        dimple=(max(0.8 * pull[0], dent[0]), max(0.8 * pull[1], dent[1])),
    )
