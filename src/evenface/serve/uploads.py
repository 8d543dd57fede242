"""The pictures in a request's body, read within limits and kept in memory only.

    async with pictures(request, limits, budget, pool) as uploads:
        uploads[0].name, uploads[0].data

A body is `multipart/form-data` with the field `files` (or `file`), once for each picture, or JSON, `{"images": ["<base64>", ...]}`. The
bytes are counted as they come, so a body that lies about its length, or tells none, is stopped all the same.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import dataclasses
import json
from collections.abc import AsyncIterator
from concurrent.futures import Executor

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from evenface.serve.images import clean_name
from evenface.serve.limits import Budget, Limits
from evenface.serve.problems import ClientGone, Problem


FIELDS = ("files", "file")


@dataclasses.dataclass(frozen=True, slots=True, repr=False)
class Upload:
    """A picture as it came: a label, and its encoded bytes."""

    name: str
    data: bytes


@contextlib.asynccontextmanager
async def pictures(request: Request, limits: Limits, budget: Budget, pool: Executor) -> AsyncIterator[list[Upload]]:
    """The pictures of a request, one at least; their bytes count against `budget` until the block ends.

    Raises:
        Problem: 400 malformed, 408 too slow, 413 too many bytes or pictures, 415 another type of body, 503 no room for the bytes.
        ClientGone: hung up.
    """
    kind, options = parse_options_header(request.headers.get("content-type"))
    boundary = options.get(b"boundary")
    if kind == b"multipart/form-data" and not boundary:
        raise Problem("malformed", "The multipart body names no boundary in its Content-Type; let your client library set that header.")
    if kind not in (b"multipart/form-data", b"application/json"):
        raise Problem("unsupported-body", "Send multipart/form-data with the field `files`, or application/json with `images`.")
    told = request.headers.get("content-length", "")
    if told.isdecimal() and int(told[:20]) > limits.max_bytes:
        raise _too_many_bytes(limits)
    taken = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal taken
        more = True
        while more:
            message = await request.receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            chunk, more = message.get("body", b""), message.get("more_body", False)
            if taken + len(chunk) > limits.max_bytes:
                raise _too_many_bytes(limits)
            if not budget.take_now(len(chunk)):
                raise Problem("busy", "Too many large requests are under way; try again.", headers={"Retry-After": "2"})
            taken += len(chunk)
            yield chunk

    try:
        try:
            async with asyncio.timeout(limits.timeout):
                if boundary:
                    uploads = await _multipart(chunks(), boundary, limits)
                else:
                    body = b"".join([chunk async for chunk in chunks()])
                    uploads = await asyncio.get_running_loop().run_in_executor(pool, _from_json, body, limits)
                    del body
        except TimeoutError:
            raise Problem("too-slow", f"The body did not come within {limits.timeout:g} seconds; send smaller pictures.") from None
        if not uploads:
            raise Problem("malformed", "The request holds no picture; send one or more in the field `files`.")
        yield uploads
    finally:
        budget.give(taken)


def _too_many_bytes(limits: Limits) -> Problem:
    return Problem("too-many-bytes", f"The request has more than {limits.max_bytes:,} bytes; send fewer or smaller pictures.")


def _too_many_files(limits: Limits) -> Problem:
    return Problem("too-many-files", f"The request holds more than {limits.max_files} pictures; split it.")


def _other_form() -> Problem:
    return Problem("malformed", 'The JSON body has the form {"images": ["<base64>", ...]} and nothing else.')


async def _multipart(chunks: AsyncIterator[bytes], boundary: bytes, limits: Limits) -> list[Upload]:
    parts = _Parts(limits)
    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": parts.begin,
                "on_header_field": parts.header_name,
                "on_header_value": parts.header_value,
                "on_header_end": parts.header_end,
                "on_headers_finished": parts.headers_finished,
                "on_part_data": parts.data,
                "on_part_end": parts.end,
                "on_end": parts.finish,
            },
        )
        async for chunk in chunks:
            parser.write(chunk)
    except FormParserError as error:
        raise Problem("malformed", "The multipart body does not follow its format; let your client library build it.") from error
    if not parts.whole:
        raise Problem("malformed", "The multipart body is cut short; send it again.")
    return parts.uploads


class _Parts:
    """Takes the parser's calls, part by part."""

    def __init__(self, limits: Limits) -> None:
        self.uploads: list[Upload] = []
        self.whole = False
        self._limits = limits
        self._name, self._value = b"", b""
        self._disposition: bytes = b""
        self._label = ""
        self._data = bytearray()

    def begin(self) -> None:
        if len(self.uploads) == self._limits.max_files:
            raise _too_many_files(self._limits)
        self._disposition = self._name = self._value = b""

    def header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def header_end(self) -> None:
        if self._name.lower() == b"content-disposition":
            self._disposition = self._value
        self._name = self._value = b""

    def headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        if options.get(b"name", b"").decode("utf-8", "replace") not in FIELDS:
            raise Problem("malformed", "The form has a field that is not known here; pictures go into the field `files`.")
        self._label = options.get(b"filename", b"").decode("utf-8", "replace")
        self._data = bytearray()

    def data(self, data: bytes, start: int, end: int) -> None:
        self._data += data[start:end]

    def end(self) -> None:
        self.uploads.append(Upload(clean_name(self._label, len(self.uploads)), bytes(self._data)))
        self._data = bytearray()

    def finish(self) -> None:
        self.whole = True


def _from_json(body: bytes, limits: Limits) -> list[Upload]:
    # Told by its signs, since a body of nothing but brackets would be parsed into forty times its bytes, and no other thread runs then.
    if body.count(b"[") > 1 or body.count(b"{") > 1:
        raise _other_form()
    if body.count(b",") >= limits.max_files or body.count(b'"') > 2 * limits.max_files + 2:
        raise _too_many_files(limits)
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        raise Problem("malformed", "The body is no valid JSON.") from None
    if not isinstance(given, dict) or set(given) != {"images"} or not isinstance(given["images"], list):
        raise _other_form()
    return [Upload(f"image {number}", _from_base64(text, f"image {number}")) for number, text in enumerate(given["images"])]


def _from_base64(text: object, source: str) -> bytes:
    try:
        if isinstance(text, str):
            return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        pass
    raise Problem(
        "malformed", "A picture in JSON is one text in standard base64, padded, without line breaks or a data: head.", source=source
    )
