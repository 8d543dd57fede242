"""Self-cure: importance and loss, who is relabelled, when, and what is kept of it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any, cast

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from evenface.methods import Batch, Setting, create_method
from evenface.methods.scn import Scn
from evenface.models.output import Output


Make = Callable[..., Batch]
EPOCHS, N = 10, 12


class Fixed(nn.Module):
    """A network that gives the logits and importances that it is told to."""

    def __init__(self, logits: torch.Tensor, importance: torch.Tensor) -> None:
        super().__init__()
        self.logits, self.importance = logits.clone().requires_grad_(), importance.clone().requires_grad_()

    def forward(self, x: torch.Tensor) -> Output:
        return Output(self.logits, x, x)

    def importance_of(self, features: torch.Tensor) -> torch.Tensor:
        return self.importance


@pytest.fixture
def start(setting: Setting, faces: Make) -> Callable[..., tuple[Scn, Batch]]:
    def make(votes: bool = False, **options: Any) -> tuple[Scn, Batch]:
        batch = faces(N, votes=votes)
        own = dataclasses.replace(setting, epochs=EPOCHS, labels=batch.labels.tolist())
        return cast(Scn, create_method("scn", own, options)), batch

    return make


Start = Callable[..., tuple[Scn, Batch]]


def random(seed: int = 3) -> Fixed:
    generator = torch.Generator().manual_seed(seed)
    importance = torch.linspace(0.1, 0.9, N, dtype=torch.float64)[torch.randperm(N, generator=generator)]
    return Fixed(2 * torch.randn(N, 4, generator=generator, dtype=torch.float64), importance)


def test_loss_by_a_loop(start: Start) -> None:
    method, batch = start(margin1=0.6)
    model = random()
    losses = method.loss(batch, model)
    cls = -sum(model.logits[i].log_softmax(0)[y].item() for i, y in enumerate(batch.labels.tolist())) / N
    ordered = sorted(model.importance.tolist(), reverse=True)
    rank = 0.6 - (sum(ordered[:8]) / 8 - sum(ordered[8:]) / 4)  # int(0.7 * 12) = 8
    assert rank > 0
    assert float(losses.parts["cls"]) == pytest.approx(cls)
    assert float(losses.parts["rank"]) == pytest.approx(rank)
    assert losses.total.item() == pytest.approx(cls + rank)
    assert start(margin1=0.6, rank_weight=3.0)[0].loss(batch, model).total.item() == pytest.approx(cls + 3 * rank)


def test_both_terms_reach_the_importance_layer(start: Start, classifier: Callable[..., nn.Module]) -> None:
    grads = []
    for margin1 in (0.0, 5.0):
        method, batch = start(margin1=margin1)
        model: Any = method.prepare(classifier())
        x = torch.rand(N, 3, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        method.loss(dataclasses.replace(batch, x=x), model).total.backward()
        assert all(p.grad is not None and p.grad.any() for p in [model.importance.weight, model.head.weight])
        grads.append(model.importance.weight.grad)
    assert not torch.allclose(*grads)


def expected_labels(model: Fixed, labels: list[int], low_only: bool) -> list[int]:
    low = sorted(range(N), key=lambda i: -model.importance[i].item())[8:]
    now = list(labels)
    for i, y in enumerate(labels):
        powers = [math.exp(z.item()) for z in model.logits[i]]
        p = [v / sum(powers) for v in powers]
        if max(p) - p[y] > 0.2 and (i in low or not low_only):
            now[i] = p.index(max(p))
    return now


@pytest.mark.parametrize("relabel", ["low", "all"])
def test_who_is_relabelled(relabel: str, start: Start) -> None:
    method, batch = start(relabel=relabel, relabel_from=0.0)
    model = random()
    expected = expected_labels(model, batch.labels.tolist(), relabel == "low")
    method.start_epoch(4)
    method.loss(batch, model)
    method.after_step(model)
    assert method.current.tolist() == expected
    changed = [i for i in range(N) if expected[i] != int(batch.labels[i])]
    assert len(changed) == (3 if relabel == "low" else 9)
    rows = method.tables()["relabelled"]
    assert [row["row"] for row in rows] == changed
    names = method.setting.class_names
    for row in rows:
        i = row["row"]
        confidence = model.logits[i].softmax(0)[expected[i]].item()
        assert row["epoch"] == 5
        assert (row["from"], row["to"]) == (names[int(batch.labels[i])], names[expected[i]])
        assert row["confidence"] == pytest.approx(confidence, abs=1e-4)


def test_a_face_that_got_its_label_back_is_not_in_the_table(start: Start) -> None:
    method, batch = start(relabel="all", relabel_from=0.0)
    right = Fixed(5.0 * F.one_hot(batch.labels, 4).double(), torch.rand(N, dtype=torch.float64))
    for model in (random(), right):
        method.loss(batch, model)
        method.after_step(model)
    assert method.current.tolist() == batch.labels.tolist()
    assert method.epoch.tolist().count(1) == 9
    assert method.tables() == {"relabelled": []}


def test_a_step_takes_the_old_labels_and_the_next_the_new(start: Start) -> None:
    method, batch = start(relabel="all", relabel_from=0.0)
    model = random()
    first = method.loss(batch, model).parts["cls"]
    torch.testing.assert_close(first, F.cross_entropy(model.logits, batch.labels))
    method.after_step(model)
    new = torch.tensor(expected_labels(model, batch.labels.tolist(), low_only=False))
    torch.testing.assert_close(method.loss(batch, model).parts["cls"], F.cross_entropy(model.logits, new))
    # Rows say which face it is, wherever it stands in the batch.
    method, batch = start(relabel="all", relabel_from=0.0)
    turned = dataclasses.replace(batch, rows=batch.rows.flip(0), labels=batch.labels.flip(0))
    method.loss(turned, Fixed(model.logits.flip(0), model.importance.flip(0)))
    method.after_step(model)
    assert method.current.tolist() == new.tolist()


@pytest.mark.parametrize(("share", "first"), [(0.14, 2), (0.3, 3), (0.0, 0), (1.0, None)])
def test_the_epoch_from_which_it_relabels(share: float, first: int | None, start: Start) -> None:
    for epoch in range(EPOCHS):
        method, batch = start(relabel="all", relabel_from=share)
        method.start_epoch(epoch)
        model = random()
        method.loss(batch, model)
        method.after_step(model)
        assert (method.current.tolist() != batch.labels.tolist()) == (first is not None and epoch >= first)


def test_votes_count_until_a_face_is_relabelled(start: Start) -> None:
    method, batch = start(votes=True, relabel_from=0.0)
    assert batch.soft is not None
    model = random()
    torch.testing.assert_close(method.loss(batch, model).parts["cls"], F.cross_entropy(model.logits, batch.soft))
    method.after_step(model)
    target = batch.soft.clone()
    for i, y in enumerate(expected_labels(model, batch.labels.tolist(), low_only=True)):
        if y != int(batch.labels[i]):
            target[i] = F.one_hot(torch.tensor(y), 4)
    assert not torch.equal(target, batch.soft)
    torch.testing.assert_close(method.loss(batch, model).parts["cls"], F.cross_entropy(model.logits, target))


def test_a_saved_state_brings_labels_and_table(start: Start) -> None:
    method, batch = start(relabel="all", relabel_from=0.0)
    model = random()
    method.loss(batch, model)
    method.after_step(model)
    again, _ = start(relabel="all", relabel_from=0.0)
    again.load_state_dict(method.state_dict())
    assert again.tables() == method.tables() != {"relabelled": []}
    torch.testing.assert_close(again.loss(batch, model).total, method.loss(batch, model).total)
