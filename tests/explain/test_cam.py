"""Heat maps against numbers worked by hand, against the `grad-cam` package on several backbones, and against the class maps."""

from __future__ import annotations

import warnings
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from evenface.errors import ConfigError
from evenface.explain import cam
from evenface.explain.cam import METHODS, check, explain, grad_cam, grad_cam_plus_plus, layer_cam, supported, torch_model
from evenface.labels import BASIC
from evenface.models.bbn import Bilateral
from evenface.models.classifier import Classifier, build_classifier
from evenface.models.earlier import earlier_path
from evenface.models.experts import Experts
from evenface.models.networks import KINDS
from evenface.recognizer import Recognizer


# Two channels of 1 x 2 cells.
FEATURES = torch.tensor([[[[1.0, 3.0]], [[2.0, 0.0]]]])
GRADIENTS = torch.tensor([[[[0.5, 0.1]], [[-1.0, 0.2]]]])


def test_grad_cam_by_hand() -> None:
    # Weights 0.3 and -0.4: 0.3 * 1 - 0.4 * 2 = -0.5, and 0.3 * 3 = 0.9.
    torch.testing.assert_close(grad_cam(FEATURES, GRADIENTS, relu=False), torch.tensor([[[-0.5, 0.9]]]))
    torch.testing.assert_close(grad_cam(FEATURES, GRADIENTS), torch.tensor([[[0.0, 0.9]]]))


def test_grad_cam_plus_plus_by_hand() -> None:
    # a = g^2 / (2 g^2 + g^3 sum F) = 1 / (2 + g sum F), sums 4 and 2. Channel 0: 1 / 4 and 1 / 2.4; channel 1: only 0.2 counts, 1 / 2.4.
    first, second = 0.5 / 4 + 0.1 / 2.4, 0.2 / 2.4
    torch.testing.assert_close(grad_cam_plus_plus(FEATURES, GRADIENTS), torch.tensor([[[first + 2 * second, 3 * first]]]))
    assert not grad_cam_plus_plus(FEATURES, torch.zeros_like(GRADIENTS)).any()  # and no division by 0


def test_layer_cam_by_hand() -> None:
    torch.testing.assert_close(layer_cam(FEATURES, GRADIENTS), torch.tensor([[[0.5, 0.3]]]))
    torch.testing.assert_close(layer_cam(-FEATURES, GRADIENTS), torch.zeros(1, 1, 2))


class Logits(nn.Module):
    """What the package expects of a model."""

    def __init__(self, model: Classifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.model(x).logits
        return found


def of_package(model: Classifier, faces: np.ndarray, method: str, target: int, place: nn.Module, nhwc: bool) -> np.ndarray:
    """Maps (n, h, w) of a network in float64, before they are scaled and resized."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what it imports warns
        from pytorch_grad_cam import GradCAM, GradCAMPlusPlus, LayerCAM
        from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
    kind = {"grad-cam": GradCAM, "grad-cam++": GradCAMPlusPlus, "layer-cam": LayerCAM}[method]
    targets = [ClassifierOutputTarget(target)] * len(faces)
    x = torch.tensor(faces.astype(np.float64) / 255).permute(0, 3, 1, 2).contiguous()
    turn = (lambda grid: grid.permute(0, 3, 1, 2)) if nhwc else None
    with kind(model=Logits(model), target_layers=[place], reshape_transform=turn) as package:
        package(input_tensor=x, targets=targets)
        seen = package.activations_and_grads
        activations, gradients = seen.activations[0].numpy(), seen.gradients[0].numpy()
        found = package.get_cam_image(x, place, targets, activations, gradients, False)
    return np.maximum(found, 0)


def network(name: str, size: int, head: float = 20.0) -> Classifier:
    """Random weights; those of the head have that standard deviation."""
    torch.manual_seed(0)
    model = build_classifier(name, BASIC, size)
    nn.init.normal_(model.head.weight, std=head)
    return model.eval()


def faces_of(n: int, size: int) -> np.ndarray:
    return np.random.default_rng(n).integers(0, 255, (n, size, size, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("test_resnet", 96),
        ("mobilenetv2_050", 64),
        pytest.param("swin_s3_tiny_224", 64, marks=pytest.mark.slow),
        pytest.param("convnext_atto", 96, marks=pytest.mark.slow),
        ("dlib_face_resnet_13", 112),
    ],
)
def test_as_the_package_has_it(name: str, size: int) -> None:
    """In float64 with large gradients: Grad-CAM++ divides by what can come near 0, where the last digits of float32 and the package's own
    1e-6 would decide. In float32 the two that do not divide are still the same."""
    single, faces = network(name, size, head=1e7), faces_of(2, size)
    model = deepcopy(single).double()
    with torch.no_grad():
        likeliest = int(model(torch.tensor(faces.astype(np.float64) / 255).permute(0, 3, 1, 2)).logits[0].argmax())
    turned = getattr(model.backbone.net, "output_fmt", "NCHW") == "NHWC"
    for layer, place in (("last", model.backbone), ("earlier", model.backbone.net.get_submodule(earlier_path(model.backbone)))):
        for method in METHODS[1:]:
            expected = of_package(model, faces, method, likeliest, place, nhwc=turned and layer == "earlier")
            found = explain(model, faces, method=method, classes=[BASIC[likeliest]], layer=layer)
            assert found.dtype == np.float32
            assert expected.max() > 0
            np.testing.assert_allclose(found[:, 0], expected, rtol=1e-6, atol=1e-6 * expected.max())
            if method != "grad-cam++":
                found = explain(single, faces, method=method, classes=[BASIC[likeliest]], layer=layer)
                np.testing.assert_allclose(found[:, 0], expected, rtol=1e-3, atol=1e-4 * expected.max())


@pytest.mark.parametrize("kind", ["linear", "experts", "bbn"])
def test_grad_cam_is_the_class_map_without_what_speaks_against(kind: str) -> None:
    """With a pool and a linear head the gradient is W / (h w) everywhere; branches add up."""
    torch.manual_seed(1)
    plain = build_classifier("test_resnet", BASIC, 96)
    model = {"linear": lambda: plain, "experts": lambda: Experts.of(plain), "bbn": lambda: Bilateral.of(plain)}[kind]()
    for weight in (p for name, p in model.named_parameters() if name.startswith("head")):
        nn.init.normal_(weight, std=3.0)
    faces = faces_of(3, 96)
    maps, grad = explain(model, faces), explain(model, faces, method="grad-cam")
    assert maps.shape == grad.shape == (3, 7, 3, 3)
    assert (maps < 0).any()
    expected = np.array([[[[max(v, 0) / 9 for v in row] for row in cells] for cells in face] for face in maps.tolist()])
    np.testing.assert_allclose(grad, expected, rtol=1e-4, atol=1e-6)


def test_class_maps_are_those_of_the_network() -> None:
    model, faces = network("test_resnet", 96), faces_of(2, 96)
    with torch.no_grad():
        expected = model(torch.tensor(faces.astype(np.float32) / 255).permute(0, 3, 1, 2)).maps.numpy()
    np.testing.assert_allclose(explain(model, faces), expected, atol=1e-4)
    some = explain(model, list(faces), classes=["fear", "happiness"])
    np.testing.assert_allclose(some, expected[:, [BASIC.index("fear"), BASIC.index("happiness")]], atol=1e-4)


def test_the_model_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    model, faces = network("test_resnet", 64), faces_of(5, 64)
    together = explain(model, faces, method="layer-cam")
    model.train()
    monkeypatch.setattr(cam, "BATCH", 2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    np.testing.assert_allclose(explain(model, faces, method="layer-cam"), together, rtol=1e-4, atol=1e-5)  # in parts, too
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())
    assert torch.is_grad_enabled()
    assert explain(model, faces[:0]).shape == (0, 7, 2, 2)


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_kind_of_network_is_explained_or_says_why_not(kind: str) -> None:
    plain = build_classifier("test_resnet", BASIC, 96)
    model = plain if kind == "linear" else KINDS[kind].of(plain)
    faces = faces_of(1, 96)
    assert explain(model, faces).shape[:2] == (1, 7)
    if kind in ("patches", "regions"):
        assert supported(model) == ("class-map",)
        assert supported(model, "earlier") == ()
        with pytest.raises(ConfigError, match="class-map"):
            explain(model, faces, method="grad-cam")
        return
    assert supported(model) == METHODS
    assert supported(model, "earlier") == METHODS[1:]
    for method in METHODS[1:]:
        assert explain(model, faces, method=method, classes=["fear"]).shape == (1, 1, 3, 3)
        assert explain(model, faces, method=method, classes=["fear"], layer="earlier").shape == (1, 1, 6, 6)


@pytest.mark.parametrize("method", METHODS[1:])
def test_what_autocast_has_lowered_is_raised_again(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The maps are computed in the network's precision, whatever it computes its features in."""
    model, faces, formula = network("test_resnet", 64), faces_of(2, 64), cam._FORMULAS[method]
    seen: list[torch.dtype] = []

    def noted(features: Tensor, gradients: Tensor) -> Tensor:
        seen.extend((features.dtype, gradients.dtype))
        return formula(features, gradients)

    monkeypatch.setitem(cam._FORMULAS, method, noted)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model.backbone(torch.rand(1, 3, 64, 64)).dtype == torch.bfloat16
        lowered = explain(model, faces, method=method, classes=["fear"])
    assert seen == [torch.float32] * 2
    whole = explain(model, faces, method=method, classes=["fear"])
    np.testing.assert_allclose(lowered, whole, atol=0.05 * whole.max())


def test_what_cannot_be_asked() -> None:
    model = network("test_resnet", 64)
    for wrong, word in (
        ({"method": "grad-cma"}, "did you mean 'grad-cam'"),
        ({"method": "class-map", "classes": ["feer"]}, "did you mean 'fear'"),
        ({"method": "class-map", "layer": "earlier"}, "--method layer-cam"),
        ({"method": "grad-cam", "layer": "first"}, "Unknown layer"),
    ):
        with pytest.raises(ConfigError, match=word):
            check(model, **wrong)  # type: ignore[arg-type]


class Exported:
    """A runtime without torch."""

    name = "onnx"

    def logits(self, faces: np.ndarray) -> np.ndarray:
        return np.zeros((len(faces), 7), np.float32)

    def maps(self, faces: np.ndarray) -> np.ndarray:
        return np.zeros((len(faces), 7, 3, 3), np.float32)


def test_gradients_need_torch(wide: Path) -> None:
    config = Recognizer.from_pretrained(wide, detector="none").config
    with pytest.raises(ConfigError, match="torch, not on onnx"):
        torch_model(Recognizer(Exported(), config, detector="none"))
