"""Class maps from one grid of cells to another, without a change of their mean.

    spread(maps, (4, 4))                                          # the same picture on 4 x 4 cells
    spread(maps, (4, 4), (0.0, 0.75), (0.25, 1.0))                # maps that show rows 0 to 0.75, columns 0.25 to 1 of the picture

Each cell gives what it holds to the cells that it covers, in proportion to the area. A sampled picture would look smoother, but the mean
of a map is a logit, up to a constant, and interpolation does not keep it.
"""

from __future__ import annotations

import torch
from torch import Tensor


def spread(
    maps: Tensor, size: tuple[int, int], rows: tuple[float, float] = (0.0, 1.0), columns: tuple[float, float] = (0.0, 1.0)
) -> Tensor:
    """Maps (B, L, h, w) of a part of a picture -> (B, L, *size) on the whole, zero elsewhere, with the same mean over space.

    Arguments:
        rows, columns: where the part begins and ends, in [0, 1] from the top and from the left.
    """
    height, width = maps.shape[2:]
    down = _shares(height, size[0], rows, maps)
    across = _shares(width, size[1], columns, maps)
    with torch.autocast(maps.device.type, enabled=False):  # which would round the maps to bfloat16
        return (size[0] * size[1] / (height * width)) * torch.einsum("yh,blhw,xw->blyx", down, maps, across)


def _shares(cells: int, of: int, where: tuple[float, float], like: Tensor) -> Tensor:
    """Which share of each of `cells` equal parts of the interval lies in each of `of` equal parts of [0, 1]: (of, cells)."""
    begin, end = where
    length = (end - begin) / cells
    start = begin + length * torch.arange(cells, device=like.device, dtype=like.dtype)
    cut = torch.arange(of, device=like.device, dtype=like.dtype)[:, None] / of
    inside = torch.minimum(start + length, cut + 1 / of) - torch.maximum(start, cut)
    return inside.clamp(min=0) / length
