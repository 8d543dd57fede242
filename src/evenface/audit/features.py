"""What a network sees in each face, for a judge of labels: its pooled features before the head.

    judge = open_network("runs/x")            # a run, a model folder, a shipped name, or dlib-face
    found = features(rows, judge, folder, key, workers=2, device="auto", reach=print)       # (n, C) float16

`dlib-face` is dlib's face recognition network, which has seen no expression label at all; it needs its weights (`--init dlib-face`).
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from evenface import zoo
from evenface.audit.parts import Arrays, in_parts
from evenface.audit.rows import Rows
from evenface.data.decode import UNREADABLE, decode
from evenface.devices import resolve_device, resolve_precision
from evenface.faces.alignment import Alignment, whole
from evenface.labels import BASIC
from evenface.model_folder import WEIGHTS, load_model, standing
from evenface.models.classifier import Classifier, build_classifier
from evenface.models.init import load_init


DLIB = "dlib-face"
WIDEST = 512  # features that are kept; wider ones are projected, so that what is held stays within 1 KB a face
_BATCH = 64
VERSION = 1


@dataclasses.dataclass(frozen=True, eq=False)
class Network:
    """A network that gives features.

    Attributes:
        name: what it was asked for by.
        model: on the CPU, in evaluation mode.
        alignment, size: how it wants its faces.
        dataset: the set that it has learned expressions from; None for none, or where that is not known.
        key: a hash of its weights.
    """

    name: str
    model: Classifier
    alignment: Alignment
    size: int
    dataset: str | None
    key: str


def open_network(name: str | os.PathLike[str] | None) -> Network:
    """The network of that name; None takes the shipped one.

    Raises:
        ModelError: no such model, or a broken one.
        MissingExtra: `dlib-face` without its weights.
    """
    if name == DLIB:
        model = build_classifier("dlib_face_resnet_13", BASIC, 112).eval()
        report = load_init(model, DLIB)
        return Network(DLIB, model, Alignment("box"), 112, None, (report.sha256 or "")[:16])
    given = name if name is not None else zoo.default_model()
    folder = zoo.model_path(given)
    model, config = load_model(folder)
    key = hashlib.blake2b((standing(folder) / WEIGHTS).read_bytes(), digest_size=8).hexdigest()
    return Network(os.fspath(given), model, Alignment.from_dict(config.alignment), config.img_size, config.dataset, key)


def features(
    rows: Rows, network: Network, folder: Path, key: str, *, workers: int, device: str, reach: Callable[[int], None]
) -> np.ndarray:
    """Features (kept rows, C up to 512), float16; a picture that cannot be read has zeros. See `evenface.audit.parts` for the rest.

    Raises:
        DeviceError: a device that is not there.
    """
    where = resolve_device(device)
    bf16 = resolve_precision("auto", where)[0] == "bf16"  # features are kept in 16 bits anyway
    model = network.model.to(where)
    if where.type != "mps":
        model = model.to(memory_format=torch.channels_last)
    wide = model.backbone.num_features
    turn = None
    if wide > WIDEST:  # keeps distances nearly (Johnson and Lindenstrauss)
        turn = torch.randn(wide, WIDEST, generator=torch.Generator().manual_seed(0)).div_(WIDEST**0.5).to(where)
    blank = np.zeros((network.size, network.size, 3), np.uint8)

    def face(row: int) -> np.ndarray | None:
        try:
            return whole(decode(rows.image_bytes(row)), network.alignment, network.size)
        except UNREADABLE:
            return None

    cast = torch.autocast(where.type, dtype=torch.bfloat16, enabled=bf16)
    with ThreadPoolExecutor(workers) as pool, torch.inference_mode(), cast:

        def look(part: range) -> Arrays:
            found = []
            for start in range(0, len(part), _BATCH):
                faces = list(pool.map(face, part[start : start + _BATCH]))
                pixels = torch.from_numpy(np.stack([blank if each is None else each for each in faces])).to(where)
                seen = model(pixels.permute(0, 3, 1, 2).float().div_(255)).features
                seen = seen if turn is None else seen.float() @ turn
                seen[torch.tensor([each is None for each in faces], device=where)] = 0
                found.append(seen.half().cpu().numpy())
            return {"features": np.concatenate(found)}

        return in_parts(folder, f"features{VERSION}-{key}", rows.kept, look, reach)["features"]
