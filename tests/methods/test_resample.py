"""Re-sampling: how often each class comes, by sampler and epoch; the loss is cross-entropy."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from evenface.methods import Batch, Setting, create_method


LABELS = np.repeat(np.arange(4), [6000, 500, 2000, 3500])
N = len(LABELS)
SHARES = np.array([6000, 500, 2000, 3500]) / N
ROOTS = np.sqrt(SHARES) / np.sqrt(SHARES).sum()


@pytest.mark.parametrize(
    ("sampling", "epoch", "expected"),
    [
        ("balanced", 0, np.full(4, 0.25)),
        ("balanced", 4, np.full(4, 0.25)),
        ("sqrt", 2, ROOTS),
        ("progressive", 0, SHARES),
        ("progressive", 1, 0.75 * SHARES + 0.25 * 0.25),
        ("progressive", 4, np.full(4, 0.25)),
    ],
)
def test_shares_of_an_epoch(sampling: str, epoch: int, expected: np.ndarray, setting: Setting) -> None:
    method = create_method("resample", dataclasses.replace(setting, epochs=5), {"sampling": sampling})
    method.start_epoch(epoch)
    rows = method.draw(LABELS, np.random.default_rng([0, epoch]))
    assert len(rows) == N
    assert np.bincount(LABELS[rows], minlength=4) / N == pytest.approx(expected, abs=0.018)  # four standard deviations at most
    again = create_method("resample", dataclasses.replace(setting, epochs=5), {"sampling": sampling})
    again.start_epoch(epoch)
    assert np.array_equal(rows, again.draw(LABELS, np.random.default_rng([0, epoch])))


def test_a_single_epoch_of_progressive_is_a_shuffle_by_class(setting: Setting) -> None:
    method = create_method("resample", dataclasses.replace(setting, epochs=1), {"sampling": "progressive"})
    method.start_epoch(0)
    rows = method.draw(LABELS, np.random.default_rng(0))
    assert np.bincount(LABELS[rows], minlength=4) / N == pytest.approx(SHARES, abs=0.018)


@pytest.mark.parametrize("options", [{}, {"cls_views": "both", "label_smoothing": 0.2}])
def test_the_loss_is_cross_entropy(
    options: dict[str, object], setting: Setting, tiny: Callable[[], nn.Module], faces: Callable[..., Batch]
) -> None:
    model, batch = tiny(), faces()
    method, plain = create_method("resample", setting, options), create_method("ce", setting, options)
    assert method.views == plain.views
    torch.testing.assert_close(method.loss(batch, model).total, plain.loss(batch, model).total)


def test_it_tells_how_often_the_rarest_comes(setting: Setting) -> None:
    # 120 faces: 30 draws of each class, so 30 / 5 for 'fear' and 30 / 60 for 'anger'.
    assert create_method("resample", setting, {}).notes() == [
        "In an epoch a face of 'fear' is drawn 6.00 times, one of 'anger' 0.50 times."
    ]
    empty = dataclasses.replace(setting, counts=[60, 0, 20, 40])
    assert "'happiness' is drawn 2.00 times" in create_method("resample", empty, {"sampling": "progressive"}).notes()[0]
