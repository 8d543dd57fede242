"""The service as an ASGI application.

    app = create_app(Recognizer.from_pretrained(), Limits(), card=zoo.read_card(folder))
    uvicorn.run(app)

`evenface serve` does that, with a socket of its own and a clean end.
"""

from __future__ import annotations

import mimetypes
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles

from evenface._version import __version__
from evenface.errors import unknown_name
from evenface.recognizer import Recognizer
from evenface.serve.gate import Gate, Token
from evenface.serve.limits import Limits
from evenface.serve.linger import Linger
from evenface.serve.metrics import Metrics
from evenface.serve.problems import ClientGone, Problem, plain_problem
from evenface.serve.quiet import quiet_libraries
from evenface.serve.routes import router
from evenface.serve.schemas import ExplainQuery, PredictQuery
from evenface.serve.service import Service


STATIC = Path(__file__).parent / "static"

ABOUT = """\
Finds faces in pictures and tells their expressions. Expressions are not feelings: the model says how a face looks, as annotators would
judge it, and it is not for judging people. Pictures are kept in memory until they are answered, and nowhere else.
"""


def create_app(
    recognizer: Recognizer,
    limits: Limits | None = None,
    *,
    card: str = "",
    token: str | None = None,
    origins: Sequence[str] = (),
    static: Path = STATIC,
) -> FastAPI:
    """The application.

    Args:
        recognizer: the model; its detector should keep all faces, the limits see to their number.
        limits: what a request may cost.
        card: the model card, Markdown.
        token: what /v1/* and /metrics ask for; None asks for nothing.
        origins: sites whose pages may use the service from a browser (CORS), such as https://example.org.
        static: the folder of the page.
    """
    service = Service(recognizer, limits or Limits(), card=card)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        quiet_libraries()
        await service.start()
        yield
        await service.stop()

    app = FastAPI(
        title="evenface",
        version=__version__,
        description=ABOUT,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        exception_handlers={
            Problem: _refuse,
            ClientGone: _hung_up,
            RequestValidationError: _wrong_parameter,
            HTTPException: _plain,
        },
    )
    app.state.service = service
    app.include_router(router)

    async def page() -> Response:
        return FileResponse(static / "index.html", headers={"Cache-Control": "no-cache"})

    for kind, suffix in (("text/javascript", ".js"), ("image/webp", ".webp")):  # a machine's own table may lack them, or say otherwise
        mimetypes.add_type(kind, suffix)
    app.add_api_route("/", page, methods=["GET", "HEAD"], include_in_schema=False)
    app.mount("/static", _Static(directory=static, check_dir=False))

    def metrics() -> Metrics:
        return service.metrics

    # The last one added is the outermost.
    if token is not None:
        app.add_middleware(Token, token=token, metrics=metrics)
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(origins),
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type"],
            expose_headers=["Retry-After"],
        )
    app.add_middleware(Linger)
    app.add_middleware(Gate, metrics=metrics)
    return app


class _Static(StaticFiles):
    """Files that a browser may keep as long as they are unchanged."""

    async def get_response(self, path: str, scope: object) -> Response:
        answer = await super().get_response(path, scope)  # type: ignore[arg-type]
        answer.headers["Cache-Control"] = "no-cache"
        return answer


async def _refuse(request: Request, problem: Problem) -> Response:
    request.app.state.service.metrics.refusals.add(1, problem.kind)
    return problem.response()


async def _hung_up(request: Request, error: ClientGone) -> Response:
    request.app.state.service.metrics.abandoned.add(1)
    return Response(status_code=499)  # nobody reads it


async def _plain(request: Request, error: HTTPException) -> Response:
    return plain_problem(error.status_code, error.headers)


async def _wrong_parameter(request: Request, error: RequestValidationError) -> Response:
    first = error.errors()[0]
    name = str(first["loc"][-1])
    if first["type"] == "extra_forbidden":
        known = (PredictQuery if request.url.path == "/v1/predict" else ExplainQuery).model_fields
        detail = unknown_name("parameter", name[:40], known)
    else:
        said = str(first["msg"])
        detail = f"The parameter '{name}' is wrong: {said[:1].lower()}{said[1:]}."
    return await _refuse(request, Problem("bad-parameter", detail))
