"""The three networks of the MTCNN cascade, and their weights.

    proposal, refinement, output = load_nets()
    scores, shifts, points = output(faces)             # faces: (N, 3, 48, 48), float32 RGB, (pixel - 127.5) / 128

Zhang et al., "Joint Face Detection and Alignment using Multi-task Cascaded Convolutional Networks", 2016, fig. 2, with the channels and
the ceiling of the pooling as in the authors' release. P-Net has no dense layer and runs over a whole picture: 12 px see one cell, stride 2.

`mtcnn.safetensors` holds the authors' weights, as David Sandberg's facenet carried them to TensorFlow and Tim Esler's facenet-pytorch
2.6.0 to PyTorch (MIT, see `mtcnn.LICENSE`). Its files `pnet.pt`, `rnet.pt` and `onet.pt` have the sha256

    a2a71925e0b9996a42f63e47efc1ca19043e69558b5c523b978d611dfae49c8f
    bbb937de72efc9ef83b186c49f5f558467a1d7e3453a8ece0d71a886633f6a86
    165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d

Ours differs in names and order, not in numbers: `body.N` counts convolutions, dense layers, PReLUs and poolings in their order; `heads`
stacks the last layers (no face, face | four shifts | ten points); the columns of the first dense layer, which there run over (x, y,
channel), run over (channel, y, x), which is how PyTorch flattens. Its sha256 is `SHA256`.
"""

from __future__ import annotations

from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from evenface.errors import ModelError


WEIGHTS = Path(__file__).with_name("mtcnn.safetensors")
SHA256 = "fdcf3a6c4ebef29897889dd339e80ef5a2db950784bef7038e67358a455c1893"


class PNet(nn.Module):
    """Proposes: pictures (N, 3, H, W), at least 12 x 12 -> scores (N, h, w) in [0, 1] and shifts (N, 4, h, w), h = ceil((H - 2) / 2) - 4.

    The cell (row, column) looks at the 12 px from (2 row, 2 column) on. Shifts are for left, top, right, bottom, in sides of that square.
    """

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 10, 3), nn.PReLU(10), nn.MaxPool2d(2, 2, ceil_mode=True),
            nn.Conv2d(10, 16, 3), nn.PReLU(16),
            nn.Conv2d(16, 32, 3), nn.PReLU(32),
        )  # fmt: skip
        self.heads = nn.Conv2d(32, 6, 1)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        found = self.heads(self.body(pictures))
        return found[:, :2].softmax(1)[:, 1], found[:, 2:]


class RNet(nn.Module):
    """Refines: crops (N, 3, 24, 24) -> scores (N,) in [0, 1] and shifts (N, 4), in sides of the crop."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 28, 3), nn.PReLU(28), nn.MaxPool2d(3, 2, ceil_mode=True),
            nn.Conv2d(28, 48, 3), nn.PReLU(48), nn.MaxPool2d(3, 2, ceil_mode=True),
            nn.Conv2d(48, 64, 2), nn.PReLU(64),
            nn.Flatten(), nn.Linear(576, 128), nn.PReLU(128),
        )  # fmt: skip
        self.heads = nn.Linear(128, 6)

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        found = self.heads(self.body(crops))
        return found[:, :2].softmax(1)[:, 1], found[:, 2:]


class ONet(nn.Module):
    """Decides: crops (N, 3, 48, 48) -> scores (N,), shifts (N, 4) and points (N, 2, 5): x, then y, from the crop's corner in its sides."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 32, 3), nn.PReLU(32), nn.MaxPool2d(3, 2, ceil_mode=True),
            nn.Conv2d(32, 64, 3), nn.PReLU(64), nn.MaxPool2d(3, 2, ceil_mode=True),
            nn.Conv2d(64, 64, 3), nn.PReLU(64), nn.MaxPool2d(2, 2, ceil_mode=True),
            nn.Conv2d(64, 128, 2), nn.PReLU(128),
            nn.Flatten(), nn.Linear(1152, 256), nn.PReLU(256),
        )  # fmt: skip
        self.heads = nn.Linear(256, 16)

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        found = self.heads(self.body(crops))
        return found[:, :2].softmax(1)[:, 1], found[:, 2:6], found[:, 6:].unflatten(1, (2, 5))


def load_nets(path: Path = WEIGHTS, device: torch.device | str = "cpu") -> tuple[PNet, RNet, ONet]:
    """The networks with the weights of `path`, ready to judge: frozen, in channels-last order (twice as fast on a CPU).

    Raises:
        ModelError: the file is missing, damaged or holds other tensors.
    """
    try:
        tensors = safetensors.torch.load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise ModelError(f"The weights of the face detector in {path} cannot be read ({error}); install evenface again.") from error
    nets = PNet(), RNet(), ONet()
    try:
        for name, net in zip(("pnet", "rnet", "onet"), nets, strict=True):
            net.load_state_dict({key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")})
            net.requires_grad_(False).eval().to(device).to(memory_format=torch.channels_last)
    except RuntimeError as error:
        raise ModelError(f"{path} does not hold the weights of the MTCNN face detector; install evenface again.") from error
    return nets
