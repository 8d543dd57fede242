"""Relative uncertainty: faces are mixed in pairs, by the uncertainty that the network finds in each, and both labels must be recognised.

    mu, logvar = heads(F)                                        D = 64 each; s_i = mean_d exp(logvar_i,d)
    f_i = (s_i mu_i + s_j mu_j) / (s_i + s_j)                    j: a random permutation of the batch
    total = 1/2 CE(V f_i + v, y_i) + 1/2 CE(V f_i + v, y_j)

Only mixtures are trained on; inference classifies mu. The classifier (V, v) learns at ten times the rate of the rest, as in the published
code (2e-3 and 2e-4, Adam).

* `--pairs any` pairs by a permutation, as the published code does. The paper mixes faces of different classes: `--pairs different` (a face
  whose batch has no other class stays alone). The authors say that it matters little, and give their numbers by the code, so `any` is the
  default.

Network: `evenface.models.uncertain`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, cast

import torch
from torch import Tensor, nn

from evenface.losses import add_up, mix_by_uncertainty, partners_of_other_classes
from evenface.methods._options import about
from evenface.methods.base import Batch, Losses, Method, Options
from evenface.models.classifier import Classifier
from evenface.models.uncertain import Uncertain


@dataclass(frozen=True)
class RulOptions(Options):
    dim: int = field(default=64, metadata=about("size of mean and log-variance", low=1))
    head_dropout: float = field(default=0.4, metadata=about("dropout of the features before both heads", low=0, below=1))
    classifier_lr: float = field(default=10.0, metadata=about("learning rate of the classifier, as a multiple of the run's", low=0.001))
    pairs: Literal["any", "different"] = field(
        default="any", metadata=about("partners of a mixture: any face of the batch, or faces of other classes only")
    )


class Rul(Method):
    """Pairs of faces mixed by their learnt uncertainty; both labels must be found in the mixture."""

    name = "rul"
    title = "Relative Uncertainty Learning"
    paper = "Zhang, Wang, Deng: Relative Uncertainty Learning for Facial Expression Recognition, NeurIPS 2021"
    year = 2021
    Options = RulOptions
    options: RulOptions
    batchwise = True

    def prepare(self, model: nn.Module) -> nn.Module:
        network = Uncertain.of(cast(Classifier, model), dim=self.options.dim, head_dropout=self.options.head_dropout)
        for parameter in network.head.parameters():
            parameter.lr_scale = self.options.classifier_lr  # type: ignore[attr-defined]
        return network

    def loss(self, batch: Batch, model: nn.Module) -> Losses:
        network = cast(Uncertain, model)
        mu, logvar = network.gaussian(batch.x)
        partner = self._partners(batch.labels)
        cls = add_up(network.classify(mix_by_uncertainty(mu, logvar, partner)), batch.target, partner)
        return Losses(cls, {"cls": cls.detach(), "uncertainty": logvar.detach().exp().mean()})

    def _partners(self, labels: Tensor) -> Tensor:
        if self.options.pairs == "different":
            return partners_of_other_classes(labels)
        return torch.randperm(len(labels), device=labels.device)
