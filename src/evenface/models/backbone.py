"""A network without its head as one thing: (B, 3, S, S) -> (B, C, H, W), whoever built it.

Backbone(net, "resnet18", 112, mean, std)(x).shape          # (B, 512, 4, 4)
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from evenface.errors import ConfigError


@contextlib.contextmanager
def outside_inference_mode() -> Iterator[None]:
    """Within, a caller's `torch.inference_mode()` does not reach: weights made in it could never be trained, and there is no graph in it to
    read a network off. Decorates what builds or loads one.
    """
    with torch.inference_mode(False):
        yield


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
