"""A backbone learns dlib's face descriptors and maps, and becomes a start for training: `--init RUN`.

    d     = descriptor(x) - mean descriptor                     the teacher's, 128 numbers; means over the training faces
    m     = map(x) - mean map                                   the teacher's last map but one, 256 channels; the mean cell by cell
    total = w_d direction(P pool(F), d) + w_m direction(Q F, m)

F is the student's last map, P a linear layer and Q a 1x1 convolution, which are thrown away afterwards. Both maps are averaged onto the
coarser of the two grids. `direction` is 1 - cos (`evenface.losses.distillation`). Without the means every descriptor points the same way
(the cosine of two strangers' is some 0.8), and a constant would be a good student; so it would be of maps.
"""

from __future__ import annotations

import dataclasses
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from evenface.data.store import FaceStore
from evenface.distill.config import METHOD, DistillOptions
from evenface.distill.teachers import FaceTeacher, coarser
from evenface.evaluation.evaluate import answers
from evenface.losses import direction
from evenface.methods.base import Batch, Losses, Method, Options, Setting
from evenface.models.classifier import Classifier
from evenface.models.grids import spread
from evenface.training.judge import Verdict


SAMPLE = 2048
"""Training faces that the means are taken over, spread evenly over the set."""
NEIGHBOURS = 2000
"""Held-out faces among which a nearest neighbour is looked for, spread evenly too."""
DESCRIPTOR, CHANNELS = 128, 256


class Lift(nn.Module):
    """From the student's features to the teacher's: P and Q.

    Args:
        features: channels of the student's last map.
        maps: whether maps are compared; without, there is no Q.
    """

    def __init__(self, features: int, maps: bool) -> None:
        super().__init__()
        self.descriptor = nn.Linear(features, DESCRIPTOR)
        self.map = nn.Conv2d(features, CHANNELS, 1) if maps else None

    def forward(self, grid: Tensor) -> tuple[Tensor, Tensor | None]:
        """The student's last map (B, C, H, W) -> descriptor (B, 128) and map (B, 256, H, W), float32."""
        with torch.autocast(grid.device.type, enabled=False):
            grid = grid.float()
            return self.descriptor(grid.mean(dim=(2, 3))), None if self.map is None else self.map(grid)


class LearnDescriptors(Method):
    """The loss above, for the training loop; labels are not looked at."""

    name = METHOD
    options: Any
    mean_descriptor: Tensor
    mean_map: Tensor

    def __init__(self, options: DistillOptions, setting: Setting, teacher: FaceTeacher) -> None:
        super().__init__(Options(), setting)
        self.options = options
        self._teacher = (teacher,)  # in a tuple, so that it is not saved with the run's state
        self.register_buffer("mean_descriptor", torch.zeros(DESCRIPTOR))
        self.register_buffer("mean_map", torch.zeros(CHANNELS, *teacher.grid))

    @property
    def teacher(self) -> FaceTeacher:
        return self._teacher[0]

    def prepare(self, model: nn.Module) -> nn.Module:
        student = cast(Classifier, model)
        student.head.requires_grad_(False)  # no part of what is learned
        student.lift = Lift(student.backbone.num_features, self.options.weight_of_maps > 0)
        return student

    def centre(self, store: FaceStore, device: torch.device, precision: str) -> None:
        """Takes the teacher's means over training faces."""

        def answer(x: Tensor) -> Tensor:
            descriptor, grid = self.teacher(x)
            return torch.cat([descriptor, grid.flatten(1)], dim=1)

        found = torch.cat(answers(self.teacher, answer, store, evenly(len(store), SAMPLE), 64, device, precision, None)).mean(0)
        self.mean_descriptor.copy_(found[:DESCRIPTOR])
        self.mean_map.copy_(found[DESCRIPTOR:].view_as(self.mean_map))

    def loss(self, batch: Batch, model: nn.Module) -> Losses:
        descriptor, grid = self.teacher(batch.x)
        student = cast(Classifier, model)
        found, found_map = cast(Lift, student.lift)(student.grid(batch.x))
        parts = {"descriptor": direction(found, descriptor - self.mean_descriptor)}
        total = self.options.descriptor_weight * parts["descriptor"]
        if found_map is not None:
            size = coarser(found_map, grid)
            parts["map"] = direction(spread(found_map, size), spread(grid - self.mean_map, size))
            total = total + self.options.weight_of_maps * parts["map"]
        return Losses(total, {name: value.detach() for name, value in parts.items()})

    def describe(self) -> dict[str, Any]:
        named = {"teacher": [source.name for source in self.teacher.sources], "teacher_size": self.teacher.size}
        return {"name": self.name, **dataclasses.asdict(self.options), **named, "map_weight": self.options.weight_of_maps}


class ByDescriptors:
    """Judges a student by faces that it does not learn from.

    cosine      the mean cosine of its descriptor and the teacher's, both as above; picks the best epoch
    agreement   how often the face that is nearest by its descriptors is the one that is nearest by the teacher's

    With a descriptor weight of 0 there is no descriptor to judge, for P stays as it was drawn; in place of both:

    map_cosine  the mean cosine of its map and the teacher's, both as above; picks the best epoch
    """

    def __init__(self, store: FaceStore, method: LearnDescriptors, device: torch.device, precision: str) -> None:
        self.store, self.method, self.device, self.precision = store, method, device, precision
        self.rows = np.arange(len(store))
        self.of_maps = method.options.judged_by == "map_cosine"
        found = answers(method.teacher, lambda x: method.teacher(x)[int(self.of_maps)], store, self.rows, 64, device, precision, None)
        self.target = torch.cat(found).clone()

    def __call__(self, model: Classifier) -> Verdict:
        lift = cast(Lift, model.lift)
        if self.of_maps:
            return self._by_maps(model, lift)
        found = torch.cat(answers(model, lambda x: lift(model.grid(x))[0], self.store, self.rows, 256, self.device, self.precision, None))
        target = self.target - self.method.mean_descriptor
        cosine = float(F.cosine_similarity(found, target, dim=1).mean())
        some = torch.from_numpy(evenly(len(found), NEIGHBOURS)).to(found.device)
        agreement = float((nearest(found[some]) == nearest(target[some])).float().mean())
        return Verdict({"loss": 1 - cosine, "cosine": cosine, "agreement": agreement}, cosine)

    def _by_maps(self, model: Classifier, lift: Lift) -> Verdict:
        def answer(x: Tensor) -> Tensor:
            found = cast(Tensor, lift(model.grid(x))[1])
            with torch.autocast(x.device.type, enabled=False):
                return spread(found, coarser(found, self.target))  # at once, for those of all faces are kept

        found = torch.cat(answers(model, answer, self.store, self.rows, 256, self.device, self.precision, None))
        loss = float(direction(found, spread(self.target - self.method.mean_map, coarser(found, self.target))))
        return Verdict({"loss": loss, "map_cosine": 1 - loss}, 1 - loss)


def nearest(vectors: Tensor) -> Tensor:
    """The index (n,) of the other vector with the largest cosine, for vectors (n, d)."""
    scaled = F.normalize(vectors, dim=1)
    return (scaled @ scaled.T).fill_diagonal_(-2.0).argmax(dim=1)


def evenly(n: int, most: int) -> np.ndarray:
    """At most `most` of the indices 0 .. n - 1, evenly spread, int64."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(np.int64))
