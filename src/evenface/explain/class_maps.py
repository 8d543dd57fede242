"""Class maps of faces and of their mirrors: where the evidence for each expression lies, and how well the two agree.

    found = recognizer.predict("photo.jpg")
    for maps in explain_faces(recognizer, pixels, found.faces):     # pixels: the same picture, (H, W, 3) uint8 RGB
        maps.maps[i], maps.mirror_maps[i]                           # of class i: (h, w) each, cell beside cell
        maps.mean_squared, maps.correlation

A map is A_l = sum_c W[l, c] F[c] over the last feature maps F, without bias, ReLU or scaling (equation 2 of Zhu et al., 2025, before the
class weights); its mean plus the bias is the logit of a network with one linear head. The maps of the mirrored face are flipped back, so
that cells correspond. `mean_squared` is what the paper's consistency loss brings down, without its class weights, as a mean over classes
and cells; it depends on the scale of the maps. `correlation` does not, and it asks about places only: each map counts as its distance from
its own mean, since otherwise the differences between classes, which a mirror hardly changes, decide alone.

With another method of `evenface.explain.cam`, its maps take the place of the class maps, and both numbers are of those.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from evenface.faces.detection import Detection
from evenface.recognizer import Recognizer
from evenface.results import Face


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class FaceMaps:
    """One face, its mirror and the class maps of both.

    Attributes:
        crop, mirror: the face as the network sees it and its mirror, (S, S, 3) uint8 RGB.
        classes: the names of the L classes.
        maps: (L, h, w) float32, in the order of `classes`.
        mirror_maps: those of the mirror, flipped back, (L, h, w) float32.
        scores, mirror_scores: class name -> probability, each of one view.
        mean_squared: mean over classes and cells of (maps - mirror_maps)^2.
        correlation: Pearson's over classes and cells, of each map's distance from its own mean, -1 to 1.
    """

    crop: np.ndarray
    mirror: np.ndarray
    classes: tuple[str, ...]
    maps: np.ndarray
    mirror_maps: np.ndarray
    scores: Mapping[str, float]
    mirror_scores: Mapping[str, float]
    mean_squared: float
    correlation: float


def explain_faces(
    recognizer: Recognizer, image: np.ndarray, faces: Sequence[Detection | Face], prior: str | Mapping[str, float] | None = None
) -> list[FaceMaps]:
    """The maps of the faces of a picture (H, W, 3), uint8 RGB, in their order.

    Args:
        prior: what the scores assume; None takes the recognizer's.

    Raises:
        ConfigError, ModelError: a prior that is unknown, or that the model has no numbers for.
    """
    return explain_crops(recognizer, recognizer.crops(image, faces), prior)


def explain_crops(
    recognizer: Recognizer,
    crops: Sequence[np.ndarray],
    prior: str | Mapping[str, float] | None = None,
    *,
    method: str = "class-map",
    layer: str = "last",
) -> list[FaceMaps]:
    """The same for faces that are cut out already, (S, S, 3) uint8 RGB, S being the model's size.

    Args:
        method, layer: see `evenface.explain.cam.explain`; all but class maps need a model on torch.

    Raises:
        ConfigError: see `evenface.explain.cam.explain`.
    """
    if not crops:
        return []
    names = recognizer.class_names
    mirrors = [np.ascontiguousarray(crop[:, ::-1]) for crop in crops]
    maps, back = (_maps(recognizer, views, method, layer) for views in (crops, mirrors))
    back = back[..., ::-1]
    rows, mirror_rows = (recognizer.scores(views, prior, one_view=True) for views in (crops, mirrors))
    return [
        FaceMaps(
            crops[i],
            mirrors[i],
            names,
            maps[i],
            np.ascontiguousarray(back[i]),
            dict(zip(names, rows[i].tolist(), strict=True)),
            dict(zip(names, mirror_rows[i].tolist(), strict=True)),
            mean_squared(maps[i], back[i]),
            correlation(maps[i], back[i]),
        )
        for i in range(len(crops))
    ]


def _maps(recognizer: Recognizer, crops: Sequence[np.ndarray], method: str, layer: str) -> np.ndarray:
    if method == "class-map" and layer == "last":  # whatever computes the model
        return recognizer.maps(crops)
    from evenface.explain.cam import explain, torch_model

    return explain(torch_model(recognizer), crops, method=method, layer=layer)


def mean_squared(maps: np.ndarray, back: np.ndarray) -> float:
    """Mean over all elements of the squared difference of two arrays of one shape."""
    return float(np.square(maps.astype(np.float64) - back.astype(np.float64)).mean())


def correlation(maps: np.ndarray, back: np.ndarray) -> float:
    """Pearson's correlation of maps (L, h, w) over classes and cells, each map taken from its own mean, -1 to 1.

    Where one of them is flat it is not defined; equal ones have 1 then, others 0.
    """
    a, b = ((values - values.mean(axis=(1, 2), keepdims=True)).ravel() for values in (maps.astype(np.float64), back.astype(np.float64)))
    norm = float(np.linalg.norm(a) * np.linalg.norm(b))
    if norm == 0:
        return 1.0 if np.array_equal(maps, back) else 0.0
    return float(np.clip(a @ b / norm, -1, 1))
