"""Plain cross-entropy: the baseline.

    total = mean_n -log p_y                        with --cls-views both also of the second view (summed)

With `--cls-views both` it sees the same faces as the two-view methods; that is the fair baseline of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from evenface.losses import cross_entropy
from evenface.methods._options import about
from evenface.methods._terms import OriginalView, Sum, Term, over_views
from evenface.methods.base import Batch
from evenface.models.output import Output


@dataclass(frozen=True)
class CeOptions(OriginalView):
    label_smoothing: float = field(default=0.0, metadata=about("share of the target spread evenly over the classes", low=0, below=1))


class Ce(Sum):
    """Cross-entropy on one view or both."""

    name = "ce"
    title = "Cross-entropy"
    paper = "Bridle: Training Stochastic Model Recognition Algorithms as Networks, NIPS 1989"
    year = 1989
    Options = CeOptions
    options: CeOptions

    def terms(self, batch: Batch, first: Output, second: Output | None) -> dict[str, Term]:
        o = self.options
        return {"cls": (1.0, over_views(o.cls_views, first, second, lambda z: cross_entropy(z, batch.target, o.label_smoothing)))}
