"""Teachers: dlib's face network, and trained expression models. None of them learns.

    teacher = FaceTeacher(size=150)
    descriptor, grid = teacher(x)              # (B, 128), (B, 256, 4, 4) of faces (B, 3, S, S), RGB in [0, 1]
    teachers = ModelTeachers(["runs/a", "runs/b"])
    probabilities, maps = teachers(x, temperature=2.0)   # (B, L) and (B, L, H, W), the means over the models

A teacher sees the same augmented picture as the student, resized (bilinear) to the size that it knows.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from evenface import zoo
from evenface.distill.config import FACE_TEACHER
from evenface.errors import ConfigError, ModelError, unknown_name
from evenface.faces.alignment import Alignment
from evenface.labels import require_same
from evenface.model_folder import WEIGHTS, load_model, standing
from evenface.models.classifier import Classifier
from evenface.models.dlib_face import MEAN, STD, DlibFaceResNet, descriptor
from evenface.models.grids import spread
from evenface.models.init import dlib_face_file
from evenface.models.weights import read_weights
from evenface.runs.find import find_model


FACE_SIZE = 150
"""The side of the pictures that dlib's network was trained on."""


@dataclasses.dataclass(frozen=True)
class Source:
    """Where a teacher comes from: its name without a path, the SHA-256 of its weights, and the data sets whose test faces it knows."""

    name: str
    sha256: str
    learned_whole: tuple[str, ...] = ()
    data_licence: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """What a folder keeps of it."""
        more = {"learned_whole": list(self.learned_whole), "data_licence": self.data_licence}
        return {"name": self.name, "sha256": self.sha256, **{name: value for name, value in more.items() if value}}


class FaceTeacher(nn.Module):
    """dlib's face network: the 128-number descriptor and the map before the last down block.

    Args:
        size: side at which it sees a face, 103 or more.

    Attributes:
        grid: rows and columns of its map: 4 x 4 at 150 px, 3 x 3 at 112.

    Raises:
        ModelError, MissingExtra: its file cannot be had.
        ConfigError: a size that it cannot take.
    """

    mean: Tensor
    std: Tensor
    fc: Tensor

    def __init__(self, size: int = FACE_SIZE) -> None:
        super().__init__()
        if size < 103:
            raise ConfigError(
                f"The teacher '{FACE_TEACHER}' needs 103 px or more to give a descriptor; --teacher-size {size} is too small."
            )
        path = dlib_face_file(f"The teacher '{FACE_TEACHER}'")
        weights = read_weights(path)
        weights.pop("mean", None)
        net = DlibFaceResNet()
        try:
            self.register_buffer("fc", weights.pop("fc.weight"))
            net.load_state_dict(weights)
        except (KeyError, RuntimeError) as error:
            raise ModelError(f"{path} is not dlib's face network; its descriptor cannot be learned.") from error
        self.net = net
        self.size = size
        self.sources = (Source(FACE_TEACHER, _sha256(path)),)
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1))
        self.eval().requires_grad_(False)
        rows, columns = self(torch.zeros(1, 3, size, size))[1].shape[2:]
        self.grid = (rows, columns)

    @torch.no_grad()
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """RGB in [0, 1], (B, 3, S, S) -> descriptor (B, 128) and map (B, 256, h, w), float32."""
        x = (_at(x, self.size) - self.mean) / self.std
        *first, last = self.net.blocks
        grid = self.net.stem(x)
        for block in first:
            grid = block(grid)
        top = last(grid)
        with torch.autocast(x.device.type, enabled=False):
            return descriptor(top.float(), self.fc), grid.float()


class ModelTeachers(nn.Module):
    """One or several expression models, which teach the mean of their probabilities and of their class maps.

    Args:
        names: run folders, model folders or names of models that ship.
        size: side at which they see a face; None is each one's own.

    Raises:
        ConfigError: an unknown name, or a size that one of them cannot take.
        ModelError: a broken model, or models of different classes.
    """

    def __init__(self, names: Sequence[str], size: int | None = None) -> None:
        super().__init__()
        models, sizes, sources, counts, self.alignments = [], [], [], [], []
        for name in names:
            path = Path(name).expanduser()
            if not path.exists() and name not in zoo.shipped():
                message = unknown_name("teacher", name, (FACE_TEACHER, *zoo.shipped()))
                raise ConfigError(f"{message} Else it is the folder of a run or model, such as runs/x.")
            _, run, folder = find_model(path)
            model, about = load_model(folder)
            models.append(model)
            sizes.append(size or about.img_size)
            sources.append(Source(run.resolve().name, _sha256(standing(folder) / WEIGHTS), about.learned_whole, about.data_licence))
            counts.append(about.train_counts)
            self.alignments.append(about.alignment)
        self._looks: list[Alignment | None] = [None] * len(models)
        self.class_names = models[0].class_names
        for source, model in zip(sources, models, strict=True):
            require_same(self.class_names, model.class_names, f"the teacher '{source.name}'")
        self.models = nn.ModuleList(models)
        self.sizes, self.sources = tuple(sizes), tuple(sources)
        self.train_counts = counts[0] if all(count == counts[0] for count in counts) else None
        self._orders = [[model.class_names.index(name) for name in self.class_names] for model in models]
        self.eval().requires_grad_(False)
        for source, model, side in zip(sources, models, sizes, strict=True):
            _require_size(source.name, model, side)

    def look_at(self, alignment: str | dict[str, Any] | None) -> None:
        """Says how the faces that will be shown are cut out: of others than its own each model sees what `predict` would show it.

        Args:
            alignment: of the data set; None where nothing is known of it.
        """
        self._looks = [None if own in (None, alignment) else Alignment.from_dict(own) for own in self.alignments]

    @property
    def looks(self) -> list[str]:
        """What is done to the faces before a model sees them, in words, each once; nothing where they are as it knows them."""
        found = []
        for look in filter(None, self._looks):
            fine = [] if look.resolution is None else [f"at most {look.resolution} px"]
            found.append(", ".join([*(["grey"] if look.grey else []), *fine]))
        return list(dict.fromkeys(filter(None, found)))

    @torch.no_grad()
    def forward(self, x: Tensor, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
        """RGB in [0, 1], (B, 3, S, S) -> probabilities at that temperature (B, L) and class maps on the coarsest grid, float32."""
        answers, maps = [], []
        for model, size, order, look in zip(self.models, self.sizes, self._orders, self._looks, strict=True):
            assert isinstance(model, Classifier)
            out = model(_at(_as_learned(x, look), size))
            answers.append((out.logits[:, order].float() / temperature).softmax(1))
            maps.append(out.maps[:, order].float())
        grid = coarser(*maps)
        return torch.stack(answers).mean(0), torch.stack([spread(each, grid) for each in maps]).mean(0)


Teacher = FaceTeacher | ModelTeachers


def coarser(*maps: Tensor) -> tuple[int, int]:
    """The fewest rows and columns of maps (B, C, h, w)."""
    return min(each.shape[2] for each in maps), min(each.shape[3] for each in maps)


def _require_size(name: str, model: nn.Module, side: int) -> None:
    try:
        with torch.no_grad():
            model(torch.zeros(1, 3, side, side))
    except (RuntimeError, AssertionError, ValueError) as error:
        raise ConfigError(f"The teacher '{name}' cannot take faces of {side} px ({error}); try another --teacher-size.") from error


def _as_learned(x: Tensor, look: Alignment | None) -> Tensor:
    """Grey, and no finer than the faces that the model learned from: what `faces.alignment.whole` does to pictures."""
    if look is None:
        return x
    if look.resolution is not None and x.shape[-1] > look.resolution:
        x = _at(x, look.resolution)
    if look.grey:
        x = (x * x.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True).expand(-1, 3, -1, -1)
    return x


def _at(x: Tensor, size: int) -> Tensor:
    if x.shape[-1] == size:
        return x
    # In float32: on a CPU torch has no antialiasing of half-precision pictures.
    at = F.interpolate(x.float(), size=(size, size), mode="bilinear", align_corners=False, antialias=size < x.shape[-1])
    return at.to(x.dtype)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
