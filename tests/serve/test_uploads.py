"""Bodies: what is malformed, too large, too many or too slow is refused, whatever its headers say; nothing is written to a disk."""

from __future__ import annotations

import asyncio
import base64
import json
import tempfile
import tracemalloc
from collections.abc import Iterator

import pytest

from evenface.serve.limits import Limits
from evenface.serve.problems import Problem
from evenface.serve.uploads import _from_json

from .conftest import Bench, Make, ask, part, picture


HEAD = b'--xx\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
TAIL = b"\r\n--xx--\r\n"
FORM = {"content-type": "multipart/form-data; boundary=xx"}
JSON = {"content-type": "application/json"}
B64 = base64.b64encode(picture()).decode()


def kind(answer: object) -> tuple[int, str]:
    body = answer.json()  # type: ignore[attr-defined]
    assert answer.headers["content-type"] == "application/problem+json"  # type: ignore[attr-defined]
    assert body["detail"].endswith((".", "?"))
    return body["status"], body["type"].rpartition("/")[2]


@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [
        (FORM, b"", (400, "malformed")),
        (FORM, b"nonsense", (400, "malformed")),
        (FORM, HEAD + b"abc", (400, "malformed")),
        (FORM, b"--xx--\r\n", (400, "malformed")),
        (FORM, HEAD.replace(b"files", b"image") + b"abc" + TAIL, (400, "malformed")),
        (FORM, HEAD.replace(b'name="files"; ', b"") + b"abc" + TAIL, (400, "malformed")),
        (FORM, b"--xx\r\n" + b"a: b\r\n" * 500 + b"\r\nabc" + TAIL, (400, "malformed")),
        (FORM, b"--xx\r\na: " + b"b" * 100_000 + b"\r\n\r\nabc" + TAIL, (400, "malformed")),
        ({"content-type": "multipart/form-data"}, HEAD + b"abc" + TAIL, (400, "malformed")),
        ({"content-type": "multipart/form-data; boundary=" + "x" * 900}, b"", (400, "malformed")),
        (JSON, b"", (400, "malformed")),
        (JSON, b"{", (400, "malformed")),
        (JSON, b"\xff\xfe", (400, "malformed")),
        (JSON, b"[" * 100_000, (400, "malformed")),
        (JSON, b'{"images": ' + b"9" * 10_000 + b"}", (400, "malformed")),
        (JSON, b'["abc"]', (400, "malformed")),
        (JSON, b'{"images": [[], []]}', (400, "malformed")),
        (JSON, b'{"images": [{}]}', (400, "malformed")),
        (JSON, b'{"images": [' + b'"",' * 100_000 + b'""]}', (413, "too-many-files")),
        (JSON, b'{"images": [' + b'""' * 100_000 + b"]}", (413, "too-many-files")),
        (JSON, b'{"images": "abc"}', (400, "malformed")),
        (JSON, b'{"images": []}', (400, "malformed")),
        (JSON, b'{"images": [null]}', (400, "malformed")),
        (JSON, b'{"images": [1]}', (400, "malformed")),
        (JSON, json.dumps({"images": [B64], "url": "http://x"}).encode(), (400, "malformed")),
        (JSON, json.dumps({"images": ["http://localhost/a.png"]}).encode(), (400, "malformed")),
        (JSON, json.dumps({"images": ["data:image/png;base64," + B64]}).encode(), (400, "malformed")),
        (JSON, json.dumps({"images": [B64[:-1]]}).encode(), (400, "malformed")),
        (JSON, json.dumps({"images": [B64[:80] + "\n" + B64[80:]]}).encode(), (400, "malformed")),
        (JSON, json.dumps({"images": [B64.replace("+", "-").replace("/", "_") + "ä"]}).encode(), (400, "malformed")),
        (JSON, b'{"images": ["\\ud800"]}', (400, "malformed")),
        (JSON, b'{"images": [""]}', (415, "not-an-image")),
        ({}, b"abc", (415, "unsupported-body")),
        ({"content-type": "image/png"}, picture(), (415, "unsupported-body")),
        ({"content-type": "application/x-www-form-urlencoded"}, b"files=abc", (415, "unsupported-body")),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused(bench: Bench, headers: dict[str, str], body: bytes, expected: tuple[int, str]) -> None:
    answer = bench.client.post("/v1/predict", content=body, headers=headers)
    assert kind(answer) == expected
    assert bench.search.batches == []


def test_a_form_in_pieces_of_any_size(bench: Bench) -> None:
    """A boundary that is cut between two chunks is still one."""
    data = picture(0) + b"\r\n--xy\r\n--x"  # bytes after a PNG's end do no harm
    body = HEAD + data + TAIL
    expected = bench.client.post("/v1/predict", files=[part(picture(0))]).json()["results"]
    for size in (1, 7, 64, 1000):
        pieces = [body[i : i + size] for i in range(0, len(body), size)]
        answer = bench.client.post("/v1/predict", content=iter(pieces), headers=FORM)
        assert answer.json()["results"] == expected


def test_a_part_without_a_file_name_and_one_of_another_alphabet(bench: Bench) -> None:
    bare = HEAD.replace(b'; filename="a.png"', b"") + picture() + TAIL
    assert bench.client.post("/v1/predict", content=bare, headers=FORM).json()["results"][0]["source"] == "image 0"
    named = HEAD.replace(b"a.png", "../顔\x07.png".encode()) + picture() + TAIL
    assert bench.client.post("/v1/predict", content=named, headers=FORM).json()["results"][0]["source"] == "顔.png"
    broken = HEAD.replace(b"a.png", b"\xff\xfe.png") + picture() + TAIL
    assert bench.client.post("/v1/predict", content=broken, headers=FORM).status_code == 200


def test_a_told_length_is_refused_before_a_byte_is_read(make: Make) -> None:
    app = make(max_bytes=2000).client.app
    read = []

    async def one() -> int:
        status = 0

        async def receive() -> dict[str, object]:
            read.append(1)
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: dict[str, object]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = int(str(message["status"]))
                assert not read

        scope = {
            "type": "http", "method": "POST", "path": "/v1/predict", "raw_path": b"/v1/predict", "query_string": b"", "root_path": "",
            "headers": [(b"content-type", b"multipart/form-data; boundary=xx"), (b"content-length", b"2001")], "http_version": "1.1",
            "scheme": "http", "server": ("testserver", 80), "client": ("testclient", 1),
        }  # fmt: skip
        await app(scope, receive, send)
        return status

    assert asyncio.run(one()) == 413


def test_a_body_without_a_length_is_stopped_at_the_limit(make: Make) -> None:
    bench = make(max_bytes=100_000)
    given = 0

    def endless() -> Iterator[bytes]:
        nonlocal given
        yield HEAD
        while given < 50_000_000:
            given += 10_000
            yield bytes(10_000)

    answer = bench.client.post("/v1/predict", content=endless(), headers=FORM)
    assert kind(answer) == (413, "too-many-bytes")
    assert bench.service._bodies.free == bench.service._bodies.size


def test_a_length_that_lies_does_not_help(make: Make) -> None:
    bench = make(max_bytes=5000)
    body = HEAD + bytes(20_000) + TAIL
    for lie in (b"10", b"-5", b"1e3", b"9" * 400):
        headers = [(b"content-type", FORM["content-type"].encode()), (b"content-length", lie)]
        status, _ = asyncio.run(ask(bench.client.app, "/v1/predict", [body[:100], body[100:]], headers, asyncio.Event()))
        assert status == 413


def test_too_many_pictures(make: Make) -> None:
    bench = make(max_files=2)
    assert bench.client.post("/v1/predict", files=[part(picture(i)) for i in range(2)]).status_code == 200
    assert kind(bench.client.post("/v1/predict", files=[part(picture(i)) for i in range(3)])) == (413, "too-many-files")
    assert kind(bench.client.post("/v1/predict", json={"images": [B64] * 3})) == (413, "too-many-files")


def test_a_body_that_does_not_come(make: Make) -> None:
    bench = make(timeout=0.2)
    headers = [(b"content-type", FORM["content-type"].encode())]
    status, body = asyncio.run(ask(bench.client.app, "/v1/predict", [HEAD, 5.0, b"x"], headers, asyncio.Event()))
    assert status == 408
    assert json.loads(body)["type"].endswith("/too-slow")
    assert bench.service._bodies.free == bench.service._bodies.size


def test_bodies_share_a_budget(make: Make) -> None:
    """Many half-sent large requests cannot fill the memory."""
    bench = make(max_bytes=10_000, timeout=5)
    service = bench.service
    headers = [(b"content-type", FORM["content-type"].encode())]

    async def crowd() -> list[tuple[int, bytes]]:
        gone = asyncio.Event()
        held = [asyncio.create_task(ask(bench.client.app, "/v1/predict", [HEAD, bytes(9000), 20.0, b""], headers, gone)) for _ in range(12)]
        await asyncio.sleep(0.5)
        done = [task.result() for task in held if task.done()]
        assert service._bodies.size - service._bodies.free <= 80_000
        for task in held:
            task.cancel()
        await asyncio.gather(*held, return_exceptions=True)
        return done

    refused = asyncio.run(crowd())
    assert [status for status, _ in refused] == [503] * len(refused)
    assert len(refused) == 4  # 8 x 10,000 bytes hold 8 of 9,072
    assert service._bodies.free == service._bodies.size


def test_nothing_is_written_to_a_disk(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    import builtins
    import os

    real = builtins.open

    def no(*words: object, **more: object) -> object:
        raise AssertionError("a temporary file")

    def reading(file: object, mode: str = "r", *words: object, **more: object) -> object:
        assert not set(mode) & set("wax+"), file
        return real(file, mode, *words, **more)  # type: ignore[call-overload]

    for name in ("SpooledTemporaryFile", "TemporaryFile", "NamedTemporaryFile", "mkstemp"):
        monkeypatch.setattr(tempfile, name, no)
    monkeypatch.setattr(os, "mkdir", no)
    monkeypatch.setattr(builtins, "open", reading)
    body = HEAD + picture() + bytes(3_000_000) + TAIL  # more than Starlette keeps in memory
    assert bench.client.post("/v1/predict", content=body, headers=FORM).status_code == 200


def test_json_of_any_shape_costs_no_more_than_its_bytes() -> None:
    """A body of brackets would be parsed into many times its size."""
    limits = Limits(max_files=16)
    for piece in (b"[],", b"{},", b"0,", b'"",', b'"a":0,', b'""'):
        body = b'{"images": [' + piece * (2_000_000 // len(piece)) + b"]}"
        tracemalloc.start()
        with pytest.raises(Problem):
            _from_json(body, limits)
        assert tracemalloc.get_traced_memory()[1] < len(body), piece
        tracemalloc.stop()


def test_json_with_escaped_slashes_and_as_many_pictures_as_allowed() -> None:
    """PHP writes a slash as \\/."""
    data = bytes(range(256))
    text = base64.b64encode(data).decode()
    assert "/" in text
    body = json.dumps({"images": [text] * 16}, indent=1).replace("/", "\\/").encode()
    assert [upload.data for upload in _from_json(body, Limits(max_files=16))] == [data] * 16
