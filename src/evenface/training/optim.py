"""Optimisers, and the learning rate as a pure function of the epoch, so that a resumed run needs no scheduler state."""

from __future__ import annotations

import math
import re
import types
from typing import Any

import torch
from torch import nn

from evenface.errors import ConfigError
from evenface.models.backbone import Backbone
from evenface.training.config import TrainConfig


_INSERTED = re.compile(r"\.(?:copies\.\d+|part)(?=\.)")
"""What `models.branches` and `models.earlier` put into the names of a network's layers."""


def build_optimizer(module: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """The optimiser of a config over all trainable parameters.

    `adam` adds the weight decay to the gradient (coupled L2, the paper's), for every parameter that a method has not marked with
    `no_decay = True`. `adamw` and `sgd` leave biases, scales and other vectors undecayed. A parameter that a method has marked with an
    `lr_scale` learns at that multiple of the rate, and one of a backbone besides at `layer_decay` to the power of its distance
    from the last layer (layer-wise decay: Clark et al., ELECTRA, ICLR 2020; what counts as a layer says timm's `group_matcher`).
    Copies that a method makes of the last layers count as those layers; what it puts beside the backbone counts with the head.

    Raises:
        ConfigError: `layer_decay` below 1, and a backbone that does not tell its layers.
    """
    params = [p for p in module.parameters() if p.requires_grad]
    depth = _below_the_head(module) if config.layer_decay != 1 else {}
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for p in params:
        spared = getattr(p, "no_decay", False) or (config.optimizer != "adam" and p.ndim <= 1)
        scale = float(getattr(p, "lr_scale", 1.0)) * config.layer_decay ** depth.get(p, 0)
        groups.setdefault((scale, not spared), []).append(p)
    settings = [
        {"params": members, "weight_decay": config.weight_decay if decayed else 0.0, "lr_scale": scale}
        for (scale, decayed), members in groups.items()
    ]
    if config.optimizer == "adam":
        return torch.optim.Adam(settings, lr=config.lr, fused=_fused(params))
    if config.optimizer == "adamw":
        return torch.optim.AdamW(settings, lr=config.lr, fused=_fused(params))
    return torch.optim.SGD(settings, lr=config.lr, momentum=0.9, nesterov=True)


def _below_the_head(module: nn.Module) -> dict[nn.Parameter, int]:
    """How many layers lie between a parameter and the head, 1 and more; those of no backbone are left out."""
    from timm.models import group_parameters

    found = {}
    for part in module.modules():
        if not isinstance(part, Backbone):
            continue
        matcher: Any = getattr(part.net, "group_matcher", None)
        if matcher is None:
            raise ConfigError(f"The backbone '{part.name}' does not tell its layers; leave --layer-decay out.")
        named = [(_INSERTED.sub("", name), p) for name, p in part.net.named_parameters()]
        plain = types.SimpleNamespace(named_parameters=named.copy)  # all that is asked of the network
        layer_of = group_parameters(plain, matcher(coarse=False), reverse=True)
        layers = max(layer_of.values()) + 1
        found.update({p: layers - layer_of[name] for name, p in named})
    return found


def _fused(params: list[nn.Parameter]) -> bool:
    return bool(params) and params[0].device.type in ("cpu", "cuda")


def lr_factor(config: TrainConfig, epoch: float) -> float:
    """What the learning rate is multiplied by at a point of the run, `epoch` counting fractions (2.5: half-way through the third).

    exponential: `lr_gamma ** floor(epoch)`; cosine: half a cosine from 1 to 0; onecycle: up from 1/25 over the first 30 %, then down to
    4e-6, both by half a cosine (Smith's one-cycle with torch's constants); constant: 1. `warmup_epochs` multiplies a linear rise
    from 0.001.
    """
    done = min(max(epoch / config.epochs, 0.0), 1.0)
    if config.schedule == "exponential":
        factor = config.lr_gamma ** math.floor(epoch)
    elif config.schedule == "cosine":
        factor = _half_cosine(1.0, 0.0, done)
    elif config.schedule == "onecycle":
        factor = _half_cosine(1 / 25, 1.0, done / 0.3) if done < 0.3 else _half_cosine(1.0, 4e-6, (done - 0.3) / 0.7)
    else:
        factor = 1.0
    if epoch < config.warmup_epochs:
        factor *= 0.001 + 0.999 * epoch / config.warmup_epochs
    return factor


def _half_cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2
