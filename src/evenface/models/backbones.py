"""Backbones by name: any timm network that gives a spatial map, and dlib's face network, through one wrapper to (B, C, H, W).

    backbone = create_backbone("swin_tiny_patch4_window7_224", img_size=112)
    backbone(x).shape, backbone.grid          # (B, 768, 4, 4), (4, 4)

The map is what a network has just before its global average pool:

| family | the map is taken after |
|---|---|
| ResNet | the last stage |
| MobileNet v1, v2, EfficientNet | the last 1x1 convolution (`conv_head`), batch norm and activation |
| MobileNet v3 | the last stage: its `conv_head` works on the pooled vector, so it is left out |
| Swin | the last norm, turned from NHWC to NCHW |
| ConvNeXt | the head's layer norm, applied in each cell; the original applies it to the pooled vector |
| `dlib_face_resnet` | the last block; `dlib_face_resnet_13` leaves out the last down block, which gives a grid twice as fine |
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from evenface.errors import ConfigError
from evenface.models import dlib_face


OWN: dict[str, Callable[[], dlib_face.DlibFaceResNet]] = {
    "dlib_face_resnet": lambda: dlib_face.DlibFaceResNet(),
    "dlib_face_resnet_13": lambda: dlib_face.DlibFaceResNet(last_block=False),
}
"""The names that evenface adds to timm's."""


class Backbone(nn.Module):
    """A network without its head: RGB normalised by `mean` and `std`, (B, 3, S, S), -> (B, C, H, W).

    Attributes:
        net: the network itself; its state dict has the original key names.
        name, img_size: what it was created for.
        num_features: C.
        grid: (H, W) at `img_size`.
        mean, std: what the network expects of RGB in [0, 1].
        head_norm: whether the map is taken after the net's `head.norm` (ConvNeXt).
    """

    def __init__(
        self,
        net: nn.Module,
        name: str,
        img_size: int,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        head_norm: bool = False,
    ) -> None:
        super().__init__()
        self.net = net
        self.name = name
        self.img_size = img_size
        self.mean = mean
        self.std = std
        self._has_head = hasattr(net, "forward_features")
        self._channels_last = getattr(net, "output_fmt", "NCHW") == "NHWC"
        self._head_norm = head_norm
        self.num_features, self.grid = self._probe()

    def forward(self, x: Tensor) -> Tensor:
        net: Any = self.net
        out: Tensor = net.forward_features(x) if self._has_head else net(x)
        if self._channels_last:
            out = out.permute(0, 3, 1, 2)
        if self._head_norm:
            out = net.head.norm(out)
        return out

    def _probe(self) -> tuple[int, tuple[int, int]]:
        """Runs one black image through the net; returns the channels and the grid, and drops the parts that a map does not need.

        A part left behind would have parameters without a gradient, which DDP refuses and weight decay shrinks.
        """
        training = self.net.training
        self.net.eval()
        try:
            with torch.enable_grad():
                out = self(torch.zeros(1, 3, self.img_size, self.img_size))
        except (RuntimeError, AssertionError, ValueError) as error:
            raise ConfigError(
                f"The backbone '{self.name}' cannot take images of {self.img_size} px ({error}); try another --img-size."
            ) from error
        finally:
            self.net.train(training)
        expected: Any = self.net.num_features
        if out.ndim != 4 or out.shape[1] != expected:
            raise ConfigError(
                f"The backbone '{self.name}' gives features {tuple(out.shape)} and no map (B, {expected}, H, W), which class maps need; "
                "choose a convolutional network or a Swin."
            )
        used = _leaves(out)
        for part, module in list(self.net.named_children()):
            parameters = list(module.parameters())
            if parameters and not used.intersection(parameters):
                setattr(self.net, part, nn.Identity())
        return out.shape[1], (out.shape[2], out.shape[3])


def _leaves(out: Tensor) -> set[Tensor]:
    """The parameters that a tensor was computed from, read off the autograd graph."""
    leaves, seen, stack = set(), set(), [out.grad_fn]
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            leaves.add(node.variable)
        stack.extend(following for following, _ in node.next_functions)
    return leaves


def create_backbone(name: str, img_size: int, pretrained: str | None = None) -> Backbone:
    """The backbone of that name for square images.

    Args:
        name: a name of `timm.list_models()`, or one of `OWN`.
        img_size: side in pixels; given to the networks whose parameters depend on it (Swin).
        pretrained: None for random weights, a timm tag ("a1_in1k") or "default" for the tag that timm prefers. Downloads unless cached.

    Raises:
        ConfigError: an unknown name or tag, a network without a spatial map, or a size it cannot take.
        ModelError: pretrained weights that cannot be had (no network).
    """
    if img_size < 1:
        raise ConfigError(f"The image size must be a positive number of pixels, not {img_size}.")
    if name in OWN:
        if pretrained is not None:
            raise ConfigError(f"timm has no weights for '{name}'; start it with --init dlib-face.")
        return Backbone(OWN[name](), name, img_size, dlib_face.MEAN, dlib_face.STD)
    from evenface.models import timm_nets  # timm and torchvision cost a second and a half: those who do not need them do not wait

    return timm_nets.create(name, img_size, pretrained)
