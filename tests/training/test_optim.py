"""Learning rates against torch's schedulers, optimisers against loops by hand."""

from __future__ import annotations

import math
import warnings
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

from evenface.errors import ConfigError
from evenface.labels import BASIC
from evenface.methods import Setting, create_method
from evenface.models.backbone import Backbone
from evenface.models.branches import Branches
from evenface.models.classifier import Classifier, build_classifier
from evenface.training.config import TrainConfig
from evenface.training.optim import build_optimizer, lr_factor


EPOCHS, STEPS = 5, 40


def ours(**changes: Any) -> list[float]:
    config = TrainConfig(epochs=EPOCHS, **changes)
    return [lr_factor(config, step // STEPS + step % STEPS / STEPS) for step in range(EPOCHS * STEPS)]


def theirs(make: Any, per_epoch: bool = False) -> list[float]:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = make(optimizer)
    found = []
    for step in range(EPOCHS * STEPS):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if not per_epoch or step % STEPS == STEPS - 1:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                scheduler.step()
    return found


def test_exponential_is_torchs_stepped_once_an_epoch() -> None:
    expected = theirs(lambda o: lr_scheduler.ExponentialLR(o, 0.9), per_epoch=True)
    assert ours(schedule="exponential", lr_gamma=0.9) == pytest.approx(expected, rel=1e-12)


def test_cosine_is_torchs() -> None:
    expected = theirs(lambda o: lr_scheduler.CosineAnnealingLR(o, EPOCHS * STEPS))
    assert ours(schedule="cosine") == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_onecycle_is_torchs_but_for_its_counting() -> None:
    """torch counts n - 1 intervals from the first to the last step and peaks one step before 30 %; ours knows the share done."""
    n = EPOCHS * STEPS
    expected = theirs(lambda o: lr_scheduler.OneCycleLR(o, 1.0, total_steps=n))
    found = ours(schedule="onecycle")
    assert found[0] == pytest.approx(expected[0]) == pytest.approx(1 / 25)
    steepest = math.pi / 2 / 0.3 / n  # the largest change from one step to the next
    assert max(abs(a - b) for a, b in zip(found, expected, strict=True)) < 1.1 * steepest
    assert max(found) == pytest.approx(1.0)
    assert lr_factor(TrainConfig(epochs=EPOCHS, schedule="onecycle"), EPOCHS) == pytest.approx(expected[-1], rel=1e-6)


def test_constant_and_warm_up() -> None:
    assert set(ours(schedule="constant")) == {1.0}
    found = ours(schedule="constant", warmup_epochs=2.0)
    expected = theirs(lambda o: lr_scheduler.LinearLR(o, 0.001, 1.0, 2 * STEPS))
    assert found == pytest.approx(expected, rel=1e-9)
    both = ours(schedule="cosine", warmup_epochs=2.0)
    assert both == pytest.approx([a * b for a, b in zip(found, ours(schedule="cosine"), strict=True)])


class Small(nn.Module):
    """A convolution in channels_last, a norm, and a part that does not learn."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.frozen = nn.Linear(2, 2).requires_grad_(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = (self.norm(self.conv(x)) ** 3).mean()
        return out


def train_by(module: Small, optimizer: torch.optim.Optimizer, steps: int = 4) -> list[list[torch.Tensor]]:
    """Trains; the gradients of each step."""
    torch.manual_seed(1)
    found = []
    for _ in range(steps):
        module(torch.rand(5, 3, 8, 8).contiguous(memory_format=torch.channels_last)).backward()
        found.append([p.grad.clone() for p in module.parameters() if p.grad is not None])
        optimizer.step()
        optimizer.zero_grad()
    return found


def small() -> Small:
    torch.manual_seed(0)
    return Small().to(memory_format=torch.channels_last)


def adam_by_hand(p: list[float], grads: list[list[float]], lr: float, coupled: float = 0.0, decoupled: float = 0.0) -> list[float]:
    """Kingma and Ba, number by number; weight decay in the gradient (coupled) or beside it (Loshchilov and Hutter)."""
    m, v, found = [0.0] * len(p), [0.0] * len(p), list(p)
    for t, grad in enumerate(grads, 1):
        for i, g in enumerate(grad):
            g += coupled * found[i]
            found[i] -= lr * decoupled * found[i]
            m[i] = 0.9 * m[i] + 0.1 * g
            v[i] = 0.999 * v[i] + 0.001 * g * g
            found[i] -= lr * (m[i] / (1 - 0.9**t)) / (math.sqrt(v[i] / (1 - 0.999**t)) + 1e-8)
    return found


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_adam_couples_its_decay_and_adamw_decays_only_matrices(name: Any) -> None:
    module = small()
    before = [p.detach().clone() for p in module.parameters() if p.requires_grad]
    grads = train_by(module, build_optimizer(module, TrainConfig(optimizer=name, lr=0.01, weight_decay=0.1)))
    after = [p for p in module.parameters() if p.requires_grad]
    for i, (start, end) in enumerate(zip(before, after, strict=True)):
        decay = {"coupled": 0.1} if name == "adam" else {"decoupled": 0.1 if start.ndim > 1 else 0.0}
        expected = adam_by_hand(start.flatten().tolist(), [g[i].flatten().tolist() for g in grads], 0.01, **decay)
        assert end.flatten().tolist() == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_adam_is_torchs() -> None:
    one, other = small(), small()
    train_by(one, build_optimizer(one, TrainConfig(optimizer="adam", lr=0.01, weight_decay=0.1)))
    train_by(other, torch.optim.Adam(other.parameters(), lr=0.01, weight_decay=0.1))
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_sgd_has_momentum_and_frozen_parts_stay_out() -> None:
    module = small()
    optimizer = build_optimizer(module, TrainConfig(optimizer="sgd", lr=0.01, weight_decay=0.1))
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.1, 0.0]
    assert [[p.ndim for p in group["params"]] for group in optimizer.param_groups] == [[4], [1, 1, 1]]
    assert all(group["momentum"] == 0.9 and group["nesterov"] for group in optimizer.param_groups)


LAYERS = {  # from the stem to the last layer before the head, written down from the networks' own definitions
    "dlib_face_resnet_13": [["conv.", "aff."], *[[f"blocks.{i}."] for i in range(13)]],
    "resnet18": [["conv1.", "bn1."], *[[f"layer{i}.{j}."] for i in (1, 2, 3, 4) for j in (0, 1)]],
}


@pytest.mark.parametrize("name", LAYERS)
def test_each_layer_learns_at_a_share_of_the_rate_of_the_next(name: str) -> None:
    model = build_classifier(name, BASIC, img_size=64)
    optimizer = build_optimizer(model, TrainConfig(layer_decay=0.5, optimizer="adamw"))
    found = {id(p): group["lr_scale"] for group in optimizer.param_groups for p in group["params"]}
    assert found[id(model.head.weight)] == found[id(model.head.bias)] == 1
    layers = LAYERS[name]
    for key, p in model.backbone.net.named_parameters():
        (place,) = (i for i, starts in enumerate(layers) if key.startswith(tuple(starts)))
        assert found[id(p)] == 0.5 ** (len(layers) - place), key
    assert len(found) == sum(1 for _ in model.parameters())


@pytest.mark.parametrize("method", ["bbn", "dmue", "ride", "scan_cci"])
@pytest.mark.parametrize("name", LAYERS)
def test_copies_of_the_last_layers_learn_as_these_do(name: str, method: str) -> None:
    """A method's copies begin with the network's own layers, whose tensors are known by their names from before."""
    model = build_classifier(name, BASIC, img_size=64)
    before = {id(p): key for key, p in model.backbone.net.named_parameters()}
    network = create_method(method, Setting(BASIC, [5] * 7, epochs=2), {}).prepare(model)
    optimizer = build_optimizer(network, TrainConfig(layer_decay=0.5))
    found = {id(p): group["lr_scale"] for group in optimizer.param_groups for p in group["params"]}
    layers = LAYERS[name]
    assert before.keys() <= found.keys()
    for each, key in before.items():
        (place,) = (i for i, starts in enumerate(layers) if key.startswith(tuple(starts)))
        assert found[each] == 0.5 ** (len(layers) - place), key
    copies = [copy for part in network.modules() if isinstance(part, Branches) for copy in part.copies]
    assert (method == "scan_cci") == (not copies)
    for copy in copies[1:]:
        assert [found[id(p)] for p in copy.parameters()] == [found[id(p)] for p in copies[0].parameters()]


def test_layers_differ_after_a_step_as_their_rates_do() -> None:
    """Adam's first step moves every number by its rate, whatever the gradient."""
    model = build_classifier("resnet18", BASIC, img_size=64)
    before = {key: p.detach().clone() for key, p in model.named_parameters()}
    optimizer = build_optimizer(model, TrainConfig(layer_decay=0.5, lr=0.01, weight_decay=0.0))
    for group in optimizer.param_groups:
        group["lr"] = 0.01 * group["lr_scale"]  # as the loop does at each step
    model(torch.rand(4, 3, 64, 64)).logits.square().sum().backward()
    optimizer.step()
    moved = {key: float((p.detach() - before[key]).abs().max()) for key, p in model.named_parameters()}
    assert moved["head.weight"] == pytest.approx(0.01, rel=1e-3)
    assert moved["backbone.net.layer4.1.bn2.weight"] == pytest.approx(0.005, rel=1e-3)
    assert moved["backbone.net.conv1.weight"] == pytest.approx(0.01 * 0.5**9, rel=1e-2)


def test_a_network_without_layers_is_told() -> None:
    class Flat(nn.Module):
        num_features = 4

        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.conv(x)
            return out

    model = Classifier(Backbone(Flat(), "flat", 16, (0.0,) * 3, (1.0,) * 3), BASIC)
    with pytest.raises(ConfigError, match="'flat' does not tell its layers"):
        build_optimizer(model, TrainConfig(layer_decay=0.9))
    build_optimizer(model, TrainConfig())
