"""The paper's method: rebalanced consistency of attention and rebalanced focus, on top of cross-entropy over both views.

    total = l_cls + lambda l_rbc + mu l_rbf          equation 7; lambda 0.1, mu 0.5, gamma 2, beta 0.999

    l_cls  cross-entropy summed over both views                                                equation 1
    l_rbc  mean over n, h, w of sum_l B_l (A - A_back)^2                                       equations 2, 3
    l_rbf  mean over n of B_y (1 - p_y)^gamma (-log p_y), summed over both views               equation 5
    B      effective-number weights, scaled to sum to the number of classes                    equation 6

Where the printed equations are open, every reading is an option.
"""

from __future__ import annotations

import dataclasses

from evenface.methods._rebalanced import Rebalanced
from evenface.methods._terms import BothViews, ConsistencyOptions, FocusOptions, WeightOptions


@dataclasses.dataclass(frozen=True)
class RbcfOptions(WeightOptions, FocusOptions, ConsistencyOptions, BothViews):
    pass


class Rbcf(Rebalanced):
    """Cross-entropy + rebalanced consistency + rebalanced focus."""

    name = "rbcf"
    title = "Rebalance-Based Regulation of Attention Consistency and Focus"
    paper = (
        "Zhu, Chen, Yang, Dai, Zhao: A Facial Expression Recognition Network Using Rebalance-Based Regulation of Attention Consistency "
        "and Focus, 2025"
    )
    year = 2025
    Options = RbcfOptions
    options: RbcfOptions
