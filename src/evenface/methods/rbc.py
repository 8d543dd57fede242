"""Rebalanced consistency alone: one half of the paper's method, the "RBC" row of its Table 3.

total = l_cls + lambda l_rbc                     equation 7 with mu = 0; lambda 0.1
"""

from __future__ import annotations

from dataclasses import dataclass

from evenface.methods._rebalanced import Rebalanced
from evenface.methods._terms import BothViews, ConsistencyOptions, WeightOptions


@dataclass(frozen=True)
class RbcOptions(WeightOptions, ConsistencyOptions, BothViews):
    pass


class Rbc(Rebalanced):
    """Cross-entropy + rebalanced consistency."""

    name = "rbc"
    title = "Rebalanced attention consistency"
    paper = "Zhu, Chen, Yang, Dai, Zhao 2025, section 3.1"
    year = 2025
    Options = RbcOptions
    options: RbcOptions
