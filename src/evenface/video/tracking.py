"""The same person has the same number from frame to frame, and scores that do not flicker.

    tracker = Tracker()
    for result in results:                      # FrameResult, in order of time
        result = tracker.update(result)         # the faces with the ids of their tracks and smoothed scores, by id

A face belongs to the track whose last box it overlaps most (intersection over union), over all faces at once by the Hungarian method.
Scores are an exponential mean over time: after t seconds a face's past weighs exp(-t / smoothing). So frames that are left out change
how closely the scores follow, but not for how long the past counts.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

from evenface.boxes import overlaps
from evenface.errors import ConfigError, DataError
from evenface.results import Box, Face, FrameResult


@dataclasses.dataclass(slots=True)
class _Track:
    id: int
    box: Box
    scores: Mapping[str, float]
    time: float  # when it was last seen, in seconds
    missed: bool = False  # whether there was a frame since in which it was not seen


class Tracker:
    """Follows the faces of one video; a new video needs a new tracker.

    Args:
        iou: a face continues a track only if their boxes overlap by at least this much, 0 to 1.
        max_gap: seconds for which a face may be unseen; after that its track ends, and its number is never given again. A track that was
            seen in the frame before goes on, however much later the next one is.
        smoothing: seconds after which the past weighs 1/e; 0 leaves the scores as they are.

    Raises:
        ConfigError: a value out of range.
    """

    def __init__(self, iou: float = 0.3, max_gap: float = 1.0, smoothing: float = 0.3) -> None:
        if not 0 < iou <= 1:
            raise ConfigError(f"The overlap that continues a track is above 0 and at most 1, not {iou:g}.")
        if not max_gap >= 0:
            raise ConfigError(f"The gap after which a track ends is at least 0 seconds, not {max_gap:g}.")
        if not 0 <= smoothing < math.inf:
            raise ConfigError(f"The smoothing is a time of at least 0 seconds, not {smoothing:g}.")
        self._iou = iou
        self._max_gap = max_gap
        self._smoothing = smoothing
        self._tracks: list[_Track] = []
        self._next = 0
        self._time = -math.inf

    def update(self, result: FrameResult) -> FrameResult:
        """The same frame, its faces with their tracks' ids and smoothed scores, in order of the ids; new faces get the next ids in order.

        Raises:
            DataError: a frame that is shown before the last one, or scores over other classes than before.
        """
        if result.time < self._time:
            raise DataError(f"Frames are followed in order of time; {result.time:g} s came after {self._time:g} s.")
        self._time = result.time
        self._tracks = [t for t in self._tracks if not t.missed or result.time - t.time <= self._max_gap]
        pairs = _match([track.box for track in self._tracks], [face.box for face in result.faces], self._iou)
        for row, track in enumerate(self._tracks):
            track.missed = row not in pairs
        owner = {column: self._tracks[row] for row, column in pairs.items()}
        faces = [self._follow(owner.get(column), face, result.time) for column, face in enumerate(result.faces)]
        return dataclasses.replace(result, faces=tuple(sorted(faces, key=lambda face: face.id)))

    def _follow(self, track: _Track | None, face: Face, time: float) -> Face:
        if track is None:
            track = _Track(self._next, face.box, face.scores, time)
            self._next += 1
            self._tracks.append(track)
        else:
            past = math.exp(-(time - track.time) / self._smoothing) if self._smoothing else 0.0
            track.box, track.scores, track.time = face.box, _mix(track.scores, face.scores, past), time
        return dataclasses.replace(face, id=track.id, scores=track.scores)


def _match(tracks: Sequence[Box], faces: Sequence[Box], least: float) -> dict[int, int]:
    """Track -> face, so that the sum of overlaps is largest; pairs that overlap less than `least` do not count."""
    if not tracks or not faces:
        return {}
    from scipy.optimize import linear_sum_assignment

    shares = overlaps(tracks, faces)
    shares[shares < least] = 0
    rows, columns = linear_sum_assignment(shares, maximize=True)
    return {int(r): int(c) for r, c in zip(rows, columns, strict=True) if shares[r, c] > 0}


def _mix(past: Mapping[str, float], now: Mapping[str, float], weight: float) -> dict[str, float]:
    """weight * past + (1 - weight) * now, which sums to 1 as both do."""
    if past.keys() != now.keys():
        raise DataError(f"A face was scored over {', '.join(past)} and then over {', '.join(now)}; use one model for a video.")
    mixed = {name: weight * past[name] + (1 - weight) * p for name, p in now.items()}
    total = sum(mixed.values())
    return {name: p / total for name, p in mixed.items()}
