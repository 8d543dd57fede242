"""`evenface serve` as a person calls it: wrong usage in one line, and real processes that answer, shut down in peace and keep quiet."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evenface.errors import ConfigError
from evenface.recognizer import Recognizer

from ..predict.conftest import tiny as tiny
from .conftest import Cli


pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
httpx2 = pytest.importorskip("httpx2")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--port", "70000"], "--port is between"),
        (["--host", "no such host"], "--host"),
        (["--host", "203.0.113.7"], "cannot be listened at"),
        (["--queue", "2"], "--queue is at least --max-files"),
        (["--max-pixels", "100000000"], "--max-pixels"),
        (["--timeout", "0"], "--timeout"),
        (["--token", "short"], "at least 8 characters"),
        (["--cors", "example.org"], "--cors"),
        (["--cors", "*"], "--cors"),
        (["--cors", "https://example.org/path"], "--cors"),
        (["--cors", "https://me@example.org"], "--cors"),
        (["--cors", "https://example.org#there"], "--cors"),
        (["--cors", "https://example.org:99999"], "--cors"),
        (["--cors", "https://"], "--cors"),
        (["--threads", "0"], "--threads"),
        (["--prior", "balance"], "did you mean 'balanced'"),
        (["--detector", "mtcn"], "did you mean 'mtcnn'"),
    ],
)
def test_wrong_usage_is_one_line(cli: Cli, tiny: Path, words: list[str], message: str) -> None:
    port = [] if "--port" in words else ["--port", "0"]
    cli("serve", "--model", tiny, "--device", "cpu", *port, *words).refused(2, message)


def test_a_taken_port_is_told(cli: Cli, tiny: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        cli("serve", "--model", tiny, "--port", other.getsockname()[1]).refused(2, "cannot be listened at", "another --port")


def test_an_unknown_model_is_told(cli: Cli) -> None:
    cli("serve", "--model", "nowhere", "--port", 0).refused(1, "nowhere")


def test_mirrors_are_asked_for(cli: Cli, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def told(name: Path, **settings: object) -> None:
        raise ConfigError(f"tta is {settings['tta']}")

    monkeypatch.setattr(Recognizer, "from_pretrained", told)
    cli("serve", "--model", tiny, "--port", 0, "--tta", "flip").refused(2, "tta is flip")
    cli("serve", "--model", tiny, "--port", 0).refused(2, "tta is none")


def test_without_the_extra(cli: Cli, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "uvicorn" else real(name))
    cli("serve", "--model", tiny).refused(2, "evenface[serve]")


class Running:
    """A service in a process of its own."""

    def __init__(self, folder: Path, words: list[str], **env: str) -> None:
        self.errors = folder / "stderr.txt"
        command = [
            sys.executable,
            "-m",
            "evenface",
            "serve",
            "--port",
            "0",
            "--device",
            "cpu",
            "--detector",
            "none",
            "--threads",
            "1",
            *words,
        ]
        with self.errors.open("wb") as out:
            self.process = subprocess.Popen(command, cwd=folder, stderr=out, stdout=out, env={**os.environ, **env})
        deadline = time.monotonic() + 120
        self.base = ""
        while not self.base or not self._answers():
            assert self.process.poll() is None, self.said
            assert time.monotonic() < deadline, self.said
            found = re.search(r"http://\S+:\d+", self.said)
            self.base = found[0].replace("0.0.0.0", "127.0.0.1") if found else ""
            time.sleep(0.05)

    def _answers(self) -> bool:
        with contextlib.suppress(httpx2.HTTPError):
            return bool(httpx2.get(f"{self.base}/readyz").status_code == 200)
        return False

    @property
    def said(self) -> str:
        return self.errors.read_text()


@pytest.fixture
def serve(tiny: Path, tmp_path: Path) -> Iterator[Any]:
    running: list[Running] = []

    def start(*words: str, **env: str) -> Running:
        running.append(Running(tmp_path, ["--model", str(tiny), *words], **env))
        return running[-1]

    yield start
    for each in running:
        if each.process.poll() is None:
            each.process.kill()
            each.process.wait(20)


def picture(kind: str = "PNG", side: int = 64, **options: Any) -> bytes:
    import io

    import numpy as np
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (side, side, 3), dtype=np.uint8)).save(out, kind, **options)
    return out.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_finishes_what_is_under_way(serve: Any, sign: signal.Signals) -> None:
    running = serve("--batch-size", "1", "--queue", "400", "--max-files", "100")
    answers: list[int | str] = []
    files = [("files", ("a.png", picture(side=400)))] * 60

    def client() -> None:
        with httpx2.Client(base_url=running.base, timeout=60) as line:
            try:
                answers.append(line.post("/v1/predict", files=files).status_code)
            except httpx2.ConnectError:  # it came after the signal
                answers.append("refused")

    threads = [threading.Thread(target=client) for _ in range(4)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 30
    while "evenface_queue_pictures 0\n" in httpx2.get(f"{running.base}/metrics").text:
        assert time.monotonic() < deadline
    running.process.send_signal(sign)
    assert answers == []
    for thread in threads:
        thread.join(60)
    assert running.process.wait(60) == 0
    assert set(answers) <= {200, "refused"}
    assert 200 in answers
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(f"{running.base}/healthz")
    assert running.said.count("\n") == 1, running.said


@pytest.mark.slow
def test_it_says_where_it_is_and_nothing_else(serve: Any) -> None:
    """Not even of broken TIFF files, about which libtiff talks by itself."""
    running = serve()
    whole = picture("TIFF", compression="jpeg")
    for at in range(8, len(whole), max(1, len(whole) // 60)):
        broken = bytearray(whole)
        broken[at] ^= 0xFF
        httpx2.post(f"{running.base}/v1/predict", files=[("files", ("secret.tif", bytes(broken)))])
    assert httpx2.post(f"{running.base}/v1/predict", content=b"x", headers={"content-type": "multipart/form-data; boundary=y"}).is_error
    running.process.terminate()
    assert running.process.wait(60) == 0
    assert re.fullmatch(r"serving   http://127\.0\.0\.1:\d+/  model tiny, detector none\n", running.said)


@pytest.mark.slow
def test_a_public_address_without_a_token_is_warned_of(serve: Any) -> None:
    open_ = serve("--host", "0.0.0.0")
    assert "warning   everyone who can reach this address may use it; set EVENFACE_TOKEN" in open_.said
    open_.process.terminate()
    assert open_.process.wait(60) == 0
    guarded = serve("--host", "0.0.0.0", "--access-log", EVENFACE_TOKEN="correct-horse")
    assert "warning" not in guarded.said
    assert httpx2.get(f"{guarded.base}/v1/model").status_code == 401
    assert httpx2.get(f"{guarded.base}/v1/model", headers={"Authorization": "Bearer correct-horse"}).status_code == 200
    guarded.process.terminate()
    assert guarded.process.wait(60) == 0
    assert '"GET /v1/model HTTP/1.1" 401' in guarded.said
    assert "correct-horse" not in guarded.said


def test_an_origin_is_taken_as_browsers_write_it() -> None:
    from evenface.cli.serve import _origins

    pairs = {
        "https://Example.org": "https://example.org",
        "https://example.org:443": "https://example.org",
        "http://example.org:80/": "http://example.org",
        "http://localhost:3000": "http://localhost:3000",
        "https://example.org:80": "https://example.org:80",
        "http://[::1]:8000": "http://[::1]:8000",
        "https://bücher.example": "https://xn--bcher-kva.example",
    }
    assert _origins(list(pairs)) == list(pairs.values())
