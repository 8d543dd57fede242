"""The bilateral-branch network: one trunk, two copies of the last residual block, one head on both (BBN).

    z = W [f_c ; f_r] + b                                    at evaluation
    z = W 2 [alpha f_c ; (1 - alpha) f_r] + b                in training, f_c and f_r of two faces

f_c are the pooled features of the conventional branch, f_r those of the re-balancing branch. The mean of a map over space plus b is the
logit; it is the sum of what both branches see.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from evenface.models.backbone import Backbone
from evenface.models.branches import Branches, branch
from evenface.models.classifier import Classifier
from evenface.models.output import Output


class Bilateral(Classifier):
    """Two branches; the backbone is branched in place, both copies with the weights of its last block."""

    kind = "bbn"
    parts = ("backbone", "head")

    def __init__(self, backbone: Backbone, class_names: Sequence[str], *, dropout: float = 0.0, detach_maps: bool = True) -> None:
        super().__init__(backbone, class_names, dropout=dropout, detach_maps=detach_maps)
        branch(backbone, 2, "block")
        self.head = nn.Linear(2 * backbone.num_features, len(class_names))

    @property
    def branches(self) -> Branches:
        """The copies in the backbone: 0 conventional, 1 re-balancing."""
        return next(module for module in self.backbone.modules() if isinstance(module, Branches))

    def restart_rebalancing(self) -> None:
        """Gives the layers of the re-balancing block new random weights.

        What knows no start of its own (dlib's affine, layer scales, Swin's position biases) keeps its pretrained value.
        """
        for module in self.branches.copies[1].modules():
            restart = getattr(module, "reset_parameters", None)
            if callable(restart):
                restart()

    def mixed_logits(self, x: Tensor, alpha: float) -> Tensor:
        """Logits of pairs of faces in training, (ceil(B / 2), L), float32.

        Args:
            x: (B, 3, S, S): first the ceil(B / 2) faces for the conventional branch, then their partners for the re-balancing one. Where
                there is one partner less, the first of them serves twice.
            alpha: weight of the conventional branch, in [0, 1].
        """
        branches = self.branches
        branches.routed = True
        try:
            grid = self.grid(x)
        finally:
            branches.routed = False
        with torch.autocast(x.device.type, enabled=False):
            features = grid.to(self.head.weight.dtype).mean(dim=(2, 3))
            conventional, rebalancing = features.chunk(2)
            rebalancing = torch.cat([rebalancing, rebalancing[: len(conventional) - len(rebalancing)]])
            mixed = 2 * torch.cat([alpha * conventional, (1 - alpha) * rebalancing], dim=1)
            logits: Tensor = self.head(self.dropout(mixed))
        return logits

    def forward(self, x: Tensor) -> Output:
        grid = self.grid(x)  # (2 B, C, H, W)
        with torch.autocast(x.device.type, enabled=False):
            # As torch.cat of two chunks along the channels, but exported models keep a batch of any size.
            grid = grid.to(self.head.weight.dtype).reshape(2, -1, *grid.shape[1:]).transpose(0, 1).flatten(1, 2)  # (B, 2 C, H, W)
            features = grid.mean(dim=(2, 3))
            logits = self.head(self.dropout(features))
            weight = self.head.weight.detach() if self.detach_maps else self.head.weight
            maps = F.conv2d(grid, weight[:, :, None, None])
        return Output(logits, maps, features)
