"""Backbones of timm, by its names.

create("swin_tiny_patch4_window7_224", img_size=112, pretrained=None)      # a `Backbone`
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

import timm
from timm.layers import LayerNorm2d
from torch import nn

from evenface.errors import ConfigError, ModelError, unknown_name
from evenface.models.backbone import Backbone


def create(name: str, img_size: int, pretrained: str | None, others: Iterable[str] = ()) -> Backbone:
    """See `evenface.models.backbones.create_backbone`; `others` are the names of networks that are not timm's, for the messages."""
    known = timm.list_models()
    if name not in known:
        names = [*known, *others]  # timm's thousand names are not printed where none is near
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
        raise ConfigError(unknown_name("backbone", name, names) if near else _far(name, others))
    full = name if pretrained in (None, "default") else f"{name}.{pretrained}"
    if pretrained is not None:
        tags = [n.partition(".")[2] for n in timm.list_pretrained(name) if n.partition(".")[0] == name]
        if not tags:
            raise ConfigError(f"timm has no pretrained weights for '{name}'; use --init none or a file.")
        if pretrained != "default" and pretrained not in tags:
            raise ConfigError(unknown_name(f"pretrained tag of {name}", pretrained, tags))
    net = _create(full, img_size, pretrained is not None)
    cfg: Any = net.pretrained_cfg
    head_norm = isinstance(getattr(getattr(net, "head", None), "norm", None), LayerNorm2d)
    return Backbone(net, name, img_size, tuple(cfg["mean"]), tuple(cfg["std"]), head_norm)


def _create(name: str, img_size: int, pretrained: bool) -> nn.Module:
    cfg = timm.get_pretrained_cfg(name)
    size = {"img_size": img_size} if cfg is not None and cfg.fixed_input_size else {}
    try:
        net: nn.Module = timm.create_model(name, pretrained=pretrained, num_classes=0, global_pool="", **size)
    except (OSError, RuntimeError, TypeError, AssertionError, ValueError) as error:
        if pretrained and isinstance(error, (OSError, RuntimeError)):
            raise ModelError(
                f"The pretrained weights of '{name}' cannot be fetched ({type(error).__name__}); connect to the network once, "
                "or give a file to --init."
            ) from error
        raise ConfigError(f"The backbone '{name}' cannot be built as a map for images of {img_size} px: {error}.") from error
    return net


def _far(name: str, others: Iterable[str]) -> str:
    return f"Unknown backbone '{name}'; take a name of timm.list_models(), for instance resnet18, or one of {', '.join(others)}."
