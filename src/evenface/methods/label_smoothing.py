"""Label smoothing: a share of the target goes to the other classes, evenly or as a teacher has it.

    form=uniform     total = CE(z, (1 - e) t + e / L)                                     e 0.1
    form=soft        total = CE(z, t) + w KL(SLS(softmax(z'), e') || softmax(z))          SOFT of Lukov et al.
    form=teacher     total = CE(z, (1 - e) t + e softmax(z' / T))                         T 2, plain teacher smoothing, of no paper here

z' are the logits of the teacher, for another drawing of the same faces' augmentation. The teacher is the moving average of the network
(decay 0.999; at first the plain mean) with batch statistics of its own, and what is evaluated in the end (`evaluate`). SLS is in
`evenface.losses.soft_labels`. The numbers of SOFT are the defaults of the authors' code: e' 0.35, tau 1 / L, w up to 5, after the ramp
exp(-5 (1 - i / R)^2) over R = a third of the epochs (30 of 90). Their command for 30 % of wrong labels has e' 0.3, w 10 and R = 5 of 80
epochs. Their code also scales the logits of the cross-entropy by a learnt attention, which is left out.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from evenface.losses import cross_entropy, divergence, soft_label_smoothing
from evenface.methods._options import about
from evenface.methods.base import AnyOptions, Batch, Losses, Method, Options, Picture, Setting


@dataclass(frozen=True)
class LabelSmoothingOptions(Options):
    form: Literal["uniform", "soft", "teacher"] = field(
        default="uniform", metadata=about("smoothed evenly, by consistency with a teacher's smoothed prediction, or with its plain one")
    )
    epsilon: float = field(default=0.1, metadata=about("uniform, teacher: e, share of the target that is spread", low=0, below=1))
    soft_epsilon: float = field(default=0.35, metadata=about("soft: e', share of what the teacher finds unlikely", low=0, below=1))
    threshold: float = field(
        default=0.0, metadata=about("soft: tau, probability above which a class is likely; 0 is one over the classes", low=0, below=1)
    )
    consistency: float = field(default=5.0, metadata=about("soft: largest weight w of the consistency with the teacher", low=0))
    rampup: float = field(default=1 / 3, metadata=about("soft: share of the epochs in which that weight rises; 0 is at once", low=0))
    temperature: float = field(default=2.0, metadata=about("teacher: T, temperature of its prediction", low=0.001))
    decay: float = field(default=0.999, metadata=about("decay of the teacher's moving average", low=0, below=1))
    evaluate: Literal["teacher", "student"] = field(default="teacher", metadata=about("the network that is kept, where there is a teacher"))


class LabelSmoothing(Method):
    """Cross-entropy against smoothed labels, or with a moving-average teacher that smooths them."""

    name = "label_smoothing"
    title = "Label smoothing"
    paper = (
        "Szegedy, Vanhoucke, Ioffe, Shlens, Wojna: Rethinking the Inception Architecture for Computer Vision, CVPR 2016; soft: "
        "Lukov, Zhao, Lee, Lim: Teaching with Soft Label Smoothing for Mitigating Noisy Labels in Facial Expressions, ECCV 2022"
    )
    year = 2016
    Options = LabelSmoothingOptions
    options: LabelSmoothingOptions
    steps: Tensor

    def __init__(self, options: AnyOptions, setting: Setting) -> None:
        super().__init__(options, setting)
        self.teacher: nn.Module | None = None
        if self.taught:
            self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.start_epoch(0)

    @property
    def taught(self) -> bool:
        return self.options.form != "uniform"

    @property
    def extra(self) -> tuple[Picture, ...]:
        return ("run",) if self.taught else ()

    def prepare(self, model: nn.Module) -> nn.Module:
        if self.taught:
            self.teacher = copy.deepcopy(model).requires_grad_(False)
        return model

    def start_epoch(self, epoch: int) -> None:
        """The weight of the consistency, by the sigmoid ramp of temporal ensembling."""
        length = self.options.rampup * self.setting.epochs
        rest = max(0.0, 1 - epoch / length) if length else 0.0
        self.weight = self.options.consistency * math.exp(-5 * rest**2)

    def idle(self) -> dict[str, tuple[str, ...]]:
        form = self.options.form
        soft = ("soft_epsilon", "threshold", "consistency", "rampup")
        of_form = {"uniform": (*soft, "temperature", "decay", "evaluate"), "soft": ("epsilon", "temperature"), "teacher": soft}
        return {f"--form {form}": of_form[form]}

    def loss(self, batch: Batch, model: nn.Module) -> Losses:
        o, logits = self.options, model(batch.x).logits
        if o.form == "uniform":
            cls = cross_entropy(logits, batch.target, o.epsilon)
            return Losses(cls, {"cls": cls.detach()})
        assert self.teacher is not None, "made in prepare"
        with torch.no_grad():
            taught = self.teacher(batch.extra[0]).logits
        if o.form == "teacher":
            target = F.one_hot(batch.labels, logits.shape[1]).to(logits.dtype) if batch.soft is None else batch.soft
            cls = cross_entropy(logits, (1 - o.epsilon) * target + o.epsilon * (taught / o.temperature).softmax(1))
            return Losses(cls, {"cls": cls.detach()})
        cls = cross_entropy(logits, batch.target)
        apart = divergence(logits, soft_label_smoothing(taught.softmax(1), o.soft_epsilon, o.threshold or None))
        return Losses(cls + self.weight * apart, {"cls": cls.detach(), "consistency": apart.detach()})

    def after_step(self, model: nn.Module) -> None:
        if self.teacher is None:
            return
        self.steps += 1
        share = (1 / (self.steps + 1)).clamp_min(1 - self.options.decay)  # on the device, so that nothing waits for it
        for mean, new in zip(self.teacher.parameters(), model.parameters(), strict=True):
            mean.add_(share * (new - mean))

    def deploy(self, model: nn.Module) -> nn.Module:
        return model if self.teacher is None or self.options.evaluate == "student" else self.teacher
