"""Whether an exported file says what the model says: both on the same faces, the differences, and the time that each takes.

    report = compare(reference, exported, faces, config)
    report.agreement, report.max_logit_difference
    require(report, "int8")                      # ModelError where it is beyond the limits

| precision | limits | probabilities | maps |
|---|---|---|---|
| fp32 | logits within 1e-3; the same class for every face, but for ties of less than 1e-4 | 1e-3 | 0.1 % |
| fp16 | the same class for 99.5 % of the faces | 5e-3 | 1 % |
| int8 | the same class for 97 %, and, with 500 labelled faces or more, a mean recall within 0.5 points | 1e-3 | 30 % |

Probabilities are compared with softmax(z / T) of the file's own logits z; maps with the model's, by the root mean square of the difference
in relation to that of the maps. Four models of FERPlus were off by 2e-7 and 5e-7 in fp32, 1.1e-4 and 0.07 % in fp16, 2e-7 and 9.4 % in
int8 at most; maps of zeros are off by 100 %.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from evenface.errors import ModelError
from evenface.evaluation.metrics import confusion_matrix, scores
from evenface.export.faces import Faces
from evenface.model_folder import ModelConfig
from evenface.runtimes import Runtime


BATCH = 32
TIE = 1e-4  # of logits
LOGITS = 1e-3
AGREEMENT = {"fp32": 1.0, "fp16": 0.995, "int8": 0.97}
PROBABILITIES = {"fp32": 1e-3, "fp16": 5e-3, "int8": 1e-3}  # float16 tells a logit of 15 and its T to some 0.5 per mille each
MAPS = {"fp32": 1e-3, "fp16": 0.01, "int8": 0.3}
RECALL, LABELLED = 0.005, 500
_ROUNDS = {1: 15, BATCH: 5}


class Exported(Protocol):
    """A file that runs."""

    def answer(self, faces: np.ndarray) -> dict[str, np.ndarray]:
        """Faces (n, S, S, 3), uint8 RGB -> `logits`, `probabilities` and `maps`, float32."""
        ...


@dataclasses.dataclass(frozen=True)
class Speed:
    """Medians: milliseconds for one face, faces a second in batches of 32."""

    ms: float
    faces_per_second: float


@dataclasses.dataclass(frozen=True)
class Report:
    """What was found.

    Attributes:
        faces: what was compared on, in words.
        n: how many.
        max_logit_difference, max_probability_difference: over faces and classes.
        max_softmax_difference: of the file's probabilities from softmax(z / T) of its own logits, over faces and classes.
        map_difference: root mean square of that of the maps, in relation to that of the model's maps.
        agreement: share of faces with the same class; ties of less than `TIE` count as the same.
        recall: class -> (torch, the file), on labelled faces; None without.
        mean_recall: (torch, the file), over the classes that have faces; None without labels.
        torch, file: their speeds, measured in turn.
        threads: that torch uses; the others choose their own.
    """

    faces: str
    n: int
    max_logit_difference: float
    max_probability_difference: float
    max_softmax_difference: float
    map_difference: float
    agreement: float
    recall: dict[str, tuple[float, float]] | None
    mean_recall: tuple[float, float] | None
    torch: Speed
    file: Speed
    threads: int

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        return dataclasses.asdict(self)


def compare(reference: Runtime, exported: Exported, faces: Faces, config: ModelConfig, threads: int) -> Report:
    """Both on all faces.

    Args:
        reference: the model in torch, float32.
        threads: for the report.
    """
    ours, theirs, p = [], [], []
    squares = np.zeros(2)  # of the differences of the maps, and of the maps
    for batch in faces.batches(BATCH):
        ours.append(reference.logits(batch))
        answer = exported.answer(batch)
        theirs.append(answer["logits"])
        p.append(answer["probabilities"])
        maps, others = (each.astype(np.float64) for each in (reference.maps(batch), answer["maps"]))
        wrong = ((others - maps) ** 2).sum() if others.shape == maps.shape else np.inf
        squares += wrong, (maps**2).sum()
    z, other, probabilities = (np.concatenate(parts).astype(np.float64) for parts in (ours, theirs, p))
    recall = mean = None
    if faces.labels is not None:
        before, after = (scores(confusion_matrix(faces.labels, each.argmax(axis=1), each.shape[1])) for each in (z, other))
        pairs = zip(config.class_names, before.recall.tolist(), after.recall.tolist(), strict=True)
        recall = {name: (a, b) for name, a, b in pairs if not np.isnan(a)}
        mean = (float(before.mean_recall), float(after.mean_recall))
    fast = _speeds([reference.logits, exported.answer], faces)
    return Report(
        faces.what,
        len(faces),
        float(np.abs(z - other).max()),
        float(np.abs(config.scores(z) - probabilities).max()),
        float(np.abs(config.scores(other) - probabilities).max()),
        float(np.sqrt(squares[0] / max(squares[1], np.finfo(float).tiny))),
        agreement(z, other),
        recall,
        mean,
        fast[0],
        fast[1],
        threads,
    )


def agreement(reference: np.ndarray, other: np.ndarray) -> float:
    """Share of the rows of logits (n, L) whose highest class is the same, or which the reference holds for a tie."""
    rows = np.arange(len(reference))
    gap = reference.max(axis=1) - reference[rows, other.argmax(axis=1)]
    return float((gap < TIE).mean())


def require(report: Report, precision: str) -> None:
    """Raises ModelError where a file is beyond the limits of its precision; a difference that is no number always is."""
    wrong = []
    if precision == "fp32" and not report.max_logit_difference <= LOGITS:
        wrong.append(f"logits differ by {report.max_logit_difference:.2g}, where {LOGITS:g} is allowed")
    if not report.agreement >= AGREEMENT[precision] or np.isnan(report.max_logit_difference):
        wrong.append(f"{report.agreement:.2%} of {report.n:,} faces get the same class, where {AGREEMENT[precision]:.1%} must")
    if not report.max_softmax_difference <= PROBABILITIES[precision]:
        off = f"{report.max_softmax_difference:.2g}, where {PROBABILITIES[precision]:g}"
        wrong.append(f"probabilities differ from the softmax of its logits by {off} is allowed")
    if not report.map_difference <= MAPS[precision]:
        wrong.append(f"maps are off by {report.map_difference:.2%}, where {MAPS[precision]:.1%} is allowed")
    if precision == "int8" and report.mean_recall is not None and report.n >= LABELLED:
        before, after = report.mean_recall
        if abs(after - before) > RECALL:
            wrong.append(f"the mean recall goes from {before:.2%} to {after:.2%}, where {100 * RECALL:g} points are allowed")
    if wrong:
        raise ModelError(f"The {precision} file does not say what the model says: {'; '.join(wrong)}. It was not kept.")


def _speeds(calls: Sequence[Callable[[np.ndarray], object]], faces: Faces) -> list[Speed]:
    """Of each call, in turn in every round, so that what else the machine does meets all alike; the first round warms up."""
    seconds: dict[tuple[int, int], list[float]] = {}
    for size, rounds in _ROUNDS.items():
        batch = faces.take(np.arange(size) % len(faces))
        for number in range(rounds + 1):
            for i, call in enumerate(calls):
                start = time.perf_counter()
                call(batch)
                if number:
                    seconds.setdefault((i, size), []).append(time.perf_counter() - start)
    median = {key: statistics.median(values) for key, values in seconds.items()}
    return [Speed(1000 * median[i, 1], BATCH / median[i, BATCH]) for i in range(len(calls))]
