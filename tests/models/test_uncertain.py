"""The classifier on an uncertain feature: its definition by a loop over the cells, its gradients, its folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from timm.layers import convert_sync_batchnorm

from evenface.errors import ConfigError, ModelError
from evenface.model_folder import load_model, save_model
from evenface.models.classifier import build_classifier
from evenface.models.networks import build_network
from evenface.models.uncertain import EPS, Uncertain


NAMES = ("happiness", "neutral", "fear")


def make(name: str = "test_resnet", size: int = 64, dim: int = 5) -> Uncertain:
    """One whose batch norms have seen something."""
    torch.manual_seed(0)
    model = Uncertain.of(build_classifier(name, NAMES, size).double(), dim=dim).eval()
    with torch.no_grad():
        for head in (model.mu, model.logvar):
            for norm in (head[0], head[4]):
                norm.running_mean.normal_(0, 0.1)  # type: ignore[union-attr, operator]
                norm.running_var.uniform_(0.5, 2)  # type: ignore[union-attr, operator]
            head[4].weight.uniform_(0.5, 2)  # type: ignore[union-attr, operator]
            head[4].bias.normal_()  # type: ignore[union-attr, operator]
    return model


def faces(n: int = 2, size: int = 64) -> torch.Tensor:
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_logits_and_maps_are_what_the_definition_says() -> None:
    model, x = make(), faces()
    with torch.no_grad():
        out, grid = model(x), model.grid(x)
    n, c, h, w = grid.shape
    assert (h, w) == model.backbone.grid
    assert h * w > 1
    first, _, _, linear, last = model.mu
    mean, std = first.running_mean, (first.running_var + 2e-5).sqrt()  # type: ignore[operator]
    scale = last.weight / (last.running_var + 2e-5).sqrt()  # type: ignore[operator]
    weight = linear.weight.reshape(5, c, h, w)  # type: ignore[operator]
    maps = torch.zeros(n, 3, h, w, dtype=torch.float64)
    mu = torch.zeros(n, 5, dtype=torch.float64)
    for b in range(n):
        total = linear.bias.clone()  # type: ignore[operator, union-attr]
        for i in range(h):
            for j in range(w):
                part = weight[:, :, i, j] @ ((grid[b, :, i, j] - mean) / std)
                total = total + part
                maps[b, :, i, j] = h * w * (model.head.weight @ (scale * part))
        mu[b] = scale * (total - last.running_mean) + last.bias  # type: ignore[operator]
    torch.testing.assert_close(out.features, mu)
    torch.testing.assert_close(out.logits, mu @ model.head.weight.T + model.head.bias)
    torch.testing.assert_close(out.maps, maps)


def test_the_batch_norms_of_several_gpus_change_nothing() -> None:
    model, x = make(), faces()
    with torch.no_grad():
        expected = model(x)
        for found, one in zip(convert_sync_batchnorm(model)(x), expected, strict=True):
            torch.testing.assert_close(found, one)
    assert isinstance(model.mu[4], torch.nn.SyncBatchNorm)


@pytest.mark.parametrize(("name", "size"), [("test_resnet", 64), ("test_resnet", 32), ("test_convnext", 64), ("dlib_face_resnet_13", 64)])
def test_mean_of_a_map_is_the_logit_up_to_a_constant(name: str, size: int) -> None:
    model = make(name, size)
    with torch.no_grad():
        out = model(faces(4, size))
    rest = out.logits - out.maps.mean((2, 3))
    torch.testing.assert_close(rest, rest[:1].expand_as(rest), atol=1e-9, rtol=1e-9)
    assert not torch.allclose(out.logits, out.logits[:1].expand_as(rest), rtol=1e-3)


def test_maps_give_the_heads_no_gradient_unless_asked() -> None:
    model = make()
    model(faces()).maps.square().sum().backward()
    heads = [*model.mu.parameters(), *model.logvar.parameters(), *model.head.parameters()]
    assert all(p.grad is None for p in heads)
    assert all(p.grad is not None for p in model.backbone.parameters())
    model.detach_maps = False
    model(faces()).maps.square().sum().backward()
    assert model.head.weight.grad is not None
    assert model.mu[3].weight.grad is not None
    assert model.mu[4].weight.grad is not None


def test_the_heads_are_two_of_a_kind_with_weights_of_their_own() -> None:
    model, x = make(), faces()
    with torch.no_grad():
        mu, logvar = model.gaussian(x)
        torch.testing.assert_close(mu, model(x).features)
        assert not torch.allclose(mu, logvar)
        model.logvar.load_state_dict(model.mu.state_dict())
        torch.testing.assert_close(model.gaussian(x)[1], mu)
    norms = [model.mu[0], model.mu[4], model.logvar[0], model.logvar[4]]
    assert [norm.eps for norm in norms] == [EPS] * 4  # type: ignore[union-attr]
    assert [norm.affine for norm in norms] == [False, True] * 2  # type: ignore[union-attr]


def test_it_is_saved_whole_and_alone_gives_what_it_gives_in_a_batch(tmp_path: Path) -> None:
    model = make().float()
    save_model(tmp_path / "m", model, {}, card="")
    loaded, config = load_model(tmp_path / "m")
    assert config.network == {"kind": "uncertain", "dim": 5, "head_dropout": 0.4}
    assert isinstance(loaded, Uncertain)
    x = faces(4).float()
    with torch.no_grad():
        assert torch.equal(loaded(x).logits, model(x).logits)
        assert torch.equal(loaded.gaussian(x)[1], model.gaussian(x)[1])
        torch.testing.assert_close(model(x[:1]).logits, model(x).logits[:1], atol=1e-5, rtol=1e-5)


def test_impossible_settings_are_refused() -> None:
    for settings in ({"dim": 0}, {"head_dropout": 1.0}):
        with pytest.raises(ConfigError, match="uncertainty"):
            build_network("uncertain", "test_resnet", NAMES, 32, settings)
    with pytest.raises(ModelError, match="does not take"):
        build_network("uncertain", "test_resnet", NAMES, 32, {"size": 3})
