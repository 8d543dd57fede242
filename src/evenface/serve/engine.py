"""What the thread of the networks does: the pictures of a batch to results or to class maps.

Each picture comes with its own wishes (`Ask`); pictures are searched together, and faces classified together as far as their priors agree.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from evenface.calibration import PRIORS
from evenface.errors import EvenfaceError
from evenface.explain.class_maps import FaceMaps, explain_crops
from evenface.faces.alignment import Alignment, whole
from evenface.faces.cropped import whole_picture
from evenface.faces.detection import Detection
from evenface.recognizer import Recognizer
from evenface.results import Face, FrameResult


Prior = str | Mapping[str, float]


@dataclasses.dataclass(frozen=True, slots=True)
class Ask:
    """What a request wishes for its pictures.

    Attributes:
        prior: what scores assume.
        max_faces: the largest so many are kept.
        min_score: faces that the detector is less sure of are left out; None keeps the detector's own limit.
        cropped: each picture is one face, cropped already.
        explain: class maps as well.
        top_k: so many scores a face in the answer; None for all.
    """

    prior: Prior
    max_faces: int
    min_score: float | None = None
    cropped: bool = False
    explain: bool = False
    top_k: int | None = None


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Job:
    """One picture (H, W, 3), uint8 RGB, and what is wished for it."""

    image: np.ndarray
    source: str
    ask: Ask


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """The answer to a job; `maps` as many as faces where they were wished, else empty."""

    result: FrameResult
    maps: tuple[FaceMaps, ...] = ()


class Engine:
    """A recognizer that takes each picture's wishes into account."""

    def __init__(self, recognizer: Recognizer) -> None:
        self.recognizer = recognizer
        self.priors = tuple(prior for prior in PRIORS if self._can(prior))

    def _can(self, prior: str) -> bool:
        """Whether the model has the numbers for it."""
        try:
            self.recognizer.scores([], prior)
        except EvenfaceError:
            return False
        return True

    def __call__(self, jobs: Sequence[Job]) -> list[Seen]:
        """The answers in the order of the jobs."""
        found = self._find(jobs)
        crops = [self._cut(job, faces) for job, faces in zip(jobs, found, strict=True)]
        maps = [explain_crops(self.recognizer, cut, job.ask.prior) if job.ask.explain else [] for job, cut in zip(jobs, crops, strict=True)]
        scores = self._score(jobs, crops, maps)
        return [Seen(self._result(job, faces, rows), tuple(each)) for job, faces, rows, each in zip(jobs, found, scores, maps, strict=True)]

    def _find(self, jobs: Sequence[Job]) -> list[list[Detection]]:
        searched = [i for i, job in enumerate(jobs) if not job.ask.cropped]
        found = whole_picture([job.image for job in jobs])
        for i, faces in zip(searched, self.recognizer.detector.detect([jobs[i].image for i in searched]), strict=True):
            least = jobs[i].ask.min_score
            kept = [face for face in faces if least is None or face.score is None or face.score >= least]
            found[i] = kept[: jobs[i].ask.max_faces]
        return found

    def _cut(self, job: Job, faces: Sequence[Detection]) -> list[np.ndarray]:
        if job.ask.cropped:
            config = self.recognizer.config
            return [whole(job.image, Alignment.from_dict(config.alignment), config.img_size)]
        return self.recognizer.crops(job.image, faces)

    def _score(
        self, jobs: Sequence[Job], crops: Sequence[Sequence[np.ndarray]], maps: Sequence[Sequence[FaceMaps]]
    ) -> list[list[dict[str, float]]]:
        """A table class -> probability for each face of each job; those with the same prior go through the network together."""
        names = self.recognizer.class_names
        scores: list[list[dict[str, float]]] = [[dict(face.scores) for face in each] for each in maps]
        left = [i for i, job in enumerate(jobs) if not job.ask.explain or self.recognizer.tta != "none"]  # maps have scores of one view
        while left:
            prior = jobs[left[0]].ask.prior
            same = [i for i in left if jobs[i].ask.prior == prior]
            rows = iter(self.recognizer.scores([crop for i in same for crop in crops[i]], prior))
            for i in same:
                scores[i] = [dict(zip(names, next(rows).tolist(), strict=True)) for _ in crops[i]]
            left = [i for i in left if i not in same]
        return scores

    def _result(self, job: Job, found: Sequence[Detection], scores: Sequence[Mapping[str, float]]) -> FrameResult:
        faces = tuple(
            Face(face.box, row, face.score, face.landmarks, number) for number, (face, row) in enumerate(zip(found, scores, strict=True))
        )
        about = {**self.recognizer.about, "prior": job.ask.prior}
        return FrameResult(job.source, job.image.shape[1], job.image.shape[0], about, faces)
