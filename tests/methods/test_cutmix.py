"""CutMix: the box, what is pasted, the labels by area, and how often."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from evenface.errors import ConfigError
from evenface.methods import Batch, Setting, create_method
from evenface.methods._mixing import box_around


Make = Callable[..., Batch]


@pytest.mark.parametrize(
    ("row", "column", "lam", "expected"),
    [
        (8, 8, 0.75, (4, 12, 4, 12)),  # a quarter of the area: half of each side
        (0, 8, 0.75, (0, 4, 4, 12)),  # cut off above
        (15, 15, 0.75, (11, 16, 11, 16)),  # and below, right
        (8, 8, 0.0, (0, 16, 0, 16)),
        (8, 8, 1.0, (8, 8, 8, 8)),
    ],
)
def test_boxes_by_hand(row: int, column: int, lam: float, expected: tuple[int, ...]) -> None:
    rows, columns = box_around(row, column, 16, 16, lam)
    assert (rows.start, rows.stop, columns.start, columns.stop) == expected


@pytest.mark.parametrize("votes", [False, True])
def test_a_box_of_one_other_face_and_labels_by_its_area(votes: bool, setting: Setting, faces: Make) -> None:
    batch = faces(6, votes=votes)
    plain = torch.arange(6.0).view(6, 1, 1, 1).expand(6, 3, 16, 16).clone()  # every pixel tells its face
    method = create_method("cutmix", setting, {})
    areas = set()
    for seed in range(20):
        torch.manual_seed(seed)
        x, target = method.pasted(Batch(plain, None, batch.labels, batch.soft, batch.rows, batch.undo))
        boxes = set()
        for i in range(6):
            inside = (x[i] != i).all(0)
            if not inside.any():
                continue  # paired with itself, or an empty box
            assert len(x[i][:, inside].unique()) == 1
            j = int(x[i][0][inside][0])
            rows, columns = (inside.any(axis).nonzero().flatten() for axis in (1, 0))
            assert inside.sum() == len(rows) * len(columns) == (rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1)
            area = inside.sum().item() / 256
            boxes.add((rows[0].item(), columns[0].item(), area))
            ours, theirs = (torch.eye(4)[batch.labels[k]] if batch.soft is None else batch.soft[k].float() for k in (i, j))
            torch.testing.assert_close(target[i], (1 - area) * ours + area * theirs)
        assert len(boxes) <= 1
        areas |= boxes
    assert len(areas) > 10


def test_how_often(setting: Setting, faces: Make, tiny: Callable[[], nn.Module]) -> None:
    model, batch = tiny(), faces()
    plain = create_method("ce", setting, {}).loss(batch, model).total.item()
    for probability, low, high in ((0.0, 0, 0), (0.5, 25, 55), (1.0, 70, 80)):
        method = create_method("cutmix", setting, {"probability": probability})
        torch.manual_seed(0)
        mixed = sum(abs(method.loss(batch, model).total.item() - plain) > 1e-9 for _ in range(80))
        assert low <= mixed <= high


def test_the_batch_itself_is_left_as_it_was_and_the_probability_is_checked(setting: Setting, faces: Make) -> None:
    batch = faces()
    before = batch.x.clone()
    create_method("cutmix", setting, {}).pasted(batch)
    assert torch.equal(batch.x, before)
    with pytest.raises(ConfigError, match="'probability' must be at most 1"):
        create_method("cutmix", setting, {"probability": 1.5})
