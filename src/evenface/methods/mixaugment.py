"""MixAugment: mixup for faces, with the real faces beside the blended ones.

    total = CE(x, t) + CE(x_i, y_i) + CE(x_j, y_j)       x, t as in mixup, lambda ~ Beta(alpha, alpha)

The pairs are a permutation of the batch, so the losses on x_i and on x_j have the same mean: the real faces go through the network once and
count twice. The default alpha of 0.1 is not checked against the paper's text, which sweeps it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import nn

from evenface.losses import cross_entropy
from evenface.methods._mixing import Mixing, MixOptions
from evenface.methods._options import about
from evenface.methods.base import Batch, Losses


@dataclass(frozen=True)
class MixaugmentOptions(MixOptions):
    alpha: float = field(default=0.1, metadata=about("lambda is drawn from Beta(alpha, alpha); 0 mixes nothing", low=0))


class Mixaugment(Mixing):
    """Cross-entropy on faces blended from two, and on both of the two."""

    name = "mixaugment"
    title = "MixAugment"
    paper = "Psaroudakis, Kollias: MixAugment & Mixup: Augmentation Methods for Facial Expression Recognition, CVPR workshops 2022"
    year = 2022
    Options = MixaugmentOptions
    options: MixaugmentOptions

    def loss(self, batch: Batch, model: nn.Module) -> Losses:
        x, target = self.blended(batch)
        blended, real = self.forward_all((x, batch.x), model)
        mix, cls = cross_entropy(blended.logits, target), cross_entropy(real.logits, batch.target)
        return Losses(mix + 2 * cls, {"cls": cls.detach(), "mix": mix.detach()})
