"""Methods that use the loop's hooks and write down what they are given. `path.py:Class` loads this file anew for each run."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from evenface.methods import Batch, Losses, Method, Options


CALLS: list[tuple[str, Any]] = []
"""In order: ("loss", batch), ("after_step", (gradient on, head weight))."""


def head(model: nn.Module) -> Tensor:
    weight: Tensor = model.head.weight  # type: ignore[assignment, union-attr]
    return weight.detach().clone()


class Plain(Method):
    """Cross-entropy, and nothing else asked for."""

    name, title, paper, year = "plain", "Plain", "none, a test", 2025

    def loss(self, batch: Batch, model: nn.Module) -> Losses:
        CALLS.append(("loss", (batch, head(model))))
        cls = F.cross_entropy(model(batch.x).logits, batch.labels)
        return Losses(cls, {"cls": cls.detach()})

    def after_step(self, model: nn.Module) -> None:
        CALLS.append(("after_step", (torch.is_grad_enabled(), head(model))))


@dataclass(frozen=True)
class PoolOptions(Options):
    ratio: float = field(default=1.0, metadata={"help": "unlabelled faces per labelled one"})


class Pool(Plain):
    """Asks for unlabelled faces as the run makes them, and strongly changed."""

    Options = PoolOptions
    options: PoolOptions
    extra = ("strong", "run", "weak")  # type: ignore[assignment]
    pool = ("run", "strong")  # type: ignore[assignment]

    @property
    def pool_ratio(self) -> float:
        return self.options.ratio


class Teacher(Pool):
    """All hooks at once: a moving average as the teacher of unlabelled faces, which is deployed; a head that learns faster; tables."""

    def prepare(self, model: nn.Module) -> nn.Module:
        self.teacher = copy.deepcopy(model).requires_grad_(False)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        for p in model.head.parameters():  # type: ignore[union-attr]
            p.lr_scale = 5.0  # type: ignore[attr-defined]
        for p in model.backbone.net.layer1.parameters():  # type: ignore[union-attr]
            p.lr_scale = 0.0  # type: ignore[attr-defined]
        return model

    def loss(self, batch: Batch, model: nn.Module) -> Losses:
        plain = super().loss(batch, model)
        further = torch.stack([F.cross_entropy(model(x).logits, batch.labels) for x in batch.extra]).mean()
        taught = self.teacher(batch.pool[0]).logits.softmax(1)
        pool = F.cross_entropy(model(batch.pool[1]).logits, taught)
        return Losses(plain.total + further + pool, {**plain.parts, "extra": further.detach(), "pool": pool.detach()})

    def after_step(self, model: nn.Module) -> None:
        super().after_step(model)
        self.steps += 1
        for ours, theirs in zip(self.teacher.parameters(), model.parameters(), strict=True):
            ours.lerp_(theirs, 0.3)
        for ours, theirs in zip(self.teacher.buffers(), model.buffers(), strict=True):
            ours.copy_(theirs)

    def deploy(self, model: nn.Module) -> nn.Module:
        return self.teacher

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        return {
            "doubted": [{"row": 4, "doubt": 0.5}, {"row": 0, "doubt": 0.25}],
            "course": [{"steps": int(self.steps), "note": "a, b"}],
        }
