"""Dynamic threshold learning (DNFER): from labels that the network finds likelier than the batch does on average, after a warm-up.

    warm-up    total = (CE(z1, y) + CE(z2, y)) / 2                                        z1, z2: a weak and a strong picture of the face
    then       total = (1 - alpha) (CE_1 + CE_2) / 2 + alpha mean_n (KL(p1 || p2) + KL(p2 || p1))               alpha 0.5, KL in bits

CE_v is the mean over the faces with p_v[y] >= T_y, where T_c = mean_n p_v[c] over all faces of the batch: each class has a threshold of its
own, which moves with the network and knows nothing of the share of wrong labels. Where no face of a batch passes, all count.

The authors warm up for 5 of 40 epochs; here that is a share of the epochs, rounded up. Their loss file of the time of writing fails after
the threshold (names that are not defined, and probabilities where logits belong), so this follows the idea. Theirs: Adam, 1e-2 for the
classifier (`lr_scale` 10) and 1e-3 for the rest, x0.95 per epoch, batch 128. Only the weak and the strong picture are learned from: the
run's own augmentation has no effect. With votes as labels the loss is taken against the votes, the selection by the class with most of
them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from evenface.errors import ModelError
from evenface.losses import cross_entropy, symmetric_kl
from evenface.losses._numbers import full
from evenface.methods._options import about
from evenface.methods.base import Batch, Losses, Method, Options, Picture, Setting


@dataclass(frozen=True)
class DnferOptions(Options):
    alpha: float = field(default=0.5, metadata=about("weight of the consistency; the selected labels have 1 - alpha", low=0, below=1))
    warm_up: float = field(default=0.125, metadata=about("share of the epochs that take all labels, without consistency", low=0))
    head_lr: float = field(default=10.0, metadata=about("learning rate of the head, as a multiple of the rest", low=0.001))


class Dnfer(Method):
    """Select labels by a threshold per class that is the batch's mean prediction; two pictures must agree."""

    name = "dnfer"
    title = "Dynamic Adaptive Threshold (DNFER)"
    paper = "Gera et al.: Dynamic Adaptive Threshold based Learning for Noisy Annotations Robust Facial Expression Recognition, MTAP 2024"
    year = 2024
    Options = DnferOptions
    options: DnferOptions
    batchwise = True

    def __init__(self, options: DnferOptions, setting: Setting) -> None:
        super().__init__(options, setting)
        self.start_epoch(0)

    @property
    def extra(self) -> tuple[Picture, ...]:
        return ("weak", "strong")

    def prepare(self, model: nn.Module) -> nn.Module:
        head = getattr(model, "head", None)
        if not isinstance(head, nn.Module):
            raise ModelError("'dnfer' has a learning rate of its own for the head, and the model has none by that name.")
        for p in head.parameters():
            p.lr_scale = self.options.head_lr  # type: ignore[attr-defined]
        return model

    def start_epoch(self, epoch: int) -> None:
        # The product of the floats may lie a hair above the whole number that it is meant to be: 0.07 of 100 is 7.
        self.warming = epoch < math.ceil(self.options.warm_up * self.setting.epochs - 1e-9)

    def loss(self, batch: Batch, model: nn.Module) -> Losses:
        weak, strong = self.forward_all(batch.extra, model)
        kept = [self._kept(out.logits.detach(), batch.labels) for out in (weak, strong)]
        each = [cross_entropy(out.logits[k], batch.target[k]) for out, k in zip((weak, strong), kept, strict=True)]
        cls = (each[0] + each[1]) / 2
        con = symmetric_kl(weak.logits, strong.logits) / math.log(2)
        total = cls if self.warming else (1 - self.options.alpha) * cls + self.options.alpha * con
        share = torch.stack([k.to(cls.dtype).mean() for k in kept]).mean()
        return Losses(total, {"cls": cls.detach(), "con": con.detach(), "kept": share})

    def notes(self) -> list[str]:
        flags = "--hflip, --erase, --jitter, --rotate, --scale, --shift, --noise and --rand-augment"
        return [f"Only its own weak and strong picture of a face are learned from: {flags} do nothing.", *super().notes()]

    def _kept(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Which faces (N,) pass the threshold of their class; all, where none does or while warming up."""
        p = full(logits).softmax(1)
        passed = p.gather(1, labels[:, None])[:, 0] >= p.mean(0)[labels]
        return passed | ~passed.any() | self.warming
