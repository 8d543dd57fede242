"""What gives every face of a batch random parameters of its own, alike on one process or several.

    share = Share(total=64, rank=0, world=2)
    per_face(K.RandomAffine(degrees=10), faces, share)      # faces (32, C, S, S): those that this process holds

Parameters are drawn for the *global* batch from torch's CPU generator, and each process keeps its share.
"""

from __future__ import annotations

import kornia.augmentation as K
import torch
from torch import Tensor


ERASE_AREA = (0.02, 0.25)
ERASE_RATIO = (0.3, 3.3)


class Share:
    """The part of a global batch that one process holds: positions rank, rank + world, ... of `total`."""

    def __init__(self, total: int, rank: int = 0, world: int = 1):
        self.total = total
        self._local = slice(rank, None, world)

    def of(self, drawn: Tensor) -> Tensor:
        return drawn[self._local]


def chance(p: float, x: Tensor, share: Share) -> Tensor:
    return share.of(torch.rand(share.total) < p).to(x.device).view(-1, 1, 1, 1)


def per_face(layer: K.AugmentationBase2D, x: Tensor, share: Share, chosen: Tensor | None = None) -> Tensor:
    """Runs a kornia layer with parameters drawn for the global batch, of which this process takes its share.

    Args:
        layer: made with p = 1; kornia computes all faces where it is to change some.
        chosen: which of this process's faces it changes (n,), bool, on the CPU; None is all. The others are not computed.
    """
    drawn = layer.forward_parameters(torch.Size((share.total, *x.shape[1:])))
    rows = None if chosen is None else chosen.nonzero().squeeze(1)
    for key, value in drawn.items():
        if key not in ("order", "forward_input_shape") and value.ndim and len(value) == share.total:
            mine = share.of(value)
            drawn[key] = mine if rows is None else mine[rows]
    if rows is None:
        drawn["forward_input_shape"] = torch.tensor(x.shape)
        out: Tensor = layer(x, params=drawn)
        return out
    if not len(rows):
        return x
    drawn["forward_input_shape"] = torch.tensor((len(rows), *x.shape[1:]))
    rows = rows.to(x.device)
    return x.index_copy(0, rows, layer(x[rows], params=drawn))


def erase_box(x: Tensor, mean: Tensor, share: Share, chosen: Tensor | float) -> Tensor:
    """Fills one random box in each chosen face with the mean colour; every other pixel keeps its value to the bit."""
    layer = K.RandomErasing(ERASE_AREA, ERASE_RATIO, value=1.0, p=1.0)  # it fills with one number, so it only marks the box
    box = per_face(layer, x.new_zeros(len(x), 1, *x.shape[-2:]), share)
    return torch.lerp(x, mean.to(x), box * chosen)  # exact where the weight is 0 or 1, and much faster than `where`
