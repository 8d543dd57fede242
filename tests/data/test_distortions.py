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
