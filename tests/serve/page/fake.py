"""A service that gives canned answers, so that the page can be tried without a model.

    python tests/serve/page/fake.py 8010        # then open http://127.0.0.1:8010

The name of a file decides what becomes of it: none.png has no face, three.png three, crowd.png two dozen, broken.jpg is refused with 415,
busy.png gets 503 once, slow.png takes a second; all else has one face. Every request is noted in `Fake.seen`.
"""

from __future__ import annotations

import base64
import dataclasses
import email
import email.policy
import io
import json
import re
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from PIL import Image, UnidentifiedImageError

from evenface.labels import BASIC
from evenface.results import Face, FrameResult


STATIC = Path(__file__).resolve().parents[3] / "src" / "evenface" / "serve" / "static"
TYPES = {".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".webp": "image/webp"}
POLICY = "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; connect-src 'self'"
COUNTS = {"happiness": 7287, "neutral": 8740, "sadness": 3014, "surprise": 3149, "disgust": 119, "anger": 2100, "fear": 532}
CARD = """---
tags: [expressions]
---

# a canned model

It has learned **nothing** and says `the same` of every face. <script>alert(1)</script>

| | |
|---|---|
| data | none |
| method | canned answers |

- one point
- another
"""
SECONDS = 1.0  # that slow.png takes


@dataclasses.dataclass(frozen=True)
class Seen:
    method: str
    path: str
    query: dict[str, str]
    name: str
    token: str


class Problem(Exception):
    def __init__(self, status: int, title: str, detail: str, headers: dict[str, str] | None = None) -> None:
        self.body = {"type": "about:blank", "title": title, "status": status, "detail": detail}
        self.headers = headers or {}


class Fake:
    """The service in a thread; a context manager.

    Attributes:
        url: where it listens.
        seen: the requests, in their order.
        most: how many calls of /v1/predict were on their way at once, at most.
        token: what it asks for; None asks for nothing.
        bad_prior: a prior that it refuses with 422.
        prior: the one that it was started with.
        late: names of files for which it takes too long, 504.
    """

    def __init__(self, port: int = 0) -> None:
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), type("Handler", (Handler,), {"fake": self}))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"
        self.reset()

    def reset(self) -> None:
        self.seen: list[Seen] = []
        self.now = self.most = 0
        self.token: str | None = None
        self.bad_prior: str | None = None
        self.prior: str | dict[str, float] = "model"
        self.late: set[str] = set()
        self.was_busy: set[str] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    def note(self, seen: Seen) -> None:
        with self._lock:
            self.seen.append(seen)

    def enter(self, step: int) -> None:
        with self._lock:
            self.now += step
            self.most = max(self.most, self.now)

    def first_time(self, name: str) -> bool:
        with self._lock:
            new = name not in self.was_busy
            self.was_busy.add(name)
            return new


class Handler(BaseHTTPRequestHandler):
    fake: Fake
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except ConnectionError:  # the page gave up a request
            self.close_connection = True

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        self.fake.note(Seen("GET", path, {}, "", ""))
        if path == "/v1/model":
            self._answer(self._model)
        else:
            self._file("index.html" if path == "/" else path.removeprefix("/static/"))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        parts = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        name, content = _first_file(self.headers["Content-Type"], body)
        self.fake.note(Seen("POST", parts.path, query, name, self.headers.get("Authorization", "")))
        if parts.path == "/v1/predict":
            self.fake.enter(1)
            try:
                self._answer(lambda: self._predict(name, content, query))
            finally:
                self.fake.enter(-1)
        else:
            self._answer(lambda: self._explain(name, content, query))

    def _answer(self, make: Any) -> None:
        kind, status, headers = "application/json", 200, {}
        try:
            if self.fake.token is not None and self.headers.get("Authorization") != f"Bearer {self.fake.token}":
                raise Problem(401, "Unauthorized", "This server asks for a token.")
            body = make()
        except Problem as problem:
            body, headers, kind = problem.body, problem.headers, "application/problem+json"
            status = int(body["status"])
        self._send(status, kind, json.dumps(body).encode(), headers)

    def _send(self, status: int, kind: str, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in {"Content-Type": kind, "Content-Length": str(len(body)), "Content-Security-Policy": POLICY, **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)

    def _file(self, name: str) -> None:
        path = STATIC / name
        if path.parent == STATIC and path.is_file():
            self._send(200, TYPES[path.suffix], path.read_bytes(), {"X-Content-Type-Options": "nosniff"})
        else:
            self._send(404, "text/plain", b"not here", {})

    def _model(self) -> dict[str, Any]:
        limits = {"max_bytes": 1 << 20, "max_pixels": 50_000_000, "max_files": 16, "max_faces": 50, "timeout_seconds": 30}
        return {
            "schema_version": 1, "name": "canned", "version": "0.1.0", "classes": list(BASIC), "prior": self.fake.prior,
            "priors": ["model", "train", "half", "balanced"], "img_size": 112, "detector": "mtcnn", "dataset": "nothing",
            "data_licence": "none is needed", "train_counts": COUNTS, "card": CARD, "limits": limits,
        }  # fmt: skip

    def _predict(self, name: str, content: bytes, query: dict[str, str]) -> dict[str, Any]:
        entry = self._result(name, content, query).to_dict() | {"error": None}
        return {"schema_version": 1, "model": entry["model"], "results": [entry]}

    def _result(self, name: str, content: bytes, query: dict[str, str]) -> FrameResult:
        prior = query.get("prior", "model")
        if prior == self.fake.bad_prior:
            raise Problem(422, "Unprocessable Content", f"The model has no numbers for the prior '{prior}'; take another")
        if name in self.fake.late:
            raise Problem(504, "Gateway Timeout", "It took too long; try again.")
        if name.startswith("slow"):
            time.sleep(SECONDS)
        if name.startswith("busy") and self.fake.first_time(name):
            raise Problem(503, "Service Unavailable", "The queue is full; try again later.", {"Retry-After": "1"})
        try:
            with Image.open(io.BytesIO(content)) as image:
                width, height = image.size
        except UnidentifiedImageError:
            raise Problem(415, "Unsupported Media Type", f"{name} is no picture; send JPEG, PNG, WebP, BMP, GIF or TIFF.") from None
        count = 1
        if query.get("cropped") != "true":
            count = next((n for word, n in {"none": 0, "three": 3, "crowd": 24}.items() if name.startswith(word)), 1)
        about = {"name": "canned", "version": "0.1.0", "classes": list(BASIC), "prior": prior}
        return FrameResult(name, width, height, about, tuple(face_of(i, count, width, height, prior) for i in range(count)))

    def _explain(self, name: str, content: bytes, query: dict[str, str]) -> dict[str, Any]:
        if name.startswith("mute"):
            raise Problem(504, "Gateway Timeout", "The explanation took too long; try a smaller picture.")
        result = self._result(name, content, query)
        with Image.open(io.BytesIO(content)) as image:
            pixels = image.convert("RGB")
        faces = [explained(face, pixels) for face in result.faces]
        return {"schema_version": 1, "model": dict(result.model), "result": result.to_dict(), "faces": faces}


def face_of(i: int, count: int, width: int, height: int, prior: str) -> Face:
    """Face i of `count`, which stand in rows of six at most: class i gets the most, or the next class if the prior is balanced."""
    columns = min(6, max(1, count))
    rows = -(-count // columns)
    across, down = width / columns, height / rows
    side = 0.6 * min(across, down)
    x, y = (i % columns + 0.5) * across, (i // columns + 0.5) * down
    first = (i + (prior == "balanced")) % len(BASIC)
    sure = 0.86 - 0.05 * (i % 9)
    left = (1 - sure) / 21  # shared out as 1 : 2 : ... : 6
    scores = {name: sure if k == first else left * (1 + (k - first - 1) % len(BASIC)) for k, name in enumerate(BASIC)}
    total = sum(scores.values())
    box = (x - side / 2, y - side / 2, x + side / 2, y + side / 2)
    return Face(box, {name: p / total for name, p in scores.items()}, detection_score=0.99, id=i)


def explained(face: Face, pixels: Image.Image) -> dict[str, Any]:
    """The upper left cell speaks for the face's label, the lower right one against it; for other classes the middle does, half as much."""
    grid = [[0.0] * 4 for _ in range(4)]
    grid[0][0], grid[3][3] = 4.0, -4.0
    other = [[2.0 if 1 <= x <= 2 and 1 <= y <= 2 else -0.5 for x in range(4)] for y in range(4)]
    maps = {name: grid if name == face.label else other for name in BASIC}
    crop = pixels.crop(tuple(round(v) for v in face.box)).resize((112, 112))
    mirror = crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return {
        "id": face.id, "crop": _data_url(crop), "mirror": _data_url(mirror), "size": 112, "grid": [4, 4], "maps": maps, "mirror_maps": maps,
        "scores": dict(face.scores), "mirror_scores": dict(face.scores), "consistency": {"mean_squared": 0.0123, "correlation": 0.934},
    }  # fmt: skip


def _data_url(image: Image.Image) -> str:
    out = io.BytesIO()
    image.save(out, "PNG")
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()


def _first_file(kind: str, body: bytes) -> tuple[str, bytes]:
    """Name and content of the one file of a multipart body."""
    message = email.message_from_bytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + body, policy=email.policy.HTTP)
    (part,) = message.iter_parts()
    found = re.search(rb"\r\n\r\n(.*)\r\n--[^\r\n]*--\r\n\Z", body, re.DOTALL)  # as it came: the parser would touch line ends
    assert found is not None
    return part.get_filename() or "", found[1]


if __name__ == "__main__":
    with Fake(int(sys.argv[1]) if len(sys.argv) > 1 else 8010) as fake:
        print(fake.url)
        threading.Event().wait()
