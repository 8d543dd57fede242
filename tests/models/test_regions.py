"""Attention over crops, against its formulas step by step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from evenface.errors import ConfigError, ModelError
from evenface.model_folder import load_model, save_model
from evenface.models.classifier import build_classifier
from evenface.models.regions import Attention, Regions


NAMES = ("happiness", "neutral", "fear")
BOXES = [(0, 48, 0, 48), (0, 48, 16, 64), (16, 64, 0, 48), (16, 64, 16, 64), (8, 56, 8, 56)]  # top, bottom, left, right at 64 px


def network(model: str = "test_resnet", size: int = 64, **settings: object) -> Regions:
    torch.manual_seed(0)
    return Regions.of(build_classifier(model, NAMES, size), **settings).double().eval()


@pytest.mark.parametrize("attention", ["softmax", "sigmoid"])
def test_output_is_what_the_formulas_say(attention: Attention) -> None:
    model, x = network(attention=attention), torch.rand(2, 3, 64, 64, dtype=torch.float64)
    with torch.no_grad():
        for p in (*model.alpha.parameters(), *model.beta.parameters()):
            p.mul_(5)  # far from uniform
        out, alpha = model.look(x)
        for b in range(2):
            views = [F.interpolate(x[b : b + 1, :, t:u, le:r], (64, 64), mode="bilinear", antialias=True) for t, u, le, r in BOXES]
            v = [model.grid(view)[0].mean((1, 2)) for view in [*views, x[b : b + 1]]]
            a = torch.cat([torch.sigmoid(model.alpha(each)) for each in v])
            if attention == "softmax":
                a = a.exp() / a.exp().sum()
            torch.testing.assert_close(alpha[b], a)
            mean = sum(a[i] * v[i] for i in range(6)) / a.sum()
            pairs = [torch.cat([each, mean]) for each in v]
            c = torch.cat([torch.sigmoid(model.beta(pair)) for pair in pairs])
            if attention == "softmax":
                c = c.exp() / c.exp().sum()
            features = sum(a[i] * c[i] * pairs[i] for i in range(6)) / (a * c).sum()
            torch.testing.assert_close(out.features[b], features)
            torch.testing.assert_close(out.logits[b], model.head.weight @ features + model.head.bias)


@pytest.mark.parametrize(("name", "size"), [("test_resnet", 32), ("test_resnet", 100), ("test_convnext", 64), ("dlib_face_resnet_13", 96)])
def test_mean_of_a_map_plus_bias_is_the_logit(name: str, size: int) -> None:
    model = network(name, size)
    with torch.no_grad():
        out = model(torch.rand(2, 3, size, size, dtype=torch.float64))
    assert out.maps.shape == (2, 3, *model.backbone.grid)
    assert out.maps.std() > 0
    torch.testing.assert_close(out.maps.mean((2, 3)) + model.head.bias, out.logits)


def test_a_map_shows_a_crop_where_it_was_taken() -> None:
    model = network(crop=0.5)
    with torch.no_grad():
        model.head.weight[:, model.backbone.num_features :] = 0  # without v_m
        model.beta.weight.zero_()
        model.beta.bias.zero_()
        grid = torch.zeros(6, 1, model.backbone.num_features, 2, 2, dtype=torch.float64)
        grid[3] = 1.0  # only the crop in the lower right corner sees anything
        ones = torch.full((6, 1, 1), 1 / 6, dtype=torch.float64)
        maps = model._maps(grid, ones, ones, model._boxes(64, 64), (64, 64))
    assert maps[0, :, 1, 1].abs().min() > 0
    assert not maps[0, :, 0].any()
    assert not maps[0, :, 1, 0].any()


def test_a_face_does_not_depend_on_its_neighbours() -> None:
    model, x = network(), torch.rand(3, 3, 64, 64, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(model(x).logits[1:2], model(x[1:2]).logits)


def test_maps_give_the_head_no_gradient_unless_asked() -> None:
    model, x = network().train(), torch.rand(2, 3, 64, 64, dtype=torch.float64)
    model(x).maps.square().sum().backward()
    assert all(p.grad is None for p in (*model.head.parameters(), *model.alpha.parameters(), *model.beta.parameters()))
    assert all(p.grad is not None for p in model.backbone.parameters())
    model.detach_maps = False
    model(x).maps.square().sum().backward()
    assert model.head.weight.grad is not None
    assert model.head.weight.grad.any()


def test_saved_and_loaded_it_says_the_same(tmp_path: Path) -> None:
    model = network(crop=0.6, attention="sigmoid").float()
    save_model(tmp_path / "model", model, {}, "# A card")
    loaded, _ = load_model(tmp_path / "model")
    x = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        for ours, theirs in zip(model(x), loaded(x), strict=True):
            assert torch.equal(ours, theirs)


def test_the_backbone_keeps_its_weights() -> None:
    plain = build_classifier("test_resnet", NAMES, 64)
    before = {k: v.clone() for k, v in plain.backbone.state_dict().items()}
    model = Regions.of(plain)
    assert all(torch.equal(v, before[k]) for k, v in model.backbone.state_dict().items())


WRONG = [{"crop": 0.0}, {"crop": -0.5}, {"crop": 1.01}, {"crop": float("nan")}, {"crop": "big"}, {"crop": None}]
WRONG += [{"attention": "softmx"}, {"attention": 3}]


@pytest.mark.parametrize("settings", WRONG)
def test_impossible_settings_are_refused_by_hand_and_in_a_model_folder(settings: dict[str, Any], tmp_path: Path) -> None:
    (name,) = settings
    with pytest.raises(ConfigError, match=name):
        network(**settings)
    save_model(tmp_path / "model", network(crop=1.0).float(), {}, "# A card")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    config["network"].update(settings)
    (tmp_path / "model" / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=f"names a network that cannot be built here: .*{name}"):
        load_model(tmp_path / "model")
