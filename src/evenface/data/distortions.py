"""The distortions of RandAugment (Cubuk et al., CVPR Workshops 2020), for whole batches.

    Distortions(n=2.0)(faces)           # (B, 3, S, S) float32 RGB in [0, 1], each face distorted by itself

RandAugment draws N of its operations for each picture; here each of the ten is drawn with probability N / 10 by itself, which is N of them
on average and lets a whole batch be done at once, every face with parameters of its own. Strengths are drawn up to about those of its
magnitude 9 of 10. The light is kornia's: brightness is added, contrast multiplies from black, and sharpness only blurs. On grey faces
saturation does nothing.
"""

from __future__ import annotations

import kornia.augmentation as K
import torch
from torch import Tensor

from evenface.data.per_face import Share, per_face


KINDS = 10


class Distortions:
    """Turns, shears and shifts a face, changes its light, blurs, posterizes, solarizes, equalizes.

    Args:
        n: distortions per face on average, 0 to 10; RandAugment's N.
    """

    def __init__(self, n: float) -> None:
        self._p = n / KINDS
        self._layers: list[K.AugmentationBase2D] = [
            K.RandomAffine(degrees=30.0, padding_mode="border", p=1.0),
            K.RandomAffine(degrees=0.0, shear=(-15.0, 15.0), padding_mode="border", p=1.0),
            K.RandomAffine(degrees=0.0, translate=(0.15, 0.15), padding_mode="border", p=1.0),
            K.RandomBrightness((0.5, 1.5), p=1.0),
            K.RandomContrast((0.5, 1.5), p=1.0),
            K.RandomSaturation((0.3, 1.7), p=1.0),
            K.RandomSharpness(0.9, p=1.0),
            K.RandomPosterize((4.0, 8.0), p=1.0),
            K.RandomSolarize(0.3, 0.1, p=1.0),
            K.RandomEqualize(p=1.0),
        ]

    def __call__(self, faces: Tensor, share: Share) -> Tensor:
        """Faces (n, 3, S, S), float32 RGB in [0, 1]; `share` says which part of the global batch they are."""
        x = faces
        for layer in self._layers:
            x = per_face(layer, x, share, share.of(torch.rand(share.total) < self._p))
        return x.clamp(0, 1)
