"""The faces that a run watches (`--watch`): their class maps and scores after every epoch, in `<run>/watched/epoch-0001.npz` and so on.

    evenface train ... --watch 1 -o runs/x              (one face of each class; or ids with commas between)
    for epoch in read_watched("runs/x"):
        epoch.number, epoch.ids, epoch.maps.shape       # 3, ("fer0028638", ...), (n, L, h, w)

Epoch 0 is the network before its first step. The faces are of the validation split, or of train where the run has none (`--protocol
paper`); test is never looked at. Watching changes no bit of the run. A file holds no picture: the faces stay where the data are.
"""

from __future__ import annotations

import dataclasses
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from evenface.data.choice import chosen
from evenface.data.manifest import Manifest
from evenface.data.store import FaceStore, to_float
from evenface.errors import ConfigError, DataError
from evenface.files import write_aside
from evenface.models.classifier import Classifier


FOLDER = "watched"
MOST = 64  # faces; it is for looking at
_NAME = re.compile(r"epoch-(\d+)\.npz")
_BATCH = 64


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class WatchedEpoch:
    """What a run's network said of the watched faces after an epoch.

    Attributes:
        number: of the epoch, from 1; 0 is before the first step.
        ids, labels: of the n faces.
        split: the one that they are of.
        class_names: in the order of maps and scores.
        maps, mirror_maps: class maps, and those of the mirrors flipped back, (n, L, h, w) float32.
        scores: softmax of the logits, (n, L) float32.
    """

    number: int
    ids: tuple[str, ...]
    labels: tuple[str, ...]
    split: str
    class_names: tuple[str, ...]
    maps: np.ndarray
    mirror_maps: np.ndarray
    scores: np.ndarray


class Watched:
    """The faces that a run watches, decoded.

    Args:
        store: the faces of the split that they are chosen from.
        which: ids, or a number of each class; see `evenface.data.choice.chosen`.
        folder: the run folder.

    Raises:
        ConfigError: an unknown id, or too many faces.
    """

    def __init__(self, store: FaceStore, split: str, which: str, seed: int, folder: Path) -> None:
        rows = watched_rows(store.manifest, which, seed)
        self.part = store.manifest.take(rows)
        self.split = split
        self._faces = store.gather(rows)
        self._folder = folder / FOLDER

    @torch.no_grad()
    def save(self, model: Classifier, epoch: int, device: torch.device) -> None:
        """Writes what `model` says after `epoch`; the model is left as it was.

        Raises:
            StorageError: a full disk.
        """
        was_training = model.training
        model.eval()
        found = []
        for start in range(0, len(self._faces), _BATCH):
            x = to_float(self._faces[start : start + _BATCH].to(device))
            out, mirror = model(x), model(x.flip(-1))
            found.append([t.float().cpu().numpy() for t in (out.maps, mirror.maps.flip(-1), out.logits.float().softmax(1))])
        model.train(was_training)
        maps, back, scores = (np.concatenate(each) for each in zip(*found, strict=True))
        arrays: dict[str, Any] = {
            "ids": np.array(self.part.ids()),
            "labels": np.array(self.part.table["label"].to_pylist()),
            "split": np.array(self.split),
            "class_names": np.array(self.part.class_names),
            "maps": maps,
            "mirror_maps": back,
            "scores": scores,
        }
        write_aside(self._folder / f"epoch-{epoch:04d}.npz", lambda file: np.savez(file, **arrays))


def watched_rows(part: Manifest, which: str, seed: int) -> np.ndarray:
    """Rows of the faces to watch.

    Raises:
        ConfigError: an unknown id, or too many faces.
    """
    rows = chosen(part, which, seed)
    if len(rows) > MOST:
        raise ConfigError(f"--watch asks for {len(rows):,} faces; at most {MOST} can be watched, for they are drawn one below the other.")
    return rows


def read_watched(run: Path) -> list[WatchedEpoch]:
    """All epochs that were saved, in order.

    Raises:
        ConfigError: the run watched no faces.
        DataError: a file that is damaged.
    """
    folder = run / FOLDER
    files = sorted((int(found[1]), path) for path in folder.glob("epoch-*.npz") if (found := _NAME.fullmatch(path.name)))
    if not files:
        raise ConfigError(f"The run {run} saved no maps while it trained; train with --watch 1 (a face of each class) or --watch ID,ID.")
    return [_read(path, number) for number, path in files]


def _read(path: Path, number: int) -> WatchedEpoch:
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:  # np.load leaves open what it cannot read
            ids, labels, names = (tuple(map(str, file[key])) for key in ("ids", "labels", "class_names"))
            return WatchedEpoch(number, ids, labels, str(file["split"]), names, file["maps"], file["mirror_maps"], file["scores"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is damaged ({type(error).__name__}); remove it, and its epoch is left out.") from error
