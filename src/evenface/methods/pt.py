"""Progressive Teacher (PT): a mean teacher that also sorts out the labels which it does not believe. Our PT re-implementation.

    total = CE(z_S(x), y) over the faces that are kept + w(t) mean_ul (softmax(z_S(u)) - softmax(z_T(u')))^2

The teacher T is the moving average of the student S. The share R(t) = 1 - tau min(t / T_k, 1) of a mini-batch with the smallest loss
-log p_T(y) is kept; t counts epochs from 0, so the first epoch keeps all. u and u' are two pictures of an unlabelled face (`--unlabelled`;
by default the training faces themselves, those included whose labels are not believed), and w(t) = w_max exp(-5 (1 - min(t / T, 1))^2).

With `--pairs 2` there are two students with a teacher each, and each student learns from the faces that the *other* teacher keeps, as in
co-teaching; the terms of both are summed. The second starts with the first one's backbone, a head of its own, and its two pictures of an
unlabelled face change places.

No training code of PT is public. tau 0.1 with T_k, the decay 0.999 with its warm-up (see `_teacher.py`), w_max and T are our choices, and
T_k and T are shares of the epochs, so that they fit runs of any length. With votes as labels the loss is taken against the votes, the
ranking against the class with most of them.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from evenface.errors import ModelError
from evenface.losses import cross_entropy, softmax_mse
from evenface.losses._numbers import full
from evenface.methods._options import about
from evenface.methods._teacher import Teacher
from evenface.methods.base import Batch, Losses, Method, Options, Picture, Setting


@dataclass(frozen=True)
class PtOptions(Options):
    tau: float = field(default=0.1, metadata=about("share of labels that is taken to be wrong", low=0, below=1))
    t_k: float = field(default=0.25, metadata=about("T_k, share of the epochs over which as many faces are left out", low=0))
    w_max: float = field(default=10.0, metadata=about("weight of the consistency on unlabelled faces, in the end", low=0))
    ramp: float = field(default=0.3, metadata=about("T, share of the epochs over which that weight rises", low=0))
    decay: float = field(default=0.999, metadata=about("decay of the teacher's moving average", low=0, below=1))
    pairs: int = field(default=1, metadata=about("pairs of student and teacher; 2 exchange the faces that they keep", low=1, below=3))
    deployed: Literal["teacher", "student"] = field(default="teacher", metadata=about("network of the first pair that is kept"))


class Pt(Method):
    """Learn from the labels that a mean teacher believes, and agree with it on unlabelled faces."""

    name = "pt"
    title = "Progressive Teacher (our re-implementation)"
    paper = "Jiang, Deng: Boosting Facial Expression Recognition by a Semi-Supervised Progressive Teacher, IEEE TAC 2023"
    year = 2023
    Options = PtOptions
    options: PtOptions
    batchwise = True

    def __init__(self, options: PtOptions, setting: Setting) -> None:
        super().__init__(options, setting)
        self.others = nn.ModuleList()  # the second student
        self.teachers = nn.ModuleList()
        self.start_epoch(0)

    @property
    def pool(self) -> tuple[Picture, ...]:
        return ("run", "run")

    def prepare(self, model: nn.Module) -> nn.Module:
        for _ in range(self.options.pairs - 1):
            other = copy.deepcopy(model)
            head = getattr(other, "head", None)
            if not isinstance(head, nn.Linear):
                raise ModelError("'pt' with --pairs 2 starts the second student with a linear head of its own, and the model has none.")
            head.reset_parameters()
            self.others.append(other)
        self.teachers.extend(Teacher(student, self.options.decay) for student in self._students(model))
        return model

    def start_epoch(self, epoch: int) -> None:
        o = self.options
        self.kept_share = 1 - o.tau * self._part(epoch, o.t_k)
        self.weight = o.w_max * math.exp(-5 * (1 - self._part(epoch, o.ramp)) ** 2)

    def _part(self, epoch: int, share: float) -> float:
        """How much of a rise over that share of the epochs is done, 0 to 1."""
        length = share * self.setting.epochs
        return min(epoch / length, 1.0) if length else 1.0

    def loss(self, batch: Batch, model: nn.Module) -> Losses:
        first, second = batch.pool
        believed = [self._believed(teacher(batch.x).logits, batch.labels) for teacher in self.teachers][::-1]  # each student: the other's
        pictures = [(first, second), (second, first)]
        cls, con = [], []
        for student, teacher, kept, (mine, its) in zip(self._students(model), self.teachers, believed, pictures, strict=False):
            seen, unlabelled = self.forward_all((batch.x, mine), student)
            cls.append(cross_entropy(seen.logits[kept], batch.target[kept]))
            con.append(softmax_mse(unlabelled.logits, teacher(its).logits))
        cls_sum, con_sum = torch.stack(cls).sum(), torch.stack(con).sum()
        return Losses(cls_sum + self.weight * con_sum, {"cls": cls_sum.detach(), "con": con_sum.detach()})

    def _believed(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Positions (k,) of the faces with the smallest loss, k = round(R N) and at least one."""
        each = F.cross_entropy(full(logits), labels, reduction="none")
        return each.argsort(stable=True)[: max(1, round(self.kept_share * len(labels)))]

    def after_step(self, model: nn.Module) -> None:
        for teacher, student in zip(self.teachers, self._students(model), strict=True):
            assert isinstance(teacher, Teacher)
            teacher.update(student)

    def deploy(self, model: nn.Module) -> nn.Module:
        return model if self.options.deployed == "student" else self.teachers[0].get_submodule("network")

    def _students(self, model: nn.Module) -> list[nn.Module]:
        return [model, *self.others]
