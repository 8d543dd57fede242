"""Who is drawn: the shape of a face at rest, its colours, hair and glasses.

    person = sample(Dice((0,), stream=1))

No two faces of a set share a person: an expression must be told from the action units, not from whose face it is. Lengths are
in face units (see canvas.py), colours RGB in 0 to 255.
"""

from __future__ import annotations

import dataclasses

from evenface.data.synthetic.canvas import Colour, mix
from evenface.data.synthetic.dice import Dice


_SKIN: tuple[Colour, ...] = (
    (255, 226, 206), (245, 205, 176), (228, 178, 142), (198, 143, 105), (158, 106, 74), (118, 76, 53), (84, 54, 40),
)  # fmt: skip
_HAIR: tuple[Colour, ...] = (
    (36, 29, 30), (58, 40, 34), (92, 60, 42), (128, 84, 54), (170, 122, 72), (214, 172, 112), (152, 74, 44), (186, 184, 184),
)  # fmt: skip
_IRIS: tuple[Colour, ...] = ((70, 44, 30), (96, 62, 36), (120, 92, 50), (84, 114, 76), (78, 118, 152), (104, 128, 140))
_CLOTH: tuple[Colour, ...] = (
    (58, 84, 122), (122, 66, 78), (66, 110, 98), (214, 202, 186), (72, 70, 84), (196, 148, 84), (140, 160, 186), (238, 236, 232),
)  # fmt: skip
STYLES = ("bald", "crop", "side", "fringe", "long", "curls", "bun", "receding")


@dataclasses.dataclass(frozen=True)
class Person:
    """Identity; every field is drawn independently but for the hair colour, which darkens with the skin."""

    skin: Colour
    hair: Colour
    iris: Colour
    lips: Colour
    cloth: Colour
    style: str
    width: float  # half-width of the head
    jaw: float  # 0: oval, 0.25: pointed
    chin: float  # y of the chin at rest
    eye_x: float  # distance of an eye from the middle
    eye_w: float  # half-width of an eye
    eye_h: float  # half-height of the open eye
    eye_tilt: float
    iris_r: float
    brow_y: float  # distance of the brow above the eye
    brow_w: float
    brow_thick: float
    brow_arch: float
    brow_tilt: float
    nose_w: float
    nose_y: float
    mouth_y: float
    mouth_w: float
    lip_upper: float
    lip_lower: float
    age: float  # 0 to 1: how deep lines are at rest
    blush: float
    freckles: bool
    beard: float  # 0: shaven, else its opacity
    moustache: bool
    glasses: int  # 0: none, 1: round, 2: square
    part: float  # side of the hair's parting, -1 to 1


def skin_tone(depth: float) -> Colour:
    """A colour on the continuous scale from light (0) to dark (1)."""
    place = depth * (len(_SKIN) - 1)
    low = min(len(_SKIN) - 2, int(place))
    return mix(_SKIN[low], _SKIN[low + 1], place - low)


def sample(dice: Dice) -> Person:
    """A person from the seed's stream."""
    depth = dice.unit()
    warm = dice.bell(0.0, 5.0)
    base = skin_tone(depth)
    skin = (base[0] + warm * 0.5, base[1], base[2] - warm)
    hair_range = len(_HAIR) if depth < 0.55 else 3
    hair = mix(_HAIR[dice.index(hair_range)], _HAIR[dice.index(hair_range)], dice.uniform(0.0, 0.5))
    iris = _IRIS[dice.index(len(_IRIS) if depth < 0.5 else 3)]
    lips = mix(mix(skin, (176, 62, 70), 0.42), (120, 40, 50), dice.uniform(0.0, 0.3))
    style = STYLES[dice.index(len(STYLES))]
    if style == "bald" and dice.chance(0.5):
        style = "crop"
    hairy = style in ("bald", "crop", "side", "receding")
    age = dice.unit()
    return Person(
        skin=skin,
        hair=hair,
        iris=iris,
        lips=lips,
        cloth=_CLOTH[dice.index(len(_CLOTH))],
        style=style,
        width=dice.bell(0.84, 0.05),
        jaw=dice.uniform(0.05, 0.22),
        chin=dice.bell(1.0, 0.05),
        eye_x=dice.bell(0.375, 0.03),
        eye_w=dice.bell(0.205, 0.02),
        eye_h=dice.bell(0.098, 0.014),
        eye_tilt=dice.bell(0.0, 0.05),
        iris_r=dice.bell(0.108, 0.01),
        brow_y=dice.bell(0.30, 0.03),
        brow_w=dice.bell(0.235, 0.02),
        brow_thick=dice.bell(0.046, 0.014),
        brow_arch=dice.bell(0.045, 0.025),
        brow_tilt=dice.bell(0.0, 0.025),
        nose_w=dice.bell(0.155, 0.03),
        nose_y=dice.bell(0.27, 0.03),
        mouth_y=dice.bell(0.60, 0.03),
        mouth_w=dice.bell(0.30, 0.03),
        lip_upper=dice.bell(0.055, 0.018),
        lip_lower=dice.bell(0.075, 0.02),
        age=age * age,
        blush=dice.uniform(0.0, 0.35),
        freckles=dice.chance(0.08),
        beard=dice.uniform(0.25, 0.95) if hairy and dice.chance(0.3) else 0.0,
        moustache=hairy and dice.chance(0.2),
        glasses=1 + dice.index(2) if dice.chance(0.18) else 0,
        part=1.0 if dice.chance(0.5) else -1.0,
    )
