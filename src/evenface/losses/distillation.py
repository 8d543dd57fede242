"""What a student learns from a teacher.

    direction     mean_n (1 - cos(vec(f_n), vec(t_n)))                                  of descriptors or of whole maps
    answers       T^2 mean_n KL(t_n || softmax(z_n / T))                                t: the teacher's probabilities at temperature T

The first is half the squared distance of the vectors scaled to length 1, which is how attention transfer compares maps (Zagoruyko,
Komodakis: Paying more attention to attention, ICLR 2017); what is compared, a projection of the student's features and the teacher's
features, is FitNets' hint (Romero et al., ICLR 2015). The second is Hinton, Vinyals, Dean: Distilling the knowledge in a neural network,
2015; the factor T^2 keeps the gradient's size.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from evenface.losses._numbers import full
from evenface.losses.soft_labels import divergence


def direction(found: Tensor, target: Tensor) -> Tensor:
    """Mean over N of 1 - cos, a scalar in [0, 2]; no gradient reaches the target.

    Arguments:
        found, target: (N, ...) of the same shape; all but the first dimension are one vector.
    """
    return 1 - F.cosine_similarity(full(found).flatten(1), full(target).detach().flatten(1), dim=1).mean()


def answers(logits: Tensor, target: Tensor, temperature: float = 1.0) -> Tensor:
    """Divergence from a teacher's answers, a scalar >= 0; no gradient reaches the target.

    Arguments:
        logits: of the student (N, L), at temperature 1.
        target: probabilities of the teacher (N, L) at `temperature`; rows sum to 1.
    """
    return temperature**2 * divergence(full(logits) / temperature, target)
