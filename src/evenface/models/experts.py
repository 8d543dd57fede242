"""A network of several experts: a shared trunk, copies of the last stage, one head per copy (RIDE, SADE).

    z_k = W_k GAP(F_k) + b_k                       linear heads
    z_k = s cos(W_k, GAP(F_k))                     cosine heads: each row of W_k and the feature at length 1
    logits = mean_k z_k                            maps and features are means over the experts, too

The mean of a class map over space is the logit up to the mean bias: where heads are cosine, the map of a face is taken with the normalised
weights and divided by the length of its pooled feature, s W_k F / |GAP(F)|.

The experts of RIDE's code are the last two stages of a ResNet, narrowed to save compute. A narrower copy cannot keep pretrained weights, so
these are copies of the last stage in full width, and all start from the weights that the backbone came with.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from evenface.errors import ConfigError
from evenface.models.backbone import Backbone
from evenface.models.branches import branch
from evenface.models.classifier import Classifier
from evenface.models.output import Output


Head = Literal["linear", "cosine"]


class Experts(Classifier):
    """K experts whose mean is the answer; the backbone is branched in place.

    Args:
        experts: K, at least 1.
        head_type: linear heads with bias, or cosine heads without.
        scale: s of the cosine heads.
    """

    kind = "experts"
    parts = ("backbone", "heads")

    def __init__(
        self,
        backbone: Backbone,
        class_names: Sequence[str],
        *,
        dropout: float = 0.0,
        detach_maps: bool = True,
        experts: int = 3,
        head_type: Head = "linear",
        scale: float = 30.0,
    ) -> None:
        super().__init__(backbone, class_names, dropout=dropout, detach_maps=detach_maps)
        if head_type not in ("linear", "cosine"):
            raise ConfigError(f"The heads of experts are linear or cosine, not '{head_type}'.")
        if not (isinstance(scale, int | float) and 0 < scale < math.inf):
            raise ConfigError(f"The scale of experts is a number above 0, not {scale!r}.")
        branch(backbone, experts, "stage")
        self.head_type, self.scale = head_type, scale
        del self.head  # each expert has its own
        shape, bias = (backbone.num_features, len(class_names)), head_type == "linear"
        self.heads = nn.ModuleList(nn.Linear(*shape, bias=bias) for _ in range(experts))

    def settings(self) -> dict[str, Any]:
        return {"experts": len(self.heads), "head_type": self.head_type, "scale": self.scale}

    def experts(self, x: Tensor) -> Output:
        """RGB in [0, 1], (B, 3, S, S) -> what each expert says: logits (K, B, L), maps (K, B, L, H, W), features (K, B, C), float32."""
        grid = self.grid(x)  # (K B, C, H, W)
        with torch.autocast(x.device.type, enabled=False):
            grid = grid.view(len(self.heads), -1, *grid.shape[1:])  # len(x) would fix the batch of an exported model
            grid = grid if grid.dtype == torch.float64 else grid.float()
            features = grid.mean(dim=(3, 4))
            answers = [self._answer(*each) for each in zip(self.heads, grid, features, strict=True)]
        logits, maps = (torch.stack(part) for part in zip(*answers, strict=True))
        return Output(logits, maps, features)

    def forward(self, x: Tensor) -> Output:
        logits, maps, features = self.experts(x)
        return Output(logits.mean(0), maps.mean(0), features.mean(0))

    def _answer(self, head: nn.Module, grid: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """One expert's logits (B, L) and maps (B, L, H, W) from its grid (B, C, H, W) and pooled features (B, C)."""
        assert isinstance(head, nn.Linear)
        if self.head_type == "linear":
            weight, length = head.weight, None
            logits = head(self.dropout(features))
        else:
            weight = self.scale * F.normalize(head.weight, dim=1)
            length = features.norm(dim=1).clamp_min(1e-12)
            logits = F.normalize(self.dropout(features), dim=1) @ weight.T
        weight = weight.detach() if self.detach_maps else weight
        maps = F.conv2d(grid, weight[:, :, None, None])
        return logits, maps if length is None else maps / length[:, None, None, None]
