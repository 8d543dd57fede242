"""LDAM-DRW: a margin that grows as a class gets rarer, and class weights that begin late.

    total = -B_y log softmax(z - s m_y e_y)_y          m_l = C n_l^(-1/4), C so that the largest is 0.5

z is s times a cosine (network kind `cosine`), and the margin counts on the cosine. B is 1 until `start` of the epochs, then the class
weights (deferred re-weighting, algorithm 1). The algorithm prints the weight 1 / n (`--weights inverse`); its experiments and code take the
effective number with beta 0.9999, the default here, from epoch 160 of 200 on, hence `start` 0.8. The authors divide a batch's sum by the
sum of its weights, which is here a plain mean, with weights that sum to the number of classes. They also cut the learning rate by 100 at
the same epoch; here that is left to the run's schedule.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from evenface.errors import ModelError
from evenface.losses import ldam_margins, margin_cross_entropy
from evenface.methods._options import about
from evenface.methods._terms import OriginalView, Term, Weighted, WeightOptions, over_views
from evenface.methods.base import AnyOptions, Batch, Setting
from evenface.models.classifier import Classifier
from evenface.models.cosine import CosineClassifier
from evenface.models.output import Output


@dataclass(frozen=True)
class LdamDrwOptions(WeightOptions, OriginalView):
    max_margin: float = field(default=0.5, metadata=about("margin of the rarest class, on the cosine", low=0, below=2))
    cosine_scale: float = field(default=30.0, metadata=about("s, what the cosines are multiplied by", low=0.001))
    start: float = field(default=0.8, metadata=about("share of the epochs after which the class weights begin; 0 is from the first", low=0))
    beta: float = field(default=0.9999, metadata=about("beta of the effective number, in [0, 1)"))


class LdamDrw(Weighted):
    """Cosine head with a larger margin for a rarer class, re-weighted in the last epochs."""

    name = "ldam_drw"
    title = "LDAM with deferred re-weighting"
    paper = "Cao, Wei, Gaidon, Arechiga, Ma: Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss, NeurIPS 2019"
    year = 2019
    Options = LdamDrwOptions
    options: LdamDrwOptions
    margins: Tensor

    def __init__(self, options: AnyOptions, setting: Setting) -> None:
        super().__init__(options, setting)
        margins = torch.from_numpy(ldam_margins(setting.counts, self.options.max_margin))
        self.register_buffer("margins", margins.float(), persistent=False)  # follow from the counts, as class weights do
        o, epochs = self.options, setting.epochs
        self.begin = min(round(o.start * epochs), epochs - 1) if o.start < 1 else epochs  # 0-based; short runs have one weighted epoch
        self.weighted = self.begin == 0

    @property
    def uses_weights(self) -> bool:
        return self.begin < self.setting.epochs

    def prepare(self, model: nn.Module) -> nn.Module:
        if not isinstance(model, Classifier):
            raise ModelError("'ldam_drw' puts a cosine head on a classifier of evenface; give it one.")
        return CosineClassifier.of(model, scale=self.options.cosine_scale)

    def start_epoch(self, epoch: int) -> None:
        self.weighted = epoch >= self.begin

    def terms(self, batch: Batch, first: Output, second: Output | None) -> dict[str, Term]:
        o, weights = self.options, self.B if self.weighted else None
        return {
            "cls": (
                1.0,
                over_views(
                    o.cls_views, first, second, lambda z: margin_cross_entropy(z, batch.labels, self.margins, o.cosine_scale, weights)
                ),
            )
        }

    def idle(self) -> dict[str, tuple[str, ...]]:
        if self.uses_weights:
            return super().idle()
        return {f"--start {self.options.start:g}": ("weights", "beta", "normalize")}

    def notes(self) -> list[str]:
        epochs = self.setting.epochs
        when = f"from epoch {self.begin + 1} of {epochs} on" if self.begin < epochs else f"never, in {epochs} epochs"
        return [*super().notes(), f"The class weights count {when}."]
