"""What a prediction is: the faces of one picture, and how they are written down for others.

    result = recognizer.predict("photo.jpg")          # FrameResult
    result.faces[0].label, result.faces[0].scores     # "fear", {"fear": 0.81, "surprise": 0.11, ...}; they sum to 1
    result.to_dict()                                  # the JSON of `schema_version` 1
    to_table([result])                                # a pyarrow table with a row per face; `to_pandas` a data frame

Boxes are (left, top, right, bottom) in pixels of the original picture, scores are 0 to 1. A picture without a face has an empty `faces`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from evenface.errors import DataError
from evenface.labels import CLASSES


if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

SCHEMA_VERSION = 1

DEEPFACE_NAMES = {
    "anger": "angry", "disgust": "disgust", "fear": "fear", "happiness": "happy", "sadness": "sad", "surprise": "surprise",
    "neutral": "neutral", "contempt": "contempt",
}  # fmt: skip
"""Our noun -> the key that DeepFace gives the expression; it knows no contempt."""

Box = tuple[float, float, float, float]
Points = tuple[tuple[float, float], ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Face:
    """One face of a picture.

    Attributes:
        box: (left, top, right, bottom) in pixels of the original picture; it may reach over the border.
        scores: class name -> probability; they sum to 1.
        detection_score: 0 to 1, how sure the detector is; None where none was asked.
        landmarks: five points (x, y) in pixels: the eye that is left in the picture, the right one, the nose, the left corner of the
            mouth, the right one; None where the detector gives none.
        id: the number of the face in its picture, from 0; in a video, of the person's track.

    Raises:
        DataError: a box that is no box, or scores that are no probabilities.
    """

    box: Box
    scores: Mapping[str, float]
    detection_score: float | None = None
    landmarks: Points | None = None
    id: int = 0

    def __post_init__(self) -> None:
        box = tuple(float(v) for v in self.box)
        if len(box) != 4 or not all(map(math.isfinite, box)) or box[2] <= box[0] or box[3] <= box[1]:
            raise DataError(f"A face's box is (left, top, right, bottom) in pixels with left < right and top < bottom, not {self.box}.")
        scores = {str(name): float(p) for name, p in self.scores.items()}
        if not scores or not all(0 <= p <= 1 for p in scores.values()) or abs(sum(scores.values()) - 1) > 1e-3:
            raise DataError(f"A face's scores are probabilities that sum to 1, not {dict(self.scores)}.")
        object.__setattr__(self, "box", box)
        object.__setattr__(self, "scores", scores)
        if self.landmarks is not None:
            object.__setattr__(self, "landmarks", tuple((float(x), float(y)) for x, y in self.landmarks))

    @property
    def label(self) -> str:
        """The class with the highest score."""
        return max(self.scores, key=self.scores.__getitem__)

    @property
    def score(self) -> float:
        """The score of `label`."""
        return self.scores[self.label]

    def top(self, k: int | None = None) -> dict[str, float]:
        """The k highest scores, highest first; all of them for None."""
        return dict(sorted(self.scores.items(), key=lambda item: -item[1])[:k])

    def to_dict(self, top_k: int | None = None) -> dict[str, Any]:
        """As in the result JSON; with `top_k`, only that many scores, highest first."""
        return {
            "id": self.id,
            "box": [round(v, 2) for v in self.box],
            "detection_score": None if self.detection_score is None else round(self.detection_score, 5),
            "landmarks": None if self.landmarks is None else [[round(x, 2), round(y, 2)] for x, y in self.landmarks],
            "label": self.label,
            "score": round(self.score, 6),
            "scores": {name: round(p, 6) for name, p in (self.scores if top_k is None else self.top(top_k)).items()},
        }

    def to_hf(self, top_k: int | None = None) -> list[dict[str, Any]]:
        """As an image-classification pipeline of Hugging Face gives it: `[{"label", "score"}, ...]`, highest first."""
        return [{"label": name, "score": p} for name, p in self.top(top_k).items()]

    def to_deepface(self) -> dict[str, Any]:
        """As `DeepFace.analyze` gives it: region x, y, w, h in whole pixels, emotions in percent under DeepFace's names."""
        left, top, right, bottom = (round(v) for v in self.box)
        eyes = {} if self.landmarks is None else {"left_eye": _whole(self.landmarks[1]), "right_eye": _whole(self.landmarks[0])}
        return {
            "region": {"x": left, "y": top, "w": right - left, "h": bottom - top, **eyes},  # the person's left eye, as there
            "face_confidence": self.detection_score,
            "emotion": {DEEPFACE_NAMES.get(name, name): 100 * p for name, p in self.scores.items()},
            "dominant_emotion": DEEPFACE_NAMES.get(self.label, self.label),
        }


def _whole(point: tuple[float, float]) -> tuple[int, int]:
    return round(point[0]), round(point[1])


@dataclasses.dataclass(frozen=True, slots=True)
class FrameResult:
    """The faces of one picture or video frame; iterates over them, and has their number as its length.

    Attributes:
        source: the path, or a name such as "array".
        width, height: of the original picture, in pixels, upright.
        model: name, version and classes of the model that spoke.
        faces: the largest first in a picture; by track in a video.
        frame: number in the video, from 0; 0 for a picture.
        time: seconds from the start of the video; 0 for a picture.
    """

    source: str
    width: int
    height: int
    model: Mapping[str, Any]
    faces: tuple[Face, ...] = ()
    frame: int = 0
    time: float = 0.0

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise DataError(f"A picture has at least one pixel, not {self.width} x {self.height}.")
        object.__setattr__(self, "faces", tuple(self.faces))

    def __len__(self) -> int:
        return len(self.faces)

    def __iter__(self) -> Iterator[Face]:
        return iter(self.faces)

    def __getitem__(self, index: int) -> Face:
        return self.faces[index]

    def to_dict(self, top_k: int | None = None) -> dict[str, Any]:
        """The result JSON, `schema_version` 1."""
        return {
            "schema_version": SCHEMA_VERSION,
            "source": self.source,
            "frame": self.frame,
            "time": round(self.time, 4),
            "width": self.width,
            "height": self.height,
            "model": dict(self.model),
            "faces": [face.to_dict(top_k) for face in self.faces],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> FrameResult:
        """The reverse of `to_dict`, for a result with all its scores.

        Raises:
            DataError: another schema, or a field that is missing or wrong.
        """
        version = values.get("schema_version") if isinstance(values, Mapping) else None
        if version != SCHEMA_VERSION:
            raise DataError(f"The result has schema_version {version!r}; this evenface reads {SCHEMA_VERSION}.")
        if not isinstance(values.get("model"), Mapping):
            raise DataError("The result lacks a field or has a broken one: 'model'.")
        try:
            faces = tuple(Face(f["box"], f["scores"], f["detection_score"], f["landmarks"], f["id"]) for f in values["faces"])
            fields = {name: values[name] for name in ("source", "width", "height", "model", "frame", "time")}
            return cls(faces=faces, **fields)
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
            raise DataError(f"The result lacks a field or has a broken one: {error}.") from error

    def to_hf(self, top_k: int | None = None) -> list[list[dict[str, Any]]]:
        """`Face.to_hf` of each face."""
        return [face.to_hf(top_k) for face in self.faces]

    def to_deepface(self) -> list[dict[str, Any]]:
        """`Face.to_deepface` of each face."""
        return [face.to_deepface() for face in self.faces]

    def to_pandas(self) -> pd.DataFrame:
        """A row per face; see `to_table`."""
        return to_pandas([self])

    def rows(self, classes: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """A flat row per face, and one without a face where there is none, so that no picture or frame goes missing from a table.

        Args:
            classes: the classes that get a column `p_<class>`; by default those of the model.
        """
        names = tuple(classes if classes is not None else self.model.get("classes", CLASSES))
        base = {"source": self.source, "frame": self.frame, "time": self.time, "width": self.width, "height": self.height}
        by = {"model": self.model.get("name"), "prior": _prior_text(self.model.get("prior"))}
        return [{**base, **_flat(face, names), **by} for face in self.faces or (None,)]


def _prior_text(prior: Any) -> Any:
    """As `--prior` takes it."""
    return ",".join(f"{name}={share}" for name, share in prior.items()) if isinstance(prior, Mapping) else prior


def _flat(face: Face | None, names: Sequence[str]) -> dict[str, Any]:
    flat: dict[str, Any] = {"face": None if face is None else face.id}
    flat |= dict(zip(("x1", "y1", "x2", "y2"), (None,) * 4 if face is None else face.box, strict=True))
    flat |= {"detection_score": None, "label": None, "score": None} | {f"p_{name}": None for name in names}
    if face is not None:
        flat |= {"detection_score": face.detection_score, "label": face.label, "score": face.score}
        flat |= {f"p_{name}": face.scores.get(name) for name in names}
    return flat


def schema(classes: Sequence[str]) -> pa.Schema:
    """The columns of `to_table`."""
    import pyarrow as pa

    whole, real, text = pa.int64(), pa.float64(), pa.string()
    return pa.schema([
        ("source", text), ("frame", whole), ("time", real), ("width", whole), ("height", whole), ("face", whole),
        ("x1", real), ("y1", real), ("x2", real), ("y2", real), ("detection_score", real), ("label", text), ("score", real),
        *((f"p_{name}", real) for name in classes), ("model", text), ("prior", text),
    ])  # fmt: skip


def to_table(results: Iterable[FrameResult], classes: Sequence[str] | None = None) -> pa.Table:
    """A pyarrow table with a row per face: source, frame, time, width, height, face, x1, y1, x2, y2, detection_score, label, score, a
    column p_<class> per class, and the model's name and prior. A picture without a face has one row in which all from `face` on is null but
    these two.

    Args:
        classes: by default those of the first result's model.
    """
    import pyarrow as pa

    found = list(results)
    names = tuple(classes if classes is not None else (found[0].model.get("classes", CLASSES) if found else CLASSES))
    return pa.Table.from_pylist([row for result in found for row in result.rows(names)], schema=schema(names))


def to_pandas(results: Iterable[FrameResult], classes: Sequence[str] | None = None) -> pd.DataFrame:
    """`to_table` as a data frame.

    Raises:
        MissingExtra: pandas is not installed.
    """
    table = to_table(results, classes)
    try:
        return table.to_pandas()
    except ImportError as error:
        from evenface.errors import MissingExtra

        raise MissingExtra("to_pandas", "pandas") from error
