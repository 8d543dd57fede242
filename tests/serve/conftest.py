"""The service around the tiny model, in this process; pictures whose faces are known; a search that can be held up."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from evenface.faces.detection import Detection
from evenface.faces.detectors import Detector
from evenface.model_folder import load_model
from evenface.recognizer import Recognizer
from evenface.serve.app import create_app
from evenface.serve.limits import Limits

from ..predict.conftest import Squares, with_faces
from ..predict.conftest import tiny as tiny


def encoded(pixels: np.ndarray, kind: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, **options)
    return out.getvalue()


def picture(seed: int = 0, places: Sequence[tuple[int, int]] = ((10, 10),)) -> bytes:
    """A PNG of 128 x 96 with faces at the places."""
    return encoded(with_faces(seed, places))


def part(data: bytes, name: str = "a.png") -> tuple[str, tuple[str, bytes]]:
    """For `files=` of the client."""
    return ("files", (name, data))


class Held(Squares):
    """A search that waits at its gate; it counts what it was asked."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()
        self.entered = threading.Event()
        self.batches: list[int] = []
        self.error: Exception | None = None

    def __call__(self, images: Sequence[np.ndarray]) -> list[list[Detection]]:
        if images:
            self.entered.set()
            assert self.open.wait(30)
            self.batches.append(len(images))
        if self.error is not None and any(int(image[0, 0, 0]) == 77 for image in images):
            raise self.error
        return super().__call__(images)


@dataclasses.dataclass
class Bench:
    """A service, its client and its search."""

    client: TestClient
    search: Held
    recognizer: Recognizer

    @property
    def service(self) -> Any:
        return self.client.app.state.service  # type: ignore[attr-defined]


Make = Callable[..., Bench]


@pytest.fixture
def make(tiny: Path, tmp_path: Path) -> Iterator[Make]:
    """Starts a service: `make(queue=2, max_files=2)`; further words go to `create_app`."""
    running: list[TestClient] = []
    page = tmp_path / "static"
    page.mkdir()
    (page / "index.html").write_text("<!doctype html><title>evenface</title>")
    (page / "app.js").write_text("// nothing")

    def start(*, card: str = "# tiny", token: str | None = None, origins: Sequence[str] = (), tta: str = "none", **limits: Any) -> Bench:
        model, config = load_model(tiny)
        search = Held()
        recognizer = Recognizer(model, config, name="tiny", detector=Detector("squares", search), device="cpu", tta=tta)
        app = create_app(recognizer, Limits(**limits), card=card, token=token, origins=origins, static=page)
        client = TestClient(app, raise_server_exceptions=False).__enter__()
        running.append(client)
        search.batches.clear()  # without the warm-up
        search.entered.clear()
        return Bench(client, search, recognizer)

    yield start
    for client in running:
        client.__exit__(None, None, None)


@pytest.fixture
def bench(make: Make) -> Bench:
    return make()


Live = Callable[[Any], str]


@pytest.fixture
def live() -> Iterator[Live]:
    """Serves an application by a real server in a thread: `live(app)` -> its address. The client of `make` has started it already."""
    import uvicorn

    running: list[tuple[uvicorn.Server, threading.Thread]] = []

    def start(app: Any) -> str:
        place = socket.create_server(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, http="h11", ws="none", lifespan="off", log_config=None, timeout_graceful_shutdown=5))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [place]})
        thread.start()
        running.append((server, thread))
        deadline = time.monotonic() + 20
        while not server.started:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return f"http://127.0.0.1:{place.getsockname()[1]}"

    yield start
    for server, thread in running:
        server.should_exit = True
        thread.join(20)


async def ask(
    app: Any, path: str, chunks: Sequence[bytes | float], headers: Sequence[tuple[bytes, bytes]], gone: asyncio.Event
) -> tuple[int, bytes]:
    """One request as a server hands it on: chunks of the body, pauses in seconds between them, and a client that hangs up at `gone`."""
    left = list(chunks)
    status, body = 0, b""

    async def receive() -> dict[str, Any]:
        while left and isinstance(left[0], float):
            await asyncio.sleep(left.pop(0))  # type: ignore[arg-type]
        if left:
            return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        nonlocal status, body
        status = message.get("status", status)
        body += message.get("body", b"")

    scope = {
        "type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b"", "headers": list(headers),
        "http_version": "1.1", "scheme": "http", "server": ("testserver", 80), "client": ("testclient", 1), "root_path": "",
    }  # fmt: skip
    await app(scope, receive, send)
    return status, body
