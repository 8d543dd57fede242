"""Remix: pixels as mixup, labels to the rarer class."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from evenface.methods import Batch, Setting, _mixing, create_method


Make = Callable[..., Batch]

LAM = torch.tensor([0.3, 0.7, 0.3, 0.6], dtype=torch.float64)


@pytest.fixture
def batch(monkeypatch: pytest.MonkeyPatch, faces: Make) -> Batch:
    """Classes of 60, 5, 35 and 20 faces, each mixed with the one before it (the first with the last)."""
    monkeypatch.setattr(_mixing, "draw_partners", lambda n, device: torch.tensor([3, 0, 1, 2]))
    monkeypatch.setattr(_mixing, "draw_lambda", lambda n, alpha, like: LAM)
    full = faces(4)
    return Batch(full.x, None, torch.tensor([0, 1, 3, 2]), None, full.rows, full.undo)


def test_labels_go_to_the_rarer_and_pixels_do_not(batch: Batch, setting: Setting) -> None:
    x, target = create_method("remix", setting, {}).blended(batch)
    assert target.tolist() == [
        [0, 0, 1, 0],  # 60 against 20, with 0.3 of the pixels: nothing
        [0, 1, 0, 0],  # 5 against 60, with 0.7: all
        [0, 1, 0, 0],  # 35 against 5, with 0.3: nothing
        [0, 0, pytest.approx(0.6), pytest.approx(0.4)],  # 20 against 35: too alike
    ]
    torch.testing.assert_close(x, torch.stack([LAM[i] * batch.x[i] + (1 - LAM[i]) * batch.x[i - 1] for i in range(4)]))


def test_votes_are_mixed_by_the_share_that_the_labels_decide(batch: Batch, setting: Setting, faces: Make) -> None:
    votes = faces(4, votes=True).soft
    assert votes is not None
    given = Batch(batch.x, None, batch.labels, votes, batch.rows, batch.undo)
    _, target = create_method("remix", setting, {}).blended(given)
    torch.testing.assert_close(target, torch.stack([votes[3], votes[1], votes[1], 0.6 * votes[3] + 0.4 * votes[2]]))


def test_a_kappa_out_of_reach_is_mixup(setting: Setting, tiny: Callable[[], nn.Module], faces: Make) -> None:
    totals = {}
    for name, options in (("remix", {"kappa": 13.0}), ("mixup", {"alpha": 1.0}), ("remix", {})):
        torch.manual_seed(3)
        totals[name, len(options)] = create_method(name, setting, options).loss(faces(32), tiny()).total.item()
    assert totals["remix", 1] == totals["mixup", 1] != totals["remix", 0]
