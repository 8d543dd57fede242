"""Mixing the faces of a batch with one another: the shares, the pairs, the boxes, and what mixup and its descendants have in common.

All chance comes from torch's global generator on the CPU, so no step waits for the accelerator. Pairs are a random permutation of the
batch, within one process: each process mixes its own share of the batch, which is why these methods are `batchwise`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor
from torch.distributions import Beta

from evenface.losses.mixing import mix_targets
from evenface.methods._options import about
from evenface.methods.base import Batch, Method, Options


UNDERFLOWS = 0.01  # alpha below which torch's draws of Beta(alpha, alpha) go wrong


@dataclass(frozen=True)
class MixOptions(Options):
    """How much is mixed."""

    alpha: float = field(default=0.2, metadata=about("lambda is drawn from Beta(alpha, alpha); 0 mixes nothing", low=0))
    lam_per: Literal["face", "batch"] = field(default="face", metadata=about("a lambda for each face, or one for the whole batch"))


class Mixing(Method):
    """A method that trains on faces blended from two; its options must hold those of `MixOptions`."""

    batchwise = True

    def blended(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Blended faces, like `batch.x`, and their targets (N, L)."""
        o = self.options
        assert isinstance(o, MixOptions), "Mixing needs MixOptions"
        n = len(batch.x)
        lam = draw_lambda(n, o.alpha, batch.x) if o.lam_per == "face" else draw_lambda(1, o.alpha, batch.x).expand(n)
        partners = draw_partners(n, batch.x.device)
        share = self.label_share(lam, batch.labels, batch.labels[partners])
        target = mix_targets(batch.target, batch.target[partners], share, len(self.setting.class_names))
        return blend(batch.x, batch.x[partners], lam), target

    def label_share(self, lam: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """Share of the first face's label (N,), from that of its pixels and the classes of both."""
        return lam


def draw_lambda(n: int, alpha: float, like: Tensor) -> Tensor:
    """n draws of Beta(alpha, alpha), in [0, 1], on the device and in the dtype of `like`; all 1 for alpha 0."""
    if alpha == 0:
        return like.new_ones(n)
    if alpha < UNDERFLOWS:
        # There torch's two gammas underflow and it answers 0.5, at 1e-3 for a quarter of the draws. The distribution tends to 0 or 1 with
        # equal chance, of which the variance is less than 2 % too large.
        return torch.randint(2, (n,)).to(like.device, like.dtype, non_blocking=True)
    a = torch.tensor(alpha, dtype=torch.float64)  # in float32 a small alpha underflows
    return Beta(a, a).sample((n,)).to(like.device, like.dtype, non_blocking=True)


def draw_partners(n: int, device: torch.device) -> Tensor:
    """The face that each of n is mixed with: a permutation (n,), int64."""
    return torch.randperm(n).to(device, non_blocking=True)


def blend(first: Tensor, second: Tensor, lam: Tensor) -> Tensor:
    """lambda x_i + (1 - lambda) x_j of faces (N, 3, S, S), lambda (N,); exactly x_i where lambda is 1."""
    return torch.lerp(second, first, lam[:, None, None, None])


def box_around(row: int, column: int, height: int, width: int, lam: float) -> tuple[slice, slice]:
    """CutMix's box: 1 - lambda of the area, in the picture's proportions, centred at a pixel; what lies outside is cut off."""
    side = (1 - lam) ** 0.5
    half_height, half_width = int(height * side) // 2, int(width * side) // 2
    rows = slice(max(row - half_height, 0), min(row + half_height, height))
    return rows, slice(max(column - half_width, 0), min(column + half_width, width))
