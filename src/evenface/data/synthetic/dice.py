"""Random numbers that are the same on every machine and with every version of Python and numpy.

    dice = Dice((0, 2, 6, 12), stream=1)      # seed, split, class, index of a face
    dice.uniform(0.2, 0.8)

The bits are SHAKE-128 (FIPS 202) of the key, a standard that no library will change, and become numbers by exact arithmetic only
(no log, exp, sin or pow). Each face has its own key, hence a face does not depend on how many others are drawn or in which
order. It is also ten times faster to start than a numpy generator, which matters at 64 numbers per face.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Sequence

import numpy as np


_BLOCK = 64


class Dice:
    """An endless stream of draws for one purpose (`stream`) of one face (`key`, whole numbers >= 0)."""

    def __init__(self, key: Sequence[int], stream: int) -> None:
        self._key = f"evenface/{stream}/{','.join(map(str, key))}/"
        self._blocks = 0
        self._words: Iterator[int] = iter(())

    def unit(self) -> float:
        """A float in [0, 1) with 53 random bits."""
        word = next(self._words, None)
        if word is None:
            self._words = iter(struct.unpack(f"<{_BLOCK}Q", self._bits(8 * _BLOCK)))
            word = next(self._words)
        return (word >> 11) * 2.0**-53

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * self.unit()

    def bell(self, mean: float, spread: float) -> float:
        """A bell-shaped draw in mean +- 2 spread (sum of four uniforms; standard deviation 0.58 spread)."""
        return mean + spread * (self.unit() + self.unit() + self.unit() + self.unit() - 2.0)

    def chance(self, probability: float) -> bool:
        return self.unit() < probability

    def index(self, n: int) -> int:
        """A whole number in 0 ... n - 1."""
        return int(self.unit() * n)

    def raw(self, n: int) -> np.ndarray:
        """n random bytes, uint8 (n,), for noise per pixel."""
        return np.frombuffer(self._bits(n), dtype=np.uint8)

    def _bits(self, n: int) -> bytes:
        self._blocks += 1
        return hashlib.shake_128(f"{self._key}{self._blocks}".encode()).digest(n)
