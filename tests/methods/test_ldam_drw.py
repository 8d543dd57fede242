"""Margins, the cosine head, and weights that begin late."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import pytest
import torch
from torch import nn

from evenface.errors import ModelError
from evenface.methods import Batch, Setting, create_method
from evenface.models.classifier import Classifier
from evenface.models.cosine import CosineClassifier


Make = Callable[..., Batch]


def by_hand(logits: torch.Tensor, labels: torch.Tensor, counts: list[int], weights: list[float]) -> float:
    total = 0.0
    for row, y in zip(logits.tolist(), labels.tolist(), strict=True):
        lowered = list(row)
        lowered[y] -= 30 * 0.5 * (min(counts) / counts[y]) ** 0.25
        top = max(lowered)
        total += weights[y] * (top + math.log(sum(math.exp(v - top) for v in lowered)) - lowered[y])
    return total / len(labels)


def test_the_rarest_class_has_the_largest_margin_and_weights_come_at_the_end(
    setting: Setting, classifier: Callable[[], Classifier], faces: Make
) -> None:
    setting = dataclasses.replace(setting, epochs=5)
    method, batch = create_method("ldam_drw", setting, {}), faces(6, size=32)
    model = method.prepare(classifier()).eval()
    logits, counts = model(batch.x).logits, list(setting.counts)
    effective = [1e-4 / (1 - 0.9999**n) for n in counts]
    effective = [4 * w / sum(effective) for w in effective]
    for epoch, weights in ((0, [1.0] * 4), (3, [1.0] * 4), (4, effective), (0, [1.0] * 4)):
        method.start_epoch(epoch)
        assert method.loss(batch, model).total.item() == pytest.approx(by_hand(logits, batch.labels, counts, weights), rel=1e-5)


@pytest.mark.parametrize(("start", "epochs", "first"), [(0.8, 200, 160), (0.8, 3, 2), (0.8, 2, 1), (0.8, 1, 0), (0.5, 10, 5), (0.0, 4, 0)])
def test_the_start_is_a_share_of_the_epochs(start: float, epochs: int, first: int, setting: Setting) -> None:
    method = create_method("ldam_drw", dataclasses.replace(setting, epochs=epochs), {"start": start})
    states = []
    for epoch in range(epochs):
        method.start_epoch(epoch)
        states.append(method.weighted)
    assert states == [False] * first + [True] * (epochs - first)
    assert f"from epoch {first + 1} of {epochs} on" in method.notes()[-1]


def test_a_start_beyond_the_end_is_plain_ldam(setting: Setting) -> None:
    method = create_method("ldam_drw", setting, {"start": 1.0})
    method.start_epoch(setting.epochs - 1)
    assert not method.weighted
    (note,) = method.notes()  # and nothing of the weights
    assert "never" in note


def test_the_head_is_of_angles_on_the_given_backbone(setting: Setting, classifier: Callable[[], Classifier], faces: Make) -> None:
    plain = classifier()
    method = create_method("ldam_drw", setting, {"cosine_scale": 16.0})
    model = method.prepare(plain)
    assert isinstance(model, CosineClassifier)
    assert model.backbone is plain.backbone
    assert model.settings() == {"scale": 16.0}
    method.loss(faces(4, size=32), model).total.backward()
    assert all(p.grad is not None for p in model.parameters())


def test_something_else_than_a_classifier_is_refused(setting: Setting) -> None:
    with pytest.raises(ModelError, match="cosine head"):
        create_method("ldam_drw", setting, {}).prepare(nn.Linear(3, 4))
