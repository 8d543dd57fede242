"""tau-normalised classifier: the head of a finished run, with the norms of its weights evened out; nothing is trained.

    w_l -> w_l / ||w_l||^tau                         tau 0: the weights as they are; 1: all norms alike

    evenface train --method tau_norm --init runs/ce --epochs 11 ...

Frequent classes end up with larger weights, and so with larger logits; tau takes that back. Epoch e of E tries tau = e / (E - 1) tau_max
(a single epoch tries tau_max), and the run keeps the epoch with the best score on the split that it chooses on. `tau.csv` in the run folder
tells the tau of each epoch. The paper drops the head's bias and searches tau in [0, 1], its code in [0, 2]: `--tau-max 2`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from evenface.errors import ModelError
from evenface.losses import cross_entropy
from evenface.methods._finished import finished_run
from evenface.methods._options import about
from evenface.methods.base import AnyOptions, Batch, Losses, Method, Options, Setting
from evenface.model_folder import load_model
from evenface.models.classifier import Classifier


@dataclass(frozen=True)
class TauNormOptions(Options):
    tau_max: float = field(default=1.0, metadata=about("the largest tau; the epochs go from 0 to it", low=0, high=10))
    keep_bias: bool = field(default=False, metadata=about("keep the head's bias, which the paper drops"))


class TauNorm(Method):
    """The head of a finished run with the norms of its weights evened out, without training."""

    name = "tau_norm"
    title = "tau-normalised classifier"
    paper = "Kang et al.: Decoupling Representation and Classifier for Long-Tailed Recognition, ICLR 2020"
    year = 2020
    Options = TauNormOptions
    options: TauNormOptions

    weight: Tensor
    bias: Tensor

    def __init__(self, options: AnyOptions, setting: Setting) -> None:
        super().__init__(options, setting)
        self.tau = 0.0

    def prepare(self, model: nn.Module) -> nn.Module:
        """Fills the network from the run, and keeps that head, for every tau starts from it. In a run that goes on the saved state does."""
        assert isinstance(model, Classifier), "the loop builds a classifier"
        if not self.setting.goes_on:
            stored = self._stored(model)
            model.load_state_dict(stored.state_dict())
            model.backbone.mean, model.backbone.std = stored.backbone.mean, stored.backbone.std
        model.requires_grad_(False)
        model.head.weight.requires_grad_(True)  # for the optimiser, which must hold something; it never makes a step
        self.register_buffer("weight", model.head.weight.detach().clone())
        self.register_buffer("bias", model.head.bias.detach().clone())
        return model

    def draw(self, labels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        return np.zeros(0, dtype=np.int64)

    def start_epoch(self, epoch: int) -> None:
        self.tau = self.taus()[epoch]

    def taus(self) -> list[float]:
        """The tau of each epoch."""
        largest, epochs = self.options.tau_max, self.setting.epochs
        return [largest * e / (epochs - 1) for e in range(epochs)] if epochs > 1 else [largest]

    def deploy(self, model: nn.Module) -> nn.Module:
        """Sets the head to this epoch's tau, from the stored one: so the network's average (`--ema`) and a resumed run get it too."""
        head = model.get_submodule("head")
        assert isinstance(head, nn.Linear), "prepare refuses other heads"
        with torch.no_grad():
            norm = self.weight.norm(dim=1, keepdim=True).clamp_min(torch.finfo(self.weight.dtype).tiny)
            head.weight.copy_(self.weight / norm**self.tau)
            head.bias.copy_(self.bias if self.options.keep_bias else torch.zeros_like(self.bias))
        return model

    def loss(self, batch: Batch, model: nn.Module) -> Losses:
        """Cross-entropy at this epoch's tau. A run has no step that asks for it."""
        cls = cross_entropy(self.deploy(model)(batch.x).logits, batch.target)
        return Losses(cls, {"cls": cls.detach()})

    def notes(self) -> list[str]:
        tried = ", ".join(f"{tau:.3g}" for tau in self.taus())
        return [f"Nothing is trained: the epochs try tau = {tried} on the head of the start.", *super().notes()]

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        return {"tau": [{"epoch": e, "tau": tau} for e, tau in enumerate(self.taus(), start=1)]}

    def _stored(self, model: Classifier) -> Classifier:
        """The classifier that `--init` names.

        Raises:
            ConfigError, ModelError: see `finished_run`.
            ModelError: one with other classes, or with another head than a linear one.
        """
        init = self.setting.init
        stored, config = load_model(finished_run(init, model.backbone, "'tau_norm' rescales the head"))
        if stored.kind != Classifier.kind:
            raise ModelError(f"'tau_norm' rescales a linear head, and {init} holds a network of the kind '{stored.kind}'.")
        if config.class_names != model.class_names:
            raise ModelError(
                f"{init} tells {', '.join(config.class_names)} apart, the data {', '.join(model.class_names)}; "
                "'tau_norm' needs the same classes in the same order."
            )
        return stored
