"""A network for hand-worked numbers: the pixels of a face (N, L, 1, 1) are its logits, times a weight that can learn."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from evenface.methods import Batch
from evenface.models.output import Output


class Given(nn.Module):
    """Logits = scale * pixels; the features are the pixels."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale, dtype=torch.float64))

    def forward(self, x: Tensor) -> Output:
        pixels = x[:, :, 0, 0]
        return Output(self.scale * pixels, x, pixels)


def logits_of(probabilities: Sequence[Sequence[float]]) -> Tensor:
    """Faces whose softmax is the given rows, float64."""
    return torch.tensor(probabilities, dtype=torch.float64).log()[:, :, None, None]


def batch_of(x: Tensor, labels: Sequence[int], extra: tuple[Tensor, ...] = (), pool: tuple[Tensor, ...] = ()) -> Batch:
    return Batch(x, None, torch.tensor(labels), None, torch.arange(len(x)), lambda maps: maps, extra, pool)
