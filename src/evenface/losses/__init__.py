"""The losses of expression recognition under imbalance, as pure functions of tensors.

    >>> weights = class_weights(counts)                                    # counts: training faces per class
    >>> loss = rebalanced_focal(logits, labels, weights, gamma=2)

Each takes logits or maps in any floating dtype, computes in float32, and is a plain mean over the batch. None holds state.
"""

from __future__ import annotations

from evenface.losses.classification import cb_focal as cb_focal
from evenface.losses.classification import cb_sigmoid as cb_sigmoid
from evenface.losses.classification import cb_softmax as cb_softmax
from evenface.losses.classification import cross_entropy as cross_entropy
from evenface.losses.consistency import class_maps as class_maps
from evenface.losses.consistency import rebalanced_consistency as rebalanced_consistency
from evenface.losses.focal import focal as focal
from evenface.losses.focal import rebalanced_focal as rebalanced_focal
from evenface.losses.smoothing import rebalanced_smooth as rebalanced_smooth
from evenface.losses.smoothing import smooth_targets as smooth_targets
from evenface.losses.weights import class_weights as class_weights
from evenface.losses.weights import uniform_warning as uniform_warning
from evenface.losses.weights import weight_notes as weight_notes
from evenface.losses.weights import weight_ratio as weight_ratio


__all__ = [
    "cb_focal",
    "cb_sigmoid",
    "cb_softmax",
    "class_maps",
    "class_weights",
    "cross_entropy",
    "focal",
    "rebalanced_consistency",
    "rebalanced_focal",
    "rebalanced_smooth",
    "smooth_targets",
    "uniform_warning",
    "weight_notes",
    "weight_ratio",
]
