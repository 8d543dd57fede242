"""Augmentation and the second view, in batch on the device, every face with parameters of its own.

    augment = Augmenter(Augmentation(erase=0.5, jitter=1.0), mean=(0.5, 0.5, 0.5))
    x = augment(faces)                                     # (n, 3, S, S) float32 RGB in [0, 1]
    second, undo = second_view("mirror", x, mean)          # T(x), and the way back for its class maps

Parameters are drawn for the *global* batch from torch's CPU generator and each process keeps its share, so that two processes
train on the same pictures as one. Order: affine, mirror, colour jitter, RandAugment's distortions, noise, erasing; the second view is made
last, so both views share the erased box (specs 1).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import kornia.augmentation as K
import torch
from torch import Tensor
from torch.nn import functional as F

from evenface.data.distortions import Distortions
from evenface.data.per_face import Share, chance, erase_box, per_face
from evenface.errors import ConfigError


Undo = Callable[[Tensor], Tensor]

VIEWS = ("mirror", "vertical", "erase", "intensity", "scaling")

JITTER = (0.4, 0.3, 0.25, 0.05)  # brightness, contrast, saturation, hue: SCAN-CCI's values, the paper names none
NOISE_STD = 30**0.5 / 255  # EAC: variance 30 on the 0..255 scale


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """What is done to a training face. Probabilities and relative sizes are 0 to 1, `rotate` is in degrees, `jitter` scales `JITTER`,
    `rand_augment` is the number of distortions on average."""

    hflip: float = 0.0
    erase: float = 0.0
    jitter: float = 0.0
    rotate: float = 0.0
    scale: float = 0.0
    shift: float = 0.0
    noise: float = 0.0
    rand_augment: float = 0.0


class Augmenter:
    """Applies an `Augmentation` to batches.

    Args:
        mean: RGB in [0, 1] that erased boxes are filled with; the backbone's mean, so that they are 0 after normalisation.
        grey: the faces have three equal channels, so they are moved and jittered as one, and saturation and hue, which do nothing to them,
            are left out.
    """

    def __init__(self, augmentation: Augmentation, mean: Sequence[float] = (0.5, 0.5, 0.5), grey: bool = False):
        a = self.settings = augmentation
        self._grey = grey
        self._mean = torch.tensor(mean, dtype=torch.float32).view(1, 3, 1, 1)
        self._affine = self._jitter = None
        if a.rotate or a.scale or a.shift:
            self._affine = K.RandomAffine(
                degrees=a.rotate, translate=(a.shift, a.shift), scale=(1 - a.scale, 1 + a.scale), padding_mode="border", p=1.0
            )
        if a.jitter:
            brightness, contrast, saturation, hue = (a.jitter * v for v in JITTER)
            self._jitter = K.ColorJitter(brightness, contrast, 0.0 if grey else saturation, 0.0 if grey else hue, p=1.0)
        self._distort = Distortions(a.rand_augment) if a.rand_augment else None

    def __call__(self, faces: Tensor, share: Share | None = None) -> Tensor:
        """Augments faces (n, 3, S, S), float32 RGB in [0, 1]; `share` says which part of the global batch they are."""
        a, share = self.settings, share or Share(len(faces))
        x = faces[:, :1] if self._grey else faces
        if self._affine is not None:
            x = per_face(self._affine, x, share)
        if a.hflip:
            x = torch.where(chance(a.hflip, x, share), x.flip(-1), x)
        if self._jitter is not None:
            x = per_face(self._jitter, x, share)
        x = x.expand(-1, 3, -1, -1)
        if self._distort is not None:
            x = self._distort(x, share)
        if a.noise:
            noise = share.of(torch.randn(share.total, *x.shape[1:])).to(x.device)
            x = torch.where(chance(a.noise, x, share), (x + NOISE_STD * noise).clamp(0, 1), x)
        if a.erase:
            x = erase_box(x, self._mean, share, chance(a.erase, x, share))
        return x.contiguous()


def second_view(name: str, x: Tensor, mean: Sequence[float] = (0.5, 0.5, 0.5), share: Share | None = None) -> tuple[Tensor, Undo]:
    """T(x) of the paper's section 4.6 and the transform that brings its class maps (n, L, h, w) back onto those of x (specs 1.2).

    Args:
        name: mirror (width axis), vertical (height axis), erase (a box in every second view), intensity (darker by a factor of
            0.4 to 0.9) or
            scaling (half the resolution, blown up again). The last three leave positions where they are: their maps need no way back.
        x: (n, 3, S, S) float32 RGB in [0, 1].

    Raises:
        ConfigError: an unknown name.
    """
    share = share or Share(len(x))
    if name == "mirror":
        return x.flip(-1), lambda maps: maps.flip(-1)
    if name == "vertical":
        return x.flip(-2), lambda maps: maps.flip(-2)
    if name == "erase":
        return erase_box(x, torch.tensor(mean).view(1, 3, 1, 1), share, 1.0), _same
    if name == "intensity":
        return x * share.of(0.4 + 0.5 * torch.rand(share.total)).to(x.device).view(-1, 1, 1, 1), _same
    if name == "scaling":
        half = F.interpolate(x, scale_factor=0.5, mode="bilinear", antialias=True)
        return F.interpolate(half, size=x.shape[-2:], mode="bilinear", align_corners=False), _same
    raise ConfigError(f"--view is one of {', '.join(VIEWS)}, not '{name}'.")


def _same(maps: Tensor) -> Tensor:
    return maps
