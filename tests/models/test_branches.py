"""Copies of a network's end: where they stand, what they see, and the way back."""

from __future__ import annotations

import copy

import pytest
import torch

from evenface.errors import ConfigError
from evenface.models.backbones import create_backbone
from evenface.models.branches import Level, branch, only


CASES = [("test_resnet", 64), ("resnet18", 64), ("mobilenetv2_100", 64), ("mobilenetv3_small_100", 64), ("efficientnet_b0", 64)]
CASES += [("swin_tiny_patch4_window7_224", 64), ("test_convnext", 64), ("dlib_face_resnet", 112), ("dlib_face_resnet_13", 64)]


@pytest.mark.parametrize("level", ["block", "stage"])
@pytest.mark.parametrize(("name", "size"), CASES)
def test_equal_copies_give_the_same_features_and_only_the_end_is_copied(name: str, size: int, level: Level) -> None:
    torch.manual_seed(0)
    backbone = create_backbone(name, size).eval()
    x = torch.rand(2, 3, size, size)
    with torch.no_grad():
        expected = backbone(x)
        before = {p.data_ptr() for p in backbone.parameters()}
        branches = branch(backbone, 3, level)
        out = backbone(x)
        torch.testing.assert_close(out, torch.cat([expected] * 3), atol=1e-4, rtol=1e-4)
        branches.routed = True
        torch.testing.assert_close(backbone(torch.cat([x, x, x])), torch.cat([expected] * 3), atol=1e-4, rtol=1e-4)
    after = list(backbone.parameters())
    copied = sum(p.numel() for p in branches.copies[0].parameters())
    assert sum(p.numel() for p in after) == sum(p.numel() for p in after if p.data_ptr() in before) + 2 * copied
    assert copied > 0


@pytest.mark.parametrize("name", ["resnet18", "dlib_face_resnet_13"])
def test_each_copy_sees_its_part_and_learns_from_it_alone(name: str) -> None:
    torch.manual_seed(0)
    backbone = create_backbone(name, 64)
    branches = branch(backbone, 2, "block")
    branches.routed = True
    x = torch.rand(4, 3, 64, 64)
    backbone(x)[:2].square().sum().backward()  # what came of the first half
    assert any(p.grad is not None and p.grad.any() for p in branches.copies[0].parameters())
    assert all(p.grad is None or not p.grad.any() for p in branches.copies[1].parameters())


@pytest.mark.parametrize("level", ["block", "stage"])
@pytest.mark.parametrize("name", ["resnet18", "swin_tiny_patch4_window7_224", "dlib_face_resnet_13"])
def test_the_way_back_keeps_one_copy_under_the_original_names(name: str, level: Level) -> None:
    torch.manual_seed(0)
    backbone = create_backbone(name, 64).eval()
    names = set(backbone.state_dict())
    branches = branch(backbone, 2, level)
    with torch.no_grad():
        for p in branches.copies[1].parameters():
            p.add_(0.1)
        x = torch.rand(1, 3, 64, 64)
        expected = backbone(x)[1:]
        one = copy.deepcopy(backbone)
        only(one, 1)
        assert set(one.state_dict()) == names
        torch.testing.assert_close(one(x), expected, atol=1e-4, rtol=1e-4)


def test_no_branch_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least one"):
        branch(create_backbone("test_resnet", 64), 0)
