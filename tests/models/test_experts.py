"""Experts: what each says, their mean, the maps, and the way through a model folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from evenface.errors import ConfigError
from evenface.labels import BASIC
from evenface.model_folder import load_model, save_model
from evenface.models.classifier import build_classifier
from evenface.models.experts import Experts, Head


each_head = pytest.mark.parametrize("head", ["linear", "cosine"])


def network(head: Head, model: str = "test_resnet", size: int = 32, experts: int = 3) -> Experts:
    """Experts whose last stages differ."""
    torch.manual_seed(0)
    found = Experts.of(build_classifier(model, BASIC, size), experts=experts, head_type=head, scale=20.0)
    for name, p in found.named_parameters():
        if ".copies." in name:
            p.data += 0.05 * torch.randn_like(p)
    return found.eval()


@each_head
@pytest.mark.parametrize(("model", "size"), [("test_resnet", 32), ("dlib_face_resnet_13", 64), ("test_convnext", 64)])
def test_each_expert_is_its_head_on_its_own_grid_and_the_answer_is_the_mean(head: Head, model: str, size: int) -> None:
    net, x = network(head, model, size), torch.rand(2, 3, size, size)
    with torch.no_grad():
        each, out = net.experts(x), net(x)
        grids = net.grid(x).split(2)
        for k, grid in enumerate(grids):
            f, layer = grid.mean((2, 3)), net.heads[k]
            z = layer(f) if head == "linear" else 20 * F.cosine_similarity(f[:, None], layer.weight[None], dim=2)  # type: ignore[union-attr, operator, index]
            torch.testing.assert_close(each.logits[k], z, atol=1e-4, rtol=1e-4)
    assert not torch.equal(each.logits[0], each.logits[1])
    for name in ("logits", "maps", "features"):
        torch.testing.assert_close(getattr(out, name), getattr(each, name).mean(0))
    assert out.maps.shape == (2, 7, *net.backbone.grid)


@each_head
def test_the_mean_of_a_map_is_the_logit_up_to_a_constant(head: Head) -> None:
    net, x = network(head, size=64), torch.rand(3, 3, 64, 64)
    with torch.no_grad():
        out = net(x)
    constant = 0 if head == "cosine" else torch.stack([layer.bias for layer in net.heads]).mean(0).detach()  # type: ignore[misc]
    torch.testing.assert_close(out.maps.mean((2, 3)) + constant, out.logits, atol=1e-4, rtol=1e-4)


@each_head
def test_a_face_is_judged_alone(head: Head) -> None:
    net, x = network(head), torch.rand(4, 3, 32, 32)
    with torch.no_grad():
        together, alone = net(x).logits, torch.cat([net(face[None]).logits for face in x])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


def test_experts_start_with_the_weights_of_the_backbone_and_heads_of_their_own() -> None:
    torch.manual_seed(0)
    plain = build_classifier("test_resnet", BASIC, 32).eval()
    x = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        features = plain(x).features
        each = Experts.of(plain, experts=2).eval().experts(x)
    torch.testing.assert_close(each.features, torch.stack([features] * 2))
    assert not torch.equal(each.logits[0], each.logits[1])


@each_head
def test_model_folder(head: Head, tmp_path: Path) -> None:
    net, x = network(head, experts=2), torch.rand(2, 3, 32, 32)
    save_model(tmp_path / "m", net, {}, card="")
    again, about = load_model(tmp_path / "m")
    assert about.network == {"kind": "experts", "experts": 2, "head_type": head, "scale": 20.0}
    with torch.no_grad():
        assert torch.equal(again(x).logits, net(x).logits)


@each_head
@pytest.mark.parametrize("detach", [True, False])
def test_maps_reach_the_heads_only_where_asked(head: Head, detach: bool) -> None:
    net = network(head)
    net.detach_maps = detach
    net(torch.rand(2, 3, 32, 32)).maps.square().sum().backward()
    assert [layer.weight.grad is None for layer in net.heads] == [detach] * 3
    assert all(p.grad is not None for p in net.backbone.parameters())


def test_dropout_acts_on_the_logits_alone() -> None:
    torch.manual_seed(0)
    net = Experts.of(build_classifier("test_resnet", BASIC, 32, dropout=0.5), experts=2).eval()
    x = torch.rand(2, 3, 32, 32)
    before = net(x)
    net.dropout.train()
    after = net(x)
    assert not torch.equal(before.logits, after.logits)
    torch.testing.assert_close(before[1:], after[1:])


def test_an_unknown_head_is_refused() -> None:
    with pytest.raises(ConfigError, match="linear or cosine"):
        Experts.of(build_classifier("test_resnet", BASIC, 32), head_type="round")


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf"), "30", None])
def test_a_scale_that_is_no_number_above_zero_is_refused(scale: float) -> None:
    with pytest.raises(ConfigError, match="scale of experts is a number above 0, not"):
        Experts.of(build_classifier("test_resnet", BASIC, 32), experts=2, head_type="cosine", scale=scale)
