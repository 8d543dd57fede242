"""Bilateral branches: both samplers in every part of a batch, the schedule, the loss, and what starts how."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from evenface.errors import ConfigError
from evenface.methods import Batch, Setting, create_method
from evenface.methods.bbn import _conventional
from evenface.training.config import TrainConfig
from evenface.training.optim import build_optimizer


Make = Callable[..., Batch]
Model = Callable[..., nn.Module]
LABELS = np.repeat([0, 1, 2, 3], [60, 5, 20, 35])


@pytest.mark.parametrize("world", [1, 2, 3, 4])
@pytest.mark.parametrize("batch_size", [8, 11, 13, 64])
def test_every_process_gets_both_halves_of_every_batch(batch_size: int, world: int) -> None:
    is_conventional = _conventional(2 * 29, batch_size, world)
    for begin in range(0, 58, batch_size):
        batch = is_conventional[begin : begin + batch_size]
        for rank in range(world):
            mine = batch[rank::world].tolist()
            half = (len(mine) + 1) // 2
            assert mine == [True] * half + [False] * (len(mine) - half)


@pytest.mark.parametrize("batch_size", [16, 15])
def test_one_half_shows_every_face_and_the_other_the_rare(batch_size: int, setting: Setting) -> None:
    method = create_method("bbn", dataclasses.replace(setting, batch_size=batch_size), {})
    drawn = [method.draw(LABELS, np.random.default_rng(seed)) for seed in range(60)]
    assert np.array_equal(drawn[0], method.draw(LABELS, np.random.default_rng(0)))
    is_conventional = _conventional(240, batch_size, 1)
    for order in drawn:
        assert len(order) == 240
        assert set(order[is_conventional]) == set(range(120))
        if batch_size == 16:
            assert sorted(order[is_conventional]) == list(range(120))
    reversed_ = LABELS[np.concatenate([order[~is_conventional] for order in drawn])]
    inverse = np.array([60 / 60, 60 / 5, 60 / 20, 60 / 35])
    assert np.bincount(reversed_) / len(reversed_) == pytest.approx(inverse / inverse.sum(), abs=0.02)
    assert not np.array_equal(drawn[0][is_conventional][:16], drawn[1][is_conventional][:16])


def test_a_last_batch_too_small_for_both_branches_is_left_out(setting: Setting) -> None:
    for batch_size, rows in ((79, 237), (59, 240), (300, 240)):  # 240 rows leave 3, 4, all
        method = create_method("bbn", dataclasses.replace(setting, batch_size=batch_size), {})
        assert len(method.draw(LABELS, np.random.default_rng(0))) == rows


def test_a_batch_too_small_is_refused(setting: Setting, classifier: Model) -> None:
    with pytest.raises(ConfigError, match="--batch-size of 4 or more"):
        create_method("bbn", dataclasses.replace(setting, batch_size=3), {}).prepare(classifier())


def test_alpha_falls_with_the_square_of_the_epoch(setting: Setting) -> None:
    method: Any = create_method("bbn", dataclasses.replace(setting, epochs=4), {})
    alphas = []
    for epoch in range(4):
        method.start_epoch(epoch)
        alphas.append(method.alpha)
    assert alphas == [1, 1 - 1 / 16, 1 - 4 / 16, 1 - 9 / 16]


@pytest.mark.parametrize("votes", [False, True])
@pytest.mark.parametrize("n", [6, 5])
def test_the_loss_weighs_both_labels_of_a_pair(n: int, votes: bool, setting: Setting, classifier: Model, faces: Make) -> None:
    method: Any = create_method("bbn", dataclasses.replace(setting, epochs=4), {})
    model: Any = method.prepare(classifier()).eval()
    method.start_epoch(2)
    batch = faces(n, votes=votes, size=32)
    losses = method.loss(batch, model)
    log_p = model.mixed_logits(batch.x, 0.75).log_softmax(1).tolist()
    t = torch.nn.functional.one_hot(batch.labels, 4).tolist() if batch.soft is None else batch.soft.tolist()
    partners = {6: [3, 4, 5], 5: [3, 4, 3]}[n]
    first = -sum(t[i][c] * log_p[i][c] for i in range(3) for c in range(4)) / 3
    second = -sum(t[j][c] * log_p[i][c] for i, j in enumerate(partners) for c in range(4)) / 3
    assert float(losses.parts["conventional"]) == pytest.approx(first)
    assert float(losses.parts["rebalancing"]) == pytest.approx(second)
    assert losses.total.item() == pytest.approx(0.75 * first + 0.25 * second)


def test_in_the_first_epoch_the_rebalancing_block_stays_as_it_is(setting: Setting, classifier: Model, faces: Make) -> None:
    """Its gradient is 0, and Adam would make full steps of the decay alone."""
    for decay, same in ((False, True), (True, False)):
        method: Any = create_method("bbn", setting, {"decay_rebalancing": decay})
        model: Any = method.prepare(classifier())
        method.start_epoch(0)
        optimizer = build_optimizer(model, TrainConfig(optimizer="adam", lr=1e-3, weight_decay=1e-4))
        conventional, rebalancing = ([p.clone() for p in part.parameters()] for part in model.branches.copies)
        method.loss(faces(8, size=32), model).total.backward()
        optimizer.step()
        assert all(not torch.equal(p, q) for p, q in zip(model.branches.copies[0].parameters(), conventional, strict=True) if q.ndim > 1)
        assert all(torch.equal(p, q) == same for p, q in zip(model.branches.copies[1].parameters(), rebalancing, strict=True) if q.any())


def test_where_the_rebalancing_block_starts(setting: Setting, classifier: Model) -> None:
    for start in ("pretrained", "fresh"):
        model: Any = create_method("bbn", setting, {"rebalancing": start}).prepare(classifier())
        first, second = (dict(part.named_parameters()) for part in model.branches.copies)
        convolutions = [name for name, p in first.items() if p.ndim == 4]
        assert convolutions
        assert all(torch.equal(first[name], second[name]) == (start == "pretrained") for name in convolutions)
        assert torch.equal(model.backbone.net.conv1[0].weight, classifier().backbone.net.conv1[0].weight)  # type: ignore[union-attr, index]
