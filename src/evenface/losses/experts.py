"""What sets several experts apart: RIDE's diversity (Wang et al., ICLR 2021), and SADE's priors (Zhang et al., NeurIPS 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
from torch import Tensor

from evenface.errors import ConfigError, unknown_name
from evenface.losses._numbers import full, weights_like
from evenface.losses.prior import log_prior


Divergence = Literal["expert_mean", "mean_expert"]
Numbers = npt.NDArray[np.float64]


def class_temperatures(counts: Sequence[int] | npt.NDArray[np.integer], temperature: float = 1.0, spread: float = 0.05) -> Numbers:
    """A temperature per class (L,), float64, in (0, temperature]: the rarer the class, the lower.

        T_l = T (spread L n_l / N + 1 - spread) / max_k(same)

    Arguments:
        counts: training faces per class (L,), with at least one face.
        temperature: T > 0, that of the most frequent class.
        spread: in [0, 1); 0 gives every class T.
    """
    n = np.asarray(counts, dtype=np.float64)
    raw = spread * len(n) * n / n.sum() + 1 - spread
    scaled: Numbers = temperature * raw / raw.max()
    return scaled


def expert_diversity(logits: Tensor, temperatures: Tensor | np.ndarray, divergence: Divergence = "expert_mean") -> Tensor:
    """How far the experts are from their mean, summed over the experts: mean_n sum_k T^2 KL, a scalar >= 0.

    The mean is that of the logits, and constant: no gradient flows through it. T is the mean temperature.

    Arguments:
        logits: of each expert (K, N, L).
        temperatures: that each class's logit is divided by (L,), > 0.
        divergence: "expert_mean" is KL(expert || mean), "mean_expert" the reverse.

    Raises:
        ConfigError: unknown divergence.
    """
    if divergence not in get_args(Divergence):
        raise ConfigError(unknown_name("divergence of the experts", divergence, get_args(Divergence)))
    z = full(logits)
    t = weights_like(temperatures, z)
    own = (z / t).log_softmax(2)
    mean = (z.mean(0, keepdim=True).detach() / t).log_softmax(2)
    each = own.exp() * (own - mean) if divergence == "expert_mean" else mean.exp() * (mean - own)
    return t.mean() ** 2 * each.sum((0, 2)).mean()


def sade_offsets(counts: Sequence[int] | npt.NDArray[np.integer], tau: float = 2.0) -> Numbers:
    """What is added to the logits of SADE's three experts in training, (3, L), float64: 0, log pi, and log pi - tau log inverse pi.

    The inverse of the prior pi has its values in reverse order: the rarest class gets that of the most frequent, and so on. Classes with
    equally many faces share the mean of theirs, so that none is favoured by its place.

    Arguments:
        counts: training faces per class (L,); as for `log_prior`, a class without faces counts as one with one.
        tau: >= 0.
    """
    prior = log_prior(counts)
    order = np.argsort(prior, kind="stable")
    inverse = np.empty_like(prior)
    inverse[order] = prior[order[::-1]]
    for value in np.unique(prior):
        inverse[prior == value] = inverse[prior == value].mean()
    return np.stack([np.zeros_like(prior), prior, prior - tau * inverse])
