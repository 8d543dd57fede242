"""Logits, maps and features against their definitions."""

from __future__ import annotations

import pytest
import torch

from evenface.errors import ConfigError
from evenface.models.backbones import create_backbone
from evenface.models.classifier import Classifier, build_classifier


NAMES = ("happiness", "neutral", "fear")


@pytest.fixture
def model() -> Classifier:
    torch.manual_seed(0)
    return build_classifier("resnet18", NAMES, 64)


def test_output_is_what_the_definition_says(model: Classifier) -> None:
    model.eval()
    x = torch.rand(2, 3, 64, 64)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.no_grad():
        out = model(x)
        grid = model.backbone((x - mean[:, None, None]) / std[:, None, None])
    assert out.logits.shape == (2, 3)
    assert out.maps.shape == (2, 3, 2, 2)
    assert out.features.shape == (2, 512)
    weight, bias = model.head.weight.detach(), model.head.bias.detach()
    for b in range(2):
        torch.testing.assert_close(out.features[b], sum(grid[b, :, h, w] for h in range(2) for w in range(2)) / 4)
        for label in range(3):
            torch.testing.assert_close(out.logits[b, label], weight[label] @ out.features[b] + bias[label])
            for h in range(2):
                for w in range(2):
                    torch.testing.assert_close(out.maps[b, label, h, w], weight[label] @ grid[b, :, h, w], atol=1e-5, rtol=1e-4)


def test_mean_of_a_map_plus_bias_is_the_logit(model: Classifier) -> None:
    out = model(torch.rand(3, 3, 64, 64))
    torch.testing.assert_close(out.maps.mean(dim=(2, 3)) + model.head.bias, out.logits, atol=1e-5, rtol=1e-5)


def test_maps_give_the_head_no_gradient_unless_asked(model: Classifier) -> None:
    x = torch.rand(2, 3, 64, 64)
    model(x).maps.square().sum().backward()
    assert model.head.weight.grad is None
    assert model.head.bias.grad is None
    assert all(p.grad is not None for p in model.backbone.parameters())
    model.detach_maps = False
    model(x).maps.square().sum().backward()
    assert model.head.weight.grad is not None
    assert model.head.weight.grad.abs().sum() > 0


def test_outputs_are_float32_under_autocast(model: Classifier) -> None:
    model.eval()
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        plain = model(x)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            out = model(x)
            grid = model.backbone((x - model.mean) / model.std)
    assert grid.dtype == torch.bfloat16, "the backbone must follow autocast"
    assert [t.dtype for t in out] == [torch.float32] * 3
    torch.testing.assert_close(out.features, grid.float().mean(dim=(2, 3)))
    torch.testing.assert_close(out.logits, plain.logits, atol=0.1, rtol=0.1)


def test_dropout_touches_the_logits_only() -> None:
    torch.manual_seed(0)
    model = Classifier(create_backbone("resnet18", 64), NAMES, dropout=0.5)
    model.backbone.eval()
    x = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        model.dropout.train()
        dropped = model(x)
        model.dropout.eval()
        whole = model(x)
    assert torch.equal(dropped.maps, whole.maps)
    assert torch.equal(dropped.features, whole.features)
    assert not torch.allclose(dropped.logits, whole.logits)


def test_normalisation_is_not_part_of_the_weights(model: Classifier) -> None:
    assert not {"mean", "std"} & set(model.state_dict())
    assert model.mean.flatten().tolist() == pytest.approx([0.485, 0.456, 0.406])


def test_channels_last_gives_the_same(model: Classifier) -> None:
    model.eval()
    x = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        plain = model(x)
        last = model.to(memory_format=torch.channels_last)(x.to(memory_format=torch.channels_last))  # type: ignore[call-overload]
    for a, b in zip(plain, last, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


def test_impossible_settings_are_refused() -> None:
    backbone = create_backbone("dlib_face_resnet_13", 64)
    for names in ((), ("fear",), ("fear", "fear")):
        with pytest.raises(ConfigError, match="distinct class names"):
            Classifier(backbone, names)
    with pytest.raises(ConfigError, match="dropout"):
        Classifier(backbone, NAMES, dropout=1.0)


def test_a_network_built_in_inference_mode_is_whole_and_can_be_trained() -> None:
    torch.manual_seed(0)
    usual = build_classifier("test_resnet", NAMES, 32)
    torch.manual_seed(0)
    with torch.inference_mode():
        built = build_classifier("test_resnet", NAMES, 32)
    torch.testing.assert_close(built.state_dict(), usual.state_dict(), rtol=0, atol=0)
    built(torch.rand(2, 3, 32, 32)).logits.square().sum().backward()
    assert all(p.grad is not None for p in built.parameters())
