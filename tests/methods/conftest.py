"""A tiny classifier without batch-norm, a real one, and faces that both can learn: a blob whose colour and height tell the class, on noise.

A method whose `prepare` makes another kind of network needs the real one (`classifier`); the others are tested on the tiny one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from evenface.losses import class_maps
from evenface.methods import Batch, Setting
from evenface.methods.base import Method
from evenface.model_folder import save_model
from evenface.models.classifier import Classifier, build_classifier
from evenface.models.output import Output


COUNTS = [60, 5, 20, 35]


class Tiny(nn.Module):
    """Two convolutions, a pool, a head; counts its forward passes."""

    def __init__(self, classes: int = 4) -> None:
        super().__init__()
        first, second = nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.Conv2d(8, 8, 3, stride=2, padding=1)
        self.backbone = nn.Sequential(first, nn.ReLU(), second, nn.ReLU())
        self.head = nn.Linear(8, classes)
        self.detach_maps = True
        self.passes = 0

    def forward(self, x: Tensor) -> Output:
        self.passes += 1
        grid = self.backbone(x)
        features = grid.mean((2, 3))
        return Output(self.head(features), class_maps(grid, self.head.weight, self.detach_maps), features)


@pytest.fixture
def setting() -> Setting:
    return Setting(("anger", "fear", "happiness", "neutral"), COUNTS, epochs=2)


@pytest.fixture
def tiny() -> Callable[[], Tiny]:
    """Makes the same model each time, in float64 so that sums in another order agree."""

    def make() -> Tiny:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return Tiny().double()

    return make


def make_classifier(model: str = "test_resnet", size: int = 32) -> Classifier:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build_classifier(model, ("anger", "fear", "happiness", "neutral"), size).double()


@pytest.fixture
def classifier() -> Callable[..., Classifier]:
    """Makes the same real classifier each time: timm's miniature ResNet for 32 px, in float64; another backbone by name."""
    return make_classifier


def complete(method: Method, batch: Batch) -> Batch:
    """The batch as the loop would make it for a method: the views that it asks for and no others."""
    generator = torch.Generator().manual_seed(7)

    def picture(x: Tensor) -> Tensor:
        return (x + 0.05 * torch.rand(x.shape, generator=generator, dtype=x.dtype)).clamp(0, 1)

    pool = batch.x.roll(1, 0)[: max(1, round(len(batch.x) * method.pool_ratio))]
    return dataclasses.replace(
        batch,
        second=batch.second if method.views == 2 else None,
        extra=tuple(picture(batch.x) for _ in method.extra),
        pool=tuple(picture(pool) for _ in method.pool),
    )


def make_faces(n: int = 8, seed: int = 0, votes: bool = False, size: int = 16) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(4, (n,), generator=generator)
    x = 0.2 * torch.rand(n, 3, 16, 16, generator=generator, dtype=torch.float64)
    for i, y in enumerate(labels.tolist()):
        x[i, [[0], [1], [2], [0, 1]][y], 4 * y : 4 * y + 4, 2:9] += 0.8
    if size != 16:
        x = x.repeat_interleave(size // 16, 2).repeat_interleave(size // 16, 3)
    soft = None
    if votes:
        soft = torch.rand(n, 4, generator=generator, dtype=torch.float64)
        soft = soft / soft.sum(1, keepdim=True)
    return Batch(x, x.flip(-1), labels, soft, torch.arange(n), lambda maps: maps.flip(-1))


@pytest.fixture
def faces() -> Callable[..., Batch]:
    """`faces(n, seed)`: a batch of two mirrored views, 16 px (or `size`, a multiple of 16)."""
    return make_faces


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run whose best model, in float32, tells the faces of 32 px apart; for methods that go on from one."""
    run = tmp_path_factory.mktemp("finished")
    model = make_classifier().float().train()
    batch = make_faces(32, size=32)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.003)
    for _ in range(40):
        loss = torch.nn.functional.cross_entropy(model(batch.x.float()).logits, batch.labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    save_model(run / "best", model, {}, card="")
    (run / "config.yaml").write_text("method: ce\n")
    return run
