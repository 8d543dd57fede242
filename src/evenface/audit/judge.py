"""Which labels are doubtful, given what a judge that has not learned from them says.

    mask, how = doubtful(labels, probabilities, "auto")         # (n,) bool

Both rules are confident learning (Northcutt, Jiang and Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels", JAIR 2021):
a class is confidently seen in a face where its probability is at least the mean that faces labelled so get.

    cleanlab   the package (extra `audit`): of each pair of classes as many faces as the estimated noise says, the clearest first, that are
               confidently seen as another class too (its filter `both`)
    plain      a face is doubtful where another class is confidently seen, and more probable than the label's
"""

from __future__ import annotations

import importlib.util

import numpy as np

from evenface.errors import ConfigError, MissingExtra, unknown_name


RULES = ("auto", "cleanlab", "plain")


def choose_rule(rule: str) -> str:
    """cleanlab or plain; auto takes cleanlab where it is installed.

    Raises:
        ConfigError: an unknown rule. MissingExtra: cleanlab is asked for and not installed.
    """
    if rule not in RULES:
        raise ConfigError(unknown_name("rule", rule, RULES))
    there = importlib.util.find_spec("cleanlab") is not None
    if rule == "cleanlab" and not there:
        raise MissingExtra("--rule cleanlab", "audit")
    return rule if rule != "auto" else "cleanlab" if there else "plain"


def doubtful(labels: np.ndarray, probabilities: np.ndarray, rule: str) -> np.ndarray:
    """Bool (n,).

    Args:
        labels: (n,) int64, each of the L classes at least once.
        probabilities: (n, L).
        rule: cleanlab or plain.
    """
    if rule == "cleanlab":
        from cleanlab.filter import find_label_issues

        mask: np.ndarray = find_label_issues(labels, probabilities, filter_by="both", n_jobs=1)
        return mask
    rows = np.arange(len(labels))
    usual = np.array([probabilities[labels == k, k].mean() for k in range(probabilities.shape[1])])
    confident = np.where(probabilities >= usual, probabilities, -1.0)
    seen = confident.argmax(axis=1)
    clearer: np.ndarray = (confident.max(axis=1) >= 0) & (seen != labels) & (probabilities[rows, seen] > probabilities[rows, labels])
    return clearer


def margins(labels: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """By how much the best other class is more probable than the label's, -1 to 1 (n,), and which class it is (n,)."""
    others = probabilities.copy()
    others[np.arange(len(labels)), labels] = -1.0
    best = others.argmax(axis=1)
    return others.max(axis=1) - probabilities[np.arange(len(labels)), labels], best
