"""evenface's own: the paper's rebalanced focus, on one view, with half of the classes' prior taken out of the loss.

    q = softmax(z + tau log pi)                                      pi_l = n_l / N
    total = -sum_l (1 + mu B_l |t_l - q_l|^gamma) t_l log q_l        mean over faces

t are the votes where there are any, else the label. So z itself, which predicts, takes the classes to be as frequent as pi^(1 - tau): at
tau 0.5 the square root, half way between the training set and a world of equal classes (the prior `half` of `evenface.calibration`). One
view leaves time for twice the epochs of two. On labels it is `rbf` on one view where tau is 0; with mu 0 it is `logit_adjust`. What was
measured of its parts, and what was not: docs/even.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from evenface.losses import log_prior, rebalanced_focal, shifted_cross_entropy
from evenface.methods._options import about
from evenface.methods._terms import FocalOptions, OriginalView, Term, Weighted, WeightOptions, over_views
from evenface.methods.base import AnyOptions, Batch, Setting
from evenface.models.output import Output


@dataclass(frozen=True)
class EvenOptions(WeightOptions, FocalOptions, OriginalView):
    tau: float = field(default=0.5, metadata=about("share of the log prior taken out: 0 none, 1 all", low=0))


class Even(Weighted):
    """Cross-entropy + rebalanced focal loss of logits to which tau times the log prior is added."""

    name = "even"
    title = "Rebalanced focus at half the prior"
    paper = "evenface, 2026; from the focal half of Zhu et al. 2025 and logit adjustment (Menon et al., ICLR 2021)"
    year = 2026
    Options = EvenOptions
    options: EvenOptions
    shift: Tensor

    def __init__(self, options: AnyOptions, setting: Setting) -> None:
        super().__init__(options, setting)
        shift = self.options.tau * torch.from_numpy(log_prior(setting.counts))
        self.register_buffer("shift", shift.float(), persistent=False)  # follows from the counts, as the class weights do

    @property
    def uses_weights(self) -> bool:
        return self.options.mu > 0

    def notes(self) -> list[str]:
        o, steep = (
            self.options,
            "With --labels probability, a --gamma between 0 and 1 has no bound on its slope where an answer nears the votes.",
        )
        return [*super().notes(), *([steep] if 0 < o.gamma < 1 and o.mu > 0 else [])]

    def idle(self) -> dict[str, tuple[str, ...]]:
        return super().idle() | ({"--mu 0": ("gamma",)} if self.options.mu == 0 else {})

    def terms(self, batch: Batch, first: Output, second: Output | None) -> dict[str, Term]:
        o = self.options
        terms = {"cls": (1.0, over_views(o.cls_views, first, second, lambda z: shifted_cross_entropy(z, batch.target, self.shift)))}
        if o.mu > 0:
            focus = over_views(o.cls_views, first, second, lambda z: rebalanced_focal(z + self.shift, batch.target, self.B, o.gamma))
            terms["rbf"] = (o.mu, focus)
        return terms
