"""Mine extra knowledge (MEK): consistency weighted by inverse frequency, and smooth labels that favour the rare classes.

    total = RSL(view 1) + lambda 1 / (N H W) sum_nhw sum_l B_l (A - A_back)^2          lambda 0.1, B_l = 0.1 N / n_l

RSL is cross-entropy against 1 - e for the true class and e split over the others in proportion to B; e = 0.3. The authors' code holds B of
RAF-DB as literals for every data set; here it follows from the counts.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from evenface.losses import rebalanced_smooth
from evenface.losses.weights import Normalize, Scheme
from evenface.methods._options import about
from evenface.methods._rebalanced import Rebalanced
from evenface.methods._terms import ConsistencyOptions, OriginalView, WeightOptions, over_views
from evenface.methods.base import Batch
from evenface.models.output import Output


@dataclass(frozen=True)
class MekOptions(WeightOptions, ConsistencyOptions, OriginalView):
    weights: Scheme = field(default="inverse_mek", metadata=about("class weights: MEK's 0.1 N/n, or another scheme"))
    normalize: Normalize = field(default="none", metadata=about("scale of the weights of other schemes than inverse_mek"))
    epsilon: float = field(default=0.3, metadata=about("share of the target that the other classes get", low=0, below=1))


class Mek(Rebalanced):
    """Rebalanced smooth labels + rebalanced consistency."""

    name = "mek"
    title = "Mine Extra Knowledge"
    paper = "Zhang, Li, Qin, Liu, Deng: Leave No Stone Unturned: Mine Extra Knowledge for Imbalanced FER, NeurIPS 2023"
    year = 2023
    Options = MekOptions
    options: MekOptions

    @property
    def uses_weights(self) -> bool:
        return True  # the smooth labels do

    def classification(self, batch: Batch, first: Output, second: Output | None) -> Tensor:
        o = self.options
        return over_views(o.cls_views, first, second, lambda z: rebalanced_smooth(z, batch.labels, self.B, o.epsilon))
