"""The bilateral network: both branches at evaluation, the routed mixture in training, its folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from evenface.model_folder import load_model, save_model
from evenface.models.bbn import Bilateral
from evenface.models.classifier import build_classifier


NAMES = ("happiness", "neutral", "fear")


def make(name: str = "test_resnet", size: int = 64) -> Bilateral:
    """One whose branches differ."""
    torch.manual_seed(0)
    model = Bilateral.of(build_classifier(name, NAMES, size))
    with torch.no_grad():
        for p in model.branches.copies[1].parameters():
            p.add_(0.05 * torch.randn_like(p))
    return model.eval()


def features_of(model: Bilateral, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """f_c and f_r of the same faces, each by a network in which both branches are that one."""
    found = []
    for which in (0, 1):
        one = make()
        one.backbone.load_state_dict(model.backbone.state_dict())
        one.branches.copies[1 - which].load_state_dict(model.branches.copies[which].state_dict())
        found.append(one.grid(x)[: len(x)].mean((2, 3)))
    return found[0], found[1]


def test_both_branches_start_from_the_last_block() -> None:
    plain = build_classifier("test_resnet", NAMES, 64).eval()
    x = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        expected = plain(x).features
        torch.testing.assert_close(Bilateral.of(plain).eval()(x).features, torch.cat([expected, expected], 1))


def test_evaluation_takes_both_branches_of_a_face_unscaled() -> None:
    model, x = make(), torch.rand(3, 3, 64, 64)
    with torch.no_grad():
        out = model(x)
        f_c, f_r = features_of(model, x)
    assert not torch.allclose(f_c, f_r, rtol=0.01)
    features = torch.cat([f_c, f_r], 1)
    torch.testing.assert_close(out.features, features)
    torch.testing.assert_close(out.logits, features @ model.head.weight.T + model.head.bias)
    torch.testing.assert_close(out.maps.mean((2, 3)) + model.head.bias, out.logits)
    assert out.maps.shape == (3, 3, *model.backbone.grid)


@pytest.mark.parametrize(("n", "partners"), [(4, [2, 3]), (5, [3, 4, 3])])
def test_a_pair_is_mixed_from_its_own_branches(n: int, partners: list[int]) -> None:
    model, x, alpha = make(), torch.rand(n, 3, 64, 64), 0.7
    with torch.no_grad():
        logits = model.mixed_logits(x, alpha)
        f_c, f_r = features_of(model, x)
    assert len(logits) == len(partners)
    for i, j in enumerate(partners):
        mixed = 2 * torch.cat([alpha * f_c[i], (1 - alpha) * f_r[j]])
        torch.testing.assert_close(logits[i], model.head.weight @ mixed + model.head.bias)
    assert not model.branches.routed


def test_each_branch_learns_from_its_own_faces() -> None:
    model, x = make(), torch.rand(4, 3, 64, 64)
    model.mixed_logits(x, 1.0).square().sum().backward()
    conventional, rebalancing = model.branches.copies
    assert any(p.grad is not None and p.grad.any() for p in conventional.parameters())
    assert all(p.grad is not None and not p.grad.any() for p in rebalancing.parameters())  # there, as several processes need it


def test_a_fresh_rebalancing_block_leaves_the_other_alone() -> None:
    model = make()
    conventional, rebalancing = model.branches.copies
    before = [{k: v.clone() for k, v in part.state_dict().items()} for part in (conventional, rebalancing)]
    model.restart_rebalancing()
    assert all(torch.equal(v, before[0][k]) for k, v in conventional.state_dict().items())
    weights = [k for k, v in rebalancing.state_dict().items() if v.ndim == 4]
    assert weights
    assert not any(torch.equal(rebalancing.state_dict()[k], before[1][k]) for k in weights)


@pytest.mark.parametrize("name", ["test_resnet", "test_convnext", "dlib_face_resnet_13"])
def test_it_is_saved_and_alone_gives_what_it_gives_in_a_batch(name: str, tmp_path: Path) -> None:
    model = make(name)
    save_model(tmp_path / "m", model, {}, card="")
    loaded, config = load_model(tmp_path / "m")
    assert config.network == {"kind": "bbn"}
    x = torch.rand(4, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(loaded(x).logits, model(x).logits)
        torch.testing.assert_close(model(x[:1]).logits, model(x).logits[:1], atol=1e-5, rtol=1e-5)
