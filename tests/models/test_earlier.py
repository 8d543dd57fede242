"""The grid before the last stage: the right one for every family, without a trace in outputs or weights."""

from __future__ import annotations

import copy
import pickle
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch

from evenface.errors import ConfigError
from evenface.models.backbones import create_backbone
from evenface.models.earlier import take, watch


CASES = [("test_resnet", 64, 192, 4), ("mobilenetv2_100", 64, 96, 4), ("mobilenetv3_small_100", 64, 48, 4)]
CASES += [("test_convnext", 64, 48, 4), ("swin_tiny_patch4_window7_224", 64, 384, 4), ("dlib_face_resnet_13", 112, 128, 6)]


@pytest.mark.parametrize(("name", "size", "channels", "side"), CASES)
def test_grid_and_that_nothing_else_changes(name: str, size: int, channels: int, side: int) -> None:
    torch.manual_seed(0)
    backbone = create_backbone(name, size).eval()
    x = torch.rand(2, 3, size, size)
    with torch.no_grad():
        expected, plain = backbone(x), {k: v.clone() for k, v in backbone.state_dict().items()}
        path = watch(backbone)
        torch.testing.assert_close(backbone(x), expected, atol=0, rtol=0)
    assert take(backbone, path).shape == (2, channels, side, side)
    assert list(backbone.state_dict()) == list(plain)
    with torch.no_grad():
        for p in backbone.parameters():
            p.zero_()
        backbone.load_state_dict(plain)
        torch.testing.assert_close(backbone(x), expected, atol=0, rtol=0)


def test_it_is_what_the_last_stage_takes() -> None:
    torch.manual_seed(0)
    backbone = create_backbone("resnet18", 64).eval()
    path = watch(backbone)
    with torch.no_grad():
        out = backbone(torch.rand(1, 3, 64, 64))
        torch.testing.assert_close(backbone.net.layer4(take(backbone, path)), out)  # type: ignore[operator]


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda module: pickle.loads(pickle.dumps(module))], ids=["deepcopy", "pickle"])
def test_a_copy_is_made_even_when_the_grid_was_not_taken(copied: Callable[[Any], Any]) -> None:
    backbone = create_backbone("test_resnet", 64)
    path = watch(backbone)
    x = torch.rand(2, 3, 64, 64)
    backbone(x)
    other = copied(backbone)
    with pytest.raises(AssertionError, match="run first"):
        take(other, path)
    other(x)
    torch.testing.assert_close(take(other, path), take(backbone, path))
    with pytest.raises(AssertionError, match="run first"):
        take(other, path)


def test_threads_that_share_a_network_each_have_their_own_grid() -> None:
    backbone = create_backbone("test_resnet", 64).eval()
    path = watch(backbone)
    both_ran = threading.Barrier(2)

    def grids(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        with torch.no_grad():
            last = backbone(x)
            both_ran.wait(60)
            return take(backbone, path), last

    with ThreadPoolExecutor(2) as pool:
        for earlier, last in pool.map(grids, torch.rand(2, 1, 3, 64, 64)):
            with torch.no_grad():
                torch.testing.assert_close(backbone.net.layer4(earlier), last)  # type: ignore[operator]


def test_weights_that_do_not_fit_are_named() -> None:
    backbone = create_backbone("test_resnet", 64)
    watch(backbone)
    weights = backbone.state_dict()
    del weights["net.layer3.0.conv1.weight"]
    with pytest.raises(RuntimeError, match="Missing key"):
        backbone.load_state_dict(weights)


def test_a_network_without_stages_is_refused() -> None:
    backbone = create_backbone("test_resnet", 64)
    backbone.net.feature_info = []  # type: ignore[assignment]
    with pytest.raises(ConfigError, match="what its stages are"):
        watch(backbone)
