"""Class maps and their consistency against loops over every element, and the coefficients of the literature."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from evenface.errors import ConfigError
from evenface.losses import class_maps, class_weights, rebalanced_consistency


RAF = [1290, 281, 717, 4772, 1982, 705, 2524]  # surprise, fear, disgust, happiness, sadness, anger, neutral


def random(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def test_class_maps_by_loops() -> None:
    features, weight = random(2, 5, 3, 4), random(3, 5, seed=1)
    maps = class_maps(features, weight)
    assert maps.shape == (2, 3, 3, 4)
    for b, k, h, w in itertools.product(range(2), range(3), range(3), range(4)):
        assert maps[b, k, h, w].item() == pytest.approx(sum(float(weight[k, c] * features[b, c, h, w]) for c in range(5)), abs=1e-5)


@pytest.mark.parametrize("detach", [True, False])
def test_gradient_reaches_the_head_through_the_maps_only_when_asked(detach: bool) -> None:
    features, weight = random(2, 5, 3, 3).requires_grad_(), random(4, 5, seed=1).requires_grad_()
    class_maps(features, weight, detach=detach).square().sum().backward()
    assert features.grad is not None
    assert features.grad.abs().sum() > 0
    assert (weight.grad is None) is detach


def test_maps_stay_float32_under_autocast() -> None:
    features, weight = random(2, 64, 3, 3), random(4, 64, seed=1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        maps = class_maps(features, weight)
    assert maps.dtype == torch.float32
    torch.testing.assert_close(maps, class_maps(features, weight))


def slow(a: Tensor, b: Tensor, weights: list[float], norm: str, weighting: str, distance: str) -> float:
    n, classes, height, width = a.shape
    total = 0.0
    for i, k, h, w in itertools.product(range(n), range(classes), range(height), range(width)):
        x, y = float(a[i, k, h, w]), float(b[i, k, h, w])
        if weighting == "inside_square":
            x, y = weights[k] * x, weights[k] * y
        d = (x - y) ** 2 if distance == "sq" else abs(x - y)
        total += d if weighting == "inside_square" else weights[k] * d
    return total / (n * height * width * (classes if norm == "mean_all" else 1))


@pytest.mark.parametrize("norm", ["mek_sum_classes", "mean_all"])
@pytest.mark.parametrize("weighting", ["outside", "inside_square"])
@pytest.mark.parametrize("distance", ["sq", "abs"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_consistency_by_loops(norm: str, weighting: str, distance: str, dtype: torch.dtype) -> None:
    a, b, weights = random(3, 4, 2, 3).to(dtype), random(3, 4, 2, 3, seed=1).to(dtype), [0.5, 2.0, 0.0, 1.5]
    value = rebalanced_consistency(a, b, torch.tensor(weights), norm, weighting, distance)  # type: ignore[arg-type]
    assert value.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert value.item() == pytest.approx(slow(a, b, weights, norm, weighting, distance), rel=1e-5)


COEFFICIENTS = {
    "EAC": ([0.714] * 7, 5e-4, 5.0, {"scheme": "none"}, {"norm": "mean_all"}),
    "MEK": ([0.0951, 0.4367, 0.1711, 0.0257, 0.0619, 0.1741, 0.0486], 6e-5, 0.1, {"scheme": "inverse_mek"}, {}),
    "the default": ([0.0764, 0.2259, 0.1081, 0.0558, 0.0642, 0.1094, 0.0602], 6e-5, 0.1, {}, {}),
    "as printed, summing to C": (
        [0.0083, 0.0729, 0.0167, 0.0045, 0.0059, 0.0171, 0.0052],
        6e-5,
        0.1,
        {},
        {"norm": "mean_all", "weighting": "inside_square"},
    ),
    "as printed, raw": (
        [2.7e-8, 2.4e-7, 5.5e-8, 1.5e-8, 1.9e-8, 5.6e-8, 1.7e-8],
        6e-10,
        0.1,
        {"normalize": "none"},
        {"norm": "mean_all", "weighting": "inside_square"},
    ),
    "absolute, summing to C": (
        [0.0109, 0.0323, 0.0155, 0.0080, 0.0092, 0.0156, 0.0086],
        6e-5,
        0.1,
        {},
        {"norm": "mean_all", "weighting": "inside_square", "distance": "abs"},
    ),
}


@pytest.mark.parametrize("recipe", COEFFICIENTS)
def test_effective_coefficient_per_class_on_raf_db(recipe: str) -> None:
    """What multiplies the mean squared (absolute) difference of one class's maps: set it to 1 for one class, 0 for the others."""
    expected, tolerance, lam, weight_options, options = COEFFICIENTS[recipe]
    weights = class_weights(RAF, **weight_options)  # type: ignore[arg-type]
    for k in range(7):
        maps = torch.zeros(2, 7, 3, 3, dtype=torch.float64)
        maps[:, k] = 1
        value = lam * rebalanced_consistency(maps, torch.zeros_like(maps), weights, **options).item()  # type: ignore[arg-type]
        assert value == pytest.approx(expected[k], abs=5e-9 if recipe.endswith("raw") and k == 1 else tolerance)


def test_zero_on_perfectly_mirrored_maps() -> None:
    maps = random(2, 3, 4, 5)
    mirrored = maps.flip(-1)
    assert rebalanced_consistency(maps, mirrored.flip(-1), torch.ones(3)).item() == 0
    assert rebalanced_consistency(maps, mirrored, torch.ones(3)).item() > 0


@pytest.mark.parametrize("distance", ["sq", "abs"])
def test_gradient_flows_into_both_views_with_opposite_sign(distance: str) -> None:
    a, b = random(2, 3, 2, 2, dtype=torch.float64).requires_grad_(), random(2, 3, 2, 2, seed=1, dtype=torch.float64).requires_grad_()
    weights = torch.tensor([0.5, 2.0, 1.0], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x, y: rebalanced_consistency(x, y, weights, distance=distance), (a, b))  # type: ignore[arg-type]
    rebalanced_consistency(a, b, weights, distance=distance).backward()  # type: ignore[arg-type]
    assert a.grad is not None
    assert b.grad is not None
    torch.testing.assert_close(a.grad, -b.grad)


def test_size_weighted_mean_of_the_parts_is_the_whole() -> None:
    a, b, weights = random(5, 3, 2, 2), random(5, 3, 2, 2, seed=1), np.array([0.5, 2.0, 1.0])
    whole = rebalanced_consistency(a, b, weights).item()
    parts = 2 * rebalanced_consistency(a[:2], b[:2], weights) + 3 * rebalanced_consistency(a[2:], b[2:], weights)
    assert parts.item() / 5 == pytest.approx(whole, rel=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"norm": "mean_al"}, "Unknown norm of the consistency 'mean_al'; did you mean 'mean_all'"),
        ({"weighting": "out_side"}, "Unknown weighting of the consistency 'out_side'; did you mean 'outside'"),
        ({"distance": "huber"}, "Unknown distance of the consistency 'huber'; known are: abs, sq"),
    ],
)
def test_a_misspelt_reading_is_refused(options: dict[str, str], message: str) -> None:
    maps = random(2, 3, 4, 5)
    with pytest.raises(ConfigError, match=message):
        rebalanced_consistency(maps, maps.flip(-1), torch.ones(3), **options)  # type: ignore[arg-type]
