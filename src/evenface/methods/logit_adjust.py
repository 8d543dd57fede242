"""Logit adjustment: the prior of the classes is taken out of what the network learns, or out of what it says.

    when=train     total = -log softmax(z + tau log pi)_y          pi_l = n_l / N
    when=test      total = -log softmax(z)_y, and z - tau log pi is evaluated

The paper's tau is 1, the one value that is consistent for the mean recall; its post-hoc form also takes a tau chosen on validation. The
post-hoc shift is built into the bias of the deployed head, so a saved model needs nothing else; the network in training is left alone. A
class without training faces counts as one of a single face.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from evenface.losses import cross_entropy, log_prior, shifted_cross_entropy
from evenface.methods._heads import linear_head
from evenface.methods._options import about
from evenface.methods._terms import OriginalView, Sum, Term, over_views
from evenface.methods.base import AnyOptions, Batch, Setting
from evenface.models.output import Output


@dataclass(frozen=True)
class LogitAdjustOptions(OriginalView):
    tau: float = field(default=1.0, metadata=about("strength of the adjustment; 0 is cross-entropy", low=0))
    when: Literal["train", "test"] = field(
        default="train", metadata=about("prior added to the logits in training, or taken from those of the finished network (post hoc)")
    )


class LogitAdjust(Sum):
    """Cross-entropy of logits to which tau times the log prior is added."""

    name = "logit_adjust"
    title = "Logit adjustment"
    paper = "Menon, Jayasumana, Rawat, Jain, Veit, Kumar: Long-Tail Learning via Logit Adjustment, ICLR 2021"
    year = 2021
    Options = LogitAdjustOptions
    options: LogitAdjustOptions
    shift: Tensor

    def __init__(self, options: AnyOptions, setting: Setting) -> None:
        super().__init__(options, setting)
        shift = self.options.tau * torch.from_numpy(log_prior(setting.counts))
        self.register_buffer("shift", shift.float(), persistent=False)  # follows from the counts, as class weights do

    def prepare(self, model: nn.Module) -> nn.Module:
        if self.options.when == "test":
            self._head(model)
        return model

    def terms(self, batch: Batch, first: Output, second: Output | None) -> dict[str, Term]:
        return {"cls": (1.0, over_views(self.options.cls_views, first, second, lambda z: self._loss(z, batch.target)))}

    def deploy(self, model: nn.Module) -> nn.Module:
        if self.options.when == "train":
            return model
        bias = self._head(model).bias
        shared = {id(t): t for t in (*model.parameters(), *model.buffers()) if t is not bias}
        shifted = copy.deepcopy(model, shared)  # the modules and the bias are new, the other tensors are the same
        with torch.no_grad():
            self._head(shifted).bias.sub_(self.shift)
        return shifted

    def _loss(self, logits: Tensor, target: Tensor) -> Tensor:
        if self.options.when == "test":
            return cross_entropy(logits, target)
        return shifted_cross_entropy(logits, target, self.shift)

    def _head(self, model: nn.Module) -> nn.Linear:
        return linear_head(model, len(self.setting.counts), "'logit_adjust' with --when test")
