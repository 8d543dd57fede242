"""SCAN-CCI: attention over patches of an earlier grid, and four quadrants of the last one, each with a classifier.

    total = share CE(z_0, target) + (1 - share) sum_{r=1..4} CE(z_r, target)             share 0.2

The network is `evenface.models.patches`, which also says what differs from the authors' and what is given as the logits: their sum with the
same share, the mean over the quadrants in place of the sum. Faces are drawn so that every class comes as often (`--resample none`: each
once). The authors train with SGD, the branches at 100 times the backbone's rate; Adam moves every weight by about the rate whatever its
gradient, so the default here is 10.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, cast

import numpy as np
import torch
from torch import nn

from evenface.losses import cross_entropy
from evenface.methods._options import about
from evenface.methods._sampling import draw_rows
from evenface.methods.base import Batch, Losses, Method, Options
from evenface.models.classifier import Classifier
from evenface.models.patches import Masks, Patches


@dataclass(frozen=True)
class ScanCciOptions(Options):
    share: float = field(default=0.2, metadata=about("weight of the attention branch; the regions have the rest", low=0, below=1))
    patches: int = field(default=5, metadata=about("patches along each side of the earlier grid", low=1, below=15))
    masks: Masks = field(default="channel", metadata=about("a mask value per channel and cell, or per cell, which takes less memory"))
    hidden: int = field(default=256, metadata=about("units of the MLP that the regions share", low=1))
    branch_lr: float = field(default=10.0, metadata=about("learning rate of the branches, relative to the backbone's", low=0.001))
    resample: Literal["inverse", "none"] = field(
        default="inverse", metadata=about("draw faces by the inverse of their class's frequency, or each once")
    )


class ScanCci(Method):
    """Masks on patches and on the whole, and a classifier on each quadrant; all learn the label."""

    name = "scan_cci"
    title = "Spatio-Channel Attention Net with Complementary Context Information"
    paper = "Gera, Balasubramanian: Landmark Guidance Independent Spatio-Channel Attention and Complementary Context Information, PRL 2021"
    year = 2021
    Options = ScanCciOptions
    options: ScanCciOptions

    def prepare(self, model: nn.Module) -> nn.Module:
        o = self.options
        network = Patches.of(cast(Classifier, model), share=o.share, patches=o.patches, masks=o.masks, hidden=o.hidden)
        for name, parameter in network.named_parameters():
            if not name.startswith("backbone."):
                parameter.lr_scale = o.branch_lr  # type: ignore[attr-defined]
        return network

    def draw(self, labels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        if self.options.resample == "none":
            return super().draw(labels, generator)
        return draw_rows(labels, np.ones(len(self.setting.counts)), len(labels), generator)

    def loss(self, batch: Batch, model: nn.Module) -> Losses:
        share = self.options.share
        seen = cast(Patches, model).look(batch.x)
        cls = cross_entropy(seen.attention, batch.target)
        regions = torch.stack([cross_entropy(z, batch.target) for z in seen.regions.unbind(1)]).sum()
        return Losses(share * cls + (1 - share) * regions, {"cls": cls.detach(), "regions": regions.detach()})
