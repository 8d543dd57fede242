"""The work behind `evenface explain`: from photos or the faces of a data set to pictures, a table and the maps themselves.

model = open_model("runs/x")
part, look = part_of(model, "validation", None, None)
faces = cuts_of(store_of(model, part.take(per_class(part, 1)), look, workers=2))   # a face of each class
write_folder(Path("explained"), explained(model, faces, How()))                    # a picture per face, sheets, faces.csv, maps.npz
"""

from __future__ import annotations

import csv
import dataclasses
import io
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evenface import zoo
from evenface.data.choice import named
from evenface.data.layout import IMAGE_SUFFIXES
from evenface.data.manifest import Manifest
from evenface.data.store import FaceStore, open_store
from evenface.errors import ConfigError
from evenface.explain.cam import torch_model
from evenface.explain.class_maps import explain_crops
from evenface.explain.figures import Seen, epochs_figure, face_figure, sheet_figure
from evenface.faces.alignment import Alignment
from evenface.files import printable, write_aside, write_text
from evenface.models.classifier import Classifier
from evenface.predict.pictures import predict_pictures
from evenface.recognizer import Recognizer
from evenface.runs.data import data_of, learned_look
from evenface.runs.find import find_model
from evenface.training.config import TrainConfig
from evenface.training.watch import read_watched


PER_SHEET = 10  # faces
_SUFFIX = re.compile(rf"({'|'.join(map(re.escape, sorted(IMAGE_SUFFIXES)))})(?=$| #)", re.IGNORECASE)
_LONGEST = 80  # bytes of a face's name in that of its file
_FIGURE = re.compile(r"(face-.*|sheet(-\d+)?)\.(png|svg)", re.IGNORECASE)
_COLUMNS = ("name", "label", "says", "correlation", "mean_squared")  # of `faces.csv`, before the scores


@dataclasses.dataclass(frozen=True)
class Model:
    """A model and where it comes from; `config` is None for one without a run."""

    recognizer: Recognizer
    config: TrainConfig | None
    run: Path

    @property
    def network(self) -> Classifier:
        return torch_model(self.recognizer)


@dataclasses.dataclass(frozen=True)
class How:
    """Method and layer of `evenface.explain.cam.explain`, and the classes to draw; None for all."""

    method: str = "class-map"
    layer: str = "last"
    classes: tuple[str, ...] | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Cut:
    """A face that is cut out: its name, its class where that is known, and (S, S, 3) uint8 RGB."""

    name: str
    label: str | None
    crop: np.ndarray


@dataclasses.dataclass
class Photos:
    """What became of the photos: how many, which could not be read and why, which showed no face."""

    looked: int = 0
    failed: list[tuple[Path, str]] = dataclasses.field(default_factory=list)
    empty: list[Path] = dataclasses.field(default_factory=list)


def open_model(target: str, *, device: str = "auto", detector: str = "mtcnn") -> Model:
    """A run (its best epoch), a model folder, or a shipped model by name, on torch.

    Raises:
        ConfigError: none of these.
        ModelError, DeviceError: a broken model, a device that is not there.
    """
    path = Path(target)
    if path.is_file():
        if path.suffix in (".onnx", ".xml", ".pt2"):
            raise ConfigError(f"{target} is an exported file, without gradients; name the run or the model folder that it was made from.")
        raise ConfigError(
            f"{target} is a file; name the model first, then what to look at: evenface explain {zoo.default_model()} {target}"
        )
    config, run, folder = find_model(path)
    recognizer = Recognizer.from_pretrained(folder, runtime="torch", device=device, detector=detector)
    return Model(recognizer, config, run)


def require_cells(model: Model, layer: str = "last") -> None:
    """Refuses maps of a single cell, which tell of no place.

    Raises:
        ConfigError: says what to do.
    """
    network = model.network
    if layer == "last" and network.backbone.grid == (1, 1):
        raise ConfigError(
            f"The last features of '{network.backbone.name}' at {network.backbone.img_size} px are a single cell, so its maps tell of no "
            "place; take --layer earlier with --method layer-cam, or a model with a finer grid."
        )


def part_of(model: Model, split: str, dataset: str | None, data_dir: str | None) -> tuple[Manifest, Alignment | None]:
    """A split of the run's data set, or of another one and the look that its faces are to get; None leaves them as they are.

    Raises:
        ConfigError: no data set to look at.
        DataError, LabelError: it is missing, or of other classes.
    """
    about = model.recognizer.config
    manifest, _, own = data_of(model.config, model.run, dataset, data_dir, about, split)
    return manifest.split(split), None if own else learned_look(about)


def store_of(model: Model, part: Manifest, look: Alignment | None, workers: int) -> FaceStore:
    """The faces of a part of a data set, decoded as for training and given that look."""
    return open_store(part, model.recognizer.config.img_size, mode="auto", workers=workers, look=look)


def cuts_of(store: FaceStore) -> list[Cut]:
    """All faces of a store."""
    faces = store.gather(np.arange(len(store))).expand(-1, 3, -1, -1).permute(0, 2, 3, 1).cpu().numpy()
    labels = store.manifest.table["label"].to_pylist()
    return [Cut(name, label, np.ascontiguousarray(face)) for name, label, face in zip(store.manifest.ids(), labels, faces, strict=True)]


def cuts_of_photos(model: Model, paths: Sequence[Path], photos: Photos, workers: int) -> Iterator[Cut]:
    """The faces that the detector finds, photo by photo, the largest of each first; named as their files, where a name is there once."""
    once = {name for name, count in Counter(path.name for path in paths).items() if count == 1}
    for path, pixels, result in predict_pictures(model.recognizer, paths, failed=photos.failed, workers=workers):
        photos.looked += 1
        if not result.faces:
            photos.empty.append(path)
        for number, crop in enumerate(model.recognizer.crops(pixels, result.faces)):
            name = printable(path.name if path.name in once else str(path))
            yield Cut(name if len(result.faces) == 1 else f"{name} #{number}", None, crop)


def explained(model: Model, faces: Iterable[Cut], how: How) -> Iterator[Seen]:
    """Each face with its maps."""
    names = model.recognizer.class_names if how.classes is None else how.classes
    for face in faces:
        (maps,) = explain_crops(model.recognizer, [face.crop], method=how.method, layer=how.layer)
        yield Seen(face.name, face.label, maps, how.method, names)


def write_folder(folder: Path, faces: Iterable[Seen], *, svg: bool = False, progress: Callable[[int], None] | None = None) -> list[Path]:
    """A picture per face, a sheet for every ten, `faces.csv` and `maps.npz`; where it is interrupted, of the faces so far.

    They take the place of what an earlier call wrote there: the pictures and sheets of the faces in its `faces.csv` go with that table.

    Returns:
        the files, the pictures of single faces left out.

    Raises:
        ConfigError: a `faces.csv` of somebody else lies there.
        StorageError: something cannot be written.
    """
    earlier = _figures_of(folder)
    seen: list[Seen] = []
    used: set[str] = set()
    figures: list[Path] = []
    files: list[Path] = []
    try:
        for each in faces:
            figure = face_figure(each)
            seen.append(each)  # whose picture may be there from now on
            figures += save(figure, folder / _free(each.name, used), svg)
            if progress is not None:
                progress(len(seen))
    finally:
        if seen:
            for i, name in enumerate(_sheets(len(seen))):
                figures += save(sheet_figure(seen[i * PER_SHEET : (i + 1) * PER_SHEET]), folder / name, svg)
                files.append(folder / f"{name}.png")
            files += _tables(folder, seen)
            kept = {path.stat().st_ino for path in figures}  # and not their names, of which A and a may be the same file
            for path in earlier:
                if path.is_file() and path.stat().st_ino not in kept:
                    path.unlink()
    return files


def require_own_place(folder: Path, photos: Iterable[Path]) -> None:
    """Refuses a folder in which `write_folder` would write over what it is to look at, or over a table of somebody else.

    Raises:
        ConfigError: says what to do.
    """
    for path in photos:
        real = path.resolve()
        if real.parent == folder.resolve() and _FIGURE.fullmatch(real.name):
            raise ConfigError(f"{path} may be written over by a picture of that name; name another folder than {folder} with -o/--output.")
    _figures_of(folder)


def write_epochs(folder: Path, model: Model, ids: Sequence[str] | None, data_dir: str | None, workers: int, svg: bool) -> tuple[Path, int]:
    """The figure of how the maps of the watched faces moved; returns its file and the number of faces.

    Args:
        ids: of the watched faces, those to draw; None for all.

    Raises:
        ConfigError: a model without a run, a run without watched faces, or a face that was not watched.
        DataError: the faces are not where they were.
    """
    if model.config is None:
        raise ConfigError(f"{model.run} is a model without its run; name the run folder, which holds the maps of the watched faces.")
    epochs = read_watched(model.run)
    epochs = [epoch for epoch in epochs if epoch.ids == epochs[-1].ids]
    part, look = part_of(model, epochs[0].split, None, data_dir)
    watched = part.take(named(part, list(epochs[0].ids)))
    if ids is not None:
        for name in ids:
            if name not in epochs[0].ids:
                raise ConfigError(f"The face '{name}' was not watched; watched were {', '.join(epochs[0].ids[:12])}.")
        keep = [epochs[0].ids.index(name) for name in ids]
        epochs = [
            dataclasses.replace(e, ids=tuple(ids), labels=tuple(e.labels[i] for i in keep), maps=e.maps[keep], scores=e.scores[keep])
            for e in epochs
        ]
    crops = {cut.name: cut.crop for cut in cuts_of(store_of(model, watched, look, workers))}
    save(epochs_figure(epochs, crops), folder / "epochs", svg)
    return folder / "epochs.png", len(epochs[0].ids)


def save(figure: Any, stem: Path, svg: bool) -> list[Path]:
    """A figure as `<stem>.png`, and as `<stem>.svg` where that is asked for; returns these files."""
    files = [stem.with_name(f"{stem.name}.png")]
    write_aside(files[0], lambda file: figure.savefig(file, format="png"))
    if svg:
        files.append(stem.with_name(f"{stem.name}.svg"))
        write_aside(files[1], lambda file: figure.savefig(file, format="svg", metadata={"Date": None}))
    return files


def _figures_of(folder: Path) -> list[Path]:
    """The files that an earlier call gave to the faces of the folder's `faces.csv` and to their sheets, as it named them.

    Raises:
        ConfigError: that table is not ours.
    """
    table, head, rows = folder / "faces.csv", list[str](), list[list[str]]()
    try:
        with table.open(encoding="utf-8", newline="") as file:
            head, *rows = csv.reader(file)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except (OSError, ValueError, csv.Error):
        pass
    if tuple(head[: len(_COLUMNS)]) != _COLUMNS:
        raise ConfigError(f"{table} is no table of `evenface explain` and would be lost; name another folder with -o/--output.")
    names = [row[0] for row in rows if row]
    used: set[str] = set()
    stems = [*(_free(name, used) for name in names), *_sheets(len(names))]
    return [folder / f"{stem}.{suffix}" for stem in stems for suffix in ("png", "svg")]


def _sheets(n: int) -> list[str]:
    """The names of the sheets of n faces."""
    return ["sheet"] if n <= PER_SHEET else [f"sheet-{i + 1:02d}" for i in range(math.ceil(n / PER_SHEET))]


def _free(name: str, used: set[str]) -> str:
    """A file's name for a face, without signs that no file may have, and not used yet."""
    stem = re.sub(r"[^\w.-]+", "-", _SUFFIX.sub("", name)).strip("-.")
    stem = f"face-{stem.encode()[-_LONGEST:].decode(errors='ignore') or 'unnamed'}"
    number, free = 1, stem
    while free.lower() in used:
        number += 1
        free = f"{stem}-{number}"
    used.add(free.lower())
    return free


def _tables(folder: Path, seen: Sequence[Seen]) -> list[Path]:
    names = seen[0].face.classes
    text = io.StringIO()
    writer = csv.writer(text)
    scores = [f"{prefix}{name}" for prefix in ("p_", "mirror_p_") for name in names]
    writer.writerow([*_COLUMNS, *scores])
    for each in seen:
        face = each.face
        values = [face.scores[name] for name in names] + [face.mirror_scores[name] for name in names]
        numbers = [f"{value:.6g}" for value in (face.correlation, face.mean_squared, *values)]
        writer.writerow([each.name, each.label or "", each.says, *numbers])
    write_text(folder / "faces.csv", text.getvalue())
    arrays: dict[str, Any] = {
        "names": np.array([each.name for each in seen]),
        "labels": np.array([each.label or "" for each in seen]),
        "class_names": np.array(names),
        "method": np.array(seen[0].method),
        "maps": np.stack([each.face.maps for each in seen]),
        "mirror_maps": np.stack([each.face.mirror_maps for each in seen]),
    }
    write_aside(folder / "maps.npz", lambda file: np.savez(file, **arrays))
    return [folder / "faces.csv", folder / "maps.npz"]
