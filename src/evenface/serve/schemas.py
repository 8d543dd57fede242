"""The JSON of the service as /openapi.json shows it; `tests/serve` holds real answers against it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


PriorName = Literal["model", "train", "half", "balanced"]
Prior = PriorName | dict[str, float]

_PRIOR = "How frequent the expressions are where the picture comes from, which the scores assume; the server's by default."
_MAX_FACES = "Only so many faces, the largest; never more than the server's limit."
_CROPPED = "The picture is one face, cropped already; nothing is searched."

SCORES: dict[str, Any] = {
    "happiness": 0.91,
    "neutral": 0.05,
    "sadness": 0.01,
    "surprise": 0.01,
    "disgust": 0.005,
    "anger": 0.01,
    "fear": 0.005,
}
ABOUT: dict[str, Any] = {"name": "best", "version": "0.1.0", "classes": list(SCORES), "prior": "model"}
FACE: dict[str, Any] = {
    "id": 0, "box": [186.1, 62.4, 268.3, 171.9], "detection_score": 0.99981,
    "landmarks": [[206.2, 102.6], [247.0, 101.9], [227.3, 124.0], [209.5, 145.1], [246.1, 144.6]],
    "label": "happiness", "score": 0.91, "scores": SCORES,
}  # fmt: skip
RESULT: dict[str, Any] = {
    "schema_version": 1, "source": "photo.jpg", "frame": 0, "time": 0.0, "width": 640, "height": 480, "model": ABOUT, "faces": [FACE],
}  # fmt: skip
PROBLEM: dict[str, Any] = {
    "type": "https://evenface.invalid/problems/not-an-image", "title": "This is no picture that can be read", "status": 415,
    "detail": "The file is none of JPEG, PNG, WebP, BMP, GIF or TIFF; send one of these.", "source": "notes.txt",
}  # fmt: skip


class ExplainQuery(_Strict):
    """Parameters of /v1/explain."""

    prior: PriorName | None = Field(None, description=_PRIOR)
    max_faces: int | None = Field(None, ge=1, description=_MAX_FACES)
    cropped: bool = Field(False, description=_CROPPED)


class PredictQuery(ExplainQuery):
    """Parameters of /v1/predict."""

    top_k: int | None = Field(None, ge=1, description="Only so many scores a face, the highest.")
    min_score: float | None = Field(None, ge=0, le=1, description="Leaves out faces that the detector is less sure of.")


class ProblemAnswer(_Strict):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    source: str | None = Field(None, description="The picture that is meant.")


class About(_Strict):
    """The model that speaks."""

    name: str
    version: str
    classes: list[str]
    prior: Prior


class FaceAnswer(_Strict):
    """A face; box and landmarks are in pixels of the picture as it was sent, upright."""

    id: int
    box: tuple[float, float, float, float] = Field(description="left, top, right, bottom")
    detection_score: float | None
    landmarks: list[tuple[float, float]] | None = Field(description="left eye as seen, right eye, nose, corners of the mouth")
    label: str
    score: float = Field(ge=0, le=1)
    scores: dict[str, float] = Field(description="class -> probability")


class Result(_Strict):
    """The faces of a picture; none is a result too."""

    schema_version: Literal[1]
    source: str
    frame: int
    time: float
    width: int = Field(ge=1)
    height: int = Field(ge=1)
    model: About
    faces: list[FaceAnswer]


class GoodResult(Result):
    """A result among several."""

    error: None


class FailedResult(_Strict):
    """A picture among several that cannot be used."""

    source: str
    error: ProblemAnswer


class PredictAnswer(_Strict):
    """The results in the order of the pictures."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"schema_version": 1, "model": ABOUT, "results": [{**RESULT, "error": None}]}]}
    )

    schema_version: Literal[1]
    model: About
    results: list[GoodResult | FailedResult]


class Consistency(_Strict):
    """How far the class maps of a face and of its mirror agree, over all classes and cells; the correlation is that of the places."""

    mean_squared: float = Field(ge=0)
    correlation: float = Field(ge=-1, le=1)


Grid = list[list[float]]


class FaceMapsAnswer(_Strict):
    """Class maps of a face; pictures are data: addresses of PNG."""

    id: int
    crop: str
    mirror: str
    size: int = Field(description="side of both pictures in pixels")
    grid: tuple[int, int] = Field(description="rows and columns of each map")
    maps: dict[str, Grid]
    mirror_maps: dict[str, Grid] = Field(description="of the mirror, flipped back: cells correspond to those of `maps`")
    scores: dict[str, float]
    mirror_scores: dict[str, float]
    consistency: Consistency


class ExplainAnswer(_Strict):
    """The result of a picture, and the class maps of its faces."""

    schema_version: Literal[1]
    model: About
    result: Result
    faces: list[FaceMapsAnswer]


class LimitsAnswer(_Strict):
    """What one request may cost."""

    max_bytes: int
    max_pixels: int
    max_files: int
    max_faces: int
    timeout_seconds: float


class ModelAnswer(_Strict):
    """The model, its data and the limits."""

    schema_version: Literal[1]
    name: str
    version: str
    classes: list[str]
    prior: Prior
    priors: list[PriorName]
    img_size: int
    detector: str
    dataset: str | None
    data_licence: str | None
    train_counts: dict[str, int] | None
    card: str
    limits: LimitsAnswer


class StatusAnswer(_Strict):
    """Of the probes."""

    status: Literal["ok"]


BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object", "required": ["files"],
                "properties": {"files": {"type": "array", "minItems": 1, "items": {"type": "string", "format": "binary"}}},
            },
        },
        "application/json": {
            "schema": {
                "type": "object", "required": ["images"], "additionalProperties": False,
                "properties": {"images": {"type": "array", "minItems": 1, "items": {"type": "string", "contentEncoding": "base64"}}},
            },
            "example": {"images": ["iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAAAAADhZOFXAAAAEElEQVR42mNsYIAAJgaKGAAmCACQtTEKkQAAAABJRU5ErkJggg=="]},
        },
    },
}  # fmt: skip
"""A request's pictures, as OpenAPI tells them."""


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The problems that a route may answer with, as OpenAPI tells them."""
    schema = ProblemAnswer.model_json_schema()
    found: dict[int | str, dict[str, Any]] = {}
    for status in statuses:
        found[status] = {"description": _WHY[status], "content": {"application/problem+json": {"schema": schema, "example": PROBLEM}}}
        if status == 503:
            found[status]["headers"] = {"Retry-After": {"description": "seconds", "schema": {"type": "integer"}}}
    return found


_WHY = {
    400: "The body cannot be read.",
    401: "The service asks for a token.",
    408: "The body came too slowly.",
    413: "Too many bytes, pixels or pictures.",
    415: "No picture that can be read, or a body of another type.",
    422: "A parameter is wrong.",
    500: "A fault of the service.",
    503: "Too much is under way; try again after `Retry-After` seconds.",
    504: "The time limit has passed.",
}
