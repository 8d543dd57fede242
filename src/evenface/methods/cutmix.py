"""CutMix: a box of each face is replaced by that of another, and the labels are mixed by area.

    lambda ~ Beta(alpha, alpha), alpha 1; the box has 1 - lambda of the area and a uniform centre, and is cut off at the border
    x = x_i outside the box, x_j inside              j a random permutation of the batch
    total = CE(x, lambda y_i + (1 - lambda) y_j)     lambda: the share of the area that is left of x_i, exactly

A step is mixed with `probability` 0.5 (the authors' setting for CIFAR; 1 for ImageNet), else it is plain cross-entropy. As in the paper,
all faces of a batch have the same box.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from evenface.errors import ConfigError
from evenface.losses import cross_entropy, mix_targets
from evenface.methods._mixing import box_around, draw_lambda, draw_partners
from evenface.methods._options import about
from evenface.methods.base import Batch, Losses, Method, Options


@dataclass(frozen=True)
class CutmixOptions(Options):
    alpha: float = field(default=1.0, metadata=about("lambda is drawn from Beta(alpha, alpha); 0 mixes nothing", low=0))
    probability: float = field(default=0.5, metadata=about("share of the steps that are mixed, up to 1", low=0))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.probability > 1:
            raise ConfigError(f"Option 'probability' must be at most 1, not {self.probability}.")


class Cutmix(Method):
    """Cross-entropy on faces with a box of another face, labels mixed by area."""

    name = "cutmix"
    title = "CutMix"
    paper = "Yun, Han, Oh, Chun, Choe, Yoo: CutMix: Regularization Strategy to Train Strong Classifiers, ICCV 2019"
    year = 2019
    Options = CutmixOptions
    options: CutmixOptions
    batchwise = True

    def loss(self, batch: Batch, model: nn.Module) -> Losses:
        x, target = batch.x, batch.target
        if torch.rand(()).item() < self.options.probability:
            x, target = self.pasted(batch)
        cls = cross_entropy(model(x).logits, target)
        return Losses(cls, {"cls": cls.detach()})

    def pasted(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Faces with a box of another, like `batch.x`, and their targets (N, L)."""
        n, _, height, width = batch.x.shape
        lam = draw_lambda(1, self.options.alpha, torch.empty(0, dtype=torch.float64)).item()
        row, column = (int(torch.randint(side, ())) for side in (height, width))
        rows, columns = box_around(row, column, height, width, lam)
        partners = draw_partners(n, batch.x.device)
        x = batch.x.clone()
        x[:, :, rows, columns] = batch.x[partners][:, :, rows, columns]
        left = 1 - (rows.stop - rows.start) * (columns.stop - columns.start) / (height * width)
        target = mix_targets(batch.target, batch.target[partners], x.new_full((n,), left), len(self.setting.class_names))
        return x, target
