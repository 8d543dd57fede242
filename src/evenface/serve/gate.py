"""What every request passes: headers of security, the numbers about it, faults of ours turned into a problem, and the token."""

from __future__ import annotations

import hmac
import logging
import time
from collections.abc import Callable

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from evenface.serve.faults import describe
from evenface.serve.metrics import Metrics
from evenface.serve.problems import Problem


_log = logging.getLogger("evenface.serve")

POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; connect-src 'self'; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
}
METHODS = frozenset({"GET", "HEAD", "POST", "OPTIONS", "PUT", "DELETE", "PATCH"})
GUARDED = ("/v1/", "/metrics")


class Gate:
    """ASGI middleware, the outermost; `metrics` gives the numbers to count in."""

    def __init__(self, app: ASGIApp, metrics: Callable[[], Metrics]) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begin, status = time.monotonic(), 0

        async def write(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            await self._app(scope, receive, write)
        except Exception as error:
            _log.error("a request failed: %s", describe(error))
            if status:  # too late for another answer
                return
            problem = Problem("internal", "The request could not be answered; the reason is in the service's log.")
            await problem.response()(scope, receive, write)
        finally:
            self._count(scope, str(status), time.monotonic() - begin)

    def _count(self, scope: Scope, status: str, seconds: float) -> None:
        metrics = self._metrics()
        other = "/static" if scope["path"].startswith("/static/") else "other"  # never the path itself, which the client makes up
        route = getattr(scope.get("route"), "path", other)
        method = scope["method"] if scope["method"] in METHODS else "other"
        metrics.requests.add(1, route, method, status)
        metrics.seconds.observe(seconds, route)


class Token:
    """ASGI middleware that asks for `Authorization: Bearer TOKEN` before anything of the body is read; the page and the probes are open."""

    def __init__(self, app: ASGIApp, token: str, metrics: Callable[[], Metrics]) -> None:
        self._app = app
        self._wanted = token.encode()
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(GUARDED) or self._is_known(scope):
            await self._app(scope, receive, send)
            return
        self._metrics().refusals.add(1, "unauthorized")
        problem = Problem("unauthorized", "Send the header `Authorization: Bearer TOKEN`.", headers={"WWW-Authenticate": "Bearer"})
        await problem.response()(scope, receive, send)

    def _is_known(self, scope: Scope) -> bool:
        given = dict(scope["headers"]).get(b"authorization", b"")
        kind, _, token = given.partition(b" ")
        return hmac.compare_digest(token.strip(), self._wanted) and kind.lower() == b"bearer"
