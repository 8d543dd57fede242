"""MEK against its two terms written out."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from evenface.methods import Batch, Setting, create_method


Make = Callable[..., Batch]
Model = Callable[[], nn.Module]


def test_smooth_labels_on_view_1_and_a_tenth_of_the_consistency(setting: Setting, tiny: Model, faces: Make) -> None:
    batch, model = faces(5), tiny()
    losses = create_method("mek", setting, {}).loss(batch, model)
    b = [0.1 * sum(setting.counts) / n for n in setting.counts]
    first, second = model(batch.x), model(batch.second)
    logs = first.logits.log_softmax(1)
    cls = 0.0
    for i, y in enumerate(batch.labels.tolist()):
        others = sum(w for k, w in enumerate(b) if k != y)
        cls -= sum((0.7 if k == y else 0.3 * b[k] / others) * logs[i, k].item() for k in range(4)) / 5
    rbc = sum(b[k] * (first.maps[:, k] - second.maps[:, k].flip(-1)).square().mean().item() for k in range(4))
    assert losses.parts["cls"].item() == pytest.approx(cls, rel=1e-5)
    assert losses.parts["rbc"].item() == pytest.approx(rbc, rel=1e-5)
    assert losses.total.item() == pytest.approx(cls + 0.1 * rbc, rel=1e-5)


def test_weights_follow_the_counts_of_the_run() -> None:
    raf = Setting(list("abcdefg"), [1290, 281, 717, 4772, 1982, 705, 2524], epochs=1)
    expected = [0.95124031, 4.36690391, 1.71143654, 0.25714585, 0.6191221, 1.74056738, 0.48617274]
    torch.testing.assert_close(create_method("mek", raf, {}).B, torch.tensor(expected))
