"""Facial action units (FACS) and the expressions that they make (EMFACS prototypes).

    sample("fear", Dice((0,), stream=0)).code()      # "1C+2B+4B+5D+20C+25C+26B"

An action unit (AU) has an intensity in [0, 1] on each side of the face; FACS writes it as a letter from A (a trace) to E
(the maximum), and L or R before a unit that acts on one side only (the person's left or right). A drawn expression is never
the prototype itself: intensities vary around a mean, units drop out, others stray in, and the sides differ a little. Fear
shares 1+2+5+26 with surprise, disgust shares 4, 7 and 17 with anger: these pairs are hard here because they are hard in
photographs.

Ekman, Friesen, Hager: Facial Action Coding System (2002); Friesen, Ekman: EMFACS-7 (1983).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from evenface.data.synthetic.dice import Dice


UNITS: dict[int, str] = {
    1: "inner brow raiser",
    2: "outer brow raiser",
    4: "brow lowerer",
    5: "upper lid raiser",
    6: "cheek raiser",
    7: "lid tightener",
    9: "nose wrinkler",
    10: "upper lip raiser",
    12: "lip corner puller",
    14: "dimpler",
    15: "lip corner depressor",
    16: "lower lip depressor",
    17: "chin raiser",
    20: "lip stretcher",
    23: "lip tightener",
    24: "lip pressor",
    25: "lips part",
    26: "jaw drop",
    43: "eyes closed",
}
"""Every unit that the drawing knows, by its FACS number."""


@dataclasses.dataclass(frozen=True)
class Expression:
    """Intensities in [0, 1] per unit: (the person's right, the person's left); right stands on the left of the image."""

    units: Mapping[int, tuple[float, float]]

    def side(self, unit: int, side: int) -> float:
        """Intensity of a unit on one side: -1 is the left of the image (the person's right), +1 the other."""
        return self.units.get(unit, (0.0, 0.0))[side > 0]

    def both(self, unit: int) -> float:
        """Mean intensity of the two sides."""
        right, left = self.units.get(unit, (0.0, 0.0))
        return (right + left) / 2

    def code(self) -> str:
        """FACS notation, for example `6C+12D` or `R12C+R14B`; empty for a face at rest."""
        parts = []
        for unit, (right, left) in sorted(self.units.items()):
            top, low = max(right, left), min(right, left)
            if top < 0.05:
                continue
            side = ("R" if right > left else "L") if low < 0.05 else ""
            parts.append(f"{side}{unit}{'ABCDE'[min(4, int(top * 5))]}")
        return "+".join(parts)


@dataclasses.dataclass(frozen=True)
class _Part:
    """One unit of a prototype: how often it takes part, and the mean of its intensity where it does."""

    probability: float
    mean: float


PROTOTYPES: dict[str, dict[int, _Part]] = {
    "happiness": {6: _Part(0.85, 0.70), 12: _Part(1.0, 0.78), 25: _Part(0.6, 0.6), 26: _Part(0.15, 0.3)},
    "neutral": {},
    "sadness": {1: _Part(0.95, 0.75), 4: _Part(0.7, 0.45), 15: _Part(0.95, 0.74), 17: _Part(0.5, 0.5), 43: _Part(0.35, 0.3)},
    "surprise": {1: _Part(0.95, 0.75), 2: _Part(0.95, 0.78), 5: _Part(0.85, 0.65), 25: _Part(0.9, 0.5), 26: _Part(0.95, 0.72)},
    "disgust": {
        9: _Part(0.97, 0.84),
        10: _Part(0.80, 0.68),
        4: _Part(0.45, 0.4),
        7: _Part(0.45, 0.5),
        15: _Part(0.5, 0.5),
        16: _Part(0.5, 0.5),
        17: _Part(0.4, 0.5),
        25: _Part(0.4, 0.45),
    },
    "anger": {
        4: _Part(1.0, 0.80),
        5: _Part(0.6, 0.5),
        7: _Part(0.8, 0.55),
        23: _Part(0.9, 0.75),
        24: _Part(0.5, 0.5),
        17: _Part(0.4, 0.45),
        25: _Part(0.10, 0.4),
    },
    "fear": {
        1: _Part(0.97, 0.78),
        2: _Part(0.60, 0.5),
        4: _Part(0.92, 0.68),
        5: _Part(0.92, 0.78),
        7: _Part(0.30, 0.3),
        20: _Part(0.97, 0.85),
        25: _Part(0.92, 0.75),
        26: _Part(0.45, 0.4),
    },
    "contempt": {12: _Part(1.0, 0.68), 14: _Part(1.0, 0.75)},
}
"""EMFACS prototypes, with the variants that belong to them."""

_STRAY = (1, 2, 4, 5, 6, 7, 12, 14, 15, 17, 23, 25, 43)
_ONE_SIDED = frozenset({"contempt"})


def sample(label: str, dice: Dice) -> Expression:
    """An expression of a class: the prototype with varied intensities, dropped, stray and uneven units."""
    parts = PROTOTYPES[label]
    strength = dice.bell(1.0, 0.18)  # one person plays it down, another exaggerates: all units share it
    side = dice.chance(0.5)
    units: dict[int, tuple[float, float]] = {}
    for unit, part in parts.items():
        present = dice.chance(part.probability)
        level = min(1.0, max(0.15, dice.bell(part.mean, 0.18) * strength))
        uneven = dice.bell(0.0, 0.12)
        if not present:
            continue
        if label in _ONE_SIDED:
            units[unit] = (level, 0.0) if side else (0.0, level)
        else:
            units[unit] = (min(1.0, max(0.0, level * (1 + uneven))), min(1.0, max(0.0, level * (1 - uneven))))
    for _ in range(2):
        stray, unit, level = dice.chance(0.3), _STRAY[dice.index(len(_STRAY))], dice.uniform(0.05, 0.3)
        if stray and unit not in units:
            units[unit] = (level, level)
    return Expression(units)
