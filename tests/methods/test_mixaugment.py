"""MixAugment: the blended faces and both real ones, each by its own pass."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from evenface.methods import Batch, Setting, _mixing, create_method


def test_the_three_losses(
    monkeypatch: pytest.MonkeyPatch, setting: Setting, tiny: Callable[[], nn.Module], faces: Callable[..., Batch]
) -> None:
    partners, lam = torch.tensor([1, 2, 0]), torch.tensor([0.8, 0.35, 0.5], dtype=torch.float64)
    monkeypatch.setattr(_mixing, "draw_partners", lambda n, device: partners)
    monkeypatch.setattr(_mixing, "draw_lambda", lambda n, alpha, like: lam)
    model, batch = tiny(), faces(3)
    y = batch.labels
    blended = torch.stack([lam[i] * batch.x[i] + (1 - lam[i]) * batch.x[partners[i]] for i in range(3)])
    z = model(blended).logits
    each = [F.cross_entropy(z, target, reduction="none") for target in (y, y[partners])]
    mixed = (lam * each[0] + (1 - lam) * each[1]).mean()
    first = F.cross_entropy(model(batch.x).logits, y)
    second = F.cross_entropy(model(batch.x[partners]).logits, y[partners])
    losses = create_method("mixaugment", setting, {}).loss(batch, model)
    torch.testing.assert_close(losses.total, mixed + first + second)
    torch.testing.assert_close(losses.parts, {"cls": first.detach(), "mix": mixed.detach()})


def test_without_mixing_it_is_three_times_cross_entropy(
    setting: Setting, tiny: Callable[[], nn.Module], faces: Callable[..., Batch]
) -> None:
    model, batch = tiny(), faces()
    total = create_method("mixaugment", setting, {"alpha": 0.0}).loss(batch, model).total
    torch.testing.assert_close(total, 3 * F.cross_entropy(model(batch.x).logits, batch.labels))
