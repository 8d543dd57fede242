"""A network that looks at a face and at five crops of it, and weights what it sees (RAN: Wang et al., TIP 2020).

    v_i     = GAP(backbone(x_i))                     i: four corner crops, the centre crop, and the whole face last
    alpha_i = sigmoid(q v_i), softmax over i         v_m = sum_i alpha_i v_i / sum_i alpha_i
    beta_i  = sigmoid(r [v_i; v_m]), softmax over i
    logits  = W f + b,   f = sum_i w_i [v_i; v_m],   w_i = alpha_i beta_i / sum_k alpha_k beta_k

The crops lie where they lie in every face, which suits aligned faces; each is enlarged to the input size. All six go through the shared
backbone as one batch, so a face costs as much memory and time as six.

The maps are exact: with W = [W1 W2], `logit - b = sum_i mean(w_i W1 F_i + (alpha_i / sum alpha) W2 F_i)` over the grids F_i, and each
crop's map is put back to where the crop was taken from, with its mean kept (`grids.spread`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from evenface.errors import ConfigError, unknown_name
from evenface.models.backbone import Backbone
from evenface.models.classifier import Classifier
from evenface.models.grids import spread
from evenface.models.output import Output


Attention = Literal["softmax", "sigmoid"]
CORNERS = ((0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0), (0.5, 0.5))  # of the free room above and left of a crop; the centre last


class Regions(Classifier):
    """Attention over a face and its crops.

    Args:
        crop: side of a crop, relative to that of the face, in (0, 1].
        attention: whether a softmax over the six follows each sigmoid.
    """

    kind = "regions"
    parts = ("backbone", "alpha", "beta", "head")

    def __init__(
        self,
        backbone: Backbone,
        class_names: Sequence[str],
        *,
        dropout: float = 0.0,
        detach_maps: bool = True,
        crop: float = 0.75,
        attention: Attention = "softmax",
    ) -> None:
        super().__init__(backbone, class_names, dropout=dropout, detach_maps=detach_maps)
        if not isinstance(crop, int | float) or not 0 < crop <= 1:
            raise ConfigError(f"The crop of a network of regions must be a number above 0 and at most 1, not {crop!r}.")
        if attention not in get_args(Attention):
            raise ConfigError(unknown_name("attention of regions", str(attention), get_args(Attention)))
        self.crop, self.attention = crop, attention
        self.alpha = nn.Linear(backbone.num_features, 1)
        self.beta = nn.Linear(2 * backbone.num_features, 1)
        self.head = nn.Linear(2 * backbone.num_features, len(class_names))

    def settings(self) -> dict[str, Any]:
        return {"crop": self.crop, "attention": self.attention}

    def forward(self, x: Tensor) -> Output:
        """RGB in [0, 1], (B, 3, S, S), float32 -> `Output` in float32; the features are f (B, 2C)."""
        return self.look(x)[0]

    def look(self, x: Tensor) -> tuple[Output, Tensor]:
        """As `forward`, and alpha (B, 6), the whole face last."""
        boxes = self._boxes(*x.shape[2:])
        grid = self.grid(torch.cat([*(self._enlarged(x, box) for box in boxes), x]))  # (6 B, C, H, W)
        with torch.autocast(x.device.type, enabled=False):
            grid = grid.to(self.head.weight.dtype)
            v = grid.mean(dim=(2, 3)).reshape(len(boxes) + 1, -1, grid.shape[1])  # (6, B, C)
            alpha = self._weights(self.alpha(v))
            first = alpha / alpha.sum(0)
            both = torch.cat([v, (first * v).sum(0).expand_as(v)], 2)
            second = alpha * self._weights(self.beta(both))
            second = second / second.sum(0)
            features = (second * both).sum(0)
            logits = self.head(self.dropout(features))
            maps = self._maps(grid.reshape(len(boxes) + 1, -1, *grid.shape[1:]), first, second, boxes, x.shape[2:])
        return Output(logits, maps, features), alpha[..., 0].T

    def _weights(self, score: Tensor) -> Tensor:
        """(6, B, 1), > 0."""
        return score.sigmoid().softmax(0) if self.attention == "softmax" else score.sigmoid()

    def _boxes(self, height: int, width: int) -> list[tuple[int, int, int, int]]:
        """Top, bottom, left, right of the crops in pixels."""
        h, w = max(1, round(self.crop * height)), max(1, round(self.crop * width))
        tops = [(int(down * (height - h)), int(right * (width - w))) for down, right in CORNERS]
        return [(top, top + h, left, left + w) for top, left in tops]

    def _enlarged(self, x: Tensor, box: tuple[int, int, int, int]) -> Tensor:
        top, bottom, left, right = box
        # Bilinear; antialiasing would change nothing, since no crop is made smaller.
        return functional.interpolate(x[:, :, top:bottom, left:right], x.shape[2:], mode="bilinear", align_corners=False)

    def _maps(self, grids: Tensor, first: Tensor, second: Tensor, boxes: list[tuple[int, int, int, int]], pixels: Sequence[int]) -> Tensor:
        """Grids (6, B, C, H, W), weights of W2 and W1 (6, B, 1) -> maps (B, L, H, W); see the module's docstring."""
        cells = (grids.shape[3], grids.shape[4])
        weight = self.head.weight
        if self.detach_maps:
            weight, first, second = weight.detach(), first.detach(), second.detach()
        total = torch.zeros((), dtype=grids.dtype, device=grids.device)
        everything = (0, pixels[0], 0, pixels[1])
        for grid, a, w, (top, bottom, left, right) in zip(grids, first, second, [*boxes, everything], strict=True):
            own, mean = (functional.conv2d(grid, part[:, :, None, None]) for part in weight.chunk(2, 1))
            part = w[..., None, None] * own + a[..., None, None] * mean
            total = total + spread(part, cells, (top / pixels[0], bottom / pixels[0]), (left / pixels[1], right / pixels[1]))
        return total
