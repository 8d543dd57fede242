"""Weak and strong pictures of a face, for methods that compare the two (DNFER, Ada-CM, Face2Exp).

    weak, strong = Weak(), Strong(mean=(0.5, 0.5, 0.5))
    weak(faces), strong(faces)                  # (n, 3, S, S) float32 RGB in [0, 1]

`Weak` mirrors and shifts. `Strong` does that, then distorts the way RandAugment does, then erases a box. RandAugment draws N of its
operations for each picture; here each of the operations is drawn with probability N / (their number) by itself, which is N of them on
average and lets a whole batch be done at once, every face with parameters of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

import kornia.augmentation as K
import torch
from torch import Tensor

from evenface.data.views import Augmentation, Augmenter, Share, erase_box, per_face


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
        p = n / 10
        self._layers: list[K.AugmentationBase2D] = [
            K.RandomAffine(degrees=30.0, padding_mode="border", p=p),
            K.RandomAffine(degrees=0.0, shear=(-15.0, 15.0), padding_mode="border", p=p),
            K.RandomAffine(degrees=0.0, translate=(0.15, 0.15), padding_mode="border", p=p),
            K.RandomBrightness((0.5, 1.5), p=p),
            K.RandomContrast((0.5, 1.5), p=p),
            K.RandomSaturation((0.3, 1.7), p=p),
            K.RandomSharpness(0.9, p=p),
            K.RandomPosterize((4.0, 8.0), p=p),
            K.RandomSolarize(0.3, 0.1, p=p),
            K.RandomEqualize(p=p),
        ]

    def __call__(self, faces: Tensor, share: Share | None = None) -> Tensor:
        """Faces (n, 3, S, S), float32 RGB in [0, 1]; `share` says which part of the global batch they are."""
        share = share or Share(len(faces))
        x = self._weak(faces, share)
        for layer in self._layers:
            x = per_face(layer, x, share)
        return erase_box(x.clamp(0, 1), self._mean, share, 1.0).contiguous()
