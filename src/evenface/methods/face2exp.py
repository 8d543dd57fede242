"""Face2Exp: a teacher labels faces for a student, and hears whether that helped; as in Meta Pseudo Labels (Pham et al., CVPR 2021).

    student S   CE(z_S(strong u), argmax z_T(weak u))
    teacher T   CE(z_T(x), y) + lam_u mean_u H(softmax(z_T(weak u)), softmax(z_T(strong u))) + h CE(z_T(strong u), argmax z_T(strong u))
    feedback    h = CE(z_S(x), y) before the student's step - after it

The labelled faces (x, y) are drawn class-balanced, the unlabelled ones u come from `--unlabelled` (face recognition data in the paper; by
default the training faces). The total is the sum of both, for one optimiser trains both: no gradient of one reaches the other.

h is known only after the student's step, when the teacher's own has been made with it. So the teacher gets the feedback one step late, and
otherwise exactly: at step k the slope g_k of CE(z_T(strong u), argmax) by the teacher's weights is taken apart; after the step h_k is
measured and h_k g_k kept (a buffer, `feedback`, so that a resumed run has it); at step k + 1 it is added to the teacher's gradient. That
costs one more backward pass of the teacher. Both losses in h are measured on the same faces in evaluation mode and full precision, so that
h tells of the weights alone; the authors measure in training mode, where the batch's statistics differ from one to the other.

Theirs: SGD 1e-3 for both, batch 32, mu 7, RandAugment 2 of 16, 180,000 steps; then the student, which is what they evaluate, is tuned on
the labelled faces. Here mu is 1 unless asked for, and the last `finetune` of the epochs train the student on the labelled, balanced faces
alone, at the run's rate (the teacher then has only its optimiser's momentum and weight decay); 0.1 of up to 5 epochs is none. A teacher
that is kept (`deployed`) goes on learning to the end instead. lam_u, temperature and the lack of a threshold are those of their code.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from evenface.losses import cross_entropy
from evenface.losses._numbers import full
from evenface.methods._options import about
from evenface.methods._processes import summed
from evenface.methods._sampling import class_counts, class_probabilities, draw_rows
from evenface.methods._teacher import evaluating
from evenface.methods.base import Batch, Losses, Method, Options, Picture, Setting


@dataclass(frozen=True)
class Face2ExpOptions(Options):
    lam_u: float = field(default=1.0, metadata=about("weight of the teacher's consistency on unlabelled faces", low=0))
    temperature: float = field(default=1.0, metadata=about("temperature of the predictions that it is held to", low=0.01))
    threshold: float = field(default=0.0, metadata=about("confidence that an unlabelled face needs for it; 0 takes all", low=0, below=1))
    mu: float = field(default=1.0, metadata=about("unlabelled faces per labelled face; 7 in the paper", low=0.01))
    finetune: float = field(default=0.1, metadata=about("share of the last epochs, which tune a kept student on labels", low=0, below=1))
    deployed: Literal["student", "teacher"] = field(default="student", metadata=about("network that is kept"))


class Face2Exp(Method):
    """A teacher on class-balanced faces labels others for a student, and is told whether that helped."""

    name = "face2exp"
    title = "Meta-Face2Exp"
    paper = "Zeng, Lin, Yan, Liu, Wang, Tang: Face2Exp: Combating Data Biases for Facial Expression Recognition, CVPR 2022"
    year = 2022
    Options = Face2ExpOptions
    options: Face2ExpOptions

    teacher: nn.Module
    feedback: Tensor

    def __init__(self, options: Face2ExpOptions, setting: Setting) -> None:
        super().__init__(options, setting)
        self._step: tuple[Tensor, Tensor, int, Tensor, Tensor] | None = None  # from `loss` to `after_step`
        self.start_epoch(0)

    @property
    def pool(self) -> tuple[Picture, ...]:
        return ("weak", "strong")

    @property
    def pool_ratio(self) -> float:
        return self.options.mu

    def prepare(self, model: nn.Module) -> nn.Module:
        self.teacher = copy.deepcopy(model)
        self.register_buffer("feedback", torch.zeros_like(_flat(self._taught())))
        return model

    def draw(self, labels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        even = class_probabilities(class_counts(labels, len(self.setting.counts)), q=0)
        return draw_rows(labels, even, len(labels), generator)

    def start_epoch(self, epoch: int) -> None:
        last = round(self.options.finetune * self.setting.epochs)
        self.tuning = self.options.deployed == "student" and epoch >= self.setting.epochs - last

    def idle(self) -> dict[str, tuple[str, ...]]:
        o = self.options
        idle: dict[str, tuple[str, ...]] = {}
        if o.deployed == "teacher":
            idle["--deployed teacher"] = ("finetune",)
        if o.lam_u == 0:
            idle["--lam-u 0"] = ("temperature", "threshold")
        return idle

    def loss(self, batch: Batch, model: nn.Module) -> Losses:
        if self.tuning:
            return self._tune(batch, model)
        o = self.options
        weak, strong = batch.pool
        seen, of_weak, of_strong = self.forward_all((batch.x, weak, strong), self.teacher)
        cls = cross_entropy(seen.logits, batch.target)
        pseudo = of_weak.logits.argmax(1)
        soft = (full(of_weak.logits.detach()) / o.temperature).softmax(1)
        each = F.cross_entropy(full(of_strong.logits), soft, reduction="none")
        con = (each * (soft.max(1).values >= o.threshold)).mean()

        # The student sees the labelled faces too, as in the authors' code: for batch norm's statistics alone.
        student = cross_entropy(self.forward_all((batch.x, strong), model)[1].logits, pseudo)

        own = cross_entropy(of_strong.logits, of_strong.logits.argmax(1))
        slopes = torch.autograd.grad(own, self._taught(), retain_graph=True, allow_unused=True)
        slope = _flat(torch.zeros_like(p) if g is None else g for p, g in zip(self._taught(), slopes, strict=True))
        self._step = (batch.x, batch.target, len(strong), self._labelled(model, batch.x, batch.target), slope * len(strong))
        # Only its gradient counts, which is the feedback. Not `@`, which autocast would compute in half precision.
        late = (_flat(self._taught()) * self.feedback).sum()
        parts = {"cls": cls, "con": con, "student": student, "feedback": self.feedback.norm()}
        total = cls + o.lam_u * con + student + (late - late.detach())
        return Losses(total, {name: value.detach() for name, value in parts.items()})

    def _tune(self, batch: Batch, model: nn.Module) -> Losses:
        cls = cross_entropy(model(batch.x).logits, batch.target)
        none = cls.new_zeros(())
        idle = 0 * _flat(self._taught()).sum()  # several processes want a gradient of every weight
        return Losses(cls + idle, {"cls": cls.detach(), "con": none, "student": none, "feedback": none})

    @torch.no_grad()
    def after_step(self, model: nn.Module) -> None:
        if self._step is None:
            return
        x, target, unlabelled, before, slope = self._step
        self._step = None
        helped = before - self._labelled(model, x, target)  # h, summed over the faces, as the slope is
        n = summed(torch.tensor([len(x), unlabelled], dtype=helped.dtype, device=helped.device))  # of all processes
        self.feedback.copy_(summed(helped) / n[0] * (summed(slope) / n[1]))

    def deploy(self, model: nn.Module) -> nn.Module:
        return model if self.options.deployed == "student" else self.teacher

    @torch.no_grad()
    def _labelled(self, model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy of the student, summed over the faces."""
        with evaluating(model), torch.autocast(x.device.type, enabled=False):
            return cross_entropy(model(x).logits, target) * len(x)

    def _taught(self) -> list[nn.Parameter]:
        return [p for p in self.teacher.parameters() if p.requires_grad]


def _flat(tensors: Iterable[Tensor]) -> Tensor:
    """All numbers of some tensors, (P,)."""
    return torch.cat([t.reshape(-1) for t in tensors])
