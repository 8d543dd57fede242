"""Copies of the end of a network on one shared trunk, for systems with several branches or experts (BBN, DMUE, RIDE, SADE).

    tail = branch(backbone, copies=3, level="stage")
    backbone(x)                        # (3 B, C, H, W): the outputs of the copies, one after the other along the batch

The copied part is replaced where it stands, so this works for every backbone: what comes before it runs once, what comes after it
(a last norm, MobileNet's 1x1 convolution) runs on the stacked batch and is shared.

| level | what is copied | ResNet | MobileNet, EfficientNet | Swin, ConvNeXt | dlib |
|---|---|---|---|---|---|
| `block` | the last residual block | `layer4[-1]` | the last block of the last stage | the last block of the last stage | the last block |
| `stage` | the last stage | `layer4` | the last stage | the last stage | from the last down block on |
MobileNetV3's last stage is a single 1x1 convolution without a residual block: there each copy is that convolution.
"""

from __future__ import annotations

import copy
from typing import Any, Literal

import torch
from torch import Tensor, nn

from evenface.errors import ConfigError
from evenface.models.backbone import Backbone
from evenface.models.dlib_face import DlibFaceResNet


Level = Literal["block", "stage"]


class Branches(nn.Module):
    """Several copies of a module.

    Attributes:
        routed: False: every copy sees the whole input, (B, ...) -> (K B, ...). True: the input is cut into K equal parts along the
            batch and each copy sees its own, (B, ...) -> (B, ...).
    """

    def __init__(self, part: nn.Module, copies: int) -> None:
        super().__init__()
        self.copies = nn.ModuleList([part, *(copy.deepcopy(part) for _ in range(copies - 1))])
        self.routed = False

    def forward(self, x: Tensor) -> Tensor:
        inputs = x.chunk(len(self.copies)) if self.routed else [x] * len(self.copies)
        return torch.cat([branch(part) for branch, part in zip(self.copies, inputs, strict=True)])


def branch(backbone: Backbone, copies: int, level: Level = "stage") -> Branches:
    """Replaces the end of a backbone by copies of it, in place; all start with the same weights.

    Raises:
        ConfigError: a network whose stages have no names that timm tells, or fewer than one copy.
    """
    if copies < 1:
        raise ConfigError(f"A network needs at least one branch, not {copies}.")
    parent, names = _tail(backbone, level)
    parts = [parent.get_submodule(name) for name in names]
    branches = Branches(parts[0] if len(parts) == 1 else nn.Sequential(*parts), copies)
    for name in names[1:]:
        delattr(parent, name)
    setattr(parent, names[0], branches)
    return branches


def only(backbone: Backbone, which: int = 0) -> None:
    """Undoes `branch`, keeping one of the copies, in place."""
    for module in list(backbone.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, Branches):
                kept = child.copies[which]
                parts = list(kept) if isinstance(kept, nn.Sequential) and isinstance(backbone.net, DlibFaceResNet) else [kept]
                setattr(module, name, parts[0])
                for offset, part in enumerate(parts[1:], start=1):
                    module.add_module(str(int(name) + offset), part)


def _tail(backbone: Backbone, level: Level) -> tuple[nn.Module, list[str]]:
    """The parent module, and the names of its last children that together are the tail."""
    net: Any = backbone.net
    if isinstance(net, DlibFaceResNet):
        first = max(i for i, block in enumerate(net.blocks) if level == "block" or block.down)
        return net.blocks, [str(i) for i in range(first, len(net.blocks))]
    info = getattr(net, "feature_info", None)
    stages = [entry["module"] for entry in (info or [])]
    if not stages:
        raise ConfigError(
            f"The backbone '{backbone.name}' does not say where its last stage is; take a ResNet, MobileNet, Swin or ConvNeXt."
        )
    path = stages[-1]
    if level == "block":
        stage = net.get_submodule(path)
        inner = dict(stage.named_children())
        if "blocks" in inner:
            path, stage = f"{path}.blocks", inner["blocks"]
        path = f"{path}.{list(dict(stage.named_children()))[-1]}"
    above, _, name = path.rpartition(".")
    return net.get_submodule(above), [name]
