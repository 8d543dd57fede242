"""Erasing attention consistency (EAC): the parent of the consistency term, made against noisy labels.

    total = CE(view 1) + lambda mean_nlhw (A - A_back)^2          lambda 5

It is `rbcf` with uniform B, the mean over all, lambda 5, mu 0 and cross-entropy on one view. The erasing itself is part of the
augmentation, not of the loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from evenface.losses.consistency import Norm
from evenface.methods._options import about
from evenface.methods._rebalanced import Rebalanced
from evenface.methods._terms import ConsistencyOptions, OriginalView


@dataclass(frozen=True)
class EacOptions(ConsistencyOptions, OriginalView):
    lam: float = field(default=5.0, metadata=about("lambda, weight of the consistency of the class maps", low=0))
    rbc_norm: Norm = field(default="mean_all", metadata=about("sum over classes as MEK's code, or EAC's mean over all"))


class Eac(Rebalanced):
    """Cross-entropy + consistency of the class maps, all classes alike."""

    name = "eac"
    title = "Erasing Attention Consistency"
    paper = "Zhang, Wang, Ling, Deng: Learn From All: Erasing Attention Consistency for Noisy Label FER, ECCV 2022"
    year = 2022
    Options = EacOptions
    options: EacOptions

    def make_weights(self, counts: Sequence[int]) -> list[float]:
        return [1.0] * len(counts)

    @property
    def uses_weights(self) -> bool:
        return False  # they are 1

    def idle(self) -> dict[str, tuple[str, ...]]:
        return super().idle() | {"--method eac, whose weights are 1": ("rbc_weighting",)}
