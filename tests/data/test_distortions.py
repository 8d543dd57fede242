"""RandAugment's distortions: as many as were asked for, each face by itself, and light that changes as it says."""

from __future__ import annotations

import math
from collections.abc import Callable

import kornia.augmentation as K
import pytest
import torch

from evenface.data.distortions import KINDS, Distortions
from evenface.data.per_face import Share, per_face


def test_none_changes_nothing() -> None:
    faces = torch.rand(8, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    assert torch.equal(Distortions(0.0)(faces, Share(8)), faces)


@pytest.mark.parametrize("n", [1.0, 3.0])
def test_as_many_faces_stay_untouched_as_the_draws_leave(n: float) -> None:
    """Ten independent draws of n / 10 leave a face alone with probability (1 - n / 10)^10; a few draws change nothing visible."""
    torch.manual_seed(1)
    faces = torch.rand(1500, 3, 12, 12)
    same = (Distortions(n)(faces, Share(1500)) == faces).flatten(1).all(1).float().mean()
    p = (1 - n / KINDS) ** KINDS
    assert p - 4.5 * math.sqrt(p / 1500) < float(same) < p + 0.1


def test_faces_are_distorted_by_themselves_and_stay_pictures() -> None:
    torch.manual_seed(2)
    one = torch.rand(1, 3, 24, 24).expand(64, -1, -1, -1)
    found = Distortions(4.0)(one, Share(64))
    assert found.shape == one.shape
    assert (float(found.min()) >= 0, float(found.max()) <= 1) == (True, True)
    assert len({round(float(face.sum()), 4) for face in found}) > 40


def test_two_processes_distort_as_one() -> None:
    faces = torch.rand(20, 3, 16, 16)
    torch.manual_seed(3)
    whole = Distortions(3.0)(faces, Share(20))
    for rank in range(2):
        torch.manual_seed(3)
        torch.testing.assert_close(Distortions(3.0)(faces[rank::2], Share(20, rank, 2)), whole[rank::2], atol=1e-5, rtol=1e-5)


def test_grey_stays_grey() -> None:
    torch.manual_seed(4)
    grey = torch.rand(200, 1, 16, 16).expand(-1, 3, -1, -1)
    found = Distortions(5.0)(grey, Share(200))
    torch.testing.assert_close(found[:, 0], found[:, 2], atol=1e-4, rtol=0)


@pytest.mark.parametrize("picked", [[], [0], [1, 4, 5], list(range(6))])
@pytest.mark.parametrize("make", [lambda: K.RandomAffine(degrees=40.0, p=1.0), lambda: K.RandomPosterize((3.0, 6.0), p=1.0)])
def test_chosen_faces_become_what_all_would_and_the_others_stay(make: Callable[[], K.AugmentationBase2D], picked: list[int]) -> None:
    faces = torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(5))
    chosen = torch.tensor([i in picked for i in range(6)])
    found = []
    for mask in (None, chosen):
        torch.manual_seed(6)
        found.append(per_face(make(), faces, Share(6), mask))
    everyone, some = found
    for i in range(6):
        torch.testing.assert_close(some[i], everyone[i] if i in picked else faces[i], atol=1e-6, rtol=0)
        assert i in picked or torch.equal(some[i], faces[i])


def test_light_changes_as_it_says() -> None:
    """On flat grey of 0.4: brightness adds up to half, contrast multiplies by half to one and a half, solarizing turns what is bright."""
    torch.manual_seed(6)
    flat, bright = torch.full((300, 3, 8, 8), 0.4), torch.full((300, 3, 8, 8), 0.9)
    layers = {type(layer).__name__: layer for layer in Distortions(1.0)._layers}
    assert len(Distortions(1.0)._layers) == KINDS == len(layers) + 2  # three are RandomAffine

    def values(name: str, faces: torch.Tensor) -> torch.Tensor:
        found = per_face(layers[name], faces, Share(len(faces)), torch.ones(len(faces), dtype=torch.bool))
        assert (found.flatten(1).amax(1) - found.flatten(1).amin(1)).max() < 1e-5  # flat it stays
        return found[:, 0, 0, 0]

    added = values("RandomBrightness", flat)
    assert -1e-6 <= float(added.min()) < 0.02
    assert 0.83 < float(added.max()) <= 0.9 + 1e-6
    times = values("RandomContrast", flat) / 0.4
    assert 0.5 - 1e-5 <= float(times.min()) < 0.55
    assert 1.45 < float(times.max()) <= 1.5 + 1e-5
    assert float((values("RandomSolarize", bright) < 0.5).float().mean()) > 0.95
    assert float((values("RandomSolarize", flat / 4) < 0.5).float().mean()) > 0.95  # what is dark is not turned


def test_shapes_colours_and_details_change() -> None:
    torch.manual_seed(7)
    faces = torch.rand(200, 3, 16, 16)
    every = torch.ones(200, dtype=torch.bool)
    for layer in Distortions(1.0)._layers:
        found = per_face(layer, faces, Share(200), every)
        changed = (found - faces).abs().flatten(1).amax(1) > 1e-3
        assert float(changed.float().mean()) > 0.8, layer  # posterizing to 8 bits is none
    names = [type(layer).__name__ for layer in Distortions(1.0)._layers]
    assert names.count("RandomAffine") == 3
