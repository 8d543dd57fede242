"""Classifier re-training (cRT): a new head on the frozen backbone of a finished run, with class-balanced sampling.

    evenface train --method crt --init runs/ce --epochs 10 ...

The backbone is that of the run's best model; it gets no gradient and stays in evaluation mode, so its batch-norm statistics stay too. The
head starts from random weights (`--init` never takes a head). The paper trains it for 10 epochs on class-balanced draws; the other samplers
of `resample` are its ablations.
"""

from __future__ import annotations

from torch import nn

from evenface.methods._finished import finished_run
from evenface.methods.base import Batch, Losses
from evenface.methods.resample import Resample
from evenface.models.classifier import Classifier


class Crt(Resample):
    """A new head on a finished run's frozen backbone, with class-balanced sampling."""

    name = "crt"
    title = "Classifier re-training"

    def prepare(self, model: nn.Module) -> nn.Module:
        """Freezes the backbone.

        Raises:
            ConfigError, ModelError: see `finished_run`.
        """
        assert isinstance(model, Classifier), "the loop builds a classifier"
        if not self.setting.goes_on:
            finished_run(self.setting.init, model.backbone, "'crt' trains a new head on the frozen backbone")
        model.backbone.requires_grad_(False)
        return model

    def loss(self, batch: Batch, model: nn.Module) -> Losses:
        model.get_submodule("backbone").eval()  # the loop puts the whole network into training mode at each epoch
        return super().loss(batch, model)
