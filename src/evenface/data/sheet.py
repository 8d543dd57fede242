"""A contact sheet: a row per class with its name and count, some faces of each; the quickest way to see whether labels make sense.

contact_sheet(load_dataset("ferplus", "path/to/ferplus"), "train", per_class=8, size=96).save("sheet.png")
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from evenface.data.decode import UNREADABLE, decode
from evenface.data.manifest import Manifest
from evenface.data.order import shuffled


GAP = 2  # pixels around each face


def contact_sheet(manifest: Manifest, split: str = "train", per_class: int = 8, size: int = 96, seed: int = 0) -> Image.Image:
    """Faces drawn at random (by id and seed) from each class of a split, RGB; places stay white where a class has too few.

    Images that cannot be read are passed over.

    Raises:
        DataError: no such split.
    """
    part = manifest.split(split)
    counts, ids, labels = part.counts(), np.array(part.ids(), dtype=object), np.array(part.table["label"].to_pylist(), dtype=object)
    sheet = Image.new("RGB", (per_class * (size + GAP) + GAP, len(counts) * (size + GAP) + GAP), "white")
    for row, label in enumerate(counts):
        members = np.flatnonzero(labels == label)
        column = 0
        for member in members[shuffled(ids[members], seed, "sheet")] if len(members) else ():
            if column == per_class:
                break
            try:
                face = decode(part.image_bytes(int(member)), size)
            except UNREADABLE:
                continue
            sheet.paste(Image.fromarray(face), (GAP + column * (size + GAP), GAP + row * (size + GAP)))
            column += 1
    return with_names(sheet, [f"{label}\n{count:,}" for label, count in counts.items()])


def with_names(sheet: Image.Image, names: list[str]) -> Image.Image:
    """The sheet with a column of names on the left, one for each of its rows of equal height."""
    pitch = (sheet.height - GAP) / len(names)
    font = ImageFont.load_default(max(9, min(14, round(pitch / 4))))
    draw = ImageDraw.Draw(sheet)
    width = 2 * 6 + round(max(draw.multiline_textbbox((0, 0), name, font=font)[2] for name in names))
    whole = Image.new("RGB", (width + sheet.width, sheet.height), "white")
    whole.paste(sheet, (width, 0))
    draw = ImageDraw.Draw(whole)
    for row, name in enumerate(names):
        draw.multiline_text((6, GAP + (row + 0.5) * pitch), name, fill="black", font=font, anchor="lm")
    return whole
