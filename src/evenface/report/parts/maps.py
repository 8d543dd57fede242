"""Class maps: where the evidence for a face's label lies, and whether the mirrored face agrees."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from evenface.data.decode import resize
from evenface.errors import EvenfaceError
from evenface.explain.class_maps import FaceMaps, explain_crops
from evenface.faces.alignment import whole
from evenface.model_folder import ModelConfig
from evenface.recognizer import Recognizer
from evenface.report.figures.figure import csv_text
from evenface.report.gather import Scores
from evenface.report.page import Section, escape, face_img, paragraph
from evenface.report.parts.faces import Faces
from evenface.report.parts.part import Context, Part, members, shown
from evenface.report.tables import percent
from evenface.runs.data import learned_look


SIDE = 84  # CSS pixels
MORE, LESS = (230, 110, 0), (0, 105, 190)  # as on the page of `evenface serve`
DENSEST = 0.85  # so that the face stays visible under the strongest place
AT_MOST = 3  # methods, a network of each


def maps(context: Context, faces: Faces | None, reason: str, device: str) -> Part:
    """A typical face of each class with the map of its class, on it and on its mirror."""
    scores = context.main
    title = "Class maps"
    if faces is None:
        return Part(Section(title, "class-maps", paragraph(reason)))
    drawn, _ = shown(scores)
    methods = [(label, places) for label, places in members(scores, drawn) if scores.runs[places[0]].about is not None][:AT_MOST]
    if not methods:
        return Part(Section(title, "class-maps", paragraph("There are none: these are scores without their networks.")))
    picked = typical(scores)
    pictures = [faces.pixels(scores.ids[i]) for i in picked]
    picked = [i for i, pixels in zip(picked, pictures, strict=True) if pixels is not None]
    kept = [pixels for pixels in pictures if pixels is not None]
    columns, rows = [], []
    for label, places in methods:
        run = scores.runs[places[0]]
        try:
            recognizer = Recognizer.from_pretrained(run.target, runtime="torch", device=device, detector="none")
            crops = [_as_scored(pixels, recognizer.config) for pixels in kept]
            found = explain_crops(recognizer, crops, context.prior)
        except (EvenfaceError, NotImplementedError) as error:
            return Part(Section(title, "class-maps", paragraph(f"There are no class maps of {run.name}: {error}")))
        columns.append((label, run.seed, found))
        names = [scores.class_names[scores.true[i]] for i in picked]
        rows += [
            (scores.ids[i], name, label, run.seed, each.scores[name], each.mirror_scores[name], each.correlation, each.mean_squared)
            for i, name, each in zip(picked, names, found, strict=True)
        ]
    head = ("id", "label", "method", "seed", "p_label", "p_label_mirror", "correlation", "mean_squared")
    text = (
        "One face of each class, the one of middling score among those that every training gets right (of all, where there is none). "
        "Orange: places that speak for the label more than the rest of the face does; blue: less; all classes of a face share one scale. "
        "Left the face, right its mirror; below, what the label scores on both. The correlation r says how well the maps of both agree in "
        "place (1: fully), over all classes; it is that of these single faces, and no measure of the method."
    )
    html = paragraph(text) + _table(scores, picked, columns)
    return Part(Section(title, "class-maps", html), (), {f"class-maps-{scores.split}": csv_text(head, rows)})


def _as_scored(pixels: np.ndarray, config: ModelConfig) -> np.ndarray:
    """A face as the model was given it when it was scored: those of other data grey and of the resolution that it learned from."""
    look = learned_look(config)
    return resize(Image.fromarray(pixels), config.img_size) if look is None else whole(pixels, look, config.img_size)


def typical(scores: Scores) -> list[int]:
    """A place for each class that has faces: of those that all trainings get right (else of all), the one of median mean score."""
    right = (scores.predicted == scores.true).all(axis=0)
    given = scores.probabilities.mean(axis=0)[np.arange(len(scores.true)), scores.true]
    found = []
    for c in range(len(scores.class_names)):
        members = np.flatnonzero(scores.true == c)
        if not members.size:
            continue
        good = members[right[members]] if right[members].any() else members
        found.append(int(good[np.argsort(given[good], kind="stable")[len(good) // 2]]))
    return found


def overlay(face: np.ndarray, values: np.ndarray, scale: float) -> np.ndarray:
    """A face (S, S, 3) uint8 RGB under a map (h, w): orange where it is above its own mean, blue where below.

    Args:
        scale: the distance from the mean that is drawn most densely.
    """
    side = face.shape[0]
    away = (values - values.mean()) / scale
    smooth = np.asarray(Image.fromarray(away.astype(np.float32)).resize((side, side), Image.Resampling.BICUBIC))
    alpha = DENSEST * np.clip(np.abs(smooth), 0, 1)[..., None]
    colour = np.where(smooth[..., None] > 0, np.array(MORE), np.array(LESS))
    return np.asarray((1 - alpha) * face + alpha * colour + 0.5).astype(np.uint8)


def _table(scores: Scores, picked: Sequence[int], columns: Sequence[tuple[str, int | None, Sequence[FaceMaps]]]) -> str:
    several = len(columns) > 1
    head = (
        "".join(f'<th scope="col">{escape(label if seed is None else f"{label}, seed {seed}")}</th>' for label, seed, _ in columns)
        if several
        else '<th scope="col">maps</th>'
    )
    body = []
    for row, i in enumerate(picked):
        name = scores.class_names[scores.true[i]]
        cells = []
        for _, _, found in columns:
            each = found[row]
            where = each.classes.index(name)
            scale = _strongest(each)
            pair = (overlay(each.crop, each.maps[where], scale), overlay(each.mirror, each.mirror_maps[where][:, ::-1], scale))
            images = " ".join(
                face_img(p, side=SIDE, alt=f"class map of {name} {v}") for p, v in zip(pair, ("on the face", "on its mirror"), strict=True)
            )
            said = f"{percent(each.scores[name])} % / {percent(each.mirror_scores[name])} %, r {each.correlation:.2f}"
            cells.append(f"<td>{images}<br>{escape(said)}</td>")
        plain = face_img(columns[0][2][row].crop, side=SIDE, alt=f"face labelled {name}")
        body.append(f'<tr><th scope="row">{escape(name)}</th><td>{plain}<br>{escape(scores.ids[i])}</td>{"".join(cells)}</tr>')
    first = '<tr><th scope="col">label</th><th scope="col">face</th>'
    table = f'<table class="maps"><thead>{first}{head}</tr></thead><tbody>{"".join(body)}</tbody></table>'
    return f'<div class="scroll" tabindex="0" role="region" aria-label="class maps">{table}</div>'


def _strongest(found: FaceMaps) -> float:
    """The largest distance of a cell from the mean of its map."""
    both = np.concatenate([found.maps, found.mirror_maps])
    far = float(np.abs(both - both.mean(axis=(1, 2), keepdims=True)).max())
    return far or 1.0
