"""A classifier on features with an uncertainty: a Gaussian per face, of which the mean is classified (RUL).

    mu, logvar = head(F)            BatchNorm2d - Dropout - flatten - Linear(C H W, D) - BatchNorm1d, one head each
    z = V mu + v                    inference uses the mean alone

At evaluation mu is linear in F, so the logits fall apart exactly into a term per cell. With the running statistics m2, s2^2 of the
BatchNorm2d, s1^2 of the BatchNorm1d and its scale g:

    A[l, h, w] = H W sum_d V[l, d] g[d] / s1[d] sum_c W[d, c, h, w] (F[c, h, w] - m2[c]) / s2[c]

The mean of A over space plus a constant, the same for all faces, is the logit. F is centred, since the weights differ from cell to cell: so
a cell whose features are those of the average face counts 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from evenface.errors import ConfigError
from evenface.models.backbone import Backbone
from evenface.models.classifier import Classifier
from evenface.models.output import Output


EPS = 2e-5  # of both batch norms, the authors' value


class GridHead(nn.Sequential):
    """Features (B, C, H, W) -> (B, D); the linear layer has weights of its own for every cell."""

    def __init__(self, channels: int, cells: int, dim: int, dropout: float) -> None:
        super().__init__(
            nn.BatchNorm2d(channels, eps=EPS, affine=False),
            nn.Dropout(dropout),
            nn.Flatten(),
            nn.Linear(channels * cells, dim),
            nn.BatchNorm1d(dim, eps=EPS),
        )

    def per_cell(self, grid: Tensor, readout: Tensor, detach: bool) -> Tensor:
        """The part of readout @ self(grid) that each cell gives, with running statistics: (B, C, H, W), (L, D) -> (B, L, H, W).

        Args:
            detach: take all weights as constants.
        """
        first, _, _, linear, last = self
        assert isinstance(first, _BatchNorm)  # on several GPUs both are SyncBatchNorm
        assert isinstance(linear, nn.Linear)
        assert isinstance(last, _BatchNorm)
        assert first.running_mean is not None
        assert first.running_var is not None
        assert last.running_var is not None
        centred = (grid - first.running_mean[:, None, None]) * torch.rsqrt(first.running_var + EPS)[:, None, None]
        kernel = (readout * last.weight * torch.rsqrt(last.running_var + EPS)) @ linear.weight
        kernel = (kernel.detach() if detach else kernel).reshape(-1, *grid.shape[1:])  # (L, C, H, W)
        return torch.einsum("bchw,lchw->blhw", centred, kernel)


class Uncertain(Classifier):
    """Mean and log-variance heads on the grid, and a linear classifier on the mean.

    The log-variance head takes no part in inference, but it is part of the network: it is trained, resumed and saved with it. `features`
    of the output are mu (B, D). Maps are taken with the running statistics in training, too.

    Args:
        dim: D.
        head_dropout: of the features before the heads' linear layers.
    """

    kind = "uncertain"
    parts = ("backbone", "mu", "logvar", "head")

    def __init__(
        self,
        backbone: Backbone,
        class_names: Sequence[str],
        *,
        dropout: float = 0.0,
        detach_maps: bool = True,
        dim: int = 64,
        head_dropout: float = 0.4,
    ) -> None:
        super().__init__(backbone, class_names, dropout=dropout, detach_maps=detach_maps)
        if dim < 1 or not 0 <= head_dropout < 1:
            raise ConfigError(f"A network with uncertainty needs dim >= 1 and a dropout in [0, 1), not {dim} and {head_dropout}.")
        height, width = backbone.grid
        self.dim, self.head_dropout = dim, head_dropout
        self.mu = GridHead(backbone.num_features, height * width, dim, head_dropout)
        self.logvar = GridHead(backbone.num_features, height * width, dim, head_dropout)
        self.head = nn.Linear(dim, len(class_names))

    def settings(self) -> dict[str, Any]:
        return {"dim": self.dim, "head_dropout": self.head_dropout}

    def gaussian(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """RGB in [0, 1], (B, 3, S, S) -> mu and logvar (B, D), float32."""
        grid = self.grid(x)
        with torch.autocast(x.device.type, enabled=False):
            grid = grid.to(self.head.weight.dtype)
            return self.mu(grid), self.logvar(grid)

    def classify(self, features: Tensor) -> Tensor:
        """Features (B, D) -> logits (B, L), float32."""
        with torch.autocast(features.device.type, enabled=False):
            logits: Tensor = self.head(self.dropout(features))
        return logits

    def forward(self, x: Tensor) -> Output:
        grid = self.grid(x)
        with torch.autocast(x.device.type, enabled=False):
            grid = grid.to(self.head.weight.dtype)
            mu: Tensor = self.mu(grid)
            logits = self.classify(mu)
            maps = grid.shape[2] * grid.shape[3] * self.mu.per_cell(grid, self.head.weight, self.detach_maps)
        return Output(logits, maps, mu)
