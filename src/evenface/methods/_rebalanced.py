"""What rbcf, its two halves and EAC have in common: cross-entropy + consistency + focus, each present when its options are.

total = l_cls + lambda l_rbc + mu l_rbf          equation 7 of the paper
"""

from __future__ import annotations

from torch import Tensor, nn

from evenface.losses import cross_entropy
from evenface.methods._terms import ConsistencyOptions, FocusOptions, Term, Weighted, consistency, focus, over_views, set_detach
from evenface.methods.base import Batch
from evenface.models.output import Output


class Rebalanced(Weighted):
    """Equation 7; a subclass says by its options which of the two extra terms it has."""

    @property
    def views(self) -> int:
        o = self.options
        focuses_on_both = isinstance(o, FocusOptions) and o.mu > 0 and o.rbf_views == "both"
        return 2 if self.uses_maps or focuses_on_both else super().views

    @property
    def uses_maps(self) -> bool:
        return isinstance(self.options, ConsistencyOptions) and self.options.lam > 0

    @property
    def uses_weights(self) -> bool:
        return self.uses_maps or (isinstance(self.options, FocusOptions) and self.options.mu > 0)

    def idle(self) -> dict[str, tuple[str, ...]]:
        o, idle = self.options, super().idle()
        if isinstance(o, ConsistencyOptions) and o.lam == 0:
            idle["--lam 0"] = ("rbc_norm", "rbc_weighting", "rbc_distance", "flip_back", "detach_maps")
        if isinstance(o, FocusOptions) and o.mu == 0:
            idle["--mu 0"] = ("gamma", "rbf_views")
        return idle

    def prepare(self, model: nn.Module) -> nn.Module:
        if isinstance(self.options, ConsistencyOptions):
            set_detach(model, self.options.detach_maps)
        return model

    def classification(self, batch: Batch, first: Output, second: Output | None) -> Tensor:
        """l_cls (equation 1)."""
        return over_views(self.cls_views, first, second, lambda z: cross_entropy(z, batch.target))

    def terms(self, batch: Batch, first: Output, second: Output | None) -> dict[str, Term]:
        o = self.options
        terms = {"cls": (1.0, self.classification(batch, first, second))}
        if isinstance(o, ConsistencyOptions) and o.lam > 0:
            terms["rbc"] = (o.lam, consistency(o, batch, first, second, self.B))
        if isinstance(o, FocusOptions) and o.mu > 0:
            terms["rbf"] = (o.mu, focus(o, batch, first, second, self.B))
        return terms
