"""Mixup: the draws, the blend, and the loss against a loop over the faces."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from evenface.methods import Batch, Setting, _mixing, create_method
from evenface.methods._mixing import blend, draw_lambda, draw_partners


Make = Callable[..., Batch]
Model = Callable[[], nn.Module]

LAM = torch.tensor([0.9, 0.25, 1.0, 0.5], dtype=torch.float64)
PARTNERS = [2, 0, 3, 1]


@pytest.fixture
def fixed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The draws of a batch of four."""
    monkeypatch.setattr(_mixing, "draw_partners", lambda n, device: torch.tensor(PARTNERS))
    monkeypatch.setattr(_mixing, "draw_lambda", lambda n, alpha, like: LAM[:n].to(like))


def log_probability(model: nn.Module, x: Tensor) -> Tensor:
    return model(x[None]).logits[0].log_softmax(0)


@pytest.mark.parametrize("votes", [False, True])
def test_by_a_loop(votes: bool, fixed: None, setting: Setting, tiny: Model, faces: Make) -> None:
    model, batch = tiny(), faces(4, votes=votes)
    expected = 0.0
    for i, (j, lam) in enumerate(zip(PARTNERS, LAM.tolist(), strict=True)):
        log_p = log_probability(model, lam * batch.x[i] + (1 - lam) * batch.x[j])
        for face, share in ((i, lam), (j, 1 - lam)):
            target = batch.soft[face].tolist() if batch.soft is not None else [float(c == batch.labels[face]) for c in range(4)]
            expected -= share * sum(t * log_p[c].item() for c, t in enumerate(target)) / 4
    losses = create_method("mixup", setting, {}).loss(batch, model)
    assert losses.total.item() == pytest.approx(expected, rel=1e-9)
    assert losses.parts["cls"].item() == losses.total.item()


def test_one_lambda_for_the_batch(fixed: None, setting: Setting, faces: Make) -> None:
    batch = faces(4)
    x, target = create_method("mixup", setting, {"lam_per": "batch"}).blended(batch)
    torch.testing.assert_close(x, 0.9 * batch.x + 0.1 * batch.x[PARTNERS])
    expected = [1.0 if batch.labels[i] == batch.labels[j] else 0.9 for i, j in enumerate(PARTNERS)]
    assert target.max(1).values.tolist() == pytest.approx(expected)


def test_lambda_is_beta_distributed() -> None:
    torch.manual_seed(0)
    for alpha in (1e-3, 0.0099, 0.01, 0.2, 1.0):
        lam = draw_lambda(40_000, alpha, torch.empty(0, dtype=torch.float64))
        assert lam.dtype == torch.float64
        assert 0 <= lam.min() <= lam.max() <= 1
        assert lam.mean().item() == pytest.approx(0.5, abs=0.01)
        assert lam.var().item() == pytest.approx(1 / (4 * (2 * alpha + 1)), abs=0.005)
    for alpha in (1e-3, 1e-12, 5e-324):  # nearly all of it lies at the ends, and torch's own draws at 0.5
        lam = draw_lambda(1000, alpha, torch.empty(0))
        assert lam.dtype == torch.float32
        assert set(lam.tolist()) == {0.0, 1.0}
    assert draw_lambda(3, 0.0, torch.empty(0)).tolist() == [1.0, 1.0, 1.0]


def test_pairs_are_a_permutation_and_lambda_one_leaves_the_face() -> None:
    assert draw_partners(50, torch.device("cpu")).sort().values.tolist() == list(range(50))
    first, second = torch.rand(2, 5, 3, 4, 4)
    assert torch.equal(blend(first, second, torch.ones(5)), first)
    assert torch.equal(blend(first, second, torch.zeros(5)), second)


def test_alpha_zero_is_cross_entropy_and_chance_is_torchs(setting: Setting, tiny: Model, faces: Make) -> None:
    model, batch = tiny(), faces()
    plain = create_method("ce", setting, {}).loss(batch, model).total
    torch.testing.assert_close(create_method("mixup", setting, {"alpha": 0.0}).loss(batch, model).total, plain)
    totals = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        totals.append(create_method("mixup", setting, {}).loss(batch, model).total.item())
    assert totals[0] == totals[1] != totals[2]
