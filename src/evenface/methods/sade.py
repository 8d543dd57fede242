"""SADE: three experts on one trunk, each trained for another distribution of the classes.

    total = CE(z_1) + CE(z_2 + log pi) + CE(z_3 + log pi - tau log inverse pi)            tau 2

pi are the shares of the classes in training; the inverse pi are the same values handed out in reverse order, so that the rarest class gets
that of the most frequent. The first expert is at home where the test faces are as uneven as those of training, the second where all
classes are alike, the third where the rare are frequent. By default the answer is the mean of their logits.

The paper then weights the experts for the faces at hand, without their labels, by how much they agree on two views of a face:
`evenface evaluate RUN --tta experts` (see `evenface.evaluation.aggregate`). The log tells the sum of the three losses as `cls`, and each.

The heads are cosine with scale 30, as the paper's; `--head linear` for plain ones. The experts are full copies of the last stage
(see `evenface.models.experts`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor, nn

from evenface.losses import sade_offsets, shifted_cross_entropy
from evenface.methods._options import about
from evenface.methods.base import Batch, Losses, Method, Options, Setting
from evenface.methods.ride import make_experts
from evenface.models.experts import Experts, Head


@dataclass(frozen=True)
class SadeOptions(Options):
    tau: float = field(default=2.0, metadata=about("how far beyond balance the third expert leans to rare classes", low=0))
    head: Head = field(default="cosine", metadata=about("heads of the experts"))
    cosine_scale: float = field(default=30.0, metadata=about("s, what the cosines are multiplied by", low=0.001))


class Sade(Method):
    """Three experts, for a frequent, a balanced and a reversed distribution."""

    name = "sade"
    title = "Self-supervised Aggregation of Diverse Experts"
    paper = "Zhang et al.: Self-Supervised Aggregation of Diverse Experts for Test-Agnostic Long-Tailed Recognition, NeurIPS 2022"
    year = 2022
    Options = SadeOptions
    options: SadeOptions

    offsets: Tensor

    def __init__(self, options: SadeOptions, setting: Setting) -> None:
        super().__init__(options, setting)
        offsets = torch.tensor(sade_offsets(setting.counts, options.tau), dtype=torch.float32)
        self.register_buffer("offsets", offsets, persistent=False)  # (3, L); they follow from the counts

    def prepare(self, model: nn.Module) -> nn.Module:
        return make_experts(self.name, model, 3, self.options.head, self.options.cosine_scale)

    def idle(self) -> dict[str, tuple[str, ...]]:
        return {"--head linear": ("cosine_scale",)} if self.options.head == "linear" else {}

    def loss(self, batch: Batch, model: nn.Module) -> Losses:
        z = cast(Experts, model).experts(batch.x).logits  # (3, N, L)
        each = torch.stack([shifted_cross_entropy(own, batch.target, shift) for own, shift in zip(z, self.offsets, strict=True)])
        total = each.sum()
        parts = dict(zip(("forward", "uniform", "backward"), each.detach(), strict=True))
        return Losses(total, {"cls": total.detach(), **parts})
