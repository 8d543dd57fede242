"""A real server and real sockets: refusals of uploads reach clients that are still sending, and endless ones are cut off."""

from __future__ import annotations

import socket
import time
from urllib.parse import urlsplit

import httpx2
import pytest

from evenface.serve import linger

from .conftest import Live, Make, part, picture


def connect(base: str) -> socket.socket:
    place = urlsplit(base)
    return socket.create_connection((place.hostname, place.port), timeout=20)


START = b'--xx\r\nContent-Disposition: form-data; name="files"\r\n\r\n'
HEAD = b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=xx\r\n"


def test_a_picture_over_a_real_connection(make: Make, live: Live) -> None:
    base = live(make().client.app)
    with httpx2.Client(base_url=base) as client:
        for _ in range(3):  # the connection is kept
            answer = client.post("/v1/predict", files=[part(picture())])
            assert answer.status_code == 200
            assert len(answer.json()["results"][0]["faces"]) == 1


@pytest.mark.parametrize("told", [True, False], ids=["with a length", "chunked"])
def test_a_large_upload_hears_why(make: Make, live: Live, told: bool) -> None:
    base = live(make(max_bytes=100_000).client.app)
    data = START + bytes(8_000_000)  # more than the sockets' buffers hold
    with httpx2.Client(base_url=base, timeout=20) as client:
        content = data if told else (data[i : i + 65536] for i in range(0, len(data), 65536))
        answer = client.post("/v1/predict", content=content, headers={"Content-Type": "multipart/form-data; boundary=xx"})
        assert answer.status_code == 413
        assert answer.json()["type"].endswith("/too-many-bytes")
        assert answer.headers["connection"] == "close"
        assert client.get("/healthz").status_code == 200


def test_a_client_that_asks_first_sends_nothing(make: Make, live: Live) -> None:
    base = live(make(max_bytes=1024).client.app)
    with connect(base) as line:
        begin = time.monotonic()
        line.sendall(HEAD + b"Expect: 100-continue\r\nContent-Length: 50000000\r\n\r\n")
        answer = b""
        while chunk := line.recv(65536):
            answer += chunk
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b"100 Continue" not in answer
        assert time.monotonic() - begin < linger.SECONDS


def test_a_client_that_never_ends_is_cut_off(make: Make, live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linger, "SECONDS", 0.5)
    base = live(make(max_bytes=1024).client.app)
    with connect(base) as line:
        line.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        begin = time.monotonic()
        broken = False
        while not broken and time.monotonic() - begin < 10:
            try:
                line.sendall(b"400\r\n" + bytes(1024) + b"\r\n")
            except OSError:  # reset or broken pipe, by the system's choice
                broken = True
            time.sleep(0.01)
        assert broken


def test_who_hangs_up_while_sending_leaves_nothing_behind(make: Make, live: Live) -> None:
    bench = make()
    base = live(bench.client.app)
    for _ in range(5):
        with connect(base) as line:
            line.sendall(HEAD + b"Content-Length: 5000\r\n\r\n--xx\r\n")
    deadline = time.monotonic() + 10
    while "evenface_abandoned_total 5\n" not in httpx2.get(f"{base}/metrics").text:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert bench.service._bodies.free == bench.service._bodies.size
    assert bench.service.batcher.under_way == 0
