"""Class maps, and how far those of a face and of its second view are apart.

    A[n, l, h, w] = sum_c W[l, c] F[n, c, h, w]                              no bias, no ReLU, no scaling; W detached
    l_rbc = 1 / (N H W) sum_nhw sum_l B_l (A - A_back)^2                     equations 2 and 3, as MEK's released code reads them

The printed equations leave four things open (B once or squared, mean or sum over classes, |.| or square, mirrored back or not);
each reading is an argument here, and maps are always compared on one grid (A_back).
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from evenface.errors import ConfigError, unknown_name
from evenface.losses._numbers import full, weights_like


Norm = Literal["mek_sum_classes", "mean_all"]
Weighting = Literal["outside", "inside_square"]
Distance = Literal["sq", "abs"]


def class_maps(features: Tensor, weight: Tensor, detach: bool = True) -> Tensor:
    """Class activation maps (B, L, H, W), float32.

    Arguments:
        features: last feature maps of the backbone (B, C, H, W); gradient flows into them.
        weight: of the linear head (L, C).
        detach: no gradient into the head through the maps, as EAC and MEK have it.
    """
    head = weight.detach() if detach else weight
    with torch.autocast(features.device.type, enabled=False):  # half precision would drown the small differences
        return torch.einsum("lc,bchw->blhw", full(head), full(features))


def rebalanced_consistency(
    maps: Tensor,
    maps_back: Tensor,
    weights: Tensor | np.ndarray,
    norm: Norm = "mek_sum_classes",
    weighting: Weighting = "outside",
    distance: Distance = "sq",
) -> Tensor:
    """Rebalanced consistency l_rbc, a scalar >= 0 (equation 3).

    Arguments:
        maps: class maps of view 1 (N, L, H, W).
        maps_back: class maps of view 2, already brought back to the grid of view 1 (N, L, H, W).
        weights: B (L,).
        norm: `mek_sum_classes` is the mean over n, h, w of the *sum* over classes (MEK's code; lambda = 0.1 belongs to it);
            `mean_all` is the printed 1 / (NLHW), smaller by the factor L (EAC's code, with lambda = 5 and B = 1).
        weighting: `outside`: B |.|^2 (MEK's code); `inside_square`: |B A - B A_back|^2 as equation 2 prints it, so B^2.
        distance: `sq` squared difference (EAC and MEK); `abs` its absolute value, the literal 2-norm of a number.

    Raises:
        ConfigError: unknown norm, weighting or distance.
    """
    for kind, name, known in (("norm", norm, Norm), ("weighting", weighting, Weighting), ("distance", distance, Distance)):
        if name not in get_args(known):
            raise ConfigError(unknown_name(f"{kind} of the consistency", name, get_args(known)))
    b = weights_like(weights, maps)[:, None, None]  # (L, 1, 1)
    difference = full(maps) - full(maps_back)
    if weighting == "inside_square":
        difference = b * difference
    element = difference.square() if distance == "sq" else difference.abs()
    if weighting == "outside":
        element = b * element
    return element.mean() if norm == "mean_all" else element.sum(1).mean()
