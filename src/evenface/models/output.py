"""What a classifier returns."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Output(NamedTuple):
    """Logits (B, L), class maps (B, L, H, W) and pooled features (B, C), all float32 whatever the autocast.

    A map is `A[b, l] = sum_c W[l, c] F[b, c]` with the head weight detached, no bias and no ReLU (equation 2 of the
    paper before weighting).
    """

    logits: Tensor
    maps: Tensor
    features: Tensor
