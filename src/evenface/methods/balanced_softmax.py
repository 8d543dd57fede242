"""Balanced softmax: the softmax of training has each class as often as the data do, so the plain softmax of the test has all alike.

    total = -log (n_y exp z_y / sum_l n_l exp z_l)          n: training faces per class

That is logit adjustment with tau 1. The paper's bound asks for the power n^(1/4); its authors found the power 1 to do best and take it
(`exponent`). Their meta sampler, which learns a sampling rate per class by a second-order step, is not part of this. A class without
training faces counts as one of a single face.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from evenface.losses import log_prior, shifted_cross_entropy
from evenface.methods._options import about
from evenface.methods._terms import OriginalView, Sum, Term, over_views
from evenface.methods.base import AnyOptions, Batch, Setting
from evenface.models.output import Output


@dataclass(frozen=True)
class BalancedSoftmaxOptions(OriginalView):
    exponent: float = field(default=1.0, metadata=about("power of the class counts; 0.25 is the bound's, 0 is cross-entropy", low=0))


class BalancedSoftmax(Sum):
    """Cross-entropy of a softmax that counts each class as often as it occurs."""

    name = "balanced_softmax"
    title = "Balanced softmax"
    paper = "Ren, Yu, Sheng, Ma, Zhao, Yi, Li: Balanced Meta-Softmax for Long-Tailed Visual Recognition, NeurIPS 2020"
    year = 2020
    Options = BalancedSoftmaxOptions
    options: BalancedSoftmaxOptions
    shift: Tensor

    def __init__(self, options: AnyOptions, setting: Setting) -> None:
        super().__init__(options, setting)
        shift = self.options.exponent * torch.from_numpy(log_prior(setting.counts))  # n and n / N give the same softmax
        self.register_buffer("shift", shift.float(), persistent=False)  # follows from the counts, as class weights do

    def terms(self, batch: Batch, first: Output, second: Output | None) -> dict[str, Term]:
        shift, views = self.shift, self.options.cls_views
        return {"cls": (1.0, over_views(views, first, second, lambda z: shifted_cross_entropy(z, batch.target, shift)))}
