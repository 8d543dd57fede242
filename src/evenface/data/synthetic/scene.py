"""How a face is seen: pose, background, light, what stands in front of it, blur and noise.

scene = sample(Dice((0,), stream=2), occlusion=0.15)
"""

from __future__ import annotations

import dataclasses

import numpy as np

from evenface.data.synthetic.canvas import Canvas, Colour, Pose, clamp, ellipse, mix
from evenface.data.synthetic.dice import Dice
from evenface.data.synthetic.occluders import OCCLUDERS
from evenface.data.synthetic.person import Person, skin_tone


_BACK: tuple[Colour, ...] = (
    (222, 226, 230), (196, 208, 218), (228, 214, 196), (182, 200, 186),
    (214, 196, 204), (120, 134, 150), (92, 96, 108), (158, 146, 132),
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Scene:
    """All that is neither the person nor the expression."""

    pose: Pose = dataclasses.field(default_factory=Pose)
    back: tuple[Colour, Colour] = ((222, 226, 230), (196, 208, 218))
    spots: tuple[tuple[float, float, float], ...] = ()  # x, y, radius of soft spots of light behind the head
    light: float = 0.35  # side that the light comes from, -1 to 1
    slope: tuple[float, float] = (0.0, 0.0)  # change of brightness per face unit, right and down
    bright: float = 1.0
    contrast: float = 1.0
    cast: Colour = (1.0, 1.0, 1.0)
    occluder: str = ""
    place: tuple[float, float] = (0.0, 0.0)  # where the occluder is, each in [-1, 1]
    tint: Colour = (150, 180, 200)
    blur: int = 0  # passes of the 3 x 3 binomial filter at 64 px
    noise: float = 0.0  # standard deviation, grey levels


def sample(dice: Dice, occlusion: float) -> Scene:
    """A scene from the seed's stream; something stands in front of that share of the faces."""
    pose = Pose(
        yaw=dice.bell(0.0, 0.7),
        pitch=dice.bell(0.0, 0.6),
        tilt=dice.bell(0.0, 0.07),
        scale=dice.bell(0.98, 0.05),
        dx=dice.bell(0.0, 0.05),
        dy=dice.bell(0.0, 0.05),
    )
    a, b = _BACK[dice.index(len(_BACK))], _BACK[dice.index(len(_BACK))]
    spots = tuple((dice.uniform(-1.3, 1.3), dice.uniform(-1.3, 1.0), dice.uniform(0.1, 0.45)) for _ in range(3))
    light, slope = dice.uniform(-1.0, 1.0), dice.bell(0.0, 0.14)
    bright, contrast, warm = dice.bell(0.98, 0.17), dice.bell(1.0, 0.13), dice.bell(0.0, 0.045)
    occluder = tuple(OCCLUDERS)[dice.index(len(OCCLUDERS))] if dice.chance(occlusion) else ""
    place = (dice.uniform(-1.0, 1.0), dice.uniform(-1.0, 1.0))
    grey = dice.uniform(50, 215)
    tint = (grey + dice.uniform(-25, 25), grey + dice.uniform(-25, 25), grey + dice.uniform(-25, 25))
    skin = skin_tone(dice.unit())
    blur = 1 + dice.index(2) if dice.chance(0.14) else 0
    noise = dice.uniform(0.0, 5.0)
    return Scene(
        pose, (a, b), spots, light, (0.22 * light, slope), bright, contrast, (1 + warm, 1.0, 1 - warm), occluder, place,
        skin if occluder == "hand" else tint, blur, noise,
    )  # fmt: skip


def paint_background(canvas: Canvas, scene: Scene) -> None:
    patch = canvas.all("image")
    patch.rgb[...] = np.array(scene.back[0], dtype=np.float32)[:, None, None]
    patch.paint(clamp(0.5 + 0.35 * patch.y + 0.15 * scene.light * patch.x, 0.0, 1.0), scene.back[1])
    for x, y, radius in scene.spots:
        reach = radius + 0.13
        patch = canvas.patch(x - reach, y - reach, x + reach, y + reach, "image")
        patch.fill(ellipse(patch.x, patch.y, x, y, radius, radius), mix(scene.back[0], (255, 250, 240), 0.6), 0.35, soft=0.25)


def paint_occluder(canvas: Canvas, scene: Scene, person: Person) -> None:
    """What stands in front of the face, if anything."""
    if scene.occluder:
        OCCLUDERS[scene.occluder](canvas, person, scene.place, scene.tint)


def develop(canvas: Canvas, scene: Scene, dice: Dice) -> np.ndarray:
    """Light, blur, noise and rounding: the image as uint8 (S, S, 3), RGB."""
    patch = canvas.all("image")
    rgb = canvas.rgb
    field = clamp(1.0 + scene.slope[0] * patch.x + scene.slope[1] * patch.y, 0.35, 1.6) * (scene.bright * scene.contrast)
    rgb *= field
    rgb *= np.array(scene.cast, dtype=np.float32)[:, None, None]
    rgb += 118.0 * (1.0 - scene.contrast)
    for _ in range((scene.blur * canvas.size * canvas.size + 2048) // 4096):  # the same width in face units at every size
        rgb[...] = _binomial(rgb)
    if scene.noise > 0:
        rgb += _noise(dice, rgb.shape) * scene.noise
    return np.ascontiguousarray(np.rint(clamp(rgb, 0.0, 255.0)).astype(np.uint8).transpose(1, 2, 0))


def _binomial(rgb: np.ndarray) -> np.ndarray:
    """The 3 x 3 filter (1 2 1)(1 2 1) / 16 with replicated edges."""
    for axis in (1, 2):
        before = np.concatenate([rgb.take([0], axis), rgb], axis)
        after = np.concatenate([rgb, rgb.take([-1], axis)], axis)
        size = rgb.shape[axis]
        rgb = 0.25 * before.take(range(size), axis) + 0.5 * rgb + 0.25 * after.take(range(1, size + 1), axis)
    return rgb


def _noise(dice: Dice, shape: tuple[int, ...]) -> np.ndarray:
    """Even noise of unit variance, a byte per value."""
    values = dice.raw(shape[0] * shape[1] * shape[2]).astype(np.float32)
    return ((values - 127.5) * (1.0 / 73.9)).reshape(shape)
