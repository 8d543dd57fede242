"""Weak and strong pictures of a face, for methods that compare the two (DNFER, Ada-CM, Face2Exp).

    weak, strong = Weak(), Strong(mean=(0.5, 0.5, 0.5))
    weak(faces), strong(faces)                  # (n, 3, S, S) float32 RGB in [0, 1]

`Weak` mirrors and shifts. `Strong` does that, then distorts the way RandAugment does, then erases a box.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from evenface.data.distortions import Distortions
from evenface.data.per_face import Share, erase_box
from evenface.data.views import Augmentation, Augmenter


WEAK = Augmentation(hflip=0.5, shift=0.05, scale=0.05)


class Weak(Augmenter):
    """Mirror with probability 0.5, shift and scale by up to 5 %."""

    def __init__(self) -> None:
        super().__init__(WEAK)


class Strong:
    """`Weak`, then `n` of ten distortions on average, then one erased box (2 to 25 % of the area).

    Args:
        mean: RGB in [0, 1] that the box is filled with.
        n: distortions per face, on average; RandAugment's N.
    """

    def __init__(self, mean: Sequence[float] = (0.5, 0.5, 0.5), n: float = 2.0) -> None:
        self._weak = Weak()
        self._mean = torch.tensor(mean, dtype=torch.float32).view(1, 3, 1, 1)
        self._distort = Distortions(n)

    def __call__(self, faces: Tensor, share: Share | None = None) -> Tensor:
        """Faces (n, 3, S, S), float32 RGB in [0, 1]; `share` says which part of the global batch they are."""
        share = share or Share(len(faces))
        x = self._distort(self._weak(faces, share), share)
        return erase_box(x, self._mean, share, 1.0).contiguous()
