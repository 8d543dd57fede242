"""The network against dlib's own numbers, and its folded affine against the unfolded one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from evenface.models.dlib_face import MEAN, STD, Affine, Block, DlibFaceResNet, conv_affine, descriptor


# What dlib 20.0.1 (face_recognition_model_v1.compute_face_descriptor) answers to `pattern()`: the first eight numbers and the length.
DLIB_SAYS = [-0.08688635, 0.11551516, 0.05448298, -0.03281203, -0.09118862, -0.05360093, -0.03521561, 0.02016006]
DLIB_NORM = 1.3252036728180032


def pattern() -> np.ndarray:
    y, x = np.mgrid[0:150, 0:150]
    return np.stack([(x * 7 + y * 3) % 256, (x * y) % 256, (x * x // 50 + y * 11) % 256], 2).astype(np.uint8)


def normalised(image: np.ndarray) -> torch.Tensor:
    x = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    return (x - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(STD).view(1, 3, 1, 1)


def test_descriptor_is_dlibs_own(shared: Path) -> None:
    tensors = load_file(shared / "weights" / "dlib_face_resnet_v1.safetensors")
    fc, mean = tensors.pop("fc.weight"), tensors.pop("mean")
    net = DlibFaceResNet().eval()
    net.load_state_dict(tensors, strict=True)
    np.testing.assert_allclose(np.array(MEAN) * 255, mean.flatten().numpy(), rtol=1e-6)
    with torch.no_grad():
        found = descriptor(net(normalised(pattern())), fc)[0].numpy()
    np.testing.assert_allclose(found[:8], DLIB_SAYS, atol=2e-6)
    assert np.linalg.norm(found) == pytest.approx(DLIB_NORM, abs=1e-5)


def test_normalisation_is_that_of_the_readme() -> None:
    image = pattern()
    expected = (image.astype(np.float64) - [122.782, 117.001, 104.298]) / 256
    np.testing.assert_allclose(normalised(image)[0].permute(1, 2, 0).numpy(), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("last_block", "sizes"),
    [(True, {103: 1, 112: 1, 128: 1, 150: 2, 224: 3}), (False, {55: 1, 64: 1, 96: 2, 112: 3, 128: 3, 150: 4, 224: 6})],
)
def test_grid_is_what_the_docstring_says(last_block: bool, sizes: dict[int, int]) -> None:
    net = DlibFaceResNet(last_block).eval()
    with torch.no_grad():
        for size, cells in sizes.items():
            assert net(torch.zeros(1, 3, size, size)).shape == (1, 256, cells, cells)
        smallest = min(sizes)
        with pytest.raises(RuntimeError):
            net(torch.zeros(1, 3, smallest - 1, smallest - 1))


def test_folded_affine_equals_convolution_then_affine() -> None:
    torch.manual_seed(0)
    conv, affine = torch.nn.Conv2d(3, 5, 3, stride=2, padding=1).double(), Affine(5).double()
    torch.nn.init.normal_(affine.weight)
    torch.nn.init.normal_(affine.bias)
    x = torch.randn(2, 3, 9, 9, dtype=torch.float64, requires_grad=True)
    leaves = [x, *conv.parameters(), *affine.parameters()]
    plain = conv(x) * affine.weight[:, None, None] + affine.bias[:, None, None]
    folded = conv_affine(x, conv, affine)
    torch.testing.assert_close(folded, plain)
    torch.testing.assert_close(torch.autograd.grad(folded.square().sum(), leaves), torch.autograd.grad(plain.square().sum(), leaves))


@pytest.mark.parametrize("size", [8, 9])
def test_down_block_pads_the_smaller_sum_at_the_end(size: int) -> None:
    torch.manual_seed(0)
    block = Block(2, 3, down=True)
    x = torch.randn(1, 2, size, size)
    y = block.conv2(F.relu(block.conv1(x))) * block.aff2.weight[:, None, None]  # aff1 is the identity at the start
    expected = torch.zeros(3, size // 2, size // 2)
    expected[:, : y.shape[2], : y.shape[3]] += y[0]
    for channel in range(2):
        for row in range(size // 2):
            for column in range(size // 2):
                expected[channel, row, column] += x[0, channel, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2].mean()
    torch.testing.assert_close(block(x)[0], expected.relu())


def test_untrained_activations_keep_their_size() -> None:
    torch.manual_seed(0)
    net = DlibFaceResNet()
    out = net(torch.randn(2, 3, 150, 150))
    assert 0.1 < out.std().item() < 10
    out.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
