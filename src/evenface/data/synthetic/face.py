"""One face: who, what expression, seen how; drawn to an array.

from evenface.data.synthetic import synthetic_face
image = synthetic_face("fear", seed=3, size=96)        # uint8 (96, 96, 3), RGB
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from evenface.data.synthetic import person as people
from evenface.data.synthetic import scene as scenes
from evenface.data.synthetic import units as action_units
from evenface.data.synthetic.canvas import Canvas
from evenface.data.synthetic.dice import Dice
from evenface.data.synthetic.features import paint_features
from evenface.data.synthetic.head import paint_beard, paint_front, paint_head
from evenface.data.synthetic.units import Expression
from evenface.errors import ConfigError
from evenface.labels import canonical


_EXPRESSION, _PERSON, _SCENE, _NOISE = range(4)  # one stream of draws each, so that none disturbs another


@dataclasses.dataclass(frozen=True)
class Face:
    """What is drawn, before it is drawn."""

    person: people.Person
    expression: Expression
    scene: scenes.Scene


def draw_face(face: Face, size: int, key: Sequence[int] = (0,)) -> np.ndarray:
    """Paints a face from back to front: uint8 (size, size, 3), RGB. `key` seeds the noise of the sensor."""
    canvas = Canvas(size, face.scene.pose)
    scenes.paint_background(canvas, face.scene)
    paint_head(canvas, face.person, face.expression, face.scene.light)
    paint_beard(canvas, face.person, face.expression)
    paint_features(canvas, face.person, face.expression)
    paint_front(canvas, face.person)
    scenes.paint_occluder(canvas, face.scene, face.person)
    return scenes.develop(canvas, face.scene, Dice(key, _NOISE))


def sample_face(label: str, key: Sequence[int], *, occlusion: float = 0.15, plain: bool = False) -> Face:
    """A face of a class. `plain` shows it frontal, in even light, unhidden and sharp; the person and the expression stay the same.

    Raises:
        LabelError: an unknown class. ConfigError: a negative key, or an occlusion outside 0 to 1.
    """
    if any(k < 0 for k in key):
        raise ConfigError(f"A seed must be a whole number >= 0, not {min(key)}.")
    if not 0 <= occlusion <= 1:
        raise ConfigError(f"The occluded share must be between 0 and 1, not {occlusion}.")
    expression = action_units.sample(canonical(label), Dice(key, _EXPRESSION))
    scene = scenes.Scene() if plain else scenes.sample(Dice(key, _SCENE), occlusion)
    return Face(people.sample(Dice(key, _PERSON)), expression, scene)


def synthetic_face(
    label: str,
    seed: int | Sequence[int],
    size: int = 64,
    *,
    occlusion: float = 0.15,
    plain: bool = False,
    units: Mapping[int, float | tuple[float, float]] | None = None,
) -> np.ndarray:
    """Draws a face: uint8 (size, size, 3), RGB, the same bytes on every machine.

    Args:
        label: class name or alias.
        seed: one or several whole numbers >= 0; the person and the scene depend on it alone, not on the label.
        size: side in pixels; the same seed shows the same face at every size.
        occlusion: share of faces with a hand, mask, sunglasses, bar or lock of hair in front.
        plain: frontal, even light, sharp and unhidden.
        units: action units (number -> intensity in [0, 1], or one for the person's right and left) instead of the class's own.

    Raises:
        LabelError, ConfigError: an unknown class or unit, a size under 16, a negative seed.
    """
    if size < 16:
        raise ConfigError(f"A synthetic face needs at least 16 pixels a side, not {size}.")
    key = (seed,) if isinstance(seed, int) else tuple(seed)
    face = sample_face(label, key, occlusion=occlusion, plain=plain)
    if units is not None:
        unknown = sorted(set(units) - set(action_units.UNITS))
        if unknown:
            raise ConfigError(f"Unknown action unit {unknown[0]}; known are: {', '.join(map(str, action_units.UNITS))}.")
        pairs = {unit: level if isinstance(level, tuple) else (level, level) for unit, level in units.items()}
        face = dataclasses.replace(face, expression=Expression(pairs))
    return draw_face(face, size, key)
