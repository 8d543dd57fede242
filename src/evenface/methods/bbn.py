"""Bilateral branches: a conventional branch learns from a plain shuffle, a re-balancing branch from the rare classes, and the weight moves.

    alpha = 1 - (t / T)^2                                        t: epoch from 0, T: epochs of the run
    z = W 2 [alpha f_c(x_c) ; (1 - alpha) f_r(x_r)] + b
    total = alpha CE(z, y_c) + (1 - alpha) CE(z, y_r)

x_c comes of a shuffle of all faces, x_r of the reversed sampler, class l with probability proportional to N_max / n_l. Evaluation takes
[f_c ; f_r] of one face, unscaled. The branches are two copies of the last residual block.

Where this is not the published code:

* A batch of N faces holds N / 2 of each sampler (the code's N are of each), so an epoch has twice the steps: give twice the --batch-size
  for as many steps as other methods make. Both halves go through the shared trunk as one batch, so its batch norms see them together.
* Both branches start from the pretrained last block. In the code both start anew, since their weights are not found by name; that costs the
  conventional branch its start, so `--rebalancing fresh` makes only the re-balancing block new.
* The schedule wants epochs: in a run of two, alpha is 1 and 0.75, and the re-balancing half, which counts in full at test, is hardly
  trained.
* The re-balancing block and the head are left out of weight decay. Near alpha = 1 they hardly have a gradient, and Adam, which scales each
  step to the learning rate, would let the decay alone take their weights to 0. `--decay-rebalancing` decays them as all others.
* The paper's recipe is SGD over 90 to 200 epochs; here the optimiser is that of the run.

Network: `evenface.models.bbn`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, cast

import numpy as np
import torch
from torch import nn

from evenface.errors import ConfigError
from evenface.losses import cross_entropy
from evenface.methods._options import about
from evenface.methods._processes import processes
from evenface.methods._sampling import class_counts, class_probabilities, draw_rows
from evenface.methods.base import AnyOptions, Batch, Losses, Method, Options, Setting
from evenface.models.bbn import Bilateral
from evenface.models.classifier import Classifier


@dataclass(frozen=True)
class BbnOptions(Options):
    rebalancing: Literal["pretrained", "fresh"] = field(
        default="pretrained", metadata=about("start of the re-balancing block: the pretrained last block, or random")
    )
    decay_rebalancing: bool = field(default=False, metadata=about("weight decay also on the re-balancing block and the head"))


class Bbn(Method):
    """Two branches, one on a plain shuffle and one on rare classes; the weight moves from the first to the second."""

    name = "bbn"
    title = "Bilateral-Branch Network"
    paper = "Zhou, Cui, Wei, Chen: BBN: Bilateral-Branch Network with Cumulative Learning for Long-Tailed Visual Recognition, CVPR 2020"
    year = 2020
    Options = BbnOptions
    options: BbnOptions
    batchwise = True

    def __init__(self, options: AnyOptions, setting: Setting) -> None:
        super().__init__(options, setting)
        self.alpha = 1.0

    def prepare(self, model: nn.Module) -> nn.Module:
        world = processes()
        if self.setting.batch_size < 4 * world:
            raise ConfigError(
                f"'bbn' needs a --batch-size of {4 * world} or more with {world} process{'es' if world > 1 else ''}: "
                "each branch learns from two faces at least."
            )
        network = Bilateral.of(cast(Classifier, model))
        rebalancing = network.branches.copies[1]
        if self.options.rebalancing == "fresh":
            network.restart_rebalancing()
        if not self.options.decay_rebalancing:
            for parameter in [*rebalancing.parameters(), *network.head.parameters()]:
                parameter.no_decay = True  # type: ignore[attr-defined]
        return network

    def draw(self, labels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Twice as many rows as there are faces: each process's part of each batch is first conventional, then reversed.

        Where such a part is odd it has one more of the conventional, which then begin a second round at the end of the epoch. A last batch
        with too few faces for the batch statistics of both branches is left out.
        """
        n, batch_size, world = len(labels), self.setting.batch_size, processes()
        total = 2 * n
        if total > batch_size and total % batch_size < 4 * world:
            total -= total % batch_size
        conventional = _conventional(total, batch_size, world)
        shuffled = np.concatenate([generator.permutation(n), generator.permutation(n)])
        probabilities = class_probabilities(class_counts(labels, len(self.setting.class_names)), q=-1)
        order = draw_rows(labels, probabilities, total, generator)
        order[conventional] = shuffled[: conventional.sum()]
        return order

    def start_epoch(self, epoch: int) -> None:
        self.alpha = 1 - (epoch / self.setting.epochs) ** 2

    def loss(self, batch: Batch, model: nn.Module) -> Losses:
        logits = cast(Bilateral, model).mixed_logits(batch.x, self.alpha)
        conventional, rebalancing = batch.target.chunk(2)
        rebalancing = torch.cat([rebalancing, rebalancing[: len(conventional) - len(rebalancing)]])  # as `mixed_logits` does
        first, second = cross_entropy(logits, conventional), cross_entropy(logits, rebalancing)
        total = self.alpha * first + (1 - self.alpha) * second
        return Losses(total, {"cls": total.detach(), "conventional": first.detach(), "rebalancing": second.detach()})


def _conventional(total: int, batch_size: int, world: int) -> np.ndarray:
    """Which positions of an epoch's order are for the conventional branch, (total,) bool.

    Every `batch_size` positions are a batch, of which process r of `world` takes r, r + world, ...; the first half of that, rounded up, is
    conventional.
    """
    begin, place = np.divmod(np.arange(total), batch_size)
    size = np.minimum(batch_size, total - begin * batch_size)
    rank, mine = place % world, place // world
    share = -(-(size - rank) // world)  # faces of that process
    return np.asarray(mine < (share + 1) // 2)
