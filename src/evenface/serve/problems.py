"""Refusals as RFC 9457 has them: `application/problem+json` with type, title, status, detail and, where one picture is meant, source.

raise Problem("not-an-image", "It is no picture of a known format.", source="a.txt")
"""

from __future__ import annotations

import http
from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse, Response


ADDRESS = "https://evenface.invalid/problems/"
"""What types begin with; a name, not a place: `.invalid` never resolves."""

MEDIA_TYPE = "application/problem+json"

KINDS: dict[str, tuple[int, str]] = {
    "malformed": (400, "The request cannot be read"),
    "unauthorized": (401, "A token is needed"),
    "not-found": (404, "There is nothing here"),
    "method-not-allowed": (405, "Not with this method"),
    "too-slow": (408, "The request came too slowly"),
    "too-many-bytes": (413, "The request is too large"),
    "too-many-pixels": (413, "The picture is too large"),
    "too-many-files": (413, "Too many pictures in one request"),
    "not-an-image": (415, "This is no picture that can be read"),
    "unsupported-body": (415, "The body is of a type that is not known here"),
    "bad-parameter": (422, "A parameter is wrong"),
    "internal": (500, "Something went wrong here"),
    "busy": (503, "The service is busy"),
    "time-limit": (504, "The answer took too long"),
}
"""The last part of the type -> status and title."""


class Problem(Exception):
    """A request, or one picture of it, that is refused.

    Args:
        kind: a name of `KINDS`.
        detail: one sentence that says what to do.
        source: the picture that is meant.
        headers: of the answer.
    """

    def __init__(self, kind: str, detail: str, *, source: str | None = None, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.source = source
        self.headers = dict(headers or {})
        self.status, self.title = KINDS[kind]

    def to_dict(self) -> dict[str, Any]:
        """The problem object."""
        plain = {"type": ADDRESS + self.kind, "title": self.title, "status": self.status, "detail": self.detail}
        return plain if self.source is None else {**plain, "source": self.source}

    def response(self) -> Response:
        """The answer that it is."""
        return JSONResponse(self.to_dict(), self.status, self.headers, MEDIA_TYPE)


class ClientGone(Exception):
    """The one who asked has hung up; nobody waits for an answer."""


def plain_problem(status: int, headers: Mapping[str, str] | None = None) -> Response:
    """The answer for a status that the framework has found, such as 404."""
    for kind, (known, _) in KINDS.items():
        if known == status and status in (404, 405):
            detail = "The paths are in /openapi.json." if status == 404 else "Use one of the methods of the Allow header."
            return Problem(kind, detail, headers=headers).response()
    title = http.HTTPStatus(status).phrase
    return JSONResponse({"type": "about:blank", "title": title, "status": status, "detail": title}, status, headers, MEDIA_TYPE)
