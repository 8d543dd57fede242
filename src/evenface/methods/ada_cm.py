"""Adaptive confidence margin (Ada-CM): pseudo-labels where the network is sure, contrast where it is not.

    p(u) = (softmax(z(u')) + softmax(z(u''))) / 2            of two weak pictures of an unlabelled face u; its pseudo-label is argmax p
    total = 0.5 CE(z(x), y) + mean_u [max p >= T_argmax] CE(z(strong u), argmax p) + 0.1 NT-Xent(u', u'' | max p < T_argmax)

The margin T_c starts at 0.8. After each epoch t = 1, 2, ... it becomes max(0.8, beta / (1 + gamma^-t) * m_c), where m_c is the mean
confidence of the labelled faces of class c that were classified rightly (0.8 where there were none), beta 0.97, gamma e. The moving average
of the weights (decay 0.999, with a warm-up, see `_teacher.py`) is what is evaluated and kept.

Paper and code differ in m_c: the paper takes the predictions during training (`--margin-from student`); the code passes over the labelled
faces once more after the epoch, with the averaged network. `--margin-from average` asks the averaged network at each step, which comes near
that without another pass. The authors' network also has dropout 0.5 and features of length 1 before its classifier, which keeps its
confidence lower; here it is the run's own head (`--dropout 0.5` for the one, nothing for the other). The authors' weight decay of 0.02 lr
inside the averaging is left to `--weight-decay`, and the labelled faces have the run's own augmentation. Theirs: Adam 5e-4, 16 + 16 faces,
20 epochs of 800 steps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from evenface.losses import cross_entropy, nt_xent
from evenface.losses._numbers import full
from evenface.methods._options import about
from evenface.methods._processes import summed
from evenface.methods._teacher import Teacher
from evenface.methods.base import Batch, Losses, Method, Options, Picture, Setting


@dataclass(frozen=True)
class AdaCmOptions(Options):
    lam_x: float = field(default=0.5, metadata=about("weight of the labelled faces", low=0))
    lam_s: float = field(default=0.1, metadata=about("weight of the contrast among faces below the margin", low=0))
    start: float = field(default=0.8, metadata=about("margin of every class at the start, and the lowest later", low=0, below=1))
    beta: float = field(default=0.97, metadata=about("share of a class's mean confidence that its margin is", low=0, high=1))
    gamma: float = field(default=math.e, metadata=about("how fast that share is reached: beta / (1 + gamma^-epoch)", low=1))
    temperature: float = field(default=0.07, metadata=about("temperature of the contrast", low=0.001))
    decay: float = field(default=0.999, metadata=about("decay of the moving average that is kept", low=0, below=1))
    margin_from: Literal["student", "average"] = field(default="student", metadata=about("whose confidence makes the margin"))


class AdaCm(Method):
    """Class-wise margins of confidence split the unlabelled faces: pseudo-labels above, contrast below."""

    name = "ada_cm"
    title = "Adaptive Confidence Margin (Ada-CM)"
    paper = "Li et al.: Towards Semi-Supervised Deep Facial Expression Recognition with an Adaptive Confidence Margin, CVPR 2022"
    year = 2022
    Options = AdaCmOptions
    options: AdaCmOptions
    batchwise = True

    average: Teacher
    margin: Tensor
    confidence: Tensor
    right: Tensor
    epoch: Tensor

    def __init__(self, options: AdaCmOptions, setting: Setting) -> None:
        super().__init__(options, setting)
        classes = len(setting.counts)
        self.register_buffer("margin", torch.full((classes,), options.start))  # T
        self.register_buffer("confidence", torch.zeros(classes))  # of the faces classified rightly in this epoch, summed
        self.register_buffer("right", torch.zeros(classes))  # their number
        self.register_buffer("epoch", torch.tensor(-1))  # the one that the margin is for

    @property
    def pool(self) -> tuple[Picture, ...]:
        return ("weak", "weak", "strong")

    def prepare(self, model: nn.Module) -> nn.Module:
        self.average = Teacher(model, self.options.decay)
        return model

    def start_epoch(self, epoch: int) -> None:
        if epoch == int(self.epoch):
            return  # resumed within it: the sums belong to the next one's margin
        o = self.options
        mean = self.confidence / self.right.clamp_min(1)
        self.margin.copy_((o.beta / (1 + o.gamma**-epoch) * mean).clamp_min(o.start))
        self.confidence.zero_()
        self.right.zero_()
        self.epoch.fill_(epoch)

    def idle(self) -> dict[str, tuple[str, ...]]:
        return {"--lam-s 0": ("temperature",)} if self.options.lam_s == 0 else {}

    def loss(self, batch: Batch, model: nn.Module) -> Losses:
        o = self.options
        seen, weak, other, strong = self.forward_all((batch.x, *batch.pool), model)
        with torch.no_grad():
            self._note(seen.logits if o.margin_from == "student" else self.average(batch.x).logits, batch.labels)
            top, pseudo = ((full(weak.logits).softmax(1) + full(other.logits).softmax(1)) / 2).max(1)
            sure = top >= self.margin[pseudo]
        cls = cross_entropy(seen.logits, batch.target)
        guessed = (F.cross_entropy(full(strong.logits), pseudo, reduction="none") * sure).mean()
        contrast = nt_xent(weak.features[~sure], other.features[~sure], o.temperature)
        parts = {"cls": cls, "pseudo": guessed, "contrast": contrast, "sure": sure.to(cls.dtype).mean()}
        return Losses(o.lam_x * cls + guessed + o.lam_s * contrast, {name: value.detach() for name, value in parts.items()})

    def _note(self, logits: Tensor, labels: Tensor) -> None:
        """Adds this step's labelled faces, of all processes, to the sums of the epoch."""
        top, guess = full(logits).softmax(1).max(1)
        hits = F.one_hot(labels, len(self.right)) * (guess == labels)[:, None]  # (N, L)
        seen = summed(torch.stack([(top[:, None] * hits).sum(0), hits.sum(0).to(top.dtype)]))
        self.confidence += seen[0]
        self.right += seen[1]

    def after_step(self, model: nn.Module) -> None:
        self.average.update(model)

    def deploy(self, model: nn.Module) -> nn.Module:
        return self.average.network
