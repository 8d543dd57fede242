"""Focal loss: the parent of the paper's focus term.

total = mean_n B_y (1 - p_y)^gamma (-log p_y)          gamma 2, B = 1 unless --weights says otherwise
"""

from __future__ import annotations

from dataclasses import dataclass, field

from evenface.losses import rebalanced_focal
from evenface.losses.weights import Scheme
from evenface.methods._options import about
from evenface.methods._terms import OriginalView, Term, Weighted, WeightOptions, over_views
from evenface.methods.base import Batch
from evenface.models.output import Output


@dataclass(frozen=True)
class FocalOptions(WeightOptions, OriginalView):
    gamma: float = field(default=2.0, metadata=about("focusing on hard faces; 0 is cross-entropy", low=0))
    weights: Scheme = field(default="none", metadata=about("class weights (the alpha of the focal loss)"))


class Focal(Weighted):
    """Multi-class focal loss over softmax probabilities."""

    name = "focal"
    title = "Focal loss"
    paper = "Lin, Goyal, Girshick, He, Dollár: Focal Loss for Dense Object Detection, ICCV 2017"
    year = 2017
    Options = FocalOptions
    options: FocalOptions

    def terms(self, batch: Batch, first: Output, second: Output | None) -> dict[str, Term]:
        o = self.options
        return {"cls": (1.0, over_views(o.cls_views, first, second, lambda z: rebalanced_focal(z, batch.labels, self.B, o.gamma)))}
