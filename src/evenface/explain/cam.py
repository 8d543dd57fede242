"""Heat maps of any backbone: the class maps, Grad-CAM, Grad-CAM++ and LayerCAM.

    maps = explain(model, faces)                                                # (n, L, h, w): the class maps
    maps = explain(model, faces, method="grad-cam", classes=["fear"])           # (n, 1, h, w), >= 0
    maps = explain(model, faces, method="layer-cam", layer="earlier")           # a grid about twice as fine

With F (C, h, w) the features of a layer, z_l the logit of a class and g = dz_l / dF:

| method | map | source |
|---|---|---|
| `class-map` | sum_c W_lc F_c, of the last layer; signed, no gradient | Zhou et al., CVPR 2016; equation 2 of Zhu et al., 2025 |
| `grad-cam` | relu(sum_c mean_hw(g_c) F_c) | Selvaraju et al., ICCV 2017 |
| `grad-cam++` | relu(sum_c w_c F_c), w_c = sum_hw a relu(g), a = g^2 / (2 g^2 + g^3 sum_hw F) | Chattopadhay et al., WACV 2018 |
| `layer-cam` | relu(sum_c relu(g) F) | Jiang et al., TIP 2021 |

Where the logit is W mean_hw(F) + b, g is W_l / (h w) in every cell. So Grad-CAM before its relu is the class map divided by h w: it shows
the same places, without those that speak against the class.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from evenface.errors import ConfigError, unknown_name
from evenface.models.classifier import Classifier
from evenface.models.earlier import earlier_path
from evenface.models.patches import Patches
from evenface.models.regions import Regions
from evenface.recognizer import Recognizer
from evenface.runtimes.torch_runtime import TorchRuntime


CamMethod = Literal["class-map", "grad-cam", "grad-cam++", "layer-cam"]
Layer = Literal["last", "earlier"]
METHODS: tuple[str, ...] = get_args(CamMethod)
LAYERS: tuple[str, ...] = get_args(Layer)
BATCH = 64


def grad_cam(features: Tensor, gradients: Tensor, relu: bool = True) -> Tensor:
    """Features and gradients (B, C, h, w) of a layer -> map (B, h, w); `relu=False` leaves its sign."""
    found = (gradients.mean(dim=(2, 3), keepdim=True) * features).sum(1)
    return found.relu() if relu else found


def grad_cam_plus_plus(features: Tensor, gradients: Tensor) -> Tensor:
    """Features and gradients (B, C, h, w) of a layer -> map (B, h, w), >= 0; a cell without gradient has no part in the weight.

    The paper takes the derivatives of exp(z), which only scale the map. It was made for features after a relu: where they may be below 0
    (Swin, ConvNeXt), the denominator of a can come near 0, and single cells then count for too much.
    """
    square = gradients**2
    below = 2 * square + gradients * square * features.sum(dim=(2, 3), keepdim=True)
    alpha = torch.where(below == 0, 0, square / torch.where(below == 0, 1, below))
    weights = (alpha * gradients.relu()).sum(dim=(2, 3), keepdim=True)
    return (weights * features).sum(1).relu()


def layer_cam(features: Tensor, gradients: Tensor) -> Tensor:
    """Features and gradients (B, C, h, w) of a layer -> map (B, h, w), >= 0."""
    return (gradients.relu() * features).sum(1).relu()


_FORMULAS = {"grad-cam": grad_cam, "grad-cam++": grad_cam_plus_plus, "layer-cam": layer_cam}


def explain(
    model: Classifier,
    faces: np.ndarray | Sequence[np.ndarray],
    *,
    method: str = "class-map",
    classes: Sequence[str] | None = None,
    layer: str = "last",
) -> np.ndarray:
    """Heat maps (n, L or k, h, w), float32, of faces for all classes or for k of them; on the model's device and in its precision, in
    evaluation mode.

    Args:
        faces: (n, S, S, 3), uint8 RGB, S being the model's size.
        method: one of `METHODS`. The maps of all but "class-map" are >= 0.
        classes: their names, in the order of the maps; None for all.
        layer: "last": the features before the pool; "earlier": those before the last stage, on a finer grid; not for "class-map".

    Raises:
        ConfigError: an unknown method, class or layer, or a method that cannot explain this network.
    """
    wanted = check(model, method, classes, layer)
    weight = next(model.parameters())
    parts = []
    was_training = model.training
    model.eval()
    try:
        for start in range(0, len(faces), BATCH):
            pixels = torch.from_numpy(np.ascontiguousarray(np.stack(list(faces[start : start + BATCH])))).to(weight.device)
            x = pixels.permute(0, 3, 1, 2).to(weight.dtype).div_(255)
            parts.append(_class_maps(model, x, wanted) if method == "class-map" else _by_gradient(model, x, wanted, method, layer))
    finally:
        model.train(was_training)
    if not parts:
        return np.zeros((0, len(wanted), *model.backbone.grid), np.float32)
    return np.concatenate([part.float().cpu().numpy() for part in parts])


def torch_model(recognizer: Recognizer) -> Classifier:
    """The network of a recognizer.

    Raises:
        ConfigError: it computes an exported file, which has no gradients.
    """
    if not isinstance(recognizer.runtime, TorchRuntime):
        raise ConfigError(
            f"Gradients need the model on torch, not on {recognizer.runtime.name}; take --method class-map, or runtime='torch'."
        )
    return recognizer.runtime.model


def supported(model: Classifier, layer: str = "last") -> tuple[str, ...]:
    """The methods that can explain this network from that layer."""
    found = METHODS[:1] if isinstance(model, Regions | Patches) else METHODS
    return found if layer == "last" else tuple(name for name in found if name != "class-map")


def check(model: Classifier, method: str, classes: Sequence[str] | None = None, layer: str = "last") -> list[int]:
    """The positions of the classes; raises what `explain` raises."""
    for what, value, known in (("method of explanation", method, METHODS), ("layer", layer, LAYERS)):
        if value not in known:
            raise ConfigError(unknown_name(what, value, known))
    if method == "class-map" and layer != "last":
        raise ConfigError("Class maps are of the last layer; the earlier one needs a method with gradients, such as --method layer-cam.")
    if method != "class-map" and isinstance(model, Regions | Patches):
        raise ConfigError(
            f"This network ('{model.kind}') looks at parts of a face one by one, so its gradients lie on several grids; "
            "take its own class maps, --method class-map."
        )
    names = model.class_names if classes is None else tuple(classes)
    for name in names:
        if name not in model.class_names:
            raise ConfigError(unknown_name("class", name, model.class_names))
    return [model.class_names.index(name) for name in names]


@torch.no_grad()
def _class_maps(model: Classifier, x: Tensor, wanted: list[int]) -> Tensor:
    found: Tensor = model(x).maps
    return found[:, wanted]


def _by_gradient(model: Classifier, x: Tensor, wanted: list[int], method: str, layer: str) -> Tensor:
    with _watched(model, layer) as seen, torch.no_grad():  # what lies before the layer needs no graph; the hook turns it on
        logits = model(x).logits
    (grid,) = seen
    features = _one_grid(model, grid.detach(), len(x), layer)
    maps = []
    for index in wanted:
        (gradient,) = torch.autograd.grad(logits[:, index].sum(), grid, retain_graph=True)
        maps.append(_FORMULAS[method](features, _one_grid(model, gradient, len(x), layer)))
    return torch.stack(maps, dim=1)


@contextmanager
def _watched(model: Classifier, layer: str) -> Iterator[list[Tensor]]:
    """Within it, the output of a layer is put into the list as a leaf, from which on there is a graph."""
    seen: list[Tensor] = []

    def catch(module: torch.nn.Module, given: tuple[Tensor, ...], out: Tensor) -> Tensor:
        torch.set_grad_enabled(True)
        seen.append(out.detach().to(precision).requires_grad_())
        return seen[-1].clone()  # what follows may work in place, which a leaf does not allow

    net, precision = model.backbone.net, next(model.parameters()).dtype  # what autocast has lowered is raised again
    place = model.backbone if layer == "last" else net.get_submodule(earlier_path(model.backbone))
    handle = place.register_forward_hook(catch)
    try:
        yield seen
    finally:
        handle.remove()


def _one_grid(model: Classifier, grid: Tensor, n: int, layer: str) -> Tensor:
    """What a layer gave for n faces as (n, C, h, w). The grids of branches stand one below the other: (K n, C, h, w) -> (n, K C, h, w)."""
    if layer == "earlier" and getattr(model.backbone.net, "output_fmt", "NCHW") == "NHWC":
        grid = grid.permute(0, 3, 1, 2)
    return grid if len(grid) == n else grid.reshape(-1, n, *grid.shape[1:]).transpose(0, 1).flatten(1, 2)
