"""Maps laid over faces: colours, strength, cell borders, legend.

    overlay(crop, cells, limit=3.2, signed=True)        # (SIDE, SIDE, 3) uint8 RGB

The face is shown in grey. A signed map is drawn as its distance from its own mean (`places`), as on the page of the service: red where a
place gives the class more points than the average place, blue where it gives fewer (`coolwarm`: evenly stepped, and told apart by the
colour-blind). The mean itself, which decides between the classes, would paint the whole face in one colour; it stands beside the name. A
map that is never below 0 goes from nothing to yellow (`inferno`). The stronger, the less of the face shines through. Thin lines are the
borders of the cells: inside a cell the map tells nothing, the smooth colours are drawn between the cells' middles.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from evenface.explain.cells import upsample


SIDE = 192  # pixels of a drawn face
FINE = 8  # cells along a side up to which their borders are drawn
_STRONGEST = 0.8  # share of the colour where the map is at its limit
_FACE = 150  # grey level of a face in the legend


def overlay(crop: np.ndarray, cells: np.ndarray, limit: float, signed: bool) -> np.ndarray:
    """A face with a map over it, (SIDE, SIDE, 3) uint8 RGB.

    Args:
        crop: (S, S, 3), uint8 RGB.
        cells: (h, w).
        limit: the value at which the colour is full, > 0.
        signed: whether the map may be below 0.
    """
    grey = cv2.cvtColor(enlarged(crop), cv2.COLOR_RGB2GRAY)[..., None].repeat(3, axis=2).astype(np.float32)
    found = _coloured(grey, upsample(cells, SIDE) / limit, signed)
    if max(cells.shape) <= FINE:
        rows, columns = (np.linspace(0, SIDE, n + 1)[1:-1].round().astype(int) for n in cells.shape)
        found[rows] = 0.75 * found[rows] + 0.25 * 255
        found[:, columns] = 0.75 * found[:, columns] + 0.25 * 255
    return np.asarray(found.round(), dtype=np.uint8)


def places(cells: np.ndarray, signed: bool) -> np.ndarray:
    """What is drawn of a map (h, w): of a signed one the distance from its mean."""
    return cells - cells.mean() if signed else cells


def enlarged(crop: np.ndarray) -> np.ndarray:
    """A face (S, S, 3) at the size at which it is drawn."""
    how = cv2.INTER_AREA if len(crop) > SIDE else cv2.INTER_CUBIC
    found: np.ndarray = cv2.resize(crop, (SIDE, SIDE), interpolation=how)
    return found


def legend(signed: bool) -> np.ndarray:
    """The colours from the lower to the upper limit over a middle grey, (12, 256, 3) uint8 RGB."""
    values = np.tile(np.linspace(-1 if signed else 0, 1, 256, dtype=np.float32), (12, 1))
    return np.asarray(_coloured(np.full((12, 256, 3), _FACE, np.float32), values, signed).round(), dtype=np.uint8)


def limit_of(*maps: np.ndarray) -> float:
    """The largest size of any value; 1 where all are 0."""
    return max(float(np.abs(each).max()) for each in maps) or 1.0


def _coloured(grey: np.ndarray, values: np.ndarray, signed: bool) -> np.ndarray:
    """Grey pixels (H, W, 3) and values (H, W), 1 being the limit -> (H, W, 3) float32, 0 to 255."""
    from matplotlib import colormaps

    place = (values + 1) / 2 if signed else values
    colours = 255 * colormaps["coolwarm" if signed else "inferno"](np.clip(place, 0, 1))[..., :3]
    strength = _STRONGEST * np.clip(np.abs(values), 0, 1)[..., None] ** 0.8
    return np.asarray((1 - strength) * grey + strength * colours, dtype=np.float32)


def words(text: str, longest: int = 60) -> str:
    """A name for a figure: signs that the font does not have become ?, and the middle of a long one is left out."""
    from matplotlib.font_manager import findfont, get_font

    known = get_font(findfont("DejaVu Sans")).get_charmap()
    plain = "".join(sign if ord(sign) in known and sign.isprintable() else "?" for sign in text)
    half = (longest - 3) // 2
    return plain if len(plain) <= longest else f"{plain[:half]}...{plain[-half:]}"


def write(figure: Any, x: float, y: float, text: str, **how: Any) -> None:
    """Text at inches from the lower left corner of a figure; nothing in it is taken for mathematics."""
    width, height = figure.get_size_inches()
    figure.text(x / width, y / height, text, parse_math=False, **how)


def place(figure: Any, x: float, y: float, w: float, h: float, pixels: np.ndarray) -> None:
    """Pixels in a box given in inches from the lower left corner of a figure."""
    width, height = figure.get_size_inches()
    axes = figure.add_axes((x / width, y / height, w / width, h / height))
    axes.imshow(pixels, aspect="auto", interpolation="antialiased")
    axes.set_axis_off()


def draw_legend(figure: Any, x: float, y: float, signed: bool, low: str, high: str) -> None:
    """The colour bar with its two ends and what they mean."""
    size = {"fontsize": 8, "va": "center", "color": INK}
    ends = (f"fewer points than the average place{low}", f"more points{high}") if signed else ("0", high.removeprefix(": "))
    write(figure, x, y + 0.07, ends[0], ha="right", **size)
    place(figure, x + 0.08, y, 2.0, 0.14, legend(signed))
    write(figure, x + 2.16, y + 0.07, ends[1], ha="left", **size)


INK, FAINT = "#1b1b1f", "#5c5c66"
