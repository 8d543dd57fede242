"""Augmentation does what its settings say to each face by itself, alike on one process or several, and second views can be undone."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torchvision.transforms import functional as tv

from evenface.data.per_face import ERASE_AREA, ERASE_RATIO, Share
from evenface.data.views import JITTER, NOISE_STD, VIEWS, Augmentation, Augmenter, second_view
from evenface.errors import ConfigError


MEAN = (0.55, 0.45, 0.35)
EVERYTHING = Augmentation(hflip=0.5, erase=0.5, jitter=1.0, rotate=15, scale=0.1, shift=0.1, noise=0.5, rand_augment=2)


def colour(n: int, size: int = 16, seed: int = 0) -> Tensor:
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(seed))


def grey(n: int, size: int = 16, seed: int = 0) -> Tensor:
    return colour(n, size, seed)[:, :1].expand(-1, 3, -1, -1)


def augmented(settings: Augmentation, x: Tensor, seed: int = 0, is_grey: bool = False, share: Share | None = None) -> Tensor:
    torch.manual_seed(seed)
    return Augmenter(settings, MEAN, is_grey)(x, share)


def within_chance(count: int, n: int, p: float) -> bool:
    """Whether a binomial count lies within 4.5 standard deviations."""
    return abs(count - n * p) < 4.5 * math.sqrt(n * p * (1 - p))


# -------------------- what holds for all of it


@pytest.mark.parametrize("is_grey", [False, True])
def test_shape_range_and_an_untouched_input(is_grey: bool) -> None:
    x = grey(33) if is_grey else colour(33)
    x = x.clone()
    x[0], x[1] = 0.0, 1.0
    before = x.clone()
    for seed in range(5):
        found = augmented(EVERYTHING, x, seed, is_grey)
        assert (found.shape, found.dtype) == (x.shape, torch.float32)
        assert found.is_contiguous()
        assert 0 <= float(found.min()) <= float(found.max()) <= 1
    assert torch.equal(x, before)


def test_nothing_asked_for_changes_nothing() -> None:
    x = colour(4)
    assert torch.equal(augmented(Augmentation(), x), x)
    assert torch.equal(augmented(Augmentation(), grey(4), is_grey=True), grey(4))


def test_seeded() -> None:
    x = colour(6)
    assert torch.equal(augmented(EVERYTHING, x, 3), augmented(EVERYTHING, x, 3))
    assert not torch.equal(augmented(EVERYTHING, x, 3), augmented(EVERYTHING, x, 4))


@pytest.mark.parametrize(
    "one",
    [{"erase": 1.0}, {"jitter": 1.0}, {"rotate": 20.0}, {"scale": 0.2}, {"shift": 0.2}, {"noise": 1.0}],
    ids=lambda one: next(iter(one)),
)
@pytest.mark.parametrize("is_grey", [False, True])
def test_every_face_has_parameters_of_its_own(one: dict[str, float], is_grey: bool) -> None:
    x = (grey(1) if is_grey else colour(1)).expand(12, -1, -1, -1)
    found = augmented(Augmentation(**one), x, is_grey=is_grey)
    assert len({face.numpy().tobytes() for face in found}) == 12


@pytest.mark.parametrize("total", [9, 8])
@pytest.mark.parametrize("is_grey", [False, True])
def test_the_shares_of_two_processes_are_the_whole_batch(total: int, is_grey: bool) -> None:
    x = grey(total) if is_grey else colour(total)
    whole = augmented(EVERYTHING, x, 1, is_grey)
    for rank in (0, 1):
        part = augmented(EVERYTHING, x[rank::2], 1, is_grey, Share(total, rank, 2))
        torch.testing.assert_close(part, whole[rank::2], rtol=0, atol=1e-6)
        for name in VIEWS:
            torch.manual_seed(2)
            expected, _ = second_view(name, x, MEAN)
            torch.manual_seed(2)
            found, _ = second_view(name, x[rank::2], MEAN, Share(total, rank, 2))
            assert torch.equal(found, expected[rank::2])


def test_shares_deal_the_batch_out_in_turn() -> None:
    drawn = torch.arange(7)
    assert [Share(7, rank, 3).of(drawn).tolist() for rank in range(3)] == [[0, 3, 6], [1, 4], [2, 5]]


# -------------------- one by one


def test_mirror() -> None:
    x = colour(3000, 4)
    found = augmented(Augmentation(hflip=0.3), x)
    flipped = sum(np.array_equal(f, o[..., ::-1]) for f, o in zip(found.numpy(), x.numpy(), strict=True))
    kept = sum(np.array_equal(f, o) for f, o in zip(found.numpy(), x.numpy(), strict=True))
    assert flipped + kept == 3000
    assert within_chance(flipped, 3000, 0.3)


def box_of(mask: np.ndarray) -> tuple[int, int]:
    """Height and width of the one full rectangle in a bool image."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    height, width = rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1
    assert mask.sum() == height * width
    return int(height), int(width)


@pytest.mark.parametrize("is_grey", [False, True])
def test_erasing_fills_a_box_with_the_mean(is_grey: bool) -> None:
    size, n = 40, 400
    x = grey(n, size) if is_grey else colour(n, size)
    found = augmented(Augmentation(erase=1.0), x, is_grey=is_grey)
    filled = (found == torch.tensor(MEAN).view(1, 3, 1, 1)).all(1)
    assert torch.equal(found.movedim(1, -1)[~filled], x.movedim(1, -1)[~filled])  # all others to the bit
    areas = []
    for mask in filled.numpy():
        height, width = box_of(mask)
        areas.append(height * width / size**2)
        slack = (height + width) / size**2  # a side is rounded by half a pixel
        assert ERASE_AREA[0] - slack <= areas[-1] <= ERASE_AREA[1] + slack
        assert ERASE_RATIO[0] <= (height + 0.5) / (width - 0.5)
        assert (height - 0.5) / (width + 0.5) <= ERASE_RATIO[1]
    assert np.mean(areas) == pytest.approx(sum(ERASE_AREA) / 2, abs=0.02)


def test_erasing_has_its_probability_and_its_places() -> None:
    x = colour(1500, 12)
    found = augmented(Augmentation(erase=0.4), x)
    erased = (found != x).any(1)
    assert within_chance(int(erased.flatten(1).any(1).sum()), 1500, 0.4)
    assert bool(erased.any(0).all())  # every pixel in one face or another


def dot(n: int, size: int, x: float, y: float) -> Tensor:
    """A soft dot on black, its centre off the middle by (x, y) pixels."""
    axis = torch.arange(size) - (size - 1) / 2
    spot = torch.exp(-((axis[None] - x) ** 2 + (axis[:, None] - y) ** 2) / (2 * 2.0**2))
    return spot.expand(n, 3, size, size).contiguous()


def centres(found: Tensor) -> np.ndarray:
    """(n, 2): x and y of each dot off the middle."""
    size = found.shape[-1]
    axis = torch.arange(size) - (size - 1) / 2
    mass = found[:, 0].sum((1, 2))
    return torch.stack([(found[:, 0] * axis).sum((1, 2)) / mass, (found[:, 0] * axis[:, None]).sum((1, 2)) / mass], 1).numpy()


def test_affine_moves_within_its_bounds() -> None:
    n, size = 300, 61
    moved = centres(augmented(Augmentation(shift=0.1), dot(n, size, 0, 0)))
    assert np.abs(moved).max() <= 0.1 * size + 0.05
    assert (np.abs(moved).max(0) > 0.09 * size).all()
    assert np.abs(moved.mean(0)).max() < 1

    turned = centres(augmented(Augmentation(rotate=20), dot(n, size, 15, 0)))
    assert np.hypot(*turned.T) == pytest.approx(np.full(n, 15), abs=0.1)
    angles = np.degrees(np.arctan2(turned[:, 1], turned[:, 0]))
    assert np.abs(angles).max() <= 20.2
    assert angles.min() < -17
    assert angles.max() > 17

    scaled = centres(augmented(Augmentation(scale=0.25), dot(n, size, 12, -9)))
    assert np.degrees(np.arctan2(scaled[:, 1], scaled[:, 0])) == pytest.approx(np.full(n, math.degrees(math.atan2(-9, 12))), abs=0.3)
    factors = np.hypot(*scaled.T) / 15
    assert factors.min() >= 0.745
    assert factors.max() <= 1.255
    assert factors.min() < 0.78
    assert factors.max() > 1.22


def test_affine_repeats_the_border() -> None:
    x = torch.full((20, 3, 16, 16), 0.7)
    torch.testing.assert_close(augmented(Augmentation(rotate=30, scale=0.3, shift=0.3), x), x, rtol=0, atol=1e-6)


def jittered_by_torchvision(image: Tensor, drawn: dict[str, Tensor], i: int) -> Tensor:
    steps: list[Callable[[Tensor], Tensor]] = [
        lambda v: tv.adjust_brightness(v, float(drawn["brightness_factor"][i])),
        lambda v: tv.adjust_contrast(v, float(drawn["contrast_factor"][i])),
        lambda v: tv.adjust_saturation(v, float(drawn["saturation_factor"][i])),
        lambda v: tv.adjust_hue(v, float(drawn["hue_factor"][i])),
    ]
    for step in drawn["order"].tolist():
        image = steps[step](image)
    return image


def drawn_jitter(augment: Augmenter) -> dict[str, Tensor]:
    layer: Any = augment._jitter
    return dict(layer._params)


@pytest.mark.parametrize("seed", range(4))  # the order of the four steps is drawn too
def test_jitter_is_torchvisions(seed: int) -> None:
    x = colour(5)
    augment = Augmenter(Augmentation(jitter=1.0))
    torch.manual_seed(seed)
    found = augment(x)
    for i in range(5):
        torch.testing.assert_close(found[i], jittered_by_torchvision(x[i], drawn_jitter(augment), i), rtol=0, atol=2e-4)


@pytest.mark.parametrize("strength", [0.5, 1.0])
@pytest.mark.parametrize("is_grey", [False, True])
def test_jitter_draws_from_its_ranges(strength: float, is_grey: bool) -> None:
    augment = Augmenter(Augmentation(jitter=strength), grey=is_grey)
    torch.manual_seed(0)
    augment(grey(2000, 2))
    drawn = drawn_jitter(augment)
    for key, width, centre in zip(("brightness", "contrast", "saturation", "hue"), JITTER, (1.0, 1.0, 1.0, 0.0), strict=True):
        factors = drawn[f"{key}_factor"].numpy()
        half = 0.0 if is_grey and key in ("saturation", "hue") else strength * width
        assert np.abs(factors - centre).max() <= half + 1e-6
        assert factors.std() == pytest.approx(half / math.sqrt(3), rel=0.05, abs=1e-6)
        assert factors.mean() == pytest.approx(centre, abs=0.03)


def test_the_short_way_for_grey_faces_gives_what_the_full_jitter_gives() -> None:
    x = grey(6)
    for seed in range(6):
        augment = Augmenter(Augmentation(jitter=1.0), grey=True)
        torch.manual_seed(seed)
        short = augment(x)
        drawn = drawn_jitter(augment)
        drawn["saturation_factor"] = torch.linspace(0.75, 1.25, 6)  # whatever they are, they do nothing to grey
        drawn["hue_factor"] = torch.linspace(-0.05, 0.05, 6)
        for i in range(6):
            torch.testing.assert_close(short[i], jittered_by_torchvision(x[i], drawn, i), rtol=0, atol=1e-4)
    many = grey(1, 6).expand(3000, -1, -1, -1)
    short, full = augmented(Augmentation(jitter=1.0), many, 1, True), augmented(Augmentation(jitter=1.0), many, 2, False)
    for level in (0.1, 0.5, 0.9):  # the two are one distribution, pixel by pixel
        torch.testing.assert_close(short[:, 0].quantile(level, 0), full[:, 0].quantile(level, 0), rtol=0, atol=0.03)


def test_noise() -> None:
    x = torch.full((400, 3, 12, 12), 0.5)
    found = augmented(Augmentation(noise=0.6), x)
    noisy = (found != x).flatten(1).any(1)
    assert within_chance(int(noisy.sum()), 400, 0.6)
    values = (found[noisy] - 0.5) * 255
    assert float(values.var()) == pytest.approx(30, rel=0.02)
    assert pytest.approx(math.sqrt(30) / 255) == NOISE_STD
    assert float(values.mean()) == pytest.approx(0, abs=0.1)
    correlation = np.corrcoef(values[:, 0].flatten().numpy(), values[:, 1].flatten().numpy())[0, 1]
    assert abs(correlation) < 0.03  # channels by themselves, as EAC's code does


# -------------------- second views


def toy_maps(x: Tensor) -> Tensor:
    """Class maps (n, 3, 4, 4) that move with the image, as those of a network without padding effects."""
    return functional.avg_pool2d(x, 4) ** 2


@pytest.mark.parametrize(("name", "axis"), [("mirror", 3), ("vertical", 2)])
def test_a_mirrored_view_and_its_maps_brought_back(name: str, axis: int) -> None:
    x = colour(5)
    view, undo = second_view(name, x)
    for i, j in ((0, 0), (3, 14), (15, 7)):
        source = (15 - i, j) if axis == 2 else (i, 15 - j)
        assert torch.equal(view[:, :, i, j], x[:, :, source[0], source[1]])
    torch.testing.assert_close(undo(toy_maps(view)), toy_maps(x), rtol=0, atol=1e-6)
    assert not torch.allclose(toy_maps(view), toy_maps(x), atol=1e-3)


@pytest.mark.parametrize("name", VIEWS)
def test_a_second_view_is_a_new_picture_in_range(name: str) -> None:
    x = colour(5)
    before = x.clone()
    view, undo = second_view(name, x, MEAN)
    assert (view.shape, view.dtype) == (x.shape, torch.float32)
    assert 0 <= float(view.min()) <= float(view.max()) <= 1 + 1e-6
    assert torch.equal(x, before)
    maps = torch.rand(5, 7, 4, 4)
    assert undo(maps).shape == maps.shape
    if name in ("erase", "intensity", "scaling"):
        assert undo(maps) is maps


def test_the_intensity_view_darkens_each_face_by_its_own_factor() -> None:
    x = colour(400, 4) * 0.9 + 0.1
    view, _ = second_view("intensity", x)
    factors = (view / x).flatten(1)
    torch.testing.assert_close(factors, factors[:, :1].expand_as(factors), rtol=0, atol=1e-5)
    values = factors[:, 0].numpy()
    assert values.min() >= 0.4
    assert values.max() <= 0.9
    assert np.quantile(values, [0.25, 0.5, 0.75]) == pytest.approx([0.525, 0.65, 0.775], abs=0.04)


def test_the_erase_view_always_erases() -> None:
    x = colour(100, 20)
    view, _ = second_view("erase", x, MEAN)
    changed = (view != x).any(1)
    for i in range(100):
        height, width = box_of(changed[i].numpy())
        assert 0.01 < height * width / 400 < 0.3
    assert torch.equal(view.movedim(1, -1)[changed], torch.tensor(MEAN).expand(int(changed.sum()), 3))


def halved(line: np.ndarray) -> np.ndarray:
    """A line at half the resolution under a triangle of four pixels: weights 1 3 3 1, normalised where the border cuts it."""
    out = []
    for i in range(len(line) // 2):
        pairs = [(w, line[j]) for w, j in zip((1, 3, 3, 1), range(2 * i - 1, 2 * i + 3), strict=True) if 0 <= j < len(line)]
        out.append(sum(w * v for w, v in pairs) / sum(w for w, _ in pairs))
    return np.array(out)


def doubled(line: np.ndarray) -> np.ndarray:
    """Back to twice the pixels, each 3/4 of its own and 1/4 of the nearer neighbour."""
    n = len(line)
    return np.array([0.75 * line[i // 2] + 0.25 * line[min(max(i // 2 + (1 if i % 2 else -1), 0), n - 1)] for i in range(2 * n)])


def test_the_scaling_view_is_half_the_resolution() -> None:
    x = colour(2, 8)
    view, _ = second_view("scaling", x)
    for i in range(2):
        for channel in range(3):
            image = x[i, channel].numpy().astype(float)
            small = np.apply_along_axis(halved, 0, np.apply_along_axis(halved, 1, image))
            large = np.apply_along_axis(doubled, 0, np.apply_along_axis(doubled, 1, small))
            assert view[i, channel].numpy() == pytest.approx(large, abs=1e-5)
    assert second_view("scaling", colour(1, 13))[0].shape == (1, 3, 13, 13)


def test_an_unknown_view() -> None:
    with pytest.raises(ConfigError, match="mirror, vertical, erase, intensity, scaling, not 'miror'"):
        second_view("miror", colour(1))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("is_grey", [False, True])
def test_an_accelerator_gives_the_same_pictures(is_grey: bool) -> None:
    x = grey(8) if is_grey else colour(8)
    found = augmented(EVERYTHING, x.cuda(), 1, is_grey)
    assert found.is_cuda
    torch.testing.assert_close(found.cpu(), augmented(EVERYTHING, x, 1, is_grey), rtol=0, atol=1e-4)
    for name in VIEWS:
        torch.manual_seed(3)
        view = second_view(name, x.cuda(), MEAN)[0]
        torch.manual_seed(3)
        torch.testing.assert_close(view.cpu(), second_view(name, x, MEAN)[0], rtol=0, atol=1e-5)
