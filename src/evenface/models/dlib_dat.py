"""Reads dlib's face-recognition network from dlib's own file, `dlib_face_recognition_resnet_model_v1.dat`, without pickle and without dlib.

    tensors = read_face_network(Path("dlib_face_recognition_resnet_model_v1.dat"))
    DlibFaceResNet().load_state_dict({k: v for k, v in tensors.items() if k not in NOT_BACKBONE})

dlib writes a network from the outside in and closes it from the inside out: first the loss and one version number per layer, then the input
layer, then every layer's name, settings and bookkeeping, from the image to the descriptor. The elements are

| element | bytes |
|---|---|
| integer | one control byte (low nibble: how many bytes follow; 0x80: negative), then the magnitude, little endian |
| float | mantissa and exponent as two integers: mantissa * 2^exponent |
| text | length as an integer, then the characters |
| flag | the character 0 or 1 |
| tensor | version 2, four sizes (samples, channels, rows, columns), then float32, little endian |

The file names its layers but does not describe them, so the reader knows the few that this network has and refuses any other.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from evenface.errors import ModelError


NOT_BACKBONE = ("fc.weight", "mean")
"""What `read_face_network` returns besides the backbone: the descriptor's layer and the colour mean."""

_CONVOLUTIONS = 29


def read_face_network(path: Path) -> dict[str, Tensor]:
    """The file's numbers under the names of `DlibFaceResNet`, plus `fc.weight` (128, 256) and `mean` (1, 3, 1, 1), RGB 0..255; float32.

    Raises:
        ModelError: not that network, or a file that is cut short.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"The dlib network {path} cannot be read: {error.strerror}.") from error
    try:
        return _Reader(data).network()
    except _FormatError as error:
        raise ModelError(f"{path} is not dlib_face_recognition_resnet_model_v1.dat: {error}.") from error


class _FormatError(Exception):
    pass


class _Reader:
    """A cursor over the bytes; each method takes one element."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0
        self.convolutions: list[tuple[Tensor, Tensor]] = []
        self.affines: list[tuple[Tensor, Tensor]] = []
        self.fc: Tensor | None = None

    def take(self, count: int) -> bytes:
        if count < 0 or self.at + count > len(self.data):
            raise _FormatError(f"it ends inside an element at byte {self.at}")
        self.at += count
        return self.data[self.at - count : self.at]

    def integer(self) -> int:
        control = self.take(1)[0]
        count = control & 0x0F
        if control & 0x70 or not 1 <= count <= 8:
            raise _FormatError(f"there is no integer at byte {self.at - 1}")
        magnitude = int.from_bytes(self.take(count), "little")
        return -magnitude if control & 0x80 else magnitude

    def integers(self, count: int) -> list[int]:
        return [self.integer() for _ in range(count)]

    def number(self) -> float:
        mantissa, exponent = self.integers(2)
        if abs(exponent) > 900:  # with a mantissa of 64 bits, what is larger is no float; dlib's infinities have 32000 and above
            raise _FormatError(f"there is no finite number before byte {self.at}")
        return float(mantissa) * 2.0**exponent

    def text(self) -> str:
        length = self.integer()
        if not 0 <= length <= 64:
            raise _FormatError(f"there is no name at byte {self.at}")
        return self.take(length).decode("latin1")

    def flag(self) -> None:
        if self.take(1) not in (b"0", b"1"):
            raise _FormatError(f"there is no flag at byte {self.at - 1}")

    def tensor(self) -> Tensor:
        self.expect("tensor version", self.integer(), 2)
        sizes = self.sizes()
        raw = self.take(4 * sizes[0] * sizes[1] * sizes[2] * sizes[3])
        return torch.from_numpy(np.frombuffer(raw, dtype="<f4").astype(np.float32)).reshape(sizes)

    def view(self) -> list[int]:
        """The shape of a part of a tensor (dlib's alias_tensor)."""
        self.expect("view version", self.integer(), 1)
        return self.sizes()

    def sizes(self) -> list[int]:
        sizes = self.integers(4)
        if not 0 <= min(sizes) <= max(sizes) <= 1 << 20:  # the largest here is below 600,000
            raise _FormatError(f"a tensor has the sizes {sizes}")
        return sizes

    def expect(self, what: str, found: object, wanted: object) -> None:
        if found != wanted:
            raise _FormatError(f"{what} before byte {self.at} is {found!r}, not {wanted!r}")

    def network(self) -> dict[str, Tensor]:
        self.expect("the version", self.integer(), 1)
        self.expect("the loss", self.text(), "loss_metric_2")
        self.number(), self.number()  # margin and distance threshold
        while (version := self.integer()) != 3:  # 2: a layer, 1: a tag or skip; 3: the layer on the input
            if version not in (1, 2):
                raise _FormatError(f"a layer has the version {version}")
        self.expect("the input layer", self.text(), "input_rgb_image_sized")
        mean = [self.number() for _ in range(3)]
        self.integers(2)  # the image's rows and columns
        first = True
        while self.at < len(self.data):
            self.layer()
            self.bookkeeping(first)
            first = False
            if self.fc is not None:
                break
        self.expect("the end of the file", len(self.data), self.at)
        return self.named(mean)

    def layer(self) -> None:
        name = self.text()
        layers: dict[str, Callable[[], None]] = {
            "con_4": self.convolution,
            "affine_": self.affine,
            "relu_": lambda: None,
            "add_prev_": lambda: None,
            "max_pool_2": lambda: self.skip(6),
            "avg_pool_2": lambda: self.skip(6),
            "fc_2": self.linear,
        }
        if name not in layers:
            raise _FormatError(f"the layer {name!r} is not part of it")
        layers[name]()

    def skip(self, integers: int) -> None:
        self.integers(integers)

    def bookkeeping(self, first: bool) -> None:
        """What dlib keeps of each layer's last use: three flags, gradients and the cached output."""
        for _ in range(3):
            self.flag()
        for _ in range(3):
            self.tensor()
        if first:
            self.integer()  # how many inputs one image makes

    def convolution(self) -> None:
        params = self.tensor().flatten()
        self.integers(7)  # filters, kernel, stride, padding
        shape, bias = self.view(), self.view()
        self.multipliers()
        size = int(np.prod(shape))
        self.expect("a convolution's size", size + int(np.prod(bias)), params.numel())
        self.convolutions.append((params[:size].reshape(shape).clone(), params[size:].clone()))

    def affine(self) -> None:
        params = self.tensor().flatten()
        gamma, _ = self.view(), self.view()
        self.integer()  # after a convolution or a linear layer
        size = int(np.prod(gamma))
        self.expect("an affine layer's size", 2 * size, params.numel())
        self.affines.append((params[:size].clone(), params[size:].clone()))

    def linear(self) -> None:
        self.integers(2)  # outputs and inputs
        params = self.tensor()
        self.view(), self.view()
        self.integer()  # with or without a bias
        self.multipliers()
        self.fc = params.reshape(params.shape[0], -1).T.contiguous()

    def multipliers(self) -> None:
        for _ in range(4):  # of the learning rate and the weight decay
            self.number()

    def named(self, mean: list[float]) -> dict[str, Tensor]:
        self.expect("the number of convolutions", len(self.convolutions), _CONVOLUTIONS)
        self.expect("the number of affine layers", len(self.affines), _CONVOLUTIONS)
        assert self.fc is not None
        tensors = {"fc.weight": self.fc, "mean": torch.tensor(mean).reshape(1, 3, 1, 1)}
        for i, (convolution, affine) in enumerate(zip(self.convolutions, self.affines, strict=True)):
            block, half = divmod(i - 1, 2)
            stem, number = ("", "") if i == 0 else (f"blocks.{block}.", str(half + 1))
            tensors[f"{stem}conv{number}.weight"], tensors[f"{stem}conv{number}.bias"] = convolution
            tensors[f"{stem}aff{number}.weight"], tensors[f"{stem}aff{number}.bias"] = affine
        return tensors
