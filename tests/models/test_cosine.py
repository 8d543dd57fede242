"""The head of angles against its definition, on grids of every size, and saved and read again."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from evenface.errors import ConfigError
from evenface.model_folder import load_model, save_model
from evenface.models.classifier import build_classifier
from evenface.models.cosine import CosineClassifier


NAMES = ("happiness", "neutral", "fear")


def make(model: str = "test_resnet", size: int = 32, **settings: Any) -> CosineClassifier:
    torch.manual_seed(0)
    return CosineClassifier.of(build_classifier(model, NAMES, size), **settings)


def test_logits_are_scaled_cosines_and_maps_have_them_as_their_mean() -> None:
    model = make(scale=5.0).double().eval()
    x = torch.rand(2, 3, 32, 32, dtype=torch.float64)
    with torch.no_grad():
        out = model(x)
        grid = model.grid(x)
    for b in range(2):
        f = [sum(row) / grid[b, 0].numel() for row in grid[b].flatten(1).tolist()]
        length = math.hypot(*f)
        for label, w in enumerate(model.head.weight.tolist()):
            cosine = sum(p * q for p, q in zip(w, f, strict=True)) / length / math.hypot(*w)
            assert out.logits[b, label].item() == pytest.approx(5 * cosine, rel=1e-9)
            cell = sum(p * q for p, q in zip(w, grid[b, :, 0, 0].tolist(), strict=True)) / length / math.hypot(*w)
            assert out.maps[b, label, 0, 0].item() == pytest.approx(5 * cell, rel=1e-9)
    torch.testing.assert_close(out.maps.mean((2, 3)), out.logits)
    torch.testing.assert_close(out.features, grid.mean((2, 3)))


def test_the_length_of_a_class_vector_says_nothing() -> None:
    model = make().eval()
    x = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        before = model(x)
        model.head.weight *= torch.tensor([[3.0], [0.2], [1.0]])
        torch.testing.assert_close(model(x), before)


@pytest.mark.parametrize("detach", [True, False])
def test_maps_reach_the_head_only_when_they_may(detach: bool) -> None:
    model = make()
    model.detach_maps = detach
    model(torch.rand(2, 3, 32, 32)).maps.square().sum().backward()
    assert (model.head.weight.grad is None) == detach
    assert all(p.grad is not None for p in model.backbone.parameters())


@pytest.mark.parametrize(
    ("name", "size"), [("test_resnet", 64), ("test_convnext", 32), ("mobilenetv3_small_050", 32), ("dlib_face_resnet_13", 96)]
)
def test_every_backbone_and_a_face_does_not_depend_on_its_batch(name: str, size: int) -> None:
    model = make(name, size).eval()
    x = torch.rand(3, 3, size, size)
    with torch.no_grad():
        out = model(x)
        torch.testing.assert_close(model(x[:1]).logits, out.logits[:1])
    assert out.maps.shape == (3, 3, *model.backbone.grid)
    assert out.logits.abs().max() <= 30
    torch.testing.assert_close(out.maps.mean((2, 3)), out.logits, atol=1e-4, rtol=1e-4)


def test_outputs_are_float32_under_autocast() -> None:
    model = make().eval()
    x = torch.rand(2, 3, 32, 32)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        out, grid = model(x), model.grid(x)
    assert grid.dtype == torch.bfloat16, "the backbone must follow autocast"
    assert [t.dtype for t in out] == [torch.float32] * 3
    torch.testing.assert_close(out.features, grid.float().mean((2, 3)))


def test_it_starts_from_the_backbone_that_it_is_given() -> None:
    plain = build_classifier("test_resnet", NAMES, 32, dropout=0.25, detach_maps=False)
    model = CosineClassifier.of(plain, scale=7.0)
    assert model.backbone is plain.backbone
    assert (model.dropout.p, model.detach_maps, model.settings()) == (0.25, False, {"scale": 7.0})
    assert model.head.bias is None


def test_saved_and_read_again_it_says_the_same(tmp_path: Path) -> None:
    model = make(scale=12.0).eval()
    save_model(tmp_path / "m", model, {}, "# card")
    read, config = load_model(tmp_path / "m")
    assert isinstance(read, CosineClassifier)
    assert config.network == {"kind": "cosine", "scale": 12.0}
    x = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(read(x), model(x), rtol=0, atol=0)


def test_a_scale_of_nothing_is_refused() -> None:
    for scale in (0.0, -1.0, math.nan, math.inf, "30", None):
        with pytest.raises(ConfigError, match="scale of a cosine head is a number above 0, not"):
            make(scale=scale)
