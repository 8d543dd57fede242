"""Answers that come before the body was read, such as a refusal of a large upload, reach their client.

A server that closes the connection while the client still sends makes the client's system drop the answer. So the answer is sent whole, the
rest of the body is read and thrown away for a while, and only then the connection is closed. A client that waits for "100 Continue" has
sent nothing yet and is not waited for.
"""

from __future__ import annotations

import asyncio
import contextlib

from starlette.types import ASGIApp, Message, Receive, Scope, Send


SECONDS, BYTES = 3.0, 256 << 20  # after which the connection is closed all the same


class Linger:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        asked = False
        unread = b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0"

        async def read() -> Message:
            nonlocal asked, unread
            asked = True
            message = await receive()
            unread = unread and message["type"] == "http.request" and message.get("more_body", False)
            return message

        async def drain() -> None:
            left = BYTES
            while unread and left > 0:
                left -= len((await read()).get("body", b""))

        async def write(message: Message) -> None:
            if message["type"] == "http.response.start" and unread:
                message = {**message, "headers": [*message.get("headers", []), (b"connection", b"close")]}
            last = message["type"] == "http.response.body" and not message.get("more_body", False)
            if not last or not unread or (headers.get(b"expect", b"").lower() == b"100-continue" and not asked):
                await send(message)
                return
            await send({**message, "more_body": True})
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SECONDS):
                    await drain()
            await send({"type": "http.response.body", "body": b"", "more_body": False})

        await self._app(scope, read, write)
