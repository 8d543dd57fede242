"""RIDE: several experts on one trunk that are kept apart, averaged at test time.

    total = sum_k L(z_k, y) - diversity sum_k T^2 KL(p_k || mean)             3 experts, diversity 0.2, T 1

L is LDAM's cross-entropy (cosine heads of scale 30, a margin of 0.5 for the rarest class and less for the others) or plain cross-entropy
on linear heads. After the share `start` of the epochs it is weighted by the effective number, beta 0.9999. In the second term the logit of
class l is divided by T_l = T (0.05 L n_l / N + 0.95), scaled so that the largest is T; the mean is that of the logits, and a constant.

Paper and authors' code differ: the code's divergence is KL(mean || p_k) (`--divergence mean_expert`), it uses the class temperatures only
from the reweighting on (here always), and its weighted mean divides by the sum of the batch's weights (here plain, over N). The paper takes
the divergence to each other expert; that to their mean is the authors' own shortcut.

Left out is the second stage, a router that asks further experts only for the faces that the first ones are unsure of: it is trained after
the experts, saves compute at test time and does not raise accuracy. All experts are asked for every face. They are full copies of the last
stage; the authors' are narrower and begin a stage earlier (see `evenface.models.experts`). With `--base ce` the class weights count from
`start` on too, where the authors leave cross-entropy unweighted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from evenface.errors import ModelError
from evenface.losses import class_temperatures, class_weights, expert_diversity, ldam_margins, margin_cross_entropy, weight_notes
from evenface.losses.experts import Divergence
from evenface.methods._options import about
from evenface.methods.base import Batch, Losses, Method, Options, Setting
from evenface.models.classifier import Classifier
from evenface.models.experts import Experts, Head


@dataclass(frozen=True)
class RideOptions(Options):
    experts: int = field(default=3, metadata=about("copies of the last stage", low=2))
    base: Literal["ldam", "ce"] = field(default="ldam", metadata=about("loss of each expert: margins on cosine heads, or cross-entropy"))
    max_margin: float = field(default=0.5, metadata=about("margin of the rarest class, on the cosine", low=0, below=2))
    cosine_scale: float = field(default=30.0, metadata=about("s, what the cosines are multiplied by", low=0.001))
    beta: float = field(default=0.9999, metadata=about("beta of the class weights that come late in the run", low=0, below=1))
    start: float = field(default=0.8, metadata=about("share of the epochs after which the class weights begin; 1 is never", low=0))
    diversity: float = field(default=0.2, metadata=about("weight of the distance of the experts to their mean", low=0))
    temperature: float = field(default=1.0, metadata=about("T of the diversity, that of the most frequent class", low=0.001))
    spread: float = field(default=0.05, metadata=about("how much lower the temperature of rare classes is", low=0, below=1))
    divergence: Divergence = field(default="expert_mean", metadata=about("KL of expert and mean, or of mean and expert as in the code"))


class Ride(Method):
    """Several margin-trained experts, pushed apart and averaged."""

    name = "ride"
    title = "Routing Diverse Experts"
    paper = "Wang, Lian, Miao, Liu, Yu: Long-tailed Recognition by Routing Diverse Distribution-Aware Experts, ICLR 2021"
    year = 2021
    Options = RideOptions
    options: RideOptions

    B: Tensor
    margins: Tensor
    temperatures: Tensor

    def __init__(self, options: RideOptions, setting: Setting) -> None:
        super().__init__(options, setting)
        o, counts = options, setting.counts
        follow_from_counts = {
            "B": class_weights(counts, "effective", o.beta),
            "margins": ldam_margins(counts, o.max_margin),
            "temperatures": class_temperatures(counts, o.temperature, o.spread),
        }
        for name, values in follow_from_counts.items():
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32), persistent=False)
        epochs = setting.epochs
        self.begin = min(round(o.start * epochs), epochs - 1) if o.start < 1 else epochs  # 0-based; short runs have one weighted epoch
        self.weighted = self.begin == 0

    def prepare(self, model: nn.Module) -> nn.Module:
        head: Head = "cosine" if self.options.base == "ldam" else "linear"
        return make_experts(self.name, model, self.options.experts, head, self.options.cosine_scale)

    def start_epoch(self, epoch: int) -> None:
        self.weighted = epoch >= self.begin

    def loss(self, batch: Batch, model: nn.Module) -> Losses:
        z = cast(Experts, model).experts(batch.x).logits  # (K, N, L)
        cls = torch.stack([self._base(each, batch) for each in z]).sum()
        parts = {"cls": cls.detach()}
        total = cls
        if self.options.diversity:
            diversity = expert_diversity(z, self.temperatures, self.options.divergence)
            total = cls - self.options.diversity * diversity
            parts["diversity"] = diversity.detach()
        return Losses(total, parts)

    def _base(self, logits: Tensor, batch: Batch) -> Tensor:
        weights = self.B if self.weighted else torch.ones_like(self.B)
        if self.options.base == "ldam":
            return margin_cross_entropy(logits, batch.labels, self.margins, self.options.cosine_scale, weights)
        each = F.cross_entropy(logits, batch.target, reduction="none")
        return (weights[batch.labels] * each).mean()

    def notes(self) -> list[str]:
        epochs = self.setting.epochs
        if self.begin >= epochs:
            return super().notes()
        weights = weight_notes(self.B.tolist(), self.setting.class_names, self.setting.counts, advice="raise beta towards 1")
        return [*weights, f"The class weights count from epoch {self.begin + 1} of {epochs} on.", *super().notes()]

    def idle(self) -> dict[str, tuple[str, ...]]:
        o = self.options
        idle: dict[str, tuple[str, ...]] = {}
        if o.base == "ce":
            idle["--base ce"] = ("max_margin", "cosine_scale")
        if o.diversity == 0:
            idle["--diversity 0"] = ("temperature", "spread", "divergence")
        if self.begin >= self.setting.epochs:
            idle[f"--start {o.start:g}"] = ("beta",)
        return idle


def make_experts(method: str, model: nn.Module, experts: int, head: Head, scale: float) -> Experts:
    """Experts around the backbone of a plain classifier."""
    if type(model) is not Classifier:
        raise ModelError(f"'{method}' branches a plain classifier, and the model is {type(model).__name__}.")
    return Experts.of(model, experts=experts, head_type=head, scale=scale)
