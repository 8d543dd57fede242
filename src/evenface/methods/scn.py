"""Self-cure: every face gets an importance, and faces of low importance that look like another class are relabelled.

    a = sigmoid(w f + c)                             importance of a face, from its pooled features
    total = CE(a (W f + b), y) + max(0, margin1 - (mean a of the high group - mean a of the low group))

The high group are the int(beta N) faces of highest importance in the batch (beta 0.7, margin1 0.15, the paper's for batches of 1024; the
authors' own run with 64 faces takes 0.07). After a step, if p = softmax of the logits has max_l p_l - p_y > margin2 (0.2), the face's label
becomes argmax_l p_l; the loss of that step took the old label. Each process ranks its own part of the batch.

* Relabelling begins after a share of the epochs, the paper's 10 of 70; the code begins in the tenth.
* `--relabel low` relabels faces of the low group only, as the paper says, `--relabel all` any face, as the published code does.
* Where there are vote distributions, they are the target of a face as long as its label is the given one.

Network: `evenface.models.scaled`. The run folder gets `relabelled.csv`: the faces whose label now differs from the given one, once there
are any.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from evenface.losses import cross_entropy, low_importance, rank_regularisation
from evenface.methods._options import about
from evenface.methods._processes import summed
from evenface.methods.base import AnyOptions, Batch, Losses, Method, Options, Setting
from evenface.models.classifier import Classifier
from evenface.models.scaled import Scaled


@dataclass(frozen=True)
class ScnOptions(Options):
    beta: float = field(default=0.7, metadata=about("share of a batch in the group of high importance", low=0, below=1))
    margin1: float = field(default=0.15, metadata=about("how far the high group's mean importance shall lead", low=0))
    rank_weight: float = field(default=1.0, metadata=about("weight of the rank regularisation", low=0))
    margin2: float = field(default=0.2, metadata=about("lead of another class over the label at which a face is relabelled", low=0))
    relabel_from: float = field(default=0.14, metadata=about("share of the epochs after which relabelling begins; 1 never relabels", low=0))
    relabel: Literal["low", "all"] = field(
        default="low", metadata=about("faces that may be relabelled: those of low importance (paper) or all (published code)")
    )


class Scn(Method):
    """Cross-entropy scaled by a learnt importance; unimportant faces that look like another class are relabelled."""

    name = "scn"
    title = "Self-Cure Network"
    paper = "Wang, Peng, Yang, Lu, Qiao: Suppressing Uncertainties for Large-Scale Facial Expression Recognition, CVPR 2020"
    year = 2020
    Options = ScnOptions
    options: ScnOptions
    batchwise = True

    current: Tensor
    epoch: Tensor
    confidence: Tensor

    def __init__(self, options: AnyOptions, setting: Setting) -> None:
        super().__init__(options, setting)
        # Of every training face: its label now, and the epoch (from 1) and probability of its last relabelling; the same in all processes.
        self.register_buffer("current", torch.tensor(setting.labels, dtype=torch.int64))
        self.register_buffer("epoch", torch.zeros(len(setting.labels), dtype=torch.int64))
        self.register_buffer("confidence", torch.zeros(len(setting.labels), dtype=torch.float32))
        self._epoch = 0
        self._found: tuple[Tensor, Tensor, Tensor, Tensor] | None = None

    @property
    def first(self) -> int:
        """The first epoch with relabelling, from 0."""
        return math.ceil(self.options.relabel_from * self.setting.epochs - 1e-9)

    def prepare(self, model: nn.Module) -> nn.Module:
        return Scaled.of(cast(Classifier, model))

    def start_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def idle(self) -> dict[str, tuple[str, ...]]:
        o = self.options
        idle: dict[str, tuple[str, ...]] = {}
        if o.relabel_from >= 1:
            idle[f"--relabel-from {o.relabel_from:g}"] = ("margin2", "relabel")
        if o.rank_weight == 0:
            idle["--rank-weight 0"] = ("margin1",)
        return idle

    def loss(self, batch: Batch, model: nn.Module) -> Losses:
        o, out = self.options, model(batch.x)
        a = cast(Scaled, model).importance_of(out.features)
        labels = self.current[batch.rows]
        cls = cross_entropy(out.logits, self._target(batch, labels))
        rank = rank_regularisation(a, o.beta, o.margin1)
        if self._epoch >= self.first:
            self._found = (batch.rows, *self._doubtful(out.logits.detach(), a.detach(), labels))
        return Losses(cls + o.rank_weight * rank, {"cls": cls.detach(), "rank": rank.detach(), "importance": a.detach().mean()})

    def after_step(self, model: nn.Module) -> None:
        if self._found is not None:
            self._relabel(*self._found)
            self._found = None

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        given = torch.tensor(self.setting.labels, dtype=torch.int64)
        now, names = self.current.cpu(), self.setting.class_names
        rows = [
            {
                "row": row,
                "epoch": int(self.epoch[row]),
                "from": names[int(given[row])],
                "to": names[int(now[row])],
                "confidence": round(float(self.confidence[row]), 4),
            }
            for row in (now != given).nonzero().flatten().tolist()
        ]
        return {"relabelled": rows}

    def _target(self, batch: Batch, labels: Tensor) -> Tensor:
        if batch.soft is None:
            return labels
        changed = (labels != batch.labels)[:, None]
        return torch.where(changed, F.one_hot(labels, batch.soft.shape[1]).to(batch.soft.dtype), batch.soft)

    def _doubtful(self, logits: Tensor, importance: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The likeliest class of each face, its probability, and whether it shall replace the label, each (N,)."""
        p = logits.softmax(1)
        confidence, found = p.max(1)
        chosen = confidence - p.gather(1, labels[:, None])[:, 0] > self.options.margin2
        if self.options.relabel == "low":
            chosen = chosen & low_importance(importance, self.options.beta)
        return found, confidence, chosen

    def _relabel(self, rows: Tensor, found: Tensor, confidence: Tensor, chosen: Tensor) -> None:
        """Writes the new labels of this step, of all processes, which have faces of their own each."""
        label = torch.zeros_like(self.current)  # 1 + the new label, where there is one
        label[rows] = torch.where(chosen, found + 1, 0)
        certain = torch.zeros_like(self.confidence)
        certain[rows] = torch.where(chosen, confidence, 0).to(certain.dtype)
        label, certain = summed(label), summed(certain)
        changed = label > 0
        self.current.copy_(torch.where(changed, label - 1, self.current))
        self.epoch.copy_(torch.where(changed, self._epoch + 1, self.epoch))
        self.confidence.copy_(torch.where(changed, certain, self.confidence))
