"""A face's probabilities are its own: no batch size, order, number of workers or mirror order changes them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from evenface.data.manifest import build
from evenface.data.store import FaceStore
from evenface.labels import BASIC
from evenface.models.classifier import Classifier, build_classifier


N = 21


def store(rows: list[int] | None = None) -> FaceStore:
    """Random faces, or the given rows of them."""
    faces = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (N, 3, 32, 32), dtype=np.uint8))
    rows = list(range(N)) if rows is None else rows
    columns = {"id": [str(i) for i in rows], "split": ["test"] * len(rows), "label": [BASIC[0]] * len(rows), "image": [b"x"] * len(rows)}
    return FaceStore(build(columns, BASIC, name="random"), 32, 3, [], "memory", faces[rows])


@pytest.fixture(scope="module")
def model() -> Classifier:
    """With batch norm and dropout, left in training mode: neither may act."""
    torch.manual_seed(0)
    network = build_classifier("test_resnet", BASIC, 32, dropout=0.5)
    for _ in range(3):  # running statistics that differ from a batch's own
        network(torch.rand(16, 3, 32, 32))
    return network.train()


@pytest.fixture(scope="module")
def one_by_one(model: Classifier) -> np.ndarray:
    """The slow way: each face alone, softmax by numpy."""
    faces = store()
    model.eval()
    found = []
    with torch.no_grad():
        for i in range(N):
            z = model(faces.gather(np.array([i])).float() / 255).logits[0].double().numpy()
            found.append(np.exp(z - z.max()) / np.exp(z - z.max()).sum())
    model.train()
    return np.array(found)


@pytest.mark.parametrize("batch_size", [1, 2, 8, 21, 256])
def test_batch_size(model: Classifier, one_by_one: np.ndarray, batch_size: int) -> None:
    from evenface.evaluation.evaluate import predict

    seen: list[tuple[int, int]] = []
    found = predict(model, store(), batch_size=batch_size, progress=lambda done, total: seen.append((done, total)))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, one_by_one, atol=1e-5)
    assert seen[-1] == (N, N)
    assert model.training


def test_order(model: Classifier, one_by_one: np.ndarray) -> None:
    from evenface.evaluation.evaluate import predict

    order = np.random.default_rng(1).permutation(N).tolist()
    np.testing.assert_allclose(predict(model, store(order), batch_size=8), one_by_one[order], atol=1e-5)


def test_a_share_is_every_nth_face(model: Classifier, one_by_one: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    from evenface.evaluation import evaluate

    shares: list[np.ndarray] = []
    monkeypatch.setattr(evaluate, "_gather", lambda local, n, world: shares.append(local))
    for rank in range(3):
        evaluate.predict(model, store(), batch_size=4, rank=rank, world=3)
    monkeypatch.undo()

    def gather(pieces: list[np.ndarray | None], local: np.ndarray) -> None:
        pieces[:] = [*shares, np.zeros((0, 0), np.float32)]  # a fourth process without a face

    monkeypatch.setattr(torch.distributed, "all_gather_object", gather)
    np.testing.assert_allclose(evaluate._gather(shares[0], N, 3), one_by_one, atol=1e-5)


def test_flip_is_the_mean_with_the_mirror(model: Classifier) -> None:
    from evenface.evaluation.evaluate import predict

    plain, mirrored = store(), store()
    assert mirrored._faces is not None
    mirrored._faces = mirrored._faces.flip(-1)
    expected = (predict(model, plain) + predict(model, mirrored)) / 2
    np.testing.assert_allclose(predict(model, plain, flip=True), expected, atol=1e-5)
    np.testing.assert_allclose(predict(model, mirrored, flip=True), expected, atol=1e-5)


def test_no_gradient_is_kept(model: Classifier) -> None:
    from evenface.evaluation.evaluate import predict

    model.zero_grad()
    predict(model, store(), batch_size=4)
    assert all(p.grad is None for p in model.parameters())
