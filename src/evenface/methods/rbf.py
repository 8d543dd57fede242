"""Rebalanced focus alone: one half of the paper's method, the "RBF" row of its Table 3.

total = l_cls + mu l_rbf                         equation 7 with lambda = 0; mu 0.5, gamma 2
"""

from __future__ import annotations

from dataclasses import dataclass

from evenface.methods._rebalanced import Rebalanced
from evenface.methods._terms import BothViews, FocusOptions, WeightOptions


@dataclass(frozen=True)
class RbfOptions(WeightOptions, FocusOptions, BothViews):
    pass


class Rbf(Rebalanced):
    """Cross-entropy + rebalanced focal loss."""

    name = "rbf"
    title = "Rebalanced focus"
    paper = "Zhu, Chen, Yang, Dai, Zhao 2025, section 3.2"
    year = 2025
    Options = RbfOptions
    options: RbfOptions
