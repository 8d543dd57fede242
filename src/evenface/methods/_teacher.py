"""A teacher: the exponential moving average of a network (Tarvainen, Valpola: Mean teachers, NeurIPS 2017).

    teacher = Teacher(model, decay=0.999)            # in `prepare`; on `self`, so that it moves to the device and is saved
    teacher(x)                                       # its Output, without gradient
    teacher.update(model)                            # in `after_step`

After update t = 0, 1, ... each weight is w' <- a w' + (1 - a) w with a = min(decay, (1 + t) / (10 + t)): a teacher that started to
average at 0.999 at once would be its own start for the first thousand steps. Running statistics are averaged like weights, whole numbers
(the batches that batch norm has seen) copied. The teacher always works in evaluation mode, by its running statistics and without dropout:
what it says of a face does not depend on the batch. No gradient reaches it, and in several processes it is the same in all.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self, cast

import torch
from torch import Tensor, nn

from evenface.models.output import Output


class Teacher(nn.Module):
    """The moving average of a network; starts as its copy.

    Args:
        network: what is averaged, as it is before the first step.
        decay: the largest a, in [0, 1).

    Attributes:
        network: the average itself, for `Method.deploy`.
    """

    updates: Tensor

    def __init__(self, network: nn.Module, decay: float = 0.999) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).requires_grad_(False)
        self.decay = decay
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))
        self.eval()

    def train(self, mode: bool = True) -> Self:
        """Stays in evaluation mode, also when all around it is set to train."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, x: Tensor) -> Output:
        return cast(Output, self.network(x))

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """One step of the average towards the network."""
        decay = ((1 + self.updates) / (10 + self.updates)).clamp(max=self.decay)  # on the device: nothing waits for it
        for mine, new in zip(_tensors(self.network), _tensors(network), strict=True):
            if mine.is_floating_point():
                mine.lerp_(new, (1 - decay).to(mine.dtype))
            else:
                mine.copy_(new)
        self.updates += 1


def _tensors(network: nn.Module) -> Iterator[Tensor]:
    yield from network.parameters()
    yield from network.buffers()


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """The network in evaluation mode, and afterwards each of its parts in the mode in which it was."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
