"""What is trained: the classifier and the method (which may have parameters of its own), behind one `forward`, as
one-process and distributed training need.
"""

from __future__ import annotations

from torch import Tensor, nn

from evenface.data.views import Undo
from evenface.methods.base import Batch, Method
from evenface.models.classifier import Classifier


class Trainee(nn.Module):
    """`forward` is the loss of one batch: the total and its parts."""

    def __init__(self, model: Classifier, method: Method) -> None:
        super().__init__()
        self.model = model
        self.method = method

    def forward(
        self,
        x: Tensor,
        second: Tensor | None,
        labels: Tensor,
        soft: Tensor | None,
        rows: Tensor,
        undo: Undo,
        extra: tuple[Tensor, ...] = (),
        pool: tuple[Tensor, ...] = (),
    ) -> tuple[Tensor, dict[str, Tensor]]:
        losses = self.method.loss(Batch(x, second, labels, soft, rows, undo, extra, pool), self.model)
        return losses.total, losses.parts
