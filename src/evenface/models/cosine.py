"""A classifier by angle: features and class vectors of length 1, so that no class can win by the length of its vector.

    z_l = s cos(w_l, f) = s <w_l / |w_l|, f / |f|>          f: the pooled features, s: the scale

There is no bias. A map is what its cell adds to the logit, `A[b, l] = s sum_c w_lc / |w_l| F[b, c] / |f_b|`, so its mean over space is the
logit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from evenface.errors import ConfigError
from evenface.models.backbone import Backbone
from evenface.models.classifier import Classifier
from evenface.models.output import Output


class CosineClassifier(Classifier):
    """A head of angles, its weight (L, C) of any length.

    Args:
        scale: s, > 0; the logits are in [-s, s].
    """

    kind = "cosine"

    def __init__(
        self, backbone: Backbone, class_names: Sequence[str], *, dropout: float = 0.0, detach_maps: bool = True, scale: float = 30.0
    ) -> None:
        super().__init__(backbone, class_names, dropout=dropout, detach_maps=detach_maps)
        if not (isinstance(scale, int | float) and 0 < scale < math.inf):
            raise ConfigError(f"The scale of a cosine head is a number above 0, not {scale!r}.")
        self.scale = float(scale)
        self.head = nn.Linear(backbone.num_features, len(class_names), bias=False)

    def settings(self) -> dict[str, Any]:
        return {"scale": self.scale}

    def forward(self, x: Tensor) -> Output:
        """RGB in [0, 1], (B, 3, S, S), float32 -> `Output` in float32; `features` are the pooled ones before they are normalised."""
        grid = self.grid(x)  # (B, C, H, W)
        with torch.autocast(x.device.type, enabled=False):
            grid = grid if grid.dtype == torch.float64 else grid.float()  # float64 stays, for exact tests
            features = grid.mean(dim=(2, 3))
            weight = functional.normalize(self.head.weight, dim=1)
            logits = self.scale * functional.linear(functional.normalize(self.dropout(features), dim=1), weight)
            unit = grid / features.norm(dim=1).clamp_min(1e-12)[:, None, None, None]  # the pooled cells then have length 1
            maps = self.scale * functional.conv2d(unit, (weight.detach() if self.detach_maps else weight)[:, :, None, None])
        return Output(logits, maps, features)
