"""DMUE: learns of ambiguous faces from branches that each leave one class out, and trusts faces by their neighbours in the batch.

    total = up CE(s z, y) + up (w soft + gamma gram) + down aux               w 0.5, gamma 1000

C + 1 copies of the last stage share a trunk: the main branch with C outputs z, and branch c with C - 1, trained (aux) on the faces that are
not of class c. What branch c says of a face of class c, at temperature 1.2, is the face's latent distribution over the other classes;
`soft` is the squared distance of the main branch's softmax to it, the true class left out. `gram` compares how main branch and the others
relate the faces of a batch. The confidence s in (0, 1) scales the logits of a face: it is a small network's answer to the mean cosine
similarity of the face to each class of the batch, beside its label. With e the epoch from 0 and a the ramp's end,

    up = exp(-5 (1 - e / a)^2) until a, then 1               down = 1 until a, then exp(-(1 - a / e)^2)

The authors' a is 4 or 6 of 36 epochs on AffectNet, 9 or 10 on RAF-DB and 10 to 14 on FERPlus; here it is a share of the run, by default a
quarter. Faces are drawn so that the classes are even (`--sampler shuffle`: each once), and the heads learn at ten times the rate.

The published code differs: its Gram matrices of the branches are made of their logits, those of the main branch of its features
(`--gram logits`; by default both are of features). It skips a batch that has fewer than two faces of a class (here such a class adds 0).
In each branch, batch norm sees the faces of its own class apart from the rest (here all faces of the batch together). Its optimiser never
gets the confidence network, which so keeps its random start (here it is trained). And it has a batch norm and dropout before heads without
bias (here the run's head and --dropout).

What is evaluated, saved and exported is the main branch alone: a plain linear classifier.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field
from typing import Literal, cast

import numpy as np
import torch
from torch import Tensor, nn

from evenface.errors import ModelError
from evenface.losses import (
    class_similarities,
    cross_entropy,
    gram_error,
    latent_distribution,
    latent_error,
    leave_one_out_cross_entropy,
)
from evenface.methods._options import about
from evenface.methods._sampling import class_counts, class_probabilities, draw_rows
from evenface.methods.base import Batch, Losses, Method, Options, Setting
from evenface.models.branches import branch, only
from evenface.models.classifier import Classifier


@dataclass(frozen=True)
class DmueOptions(Options):
    w: float = field(default=0.5, metadata=about("weight of the distance to the latent distribution", low=0))
    gamma: float = field(default=1000.0, metadata=about("weight of the distance of the Gram matrices", low=0))
    temperature: float = field(default=1.2, metadata=about("T of the latent distribution; above 1 it is flatter", low=0.001))
    ramp: float = field(default=0.25, metadata=about("a, the share of the epochs in which the main branch comes up", low=0))
    gram: Literal["features", "logits"] = field(default="features", metadata=about("what the branches' Gram matrices are made of"))
    sampler: Literal["balanced", "shuffle"] = field(default="balanced", metadata=about("classes drawn evenly, or each face once"))
    head_lr: float = field(default=10.0, metadata=about("learning rate of the heads over that of the backbone", low=0.001))


class Dmue(Method):
    """Latent distributions from branches that leave a class out, and a confidence for each face."""

    name = "dmue"
    title = "Latent Distribution Mining and Pairwise Uncertainty Estimation"
    paper = "She, Hu, Shi, Wang, Shen, Mei: Dive into Ambiguity, CVPR 2021"
    year = 2021
    Options = DmueOptions
    options: DmueOptions
    batchwise = True

    heads: nn.ModuleList
    confidence: nn.Sequential

    def __init__(self, options: DmueOptions, setting: Setting) -> None:
        super().__init__(options, setting)
        if len(setting.counts) < 3:
            raise ModelError("'dmue' needs three classes or more: with one left out, two must remain to tell apart.")
        self.start_epoch(0)

    def prepare(self, model: nn.Module) -> nn.Module:
        if type(model) is not Classifier:
            raise ModelError(f"'dmue' branches a plain classifier, and the model is {type(model).__name__}.")
        classes = len(self.setting.counts)
        branch(model.backbone, classes + 1, "stage")
        heads = nn.ModuleList(nn.Linear(model.backbone.num_features, classes - 1) for _ in range(classes))
        confidence = nn.Sequential(nn.Linear(2 * classes, classes), nn.PReLU(), nn.Linear(classes, 1))
        self.heads, self.confidence = heads.to(model.head.weight), confidence.to(model.head.weight)
        for part in (model.head, self.heads, self.confidence):
            for parameter in part.parameters():
                parameter.lr_scale = self.options.head_lr  # type: ignore[attr-defined]
        return model

    def draw(self, labels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        if self.options.sampler == "shuffle":
            return super().draw(labels, generator)
        counts = class_counts(labels, len(self.setting.counts))
        return draw_rows(labels, class_probabilities(counts, q=0), len(labels), generator)

    def start_epoch(self, epoch: int) -> None:
        end = self.options.ramp * self.setting.epochs
        self.up = math.exp(-5 * (1 - epoch / end) ** 2) if epoch < end else 1.0
        self.down = math.exp(-((1 - end / epoch) ** 2)) if 0 < end < epoch else 1.0

    def idle(self) -> dict[str, tuple[str, ...]]:
        o = self.options
        idle: dict[str, tuple[str, ...]] = {}
        if o.w == 0:
            idle["--w 0"] = ("temperature",)
        if o.gamma == 0:
            idle["--gamma 0"] = ("gram",)
        return idle

    def loss(self, batch: Batch, model: nn.Module) -> Losses:
        o, labels, classes = self.options, batch.labels, len(self.setting.counts)
        out = model(batch.x)  # of all branches, one after the other along the batch
        with torch.autocast(batch.x.device.type, enabled=False):
            logits = out.logits[: len(labels)]
            main, *others = out.features.chunk(classes + 1)  # (N, D) each
            features = torch.stack(others)  # (C, N, D)
            aux = self._branches(cast(Classifier, model).dropout(features))
            latent = latent_distribution(self._branches(features), labels, o.temperature)
            near = class_similarities(main, labels, classes)
            known = nn.functional.one_hot(labels, classes).to(near.dtype)
            score = self.confidence(torch.cat([near, known], 1)).sigmoid()  # (N, 1)
            terms = {
                "cls": (self.up, cross_entropy(score * logits, batch.target)),
                "soft": (self.up * o.w, latent_error(logits, labels, latent)),
                "gram": (self.up * o.gamma, gram_error(features if o.gram == "features" else aux, main, labels)),
                "aux": (self.down, leave_one_out_cross_entropy(aux, labels)),
            }
        total = torch.stack([coefficient * value for coefficient, value in terms.values()]).sum()
        return Losses(total, {name: value.detach() for name, (_, value) in terms.items()})

    def _branches(self, features: Tensor) -> Tensor:
        """What each auxiliary branch says of each face, (C, N, D) -> (C, N, C - 1)."""
        return torch.stack([head(f) for head, f in zip(self.heads, features, strict=True)])

    def deploy(self, model: nn.Module) -> nn.Module:
        """The main branch as a classifier of its own, which shares its weights and buffers with the trained network."""
        assert isinstance(model, Classifier)
        shared = {id(t): t for t in (*model.parameters(), *model.buffers())}
        plain = copy.deepcopy(model, shared)  # the modules are new, the tensors are the same
        only(plain.backbone, 0)
        return plain
