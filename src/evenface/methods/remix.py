"""Remix: mixup whose label goes to the rarer class wholly, where the two classes differ much in size.

    x as in mixup, lambda ~ Beta(alpha, alpha), alpha 1
    t = lambda_y y_i + (1 - lambda_y) y_j            lambda_y is 0 where n_i / n_j >= kappa and lambda < tau (the common class has less
                                                     than tau of the pixels), 1 in the mirrored case, else lambda; kappa 3, tau 0.5

Counts are those of the training split. With vote distributions the labels decide lambda_y, and the votes are what is mixed. The authors
published no code; later re-implementations draw one lambda for the batch (`--lam-per batch`) or one for each face, as here.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from evenface.losses import remix_lambda
from evenface.methods._mixing import MixOptions
from evenface.methods._options import about
from evenface.methods.base import AnyOptions, Setting
from evenface.methods.mixup import Mixup


@dataclass(frozen=True)
class RemixOptions(MixOptions):
    alpha: float = field(default=1.0, metadata=about("lambda is drawn from Beta(alpha, alpha); 0 mixes nothing", low=0))
    kappa: float = field(default=3.0, metadata=about("a class with kappa times as many faces gives way to the rarer one", low=1))
    tau: float = field(default=0.5, metadata=about("share of the pixels below which the common class loses its label", low=0, high=1))


class Remix(Mixup):
    """Mixup whose labels lean to the rarer of the two classes."""

    name = "remix"
    title = "Remix"
    paper = "Chou, Chang, Pan, Wei, Juan: Remix: Rebalanced Mixup, ECCV 2020 workshops"
    year = 2020
    Options = RemixOptions
    options: RemixOptions

    counts: Tensor

    def __init__(self, options: AnyOptions, setting: Setting) -> None:
        super().__init__(options, setting)
        self.register_buffer("counts", torch.tensor(setting.counts, dtype=torch.float32), persistent=False)

    def label_share(self, lam: Tensor, first: Tensor, second: Tensor) -> Tensor:
        return remix_lambda(lam, first, second, self.counts, self.options.kappa, self.options.tau)
