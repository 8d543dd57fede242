"""The most confident mistakes and the most doubtful labels, with the faces where they may be shown."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from evenface.data.decode import UNREADABLE, decode
from evenface.data.manifest import Manifest
from evenface.errors import EvenfaceError
from evenface.report.data import faces_of
from evenface.report.figures.figure import csv_text
from evenface.report.gather import Scores
from evenface.report.page import Section, escape, face_img, folded, gallery_html, paragraph
from evenface.report.parts.part import Context, Part, members, shown
from evenface.report.tables import percent


SIDE = 108  # of a face on the page, CSS pixels
PER_CLASS = 4  # mistakes of each class for one method, half as many for several
DOUBTFUL = 28


@dataclasses.dataclass(frozen=True, eq=False)
class Faces:
    """Where the pictures of a split are found.

    Attributes:
        manifest: its rows.
        row: id -> row.
    """

    manifest: Manifest
    row: dict[str, int]

    def pixels(self, identity: str) -> np.ndarray | None:
        """(H, W, 3) uint8 RGB; None where the picture cannot be read."""
        try:
            return decode(self.manifest.image_bytes(self.row[identity]))
        except UNREADABLE:
            return None

    def votes(self, identity: str) -> str:
        """`votes: fear 5, surprise 4`; empty where the set has none."""
        columns = [name for name in self.manifest.table.column_names if name.startswith("votes_")]
        counts = {name.removeprefix("votes_"): self.manifest.table[name][self.row[identity]].as_py() or 0 for name in columns}
        most = sorted(((n, name) for name, n in counts.items() if n > 0), reverse=True)[:3]
        return "votes: " + ", ".join(f"{name}\u00a0{n:g}" for n, name in most) if most else ""


def find_faces(scores: Scores, dataset: str | None, data_dir: str | None) -> tuple[Faces | None, str]:
    """The pictures of these scores, or the reason why they are not shown."""
    run = next((run for run in scores.runs if run.config is not None), scores.runs[0])  # the one that knows where they lie
    try:
        manifest, _ = faces_of(run, dataset, data_dir, scores.split)
        part = manifest.split(scores.split)
    except (EvenfaceError, OSError) as error:
        reason = str(error).splitlines()[0].removesuffix(" Expected under it:")
        return None, f"The faces are not shown, for the data set was not found; say where it lies with --data-dir. ({reason})"
    row = {name: i for i, name in enumerate(part.ids())}
    labels = part.table["label"].to_pylist()
    for identity, true in zip(scores.ids, scores.true, strict=True):
        if identity not in row or labels[row[identity]] != scores.class_names[true]:
            return None, f"The faces are not shown, for the data set found there has other faces or labels (such as {identity})."
    return Faces(part, row), ""


def mistakes(context: Context, found: Sequence[tuple[Faces | None, str]]) -> Part:
    """Per true class, the wrong answers with the highest scores.

    Args:
        found: for each split, its pictures or the reason why there are none.
    """
    tables: dict[str, str] = {}

    def draw(scores: Scores, faces: Faces | None, reason: str) -> str:
        drawn, _ = shown(scores)
        methods = members(scores, drawn)
        chosen = methods if len(methods) <= 3 else [methods[0], members(scores, [max(drawn, key=lambda m: m.mean("mean_recall"))])[0]]
        parts = [] if faces is not None else [paragraph(reason)]
        rows: list[tuple[object, ...]] = []
        for label, places in chosen:
            p = scores.probabilities[places].mean(axis=0)
            answer = p.argmax(axis=1)
            wrong = np.flatnonzero(answer != scores.true)
            wrong = wrong[np.argsort(-p[wrong, answer[wrong]], kind="stable")]
            rows += [_row(scores, label, p, int(i), int(answer[i])) for i in wrong]
            per_class = PER_CLASS if len(chosen) == 1 else PER_CLASS // 2
            picked = [i for c in range(len(scores.class_names)) for i in wrong[scores.true[wrong] == c][:per_class]]
            if len(chosen) > 1:
                parts.append(f"<h3>{escape(label)}</h3>")
            several = f" (answers of the mean over {len(places)} trainings)" if len(places) > 1 else ""
            parts.append(paragraph(f"{len(wrong):,} of {len(scores.true):,} {scores.split} faces are wrong{several}.", "note"))
            if faces is not None:
                parts.append(gallery_html([_card(scores, faces, p, int(i), int(answer[i])) for i in picked]))
        columns = ("method", "id", "label", "answer", "p_answer", "p_label", "duplicate_of_train")
        tables[f"mistakes-{scores.split}"] = csv_text(columns, rows)
        return "".join(parts)

    text = paragraph("For each class the wrong answers that the model is surest of: what it has not learned, or a label that is wrong.")
    return Part(Section("Most confident mistakes", "mistakes", text + _splits(context, found, draw)), (), tables)


def doubtful(context: Context, found: Sequence[tuple[Faces | None, str]]) -> Part:
    """The faces whose label the trainings believe least."""
    tables: dict[str, str] = {}

    def draw(scores: Scores, faces: Faces | None, reason: str) -> str:
        p = scores.probabilities.mean(axis=0)
        given = p[np.arange(len(p)), scores.true]
        order = np.argsort(given, kind="stable")
        votes = [faces.votes(scores.ids[i]) if faces is not None else "" for i in order]
        rows = [
            (
                scores.ids[i],
                scores.class_names[scores.true[i]],
                float(1 - given[i]),
                scores.class_names[p[i].argmax()],
                float(p[i].max()),
                v,
            )
            for i, v in zip(order, votes, strict=True)
        ]
        tables[f"doubtful-{scores.split}"] = csv_text(("id", "label", "doubt", "answer", "p_answer", "votes"), rows)
        beware = ""
        if scores.split == "train":
            beware = paragraph("Beware: these are training faces, whose labels the model was fitted to. It doubts them too little.", "warn")
        if faces is None:
            return beware + paragraph(reason)
        who = "the training" if len(scores.runs) == 1 else f"all {len(scores.runs)} trainings, as a mean"
        count = min(DOUBTFUL, len(order))
        said = paragraph(f"The {count} of {len(order):,} {scores.split} faces whose label is least likely to {who}.", "note")
        return beware + said + gallery_html([_doubt(scores, faces, p, int(i)) for i in order[:DOUBTFUL]])

    text = paragraph(
        "The labels that the model believes least: 1 minus the score of the given label. A hint, no proof: the model may be what is wrong. "
        "Faces of test and validation were not trained on; on training faces a model has seen the labels and doubts them too little."
    )
    return Part(Section("Most doubtful labels", "doubtful", text + _splits(context, found, draw)), (), tables)


def _splits(context: Context, found: Sequence[tuple[Faces | None, str]], draw: object) -> str:
    parts = []
    for i, (scores, (faces, reason)) in enumerate(zip(context.splits, found, strict=True)):
        html = draw(scores, faces, reason)  # type: ignore[operator]
        parts.append(html if i == 0 else folded(f"The same on {scores.split} ({len(scores.true):,} faces)", html))
    return "".join(parts)


def _row(scores: Scores, label: str, p: NDArray[np.float32], i: int, answer: int) -> tuple[object, ...]:
    names, true = scores.class_names, int(scores.true[i])
    return (label, scores.ids[i], names[true], names[answer], float(p[i, answer]), float(p[i, true]), bool(scores.duplicates[i]))


def _card(scores: Scores, faces: Faces, p: NDArray[np.float32], i: int, answer: int) -> tuple[str, list[str]]:
    names, true = scores.class_names, int(scores.true[i])
    lines = [f"{names[true]} → {names[answer]}", f"{_scored(names[answer], p[i, answer])}, {_scored(names[true], p[i, true])}"]
    return _picture(faces, scores.ids[i], f"face labelled {names[true]}, taken for {names[answer]}"), [*lines, *_more(scores, faces, i)]


def _doubt(scores: Scores, faces: Faces, p: NDArray[np.float32], i: int) -> tuple[str, list[str]]:
    names, true, answer = scores.class_names, int(scores.true[i]), int(p[i].argmax())
    lines = [f"labelled {names[true]}", f"{_scored(names[answer], p[i, answer])}, {_scored(names[true], p[i, true])}"]
    return _picture(faces, scores.ids[i], f"face labelled {names[true]}"), [*lines, *_more(scores, faces, i)]


def _scored(name: str, p: float) -> str:
    """`fear 81.3 %`, on one line."""
    return f"{name}\u00a0{percent(float(p))}\u00a0%"


def _more(scores: Scores, faces: Faces, i: int) -> list[str]:
    votes = faces.votes(scores.ids[i])
    return [*([votes] if votes else []), *(["stands in train"] if scores.duplicates[i] else []), scores.ids[i]]


def _picture(faces: Faces, identity: str, alt: str) -> str:
    pixels = faces.pixels(identity)
    return escape("(cannot be read)") if pixels is None else face_img(pixels, side=SIDE, alt=alt)
