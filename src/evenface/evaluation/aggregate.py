"""How much each expert of a network is to be believed on given faces, found without their labels (SADE, Zhang et al., NeurIPS 2022).

    w = argmax mean_n <softmax(sum_k w_k z_k), softmax(sum_k w_k z'_k)>          z, z': an expert's logits of a face and of its mirror

    weights = expert_weights(face, mirror)             # (K,)
    probabilities = weighted(face, weights)            # (n, L)

An expert that suits the faces is sure of them and says the same of both views. All faces are looked at together, so the weights, and with
them the answer for one face, depend on which others are scored, though not on their order or on batches. The authors climb by SGD on random
crops, maximise the cosine of the two predictions and stop early when a weight falls below 0.05; here it is the inner product (it asks for
more confidence), the views are fixed, the climb from equal weights goes to the top, and no weight may fall below 0.05.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import softmax


Numbers = npt.NDArray[np.float64]

FLOOR = 0.05  # under which no weight falls
DECIMALS = 3  # of a weight: the last bits of the logits, which depend on the size of a batch, leave no trace


def expert_weights(face: np.ndarray, mirror: np.ndarray) -> Numbers:
    """One weight per expert (K,), float64, >= 0.05 (or 1 / K if that is less), with sum 1; equal ones where there is no face.

    Arguments:
        face, mirror: logits of each expert (K, n, L) for faces and for their mirrors.
    """
    a, b = face.astype(np.float64), mirror.astype(np.float64)
    experts = len(a)
    equal = np.full(experts, 1 / experts)
    if experts == 1 or not a.size:
        return equal

    def disagreement(w: Numbers) -> tuple[float, Numbers]:
        """1 - mean inner product, and its gradient (K,)."""
        p, q = softmax(np.tensordot(w, a, 1), axis=1), softmax(np.tensordot(w, b, 1), axis=1)  # (n, L)
        both = p * q
        inner = both.sum(1, keepdims=True)
        slope = ((both - p * inner) * a).sum(2).mean(1) + ((both - q * inner) * b).sum(2).mean(1)
        return 1 - float(inner.mean()), -slope

    found = minimize(
        disagreement,
        equal,
        jac=True,
        method="SLSQP",
        bounds=[(min(FLOOR, 1 / experts), 1.0)] * experts,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": np.ones_like},
        options={"ftol": 1e-12, "maxiter": 500},
    )
    weights: Numbers = found.x.round(DECIMALS)
    weights[weights.argmax()] += 1 - weights.sum()
    return weights


def weighted(logits: np.ndarray, weights: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Probabilities (n, L), float32, of the weighted mean of the experts' logits (K, n, L)."""
    mean = np.tensordot(np.asarray(weights, dtype=np.float64), logits.astype(np.float64), 1)
    probabilities: npt.NDArray[np.float32] = softmax(mean, axis=1).astype(np.float32)
    return probabilities
