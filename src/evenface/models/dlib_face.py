"""dlib's face-recognition ResNet as a backbone: 29 convolutions, 5.6 M parameters, no batch norm, trained on about 3 million faces.

Each block is conv-affine-ReLU-conv-affine plus a shortcut, then ReLU; "affine" is a scale and a shift per channel, which dlib made from
its batch norm after training. A "down" block halves the grid: its first convolution has stride 2 and no padding, its shortcut is a 2x2
average pool, and the smaller of the two is padded with zeros at the end (channels, bottom, right).

The parameters are named as in `dlib_face_resnet_v1.safetensors`; `dlib_dat.py` reads the same numbers from dlib's own file.

    net = DlibFaceResNet(last_block=False)
    net(torch.zeros(1, 3, 112, 112)).shape      # (1, 256, 3, 3)
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


MEAN = (122.782 / 255, 117.001 / 255, 104.298 / 255)
"""dlib computes `(x - [122.782, 117.001, 104.298]) / 256` on RGB 0..255; this is the same for RGB in [0, 1]."""
STD = (256 / 255, 256 / 255, 256 / 255)


class _Stage(NamedTuple):
    channels: int
    down: bool


_BLOCKS = (
    *[_Stage(32, False)] * 3,
    _Stage(64, True),
    *[_Stage(64, False)] * 3,
    _Stage(128, True),
    *[_Stage(128, False)] * 2,
    _Stage(256, True),
    *[_Stage(256, False)] * 2,
    _Stage(256, True),
)


class Affine(nn.Module):
    """A scale and a shift per channel; holds the parameters only, since `conv_affine` folds them into the convolution before it."""

    def __init__(self, channels: int, scale: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels,), scale))
        self.bias = nn.Parameter(torch.zeros(channels))


def conv_affine(x: Tensor, conv: nn.Conv2d, affine: Affine) -> Tensor:
    """`affine(conv(x))` as one convolution with scaled weights.

    Scaling the weights costs next to nothing beside scaling every activation, forward and backward; the gradients of all four tensors
    are the same.
    """
    assert conv.bias is not None
    weight = conv.weight * affine.weight[:, None, None, None]
    bias = conv.bias * affine.weight + affine.bias
    return F.conv2d(x, weight, bias, conv.stride, conv.padding)


class Block(nn.Module):
    """A residual block: (B, inputs, h, w) -> (B, channels, h', w'), with h' = h, or about h / 2 where it goes down."""

    def __init__(self, inputs: int, channels: int, down: bool) -> None:
        super().__init__()
        self.down = down
        self.conv1 = nn.Conv2d(inputs, channels, 3, stride=2 if down else 1, padding=0 if down else 1)
        self.aff1 = Affine(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.aff2 = Affine(channels, scale=len(_BLOCKS) ** -0.5)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(conv_affine(x, self.conv1, self.aff1), inplace=True)
        y = conv_affine(y, self.conv2, self.aff2)
        if self.down:
            x = F.avg_pool2d(x, 2)
            channels, height, width = (max(a, b) for a, b in zip(x.shape[1:], y.shape[1:], strict=True))
            x, y = _pad_end(x, channels, height, width), _pad_end(y, channels, height, width)
        return F.relu(x + y, inplace=True)


def _pad_end(x: Tensor, channels: int, height: int, width: int) -> Tensor:
    missing = (0, width - x.shape[3], 0, height - x.shape[2], 0, channels - x.shape[1])
    return F.pad(x, missing) if any(missing) else x


class DlibFaceResNet(nn.Module):
    """The network up to its last feature grid: (B, 3, H, W), RGB normalised by `MEAN` and `STD`, -> (B, 256, h, w).

    The grid is h = w =

    | input px         |  64 |  96 | 112 | 128 | 150 | 224 | smallest px |
    |------------------|----:|----:|----:|----:|----:|----:|------------:|
    | all 14 blocks    |   - |   - |   1 |   1 |   2 |   3 |         103 |
    | last_block=False |   1 |   2 |   3 |   3 |   4 |   6 |          55 |

    Args:
        last_block: keep the last down block; without it the grid is twice as fine and 4.4 of 5.6 million parameters remain. A class map of
            one cell says nothing about where a face is looked at, so the losses on maps want `last_block=False` below 224 px.

    Untrained, the convolutions have He's initialisation and each block's last scale is 14^-0.5, which keeps the activations' size even
    through the sum of 14 blocks, for lack of a batch norm.
    """

    num_features = 256

    def __init__(self, last_block: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 32, 7, stride=2)
        self.aff = Affine(32)
        blocks, inputs = [], 32
        for stage in _BLOCKS if last_block else _BLOCKS[:-1]:
            blocks.append(Block(inputs, stage.channels, stage.down))
            inputs = stage.channels
        self.blocks = nn.Sequential(*blocks)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    @torch.no_grad()
    def fold_affines(self) -> None:
        """Moves each scale and shift into its convolution and leaves 1 and 0; the function stays the same.

        dlib's file has convolutions of some 0.002 under scales of some 9. An optimiser of Adam's kind moves every number by about
        the learning rate, whatever its size: at 3e-4 it would turn over such a convolution, and with it what the network knows,
        within a few steps.
        """
        pairs = [(self.conv, self.aff)]
        for block in self.blocks:
            assert isinstance(block, Block)
            pairs += [(block.conv1, block.aff1), (block.conv2, block.aff2)]
        for conv, affine in pairs:
            assert conv.bias is not None
            conv.weight.mul_(affine.weight[:, None, None, None])
            conv.bias.mul_(affine.weight).add_(affine.bias)
            affine.weight.fill_(1.0)
            affine.bias.zero_()

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Which parameters make a layer, as timm's networks tell it: the stem, then each block; coarse or not, it is the same.

        `branch` puts the blocks of the last stage into one, by their number from there.
        """
        blocks = [(r"^blocks\.(\d+)\.(\d+)\.", None), (r"^blocks\.(\d+)", None)]
        return {"stem": r"^(?:conv|aff)\.", "blocks": blocks}

    def stem(self, x: Tensor) -> Tensor:
        """What comes before the blocks: (B, 3, H, W) -> (B, 32, about H / 4, about W / 4)."""
        return F.max_pool2d(F.relu(conv_affine(x, self.conv, self.aff), inplace=True), 3, 2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.blocks(self.stem(x))
        return out


def descriptor(grid: Tensor, fc_weight: Tensor) -> Tensor:
    """dlib's 128-number face descriptor (B, 128) from the grid of all 14 blocks (B, 256, h, w) and the file's `fc.weight` (128, 256)."""
    return F.linear(grid.mean(dim=(2, 3)), fc_weight)
