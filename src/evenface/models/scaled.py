"""A classifier that knows how far to trust a face: its logits are scaled by a learnt importance (SCN).

    a = sigmoid(w f + c)                 importance of a face, in (0, 1), from its pooled features f
    z = a (W f + b)                      logits, bias included

The maps are scaled alike, so the mean of a map over space plus a b is the logit.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from evenface.models.backbone import Backbone
from evenface.models.classifier import Classifier
from evenface.models.output import Output


class Scaled(Classifier):
    """A linear head, and an importance that multiplies what it says."""

    kind = "scaled"
    parts = ("backbone", "head", "importance")

    def __init__(self, backbone: Backbone, class_names: Sequence[str], *, dropout: float = 0.0, detach_maps: bool = True) -> None:
        super().__init__(backbone, class_names, dropout=dropout, detach_maps=detach_maps)
        self.importance = nn.Linear(backbone.num_features, 1)

    def importance_of(self, features: Tensor) -> Tensor:
        """Importance a (B,), in (0, 1), of pooled features (B, C), float32 whatever the autocast."""
        with torch.autocast(features.device.type, enabled=False):
            return torch.sigmoid(self.importance(features)).squeeze(1)

    def forward(self, x: Tensor) -> Output:
        grid = self.grid(x)  # (B, C, H, W)
        with torch.autocast(x.device.type, enabled=False):
            grid = grid.to(self.head.weight.dtype)
            features = grid.mean(dim=(2, 3))
            a = self.importance_of(features)
            logits = a[:, None] * self.head(self.dropout(features))
            weight, scale = (self.head.weight.detach(), a.detach()) if self.detach_maps else (self.head.weight, a)
            maps = scale[:, None, None, None] * F.conv2d(grid, weight[:, :, None, None])
        return Output(logits, maps, features)
