"""The losses of expression recognition under imbalance, as pure functions of tensors.

    >>> weights = class_weights(counts)                                    # counts: training faces per class
    >>> loss = rebalanced_focal(logits, labels, weights, gamma=2)

Each takes logits or maps in any floating dtype, computes in float32, and is a plain mean over the batch. None holds state.
"""

from __future__ import annotations

from evenface.losses.agreement import nt_xent as nt_xent
from evenface.losses.agreement import softmax_mse as softmax_mse
from evenface.losses.agreement import symmetric_kl as symmetric_kl
from evenface.losses.ambiguity import class_similarities as class_similarities
from evenface.losses.ambiguity import gram_error as gram_error
from evenface.losses.ambiguity import latent_distribution as latent_distribution
from evenface.losses.ambiguity import latent_error as latent_error
from evenface.losses.ambiguity import leave_one_out_cross_entropy as leave_one_out_cross_entropy
from evenface.losses.classification import cb_focal as cb_focal
from evenface.losses.classification import cb_sigmoid as cb_sigmoid
from evenface.losses.classification import cb_softmax as cb_softmax
from evenface.losses.classification import cross_entropy as cross_entropy
from evenface.losses.consistency import class_maps as class_maps
from evenface.losses.consistency import rebalanced_consistency as rebalanced_consistency
from evenface.losses.distillation import answers as answers
from evenface.losses.distillation import direction as direction
from evenface.losses.equalization import equalization as equalization
from evenface.losses.equalization import equalized_focal as equalized_focal
from evenface.losses.experts import class_temperatures as class_temperatures
from evenface.losses.experts import expert_diversity as expert_diversity
from evenface.losses.experts import sade_offsets as sade_offsets
from evenface.losses.focal import focal as focal
from evenface.losses.focal import rebalanced_focal as rebalanced_focal
from evenface.losses.importance import low_importance as low_importance
from evenface.losses.importance import rank_regularisation as rank_regularisation
from evenface.losses.margin import ldam_margins as ldam_margins
from evenface.losses.margin import margin_cross_entropy as margin_cross_entropy
from evenface.losses.mixing import mix_targets as mix_targets
from evenface.losses.mixing import remix_lambda as remix_lambda
from evenface.losses.prior import log_prior as log_prior
from evenface.losses.prior import shifted_cross_entropy as shifted_cross_entropy
from evenface.losses.rank_bias import rank_bias as rank_bias
from evenface.losses.smoothing import rebalanced_smooth as rebalanced_smooth
from evenface.losses.smoothing import smooth_targets as smooth_targets
from evenface.losses.soft_labels import divergence as divergence
from evenface.losses.soft_labels import soft_label_smoothing as soft_label_smoothing
from evenface.losses.uncertainty import add_up as add_up
from evenface.losses.uncertainty import mix_by_uncertainty as mix_by_uncertainty
from evenface.losses.uncertainty import partners_of_other_classes as partners_of_other_classes
from evenface.losses.weights import class_weights as class_weights
from evenface.losses.weights import uniform_warning as uniform_warning
from evenface.losses.weights import weight_notes as weight_notes
from evenface.losses.weights import weight_ratio as weight_ratio


__all__ = [
    "add_up",
    "answers",
    "cb_focal",
    "cb_sigmoid",
    "cb_softmax",
    "class_maps",
    "class_similarities",
    "class_temperatures",
    "class_weights",
    "cross_entropy",
    "direction",
    "divergence",
    "equalization",
    "equalized_focal",
    "expert_diversity",
    "focal",
    "gram_error",
    "latent_distribution",
    "latent_error",
    "ldam_margins",
    "leave_one_out_cross_entropy",
    "log_prior",
    "low_importance",
    "margin_cross_entropy",
    "mix_by_uncertainty",
    "mix_targets",
    "nt_xent",
    "partners_of_other_classes",
    "rank_bias",
    "rank_regularisation",
    "rebalanced_consistency",
    "rebalanced_focal",
    "rebalanced_smooth",
    "remix_lambda",
    "sade_offsets",
    "shifted_cross_entropy",
    "smooth_targets",
    "soft_label_smoothing",
    "softmax_mse",
    "symmetric_kl",
    "uniform_warning",
    "weight_notes",
    "weight_ratio",
]
