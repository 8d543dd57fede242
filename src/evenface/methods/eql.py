"""Equalization losses: one yes-or-no question per class, balanced by the gradients that each class has received so far.

    form=v2        total = -sum_l w_l log p_l                                           gamma 12, mu 0.8, alpha 4
    form=focal     total = -sum_l a_l c_l / gamma_b (1 - p_l)^c_l log p_l               gamma_b 2, s 8, a 0.25

`evenface.losses.equalization` has the symbols. The ratio of gradients g begins as balanced (100 in v2, 1 in focal, as in the authors'
codes) and is what was summed before this step; the sums go through all processes and are saved with the run.

Made for detectors. Left out are what only they have: a background class and its objectness, and the focal form's division by the number of
boxes (each face has one positive, so the mean over faces is the same). The authors start every output near 0, for a thousand classes; here
the head's bias starts at -log(L - 1), so that each says 1 / L. The gradients of the focal form are counted before the division by the
batch. Inference takes the class of the largest output. Its softmax, which the evaluation reads as probabilities, has the same order within
a face as the sigmoids, but is another number.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from evenface.losses import equalization, equalized_focal
from evenface.methods._heads import linear_head, start_even
from evenface.methods._options import about
from evenface.methods._processes import summed
from evenface.methods._terms import OriginalView, Sum, Term, over_views
from evenface.methods.base import AnyOptions, Batch, Setting
from evenface.models.output import Output


@dataclass(frozen=True)
class EqlOptions(OriginalView):
    form: Literal["v2", "focal"] = field(default="v2", metadata=about("equalization loss v2, or the equalized focal loss"))
    gamma: float = field(default=12.0, metadata=about("v2: steepness of the weight over the ratio of gradients", low=0))
    mu: float = field(default=0.8, metadata=about("v2: ratio of gradients at which the weight of the negatives is a half", low=0))
    alpha: float = field(default=4.0, metadata=about("v2: how much more the positives of a starved class count", low=0))
    gamma_b: float = field(default=2.0, metadata=about("focal: focusing of a class whose gradients are balanced", low=0.001))
    focal_scale: float = field(default=8.0, metadata=about("focal: s, further focusing of a class without positive gradients", low=0))
    balance: float = field(
        default=0.25, metadata=about("focal: weight of the positives, 1 minus it that of the negatives; 0.5 is neutral", low=0, below=1)
    )


class Eql(Sum):
    """Sigmoid outputs whose positives and negatives are weighted by the class's ratio of gradients so far."""

    name = "eql"
    title = "Equalization loss v2"
    paper = (
        "Tan, Lu, Zhang, Yin, Li: Equalization Loss v2: A New Gradient Balance Approach for Long-Tailed Object Detection, CVPR 2021; "
        "focal: Li, Yao, Tan, Zhang, Yu, Lu, Luo: Equalized Focal Loss for Dense Long-Tailed Object Detection, CVPR 2022"
    )
    year = 2021
    Options = EqlOptions
    options: EqlOptions
    gradients: Tensor

    def __init__(self, options: AnyOptions, setting: Setting) -> None:
        super().__init__(options, setting)
        self.register_buffer("gradients", torch.zeros(2, len(setting.counts)))  # of positives and negatives, |dL/dz| summed over all faces
        self._seen: Tensor | None = None  # those of the last batch, until the weights have been updated

    def prepare(self, model: nn.Module) -> nn.Module:
        start_even(linear_head(model, len(self.setting.counts), "'eql'"))
        return model

    def idle(self) -> dict[str, tuple[str, ...]]:
        form = self.options.form
        return {f"--form {form}": ("gamma_b", "focal_scale", "balance") if form == "v2" else ("gamma", "mu", "alpha")}

    @property
    def ratio(self) -> Tensor:
        """g (L,): gradients as a positive over those as a negative; where there were none yet, balanced."""
        positive, negative = self.gradients
        start = 100.0 if self.options.form == "v2" else 1.0
        return torch.where(negative > 0, positive / negative.clamp_min(1e-10), start)

    def terms(self, batch: Batch, first: Output, second: Output | None) -> dict[str, Term]:
        self._seen = torch.zeros_like(self.gradients)
        return {"cls": (1.0, over_views(self.options.cls_views, first, second, lambda z: self._equalized(z, batch.labels)))}

    def _equalized(self, logits: Tensor, labels: Tensor) -> Tensor:
        o = self.options
        if o.form == "v2":
            value, gradients = equalization(logits, labels, self.ratio, o.gamma, o.mu, o.alpha)
        else:
            value, gradients = equalized_focal(logits, labels, self.ratio, o.gamma_b, o.focal_scale, o.balance)
        assert self._seen is not None, "set by terms"
        self._seen += gradients
        return value

    def after_step(self, model: nn.Module) -> None:
        if self._seen is None:
            return
        self.gradients += summed(self._seen)  # each process saw its own faces
        self._seen = None
