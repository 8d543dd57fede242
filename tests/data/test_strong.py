"""Weak and strong pictures: sizes and range, parameters of each face's own, shares that make up the whole."""

from __future__ import annotations

import pytest
import torch

from evenface.data.per_face import Share
from evenface.data.strong import Strong, Weak


FACES = torch.rand(24, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("make", [Weak, Strong])
def test_pictures_stay_faces_and_each_is_changed_by_itself(make: type[Weak] | type[Strong]) -> None:
    torch.manual_seed(1)
    same = FACES[:1].expand(24, -1, -1, -1)
    out = make()(same)
    assert out.shape == same.shape
    assert out.dtype == torch.float32
    assert out.min() >= 0
    assert out.max() <= 1
    assert len({round(float(face.sum()), 4) for face in out}) > 12  # one face, many pictures of it


@pytest.mark.parametrize("make", [Weak, Strong])
def test_two_processes_make_the_pictures_of_one(make: type[Weak] | type[Strong]) -> None:
    picture = make()
    torch.manual_seed(2)
    whole = picture(FACES, Share(24))
    for rank in range(2):
        torch.manual_seed(2)
        torch.testing.assert_close(picture(FACES[rank::2], Share(24, rank, 2)), whole[rank::2], atol=1e-5, rtol=1e-5)


def test_strong_changes_more_than_weak_and_erases_a_box() -> None:
    torch.manual_seed(3)
    flat = torch.full((64, 3, 32, 32), 0.4)
    mean = (0.9, 0.9, 0.9)
    weak, strong = Weak()(flat), Strong(mean, n=0.0)(flat)
    torch.testing.assert_close(weak, flat)
    share = (strong - 0.9).abs().amax(1).lt(1e-4).float().mean((1, 2))
    assert bool((share > 0.005).all())
    assert bool((share < 0.35).all())
    changed = (Strong(mean, n=2.0)(flat) - flat).abs().amax(1)
    outside = changed.lt(1e-3).float().mean()  # brightness, contrast or solarize reached most faces beyond the box
    assert float(outside) < float((strong - flat).abs().amax(1).lt(1e-3).float().mean())
