"""Does a heat map show what the model goes by? Insertion and deletion (Petsiuk et al., "RISE", BMVC 2018), against maps that know nothing.

    report = check_methods(model, recognizer.scores, crops, ["class-map", "grad-cam"])
    report.rows[0].insertion, report.rows[0].gain              # Mean(value, ci95)

Pixels of the face are ranked by the map, highest first. **Insertion** starts from the blurred face and puts the sharp pixels in;
**deletion** starts from the face and blurs them. Each gives a curve of the score of the class that the model chose for the face, and the
area under it, 0 to 1: a map that shows what counts has a high insertion and a low deletion. `gain` is (insertion - deletion) minus that of
the random map, face by face: 0 means that the map tells nothing.

Two maps stand beside the methods: `random` has independent noise in the same number of cells (its smoothness is that of the others, which
matters), and `centre` falls off from the middle of the face, the same one for all faces: aligned faces have their eyes and mouths where
every other face has them, and a map must beat that to be about *this* face. Two cells a side are all as far from the middle; there it
falls off pixel by pixel.

Intervals are the percentile bootstrap over faces (95 %). Blurred pixels are no faces that a model has learned, so the numbers compare maps
of one model; they do not compare models.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np

from evenface.errors import DataError
from evenface.evaluation.intervals import percentile_interval
from evenface.explain.cam import explain
from evenface.explain.cells import upsample
from evenface.models.classifier import Classifier


BASELINES = ("random", "centre")
STEPS = 10  # of the curves: every tenth of the pixels
BLUR = 0.1  # standard deviation of the blur, relative to the side: eyes and mouth are gone, the head is still there
RESAMPLES = 2000
Predict = Callable[[Sequence[np.ndarray]], np.ndarray]


@dataclasses.dataclass(frozen=True, slots=True)
class Mean:
    """A mean over faces with its 95 % interval (low, high); a single face has none."""

    value: float
    ci95: tuple[float, float] | None

    def to_dict(self) -> dict[str, Any]:
        return {"mean": self.value, "ci95": None if self.ci95 is None else list(self.ci95)}


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """One method: the areas under both curves, and what it knows more than the random map (None for that itself)."""

    method: str
    insertion: Mean
    deletion: Mean
    gain: Mean | None


@dataclasses.dataclass(frozen=True, slots=True)
class Faithfulness:
    """Of n faces; whole and blurred are the mean scores at the two ends of the curves."""

    n: int
    whole: float
    blurred: float
    rows: tuple[Row, ...]

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        rows = {
            row.method: {name: None if (value := getattr(row, name)) is None else value.to_dict() for name in _NUMBERS} for row in self.rows
        }
        return {"n": self.n, "steps": STEPS, "score_of_faces": self.whole, "score_of_blurred_faces": self.blurred, "methods": rows}


_NUMBERS = ("insertion", "deletion", "gain")


def check_methods(
    model: Classifier,
    predict: Predict,
    faces: np.ndarray,
    methods: Sequence[str],
    *,
    layer: str = "last",
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Faithfulness:
    """Insertion and deletion of each method and of the two baselines, for the class that the model chooses for each face.

    Args:
        model: whose maps; on its device.
        predict: its scores: n faces (S, S, 3), uint8 RGB -> (n, L); `Recognizer.scores` does.
        faces: (n, S, S, 3), uint8 RGB.
        methods: of `evenface.explain.cam.METHODS`.
        layer: of all of them; "earlier" leaves no class map. The random maps have the cells of that layer.
        seed: of the random maps and of the resamples.

    Raises:
        ConfigError: see `explain`.
        DataError: no face.
    """
    if not len(faces):
        raise DataError("A check needs at least one face.")
    chosen = predict(list(faces)).argmax(axis=1)
    noise = np.random.default_rng(seed)
    parts: dict[str, list[np.ndarray]] = {name: [] for name in (*methods, *BASELINES)}
    total = len(parts) * len(faces)
    done = 0
    for i, face in enumerate(faces):
        target = [model.class_names[chosen[i]]]
        cells = {name: explain(model, [face], method=name, classes=target, layer=layer)[0, 0] for name in methods}
        shape = next(iter(cells.values())).shape if cells else model.backbone.grid
        cells |= {"random": noise.random(shape, np.float32), "centre": _centre(shape, len(face))}
        for name, values in cells.items():
            parts[name].append(insertion_deletion(predict, face, values, int(chosen[i]), ties=cells["random"]))
            done += 1
            if progress is not None:
                progress(done, total)
    curves = {name: np.stack(each) for name, each in parts.items()}  # (n, 2, STEPS + 1)
    areas = {name: area(each) for name, each in curves.items()}  # (n, 2)
    rng = np.random.default_rng(seed)
    draws = rng.integers(0, len(faces), (RESAMPLES, len(faces)))  # the same faces for all methods
    by_chance = areas["random"][:, 0] - areas["random"][:, 1]
    rows = []
    for name, both in areas.items():
        gain = None if name == "random" else mean_of(both[:, 0] - both[:, 1] - by_chance, draws)
        rows.append(Row(name, mean_of(both[:, 0], draws), mean_of(both[:, 1], draws), gain))
    ends = curves["random"][:, 0]
    return Faithfulness(len(faces), float(ends[:, -1].mean()), float(ends[:, 0].mean()), tuple(rows))


def insertion_deletion(
    predict: Predict, face: np.ndarray, cells: np.ndarray, target: int, *, ties: np.ndarray | None = None, steps: int = STEPS
) -> np.ndarray:
    """Both curves of one face, (2, steps + 1): the score of class `target` with 0, 1/steps, ... 1 of the pixels put in, or blurred.

    Args:
        face: (S, S, 3), uint8 RGB.
        cells: its map (h, w), brought to the pixels by `upsample`.
        ties: another map (h', w'), whose order holds among pixels of equal value (a relu leaves many zeros); None keeps that of the rows.
    """
    size = len(face)
    first = upsample(cells, size).ravel()
    second = np.zeros_like(first) if ties is None else upsample(ties, size).ravel()
    place = np.empty(size * size, np.int64)
    place[np.lexsort((-second, -first))] = np.arange(size * size)
    blurred = blur(face)
    views = []
    for step in range(steps + 1):
        inside = (place < round(step / steps * size * size)).reshape(size, size, 1)
        views += [np.where(inside, face, blurred), np.where(inside, blurred, face)]
    scores = predict(views)[:, target]
    return scores.reshape(steps + 1, 2).T


def blur(face: np.ndarray) -> np.ndarray:
    """The face (S, S, 3) with its details gone."""
    found: np.ndarray = cv2.GaussianBlur(face, (0, 0), BLUR * len(face))
    return found


def area(curves: np.ndarray) -> np.ndarray:
    """The area under curves (..., steps + 1) over [0, 1], by trapezoids."""
    return np.asarray(((curves[..., 1:] + curves[..., :-1]) / 2).mean(axis=-1))


def mean_of(values: np.ndarray, draws: np.ndarray) -> Mean:
    """The mean of values (n,), with the percentile interval over the resamples whose rows are `draws` (R, n)."""
    return Mean(float(values.mean()), percentile_interval(values[draws].mean(axis=1)) if len(values) > 1 else None)


def _centre(shape: tuple[int, ...], size: int) -> np.ndarray:
    """A map (h, w) that falls off with the distance from the middle; (size, size) where all h x w cells are as far from it."""
    y, x = (np.abs((np.arange(n) + 0.5) / n - 0.5) for n in (shape if max(shape) > 2 else (size, size)))
    return np.asarray(-np.hypot(y[:, None], x[None, :]), dtype=np.float32)
