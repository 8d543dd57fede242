"""Region attention networks (RAN): a face and five crops of it through one backbone, weighted by attention.

    total = CE(logits, target) + rank mean_n max(0, margin - (max_i alpha_i - alpha_whole))

The network is `evenface.models.regions`. Defaults are those of the authors' code: a softmax over the six after each sigmoid, and margin
0.1. `--attention sigmoid` leaves the softmax out, which makes alpha and beta of a picture independent of the others; the margin 0.02 that
goes with smaller differences is `--margin 0.02`. The code that cuts the crops is not published: here they are the four corners and the
centre, of 75 % of the side. A step costs as much memory as six plain ones: take a sixth of the batch where it does not fit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

from torch import nn

from evenface.losses import cross_entropy, rank_bias
from evenface.methods._options import about
from evenface.methods.base import Batch, Losses, Method, Options
from evenface.models.classifier import Classifier
from evenface.models.regions import Attention, Regions


@dataclass(frozen=True)
class RanOptions(Options):
    rank: float = field(default=1.0, metadata=about("weight of the rank-biased loss", low=0))
    margin: float = field(default=0.1, metadata=about("by how much the best crop's attention should exceed the whole face's", low=0))
    crop: float = field(default=0.75, metadata=about("side of a crop, relative to the face's", low=0.1, below=1))
    attention: Attention = field(default="softmax", metadata=about("whether a softmax over the six follows each sigmoid"))


class Ran(Method):
    """Attention over the face and five crops of it; the best crop must outweigh the whole."""

    name = "ran"
    title = "Region Attention Network"
    paper = "Wang, Peng, Yang, Meng, Qiao: Region Attention Networks for Pose and Occlusion Robust FER, IEEE TIP 2020"
    year = 2020
    Options = RanOptions
    options: RanOptions

    def prepare(self, model: nn.Module) -> nn.Module:
        return Regions.of(cast(Classifier, model), crop=self.options.crop, attention=self.options.attention)

    def idle(self) -> dict[str, tuple[str, ...]]:
        return {"--rank 0": ("margin",)} if self.options.rank == 0 else {}

    def loss(self, batch: Batch, model: nn.Module) -> Losses:
        output, alpha = cast(Regions, model).look(batch.x)
        cls, rank = cross_entropy(output.logits, batch.target), rank_bias(alpha, self.options.margin)
        return Losses(cls + self.options.rank * rank, {"cls": cls.detach(), "rank": rank.detach()})
