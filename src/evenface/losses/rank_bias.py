"""The rank-biased loss of region attention (RAN: Wang et al., TIP 2020): the best crop must outweigh the whole face.

mean_n max(0, margin - (max_i alpha_i - alpha_whole))               i over the crops
"""

from __future__ import annotations

from torch import Tensor

from evenface.losses._numbers import full


def rank_bias(attention: Tensor, margin: float = 0.1) -> Tensor:
    """Mean hinge, a scalar >= 0.

    Arguments:
        attention: alpha (N, R + 1) of R crops and, last, of the whole face; in [0, 1].
        margin: by how much the largest of the crops should exceed the whole.
    """
    attention = full(attention)
    lead = attention[:, :-1].amax(1) - attention[:, -1]
    return (margin - lead).clamp(min=0).mean()
