"""Mixup: cross-entropy on faces blended from two, against their labels blended alike.

    x = lambda x_i + (1 - lambda) x_j                lambda ~ Beta(alpha, alpha), alpha 0.2; j a random permutation of the batch
    total = mean -sum_l t_l log p_l(x)               t = lambda y_i + (1 - lambda) y_j

The paper draws a lambda for each pair; its published code draws one for the whole batch (`--lam-per batch`). The paper takes alpha 0.1 to
0.4 on ImageNet and 1 on CIFAR.
"""

from __future__ import annotations

from torch import nn

from evenface.losses import cross_entropy
from evenface.methods._mixing import Mixing, MixOptions
from evenface.methods.base import Batch, Losses


class Mixup(Mixing):
    """Cross-entropy on faces and labels blended from two."""

    name = "mixup"
    title = "mixup"
    paper = "Zhang, Cisse, Dauphin, Lopez-Paz: mixup: Beyond Empirical Risk Minimization, ICLR 2018"
    year = 2018
    Options = MixOptions
    options: MixOptions

    def loss(self, batch: Batch, model: nn.Module) -> Losses:
        x, target = self.blended(batch)
        cls = cross_entropy(model(x).logits, target)
        return Losses(cls, {"cls": cls.detach()})
