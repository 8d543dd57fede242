"""The classifier whose logits are scaled by an importance: its definition, its gradients, its folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from evenface.model_folder import load_model, save_model
from evenface.models.classifier import build_classifier
from evenface.models.scaled import Scaled


NAMES = ("happiness", "neutral", "fear")


@pytest.fixture
def model() -> Scaled:
    torch.manual_seed(0)
    return Scaled.of(build_classifier("test_resnet", NAMES, 64)).eval()


def test_output_is_what_the_definition_says(model: Scaled) -> None:
    x = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        out = model(x)
        features = model.grid(x).mean((2, 3))
    importance = model.importance
    for b in range(2):
        a = 1 / (1 + torch.exp(-(importance.weight[0] @ features[b] + importance.bias[0])))
        assert 0 < a < 1
        torch.testing.assert_close(model.importance_of(out.features)[b], a)
        torch.testing.assert_close(out.logits[b], a * (model.head.weight @ features[b] + model.head.bias))
        torch.testing.assert_close(out.maps[b].mean((1, 2)) + a * model.head.bias, out.logits[b])
    assert out.maps.shape == (2, 3, *model.backbone.grid)


def test_maps_give_head_and_importance_no_gradient_unless_asked(model: Scaled) -> None:
    x = torch.rand(2, 3, 64, 64)
    model(x).maps.square().sum().backward()
    assert model.head.weight.grad is None
    assert model.importance.weight.grad is None
    assert all(p.grad is not None for p in model.backbone.parameters())
    model.detach_maps = False
    model(x).maps.square().sum().backward()
    assert model.head.weight.grad is not None
    assert model.importance.weight.grad is not None


def test_it_is_saved_and_alone_gives_what_it_gives_in_a_batch(model: Scaled, tmp_path: Path) -> None:
    save_model(tmp_path / "m", model, {}, card="")
    loaded, config = load_model(tmp_path / "m")
    assert config.network == {"kind": "scaled"}
    x = torch.rand(4, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(loaded(x).logits, model(x).logits)
        torch.testing.assert_close(model(x[:1]).logits, model(x).logits[:1])


def test_float32_under_autocast(model: Scaled) -> None:
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        out = model(torch.rand(1, 3, 64, 64))
        assert [t.dtype for t in (*out, model.importance_of(out.features))] == [torch.float32] * 4
