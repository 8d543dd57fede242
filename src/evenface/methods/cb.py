"""Class-balanced loss by the effective number of samples, in its three forms.

    total = mean_n B_y L(z, y)          L: softmax cross-entropy, one-against-rest binary cross-entropy, or its focal form

Beta 0.9999 and gamma 1 are those of the authors' script, which trains the focal form; the default here is the softmax form. The
one-against-rest forms start with the head's bias at -log(L - 1), so that every output says 1 / L, and that bias is left out of weight
decay.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor, nn

from evenface.losses import cb_focal, cb_sigmoid, cb_softmax
from evenface.methods._heads import linear_head, start_even
from evenface.methods._options import about
from evenface.methods._terms import OriginalView, Term, Weighted, WeightOptions, over_views
from evenface.methods.base import Batch
from evenface.models.output import Output


@dataclass(frozen=True)
class CbOptions(WeightOptions, OriginalView):
    form: Literal["softmax", "sigmoid", "focal"] = field(default="softmax", metadata=about("the loss that is weighted"))
    gamma: float = field(default=1.0, metadata=about("focusing of the focal form", low=0))
    beta: float = field(default=0.9999, metadata=about("beta of the effective number, in [0, 1)"))


class Cb(Weighted):
    """Class-balanced softmax, sigmoid or focal loss."""

    name = "cb"
    title = "Class-balanced loss"
    paper = "Cui, Jia, Lin, Song, Belongie: Class-Balanced Loss Based on Effective Number of Samples, CVPR 2019"
    year = 2019
    Options = CbOptions
    options: CbOptions

    def prepare(self, model: nn.Module) -> nn.Module:
        if self.options.form == "softmax":
            return model
        start_even(linear_head(model, len(self.setting.counts), f"'cb' with --form {self.options.form}"))
        return model

    def idle(self) -> dict[str, tuple[str, ...]]:
        form = self.options.form
        return super().idle() | ({} if form == "focal" else {f"--form {form}": ("gamma",)})

    def terms(self, batch: Batch, first: Output, second: Output | None) -> dict[str, Term]:
        return {"cls": (1.0, over_views(self.options.cls_views, first, second, lambda z: self._balanced(z, batch.labels)))}

    def _balanced(self, logits: Tensor, labels: Tensor) -> Tensor:
        if self.options.form == "softmax":
            return cb_softmax(logits, labels, self.B)
        if self.options.form == "sigmoid":
            return cb_sigmoid(logits, labels, self.B)
        return cb_focal(logits, labels, self.B, self.options.gamma)
