"""Every network that we promise: forward, backward, grid, orientation, and the same logits as timm's own network."""

from __future__ import annotations

import copy

import pytest
import timm
import torch
from torch import Tensor, nn

from evenface.errors import ConfigError
from evenface.models.backbone import Backbone
from evenface.models.backbones import OWN, create_backbone


SLOW = pytest.mark.slow
SWIN = "swin_tiny_patch4_window7_224"
NETWORKS = [
    ("resnet18", 64, 512, 2),
    ("dlib_face_resnet", 112, 256, 1),
    ("dlib_face_resnet_13", 96, 256, 2),
    ("mobilenetv3_large_100", 64, 960, 2),
    ("resnet50", 64, 2048, 2),
    pytest.param("resnet50", 224, 2048, 7, marks=SLOW),
    ("mobilenetv1_100", 96, 1024, 3),
    ("mobilenetv2_100", 96, 1280, 3),
    pytest.param("mobilenetv3_large_100", 224, 960, 7, marks=SLOW),
    ("efficientnet_b0", 96, 1280, 3),
    ("convnext_tiny", 96, 768, 3),
    (SWIN, 64, 768, 2),
    pytest.param(SWIN, 112, 768, 4, marks=SLOW),
    pytest.param(SWIN, 224, 768, 7, marks=SLOW),
]


@pytest.mark.parametrize(("name", "size", "channels", "cells"), NETWORKS)
def test_forward_and_backward(name: str, size: int, channels: int, cells: int) -> None:
    torch.manual_seed(0)
    backbone = create_backbone(name, size)
    out = backbone(torch.randn(2, 3, size, size))
    assert out.shape == (2, channels, cells, cells)
    assert (backbone.num_features, backbone.grid) == (channels, (cells, cells))
    assert len(backbone.mean) == len(backbone.std) == 3
    out.square().sum().backward()
    without = [key for key, p in backbone.named_parameters() if p.grad is None]
    assert without == [], "parameters that no loss reaches"


ORIENTED = [
    ("resnet18", 224),
    ("dlib_face_resnet_13", 224),
    ("mobilenetv3_large_100", 224),
    *(
        pytest.param(name, 224, marks=SLOW)
        for name in ("mobilenetv1_100", "mobilenetv2_100", "resnet50", "convnext_tiny", "efficientnet_b0", SWIN)
    ),
]


@pytest.mark.parametrize(("name", "size"), ORIENTED)
def test_a_blob_moves_the_cell_where_it_is(name: str, size: int) -> None:
    torch.manual_seed(1)
    backbone = create_backbone(name, size).eval()
    height, width = backbone.grid
    edge, far = size // 6, size - size // 6
    with torch.no_grad():
        empty = backbone(torch.zeros(1, 3, size, size))
        for rows, columns, top, left in [
            (slice(0, edge), slice(0, edge), True, True),
            (slice(0, edge), slice(far, size), True, False),
            (slice(far, size), slice(0, edge), False, True),
        ]:
            x = torch.zeros(1, 3, size, size)
            x[:, :, rows, columns] = 3 * torch.randn(1, 3, edge, edge)
            change = (backbone(x) - empty).square().sum(dim=1)[0]
            row, column = divmod(int(change.argmax()), width)
            assert (row < height / 2) == top
            assert (column < width / 2) == left


@pytest.mark.parametrize("turn", ["mirror", "transpose"])
def test_symmetric_kernels_commute_with_the_turn(turn: str) -> None:
    """With kernels symmetric under a turn, a ResNet at 65 px (where the strides fit both ways) must turn its map with its input."""

    def turned(x: Tensor) -> Tensor:
        return x.flip(-1) if turn == "mirror" else x.transpose(-1, -2)

    torch.manual_seed(0)
    backbone = create_backbone("resnet18", 65).eval()
    with torch.no_grad():
        for module in backbone.modules():
            if isinstance(module, nn.Conv2d):
                module.weight.copy_((module.weight + turned(module.weight)) / 2)
        x = torch.randn(2, 3, 65, 65)
        torch.testing.assert_close(backbone(turned(x)), turned(backbone(x)), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("resnet18", 64),
        pytest.param(SWIN, 64, marks=SLOW),
        *(pytest.param(name, 64, marks=SLOW) for name in ("resnet50", "mobilenetv1_100", "mobilenetv2_100", "efficientnet_b0")),
    ],
)
def test_pooled_and_classified_equals_timms_network(name: str, size: int) -> None:
    torch.manual_seed(0)
    options = {"img_size": size} if name == SWIN else {}
    whole = timm.create_model(name, num_classes=5, **options).eval()
    backbone = create_backbone(name, size).eval()
    result = backbone.net.load_state_dict(whole.state_dict(), strict=False)
    assert result.missing_keys == []
    x = torch.randn(2, 3, size, size)
    with torch.no_grad():
        logits = whole.get_classifier()(backbone(x).mean(dim=(2, 3)))
        torch.testing.assert_close(logits, whole(x), atol=1e-5, rtol=1e-4)


def test_swin_map_is_the_nhwc_output_cell_by_cell() -> None:
    torch.manual_seed(0)
    backbone = create_backbone(SWIN, 96).eval()
    kept: list[Tensor] = []
    backbone.net.get_submodule("norm").register_forward_hook(lambda module, inputs, out: kept.append(out))
    with torch.no_grad():
        found = backbone(torch.randn(1, 3, 96, 96))
    (nhwc,) = kept
    assert nhwc.shape == (1, 3, 3, 768)
    for row in range(3):
        for column in range(3):
            assert torch.equal(found[0, :, row, column], nhwc[0, row, column])


def test_convnext_applies_the_heads_norm_in_each_cell() -> None:
    torch.manual_seed(0)
    backbone = create_backbone("convnext_atto", 64).eval()
    norm = backbone.net.get_submodule("head.norm")
    with torch.no_grad():
        norm.bias.uniform_()  # type: ignore[operator, union-attr]
        x = torch.randn(1, 3, 64, 64)
        cell = backbone.net.forward_features(x)[0, :, 1, 0]  # type: ignore[operator]
        expected = (cell - cell.mean()) / (cell.var(unbiased=False) + 1e-6).sqrt() * norm.weight + norm.bias  # type: ignore[operator]
        torch.testing.assert_close(backbone(x)[0, :, 1, 0], expected)


def test_the_state_dict_has_each_tensor_once_and_survives_a_copy() -> None:
    for name in ("dlib_face_resnet_13", "resnet18"):
        backbone = create_backbone(name, 64).eval()
        assert all(key.startswith("net.") for key in backbone.state_dict())
        twin = copy.deepcopy(backbone)
        with torch.no_grad():
            for p in twin.parameters():
                p.zero_()
            assert twin(torch.ones(1, 3, 64, 64)).abs().sum() == 0
            assert backbone(torch.ones(1, 3, 64, 64)).abs().sum() > 0


def test_probing_leaves_training_mode_and_statistics() -> None:
    backbone = create_backbone("resnet18", 64)
    assert all(module.training for module in backbone.modules())
    running = backbone.net.get_submodule("bn1").running_mean
    assert isinstance(running, Tensor)
    assert running.abs().sum() == 0


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("resnet81", 64, "did you mean 'resnet18'"),
        ("dlib_face_resnt", 64, "did you mean 'dlib_face_resnet'"),
        ("qqqq", 64, r"timm\.list_models\(\)"),
        ("dlib_face_resnet", 64, "cannot take images of 64 px"),
        ("resnet18", 0, "positive"),
        ("test_vit", 160, "no map"),
    ],
)
def test_what_cannot_work_is_refused(name: str, size: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        create_backbone(name, size)


def test_unknown_pretrained_tags_are_refused_before_any_download() -> None:
    with pytest.raises(ConfigError, match="did you mean 'a1_in1k'"):
        create_backbone("resnet18", 64, pretrained="a1_in1kk")
    with pytest.raises(ConfigError, match="--init dlib-face"):
        create_backbone("dlib_face_resnet", 150, pretrained="default")


def test_own_names_are_no_timm_names() -> None:
    assert not set(OWN) & set(timm.list_models())
    assert isinstance(create_backbone("dlib_face_resnet_13", 64), Backbone)
