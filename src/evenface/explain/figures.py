"""The figures: one face with all its maps, a sheet of faces, and how the maps moved while a run trained.

    face_figure(seen).savefig("face.png")            # Fig. 8 of the paper, for one face
    sheet_figure([seen, ...])                        # Fig. 8: target and nearest other class of face and mirror
    epochs_figure(read_watched(run), crops)          # Fig. 7

Within a face all maps have one scale. A class map gives points: its mean plus the bias is the logit. Figures are matplotlib's, made without
pyplot and without any global state.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from evenface.explain.class_maps import FaceMaps
from evenface.explain.drawing import FAINT, INK, draw_legend, enlarged, limit_of, overlay, place, places, words, write
from evenface.training.watch import WatchedEpoch


if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 110
COLUMNS = 8  # epochs that are drawn at most
_BOX, _GAP = 1.3, 0.08  # inches: the side of a drawn face, and what is between two
_NAMES = {"class-map": "class maps", "grad-cam": "Grad-CAM", "grad-cam++": "Grad-CAM++", "layer-cam": "LayerCAM"}
_NARROWEST = 7.8  # inches that the lines of text need


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """A face with its maps, ready to be drawn.

    Attributes:
        name: its id, or its file's name.
        label: its class in the data set; None for a photo.
        face: the maps of it and of its mirror.
        method: of `evenface.explain.cam.METHODS`.
        classes: those to be drawn, in no particular order; the target is drawn in any case.
    """

    name: str
    label: str | None
    face: FaceMaps
    method: str
    classes: tuple[str, ...]

    @property
    def says(self) -> str:
        """The class with the highest score."""
        return max(self.face.scores, key=self.face.scores.__getitem__)

    @property
    def target(self) -> str:
        """The class that the face belongs to: its label, or what the model says."""
        return self.label if self.label is not None else self.says

    @property
    def columns(self) -> tuple[str, ...]:
        """The target, then the other classes, the likeliest first."""
        others = [name for name in self.classes if name != self.target]
        return (self.target, *sorted(others, key=lambda name: -self.face.scores[name]))

    @property
    def signed(self) -> bool:
        return self.method == "class-map"

    def maps_of(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Its map and the mirror's, flipped back, (h, w) each."""
        index = self.face.classes.index(name)
        return self.face.maps[index], self.face.mirror_maps[index]

    def drawn(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """What is drawn of both; the mirror's as it lies on the mirror."""
        own, back = self.maps_of(name)
        return places(own, self.signed), places(back, self.signed)[:, ::-1]

    def limit(self, columns: int | None = None) -> float:
        """The largest size of what is drawn of the first so many columns; None for all."""
        return limit_of(*(each for name in self.columns[:columns] for each in self.drawn(name)))

    def means(self, name: str) -> tuple[str, str]:
        """The means of its map and of the mirror's as texts, which only a class map has a use for."""
        return tuple(f"mean {each.mean():+.1f}" if self.signed else "" for each in self.maps_of(name))  # type: ignore[return-value]

    def difference(self, name: str) -> np.ndarray:
        """Of its map and the mirror's, means included, (h, w)."""
        a, b = self.maps_of(name)
        found: np.ndarray = a - b if self.signed else np.abs(a - b)
        return found

    def line(self) -> str:
        """What it is, and what the model says of it and of its mirror."""
        face, says = self.face, self.says
        mirror = max(face.mirror_scores, key=face.mirror_scores.__getitem__)
        label = "" if self.label is None else f"labelled {self.label}; "
        return f"{label}the model says {says} {percent(face.scores[says])}, of the mirror {mirror} {percent(face.mirror_scores[mirror])}"

    def numbers(self) -> str:
        face = self.face
        return f"correlation {face.correlation:.2f}, mean squared difference {face.mean_squared:.3g}"


def percent(score: float) -> str:
    return f"{100 * score:.0f} %"


def face_figure(seen: Seen) -> Figure:
    """A column per class; the face, its mirror, and their difference below each other."""
    columns, limit = seen.columns, seen.limit()
    row_height = _BOX + (0.4 if seen.signed else 0.26)
    width = _left(1) + (len(columns) + 1) * (_BOX + _GAP) + 0.05
    figure = _figure(max(_NARROWEST, width), 3 * row_height + (0.95 if seen.signed else 1.1))
    top = _height(figure)
    write(figure, 0.15, top - 0.22, words(seen.name, 25 + 10 * len(columns)), fontsize=11, fontweight="bold", color=INK, va="center")
    write(figure, 0.15, top - 0.45, seen.line(), fontsize=9, color=INK, va="center")
    h, w = seen.maps_of(columns[0])[0].shape
    what = f"{_NAMES[seen.method]}, {h} x {w} cells; face and mirror: {seen.numbers()}"
    write(figure, 0.15, top - 0.65, what, fontsize=9, color=FAINT, va="center")
    rows = [top - 0.78 - (row + 1) * row_height for row in range(2)]
    rows.append(rows[1] - _BOX - 0.1)
    for y, text in zip(rows, ("face", "mirror", "difference"), strict=True):
        write(figure, 0.2, y + _BOX / 2, text, fontsize=9, color=FAINT, rotation=90, ha="center", va="center")
    x = _left(1)
    place(figure, x, rows[0], _BOX, _BOX, enlarged(seen.face.crop))
    place(figure, x, rows[1], _BOX, _BOX, enlarged(seen.face.mirror))
    for number, name in enumerate(columns, start=1):
        x = _left(1) + number * (_BOX + _GAP)
        bold = "bold" if name == seen.target else "normal"
        scores, means = (seen.face.scores[name], seen.face.mirror_scores[name]), seen.means(name)
        for y, pixels, cells, score, mean in zip(rows, (seen.face.crop, seen.face.mirror), seen.drawn(name), scores, means, strict=False):
            place(figure, x, y, _BOX, _BOX, overlay(pixels, cells, limit, seen.signed))
            write(figure, x + _BOX / 2, y + row_height - 0.15, f"{name} {percent(score)}", **_centred(bold))
            write(figure, x + _BOX / 2, y + _BOX + 0.1, mean, **{**_centred(), "color": FAINT})
        place(figure, x, rows[2], _BOX, _BOX, overlay(seen.face.crop, seen.difference(name), limit, seen.signed))
    draw_legend(figure, _left(1) + 2.8, 0.14, seen.signed, f": {-limit:.2g}", f": {limit:.2g}")
    return figure


def sheet_figure(faces: Sequence[Seen]) -> Figure:
    """A row per face: it, its target map and that of the likeliest other class, the same of its mirror, and the target's difference."""
    row = _BOX + 0.62
    figure = _figure(0.15 + 7 * (_BOX + _GAP) + 0.3, len(faces) * row + 0.55)
    for number, seen in enumerate(faces):
        _sheet_row(figure, _height(figure) - 0.1 - (number + 1) * row, seen)
    signed = faces[0].signed
    draw_legend(figure, 3.2, 0.14, signed, "", ": full colour where the face's two maps have most")
    return figure


def _sheet_row(figure: Any, y: float, seen: Seen) -> None:
    limit = seen.limit(2)
    write(figure, 0.15, y + _BOX + 0.44, words(seen.name, 40), fontsize=9, fontweight="bold", color=INK, va="center")
    write(figure, 0.15, y + _BOX + 0.27, f"{seen.line()}; {seen.numbers()}", fontsize=8, color=FAINT, va="center")
    face, x = seen.face, 0.15
    views = ((face.crop, face.scores, False), (face.mirror, face.mirror_scores, True))
    for pixels, scores, back in views:
        place(figure, x, y, _BOX, _BOX, enlarged(pixels))
        write(figure, x + _BOX / 2, y + _BOX + 0.09, "mirror" if back else "face", **_centred())
        for number, name in enumerate(seen.columns[:2], start=1):
            at = x + number * (_BOX + _GAP)
            place(figure, at, y, _BOX, _BOX, overlay(pixels, seen.drawn(name)[back], limit, seen.signed))
            bold = "bold" if number == 1 else "normal"
            write(figure, at + _BOX / 2, y + _BOX + 0.09, f"{name} {percent(scores[name])}", **_centred(bold))
        x += 3 * (_BOX + _GAP) + 0.15
    place(figure, x, y, _BOX, _BOX, overlay(face.crop, seen.difference(seen.target), limit, seen.signed))
    write(figure, x + _BOX / 2, y + _BOX + 0.09, f"difference, {seen.target}", **_centred())


def epochs_figure(epochs: Sequence[WatchedEpoch], crops: Mapping[str, np.ndarray]) -> Figure:
    """A row per face, a column per epoch (thinned out to `COLUMNS`): the map of the face's class, and the score of that class.

    Args:
        crops: id -> the face, (S, S, 3) uint8 RGB, for all ids.
    """
    shown = [epochs[i] for i in thinned(len(epochs))]
    ids, labels = shown[0].ids, shown[0].labels
    left, row = 0.15, _BOX + 0.42
    figure = _figure(max(_NARROWEST, left + (len(shown) + 1) * (_BOX + _GAP) + 0.1), len(ids) * row + 0.75)
    top = _height(figure) - 0.3
    for number, epoch in enumerate(shown, start=1):
        title = "start" if epoch.number == 0 else f"epoch {epoch.number}"
        write(figure, left + number * (_BOX + _GAP) + _BOX / 2, top + 0.12, title, **_centred("bold"))
    for i, (name, label) in enumerate(zip(ids, labels, strict=True)):
        y = top - (i + 1) * row + 0.1
        index = shown[0].class_names.index(label)
        limit = limit_of(*(places(epoch.maps[i, index], True) for epoch in shown))
        write(figure, left, y + _BOX + 0.24, label, fontsize=9, fontweight="bold", color=INK, va="center")
        write(figure, left, y + _BOX + 0.09, words(name, 22), fontsize=7, color=FAINT, va="center")
        place(figure, left, y, _BOX, _BOX, enlarged(crops[name]))
        for number, epoch in enumerate(shown, start=1):
            x = left + number * (_BOX + _GAP)
            place(figure, x, y, _BOX, _BOX, overlay(crops[name], places(epoch.maps[i, index], True), limit, signed=True))
            write(figure, x + _BOX / 2, y + _BOX + 0.09, percent(float(epoch.scores[i, index])), **_centred())
    draw_legend(figure, left + 2.6, 0.14, True, "", ": full colour where the row has most")
    return figure


def thinned(n: int, most: int = COLUMNS) -> list[int]:
    """Positions of at most `most` of n things, evenly spread, the first and the last among them."""
    return sorted({round(float(p)) for p in np.linspace(0, n - 1, min(n, most))})


def _figure(width: float, height: float) -> Figure:
    """An empty figure of that size in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=DPI, facecolor="white")


def _left(labels: int) -> float:
    return 0.15 + 0.2 * labels


def _width(figure: Any) -> float:
    return float(figure.get_size_inches()[0])


def _height(figure: Any) -> float:
    return float(figure.get_size_inches()[1])


def _centred(weight: str = "normal") -> dict[str, Any]:
    return {"fontsize": 8, "fontweight": weight, "color": INK, "ha": "center", "va": "center"}
