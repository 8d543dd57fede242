"""Maps moved to another grid: where they land, and what their mean is."""

from __future__ import annotations

import pytest
import torch

from evenface.models.grids import spread


def test_one_cell_covers_what_it_shows() -> None:
    out = spread(torch.full((1, 1, 1, 1), 8.0, dtype=torch.float64), (4, 4), (0.0, 0.5), (0.25, 0.75))
    expected = torch.zeros(4, 4, dtype=torch.float64)
    expected[0:2, 1:3] = 32.0  # 4 of 16 cells
    torch.testing.assert_close(out[0, 0], expected)


def test_a_cell_is_shared_by_area() -> None:
    maps = torch.tensor([[[[3.0, 6.0]]]], dtype=torch.float64)  # two columns, the first over 0 to 1/2
    out = spread(maps, (1, 3))
    torch.testing.assert_close(out[0, 0, 0], torch.tensor([3.0, 4.5, 6.0], dtype=torch.float64))


def test_autocast_rounds_nothing() -> None:
    maps = torch.rand(2, 3, 5, 5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = spread(maps, (3, 4))
    torch.testing.assert_close(found, spread(maps, (3, 4)), rtol=0, atol=0)


def test_the_same_grid_is_left_as_it_is() -> None:
    maps = torch.rand(2, 3, 3, 5, dtype=torch.float64)
    torch.testing.assert_close(spread(maps, (3, 5)), maps)


@pytest.mark.parametrize(("cells", "size"), [((1, 1), (3, 3)), ((7, 7), (4, 5)), ((3, 4), (3, 4)), ((5, 3), (1, 1))])
def test_the_mean_stays(cells: tuple[int, int], size: tuple[int, int]) -> None:
    maps = torch.randn(2, 3, *cells, dtype=torch.float64)
    for rows, columns in [((0.0, 1.0), (0.0, 1.0)), ((0.25, 1.0), (0.1, 0.85))]:
        out = spread(maps, size, rows, columns)
        assert out.shape == (2, 3, *size)
        torch.testing.assert_close(out.mean((2, 3)), maps.mean((2, 3)))
