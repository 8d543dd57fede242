"""The paths of the service; what they do is in `service`, what they look like to others in `schemas`."""

from __future__ import annotations

import base64
import io
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Request
from PIL import Image
from starlette.responses import JSONResponse, Response

from evenface.explain.class_maps import FaceMaps
from evenface.results import SCHEMA_VERSION
from evenface.serve import schemas
from evenface.serve.engine import Ask, Seen
from evenface.serve.metrics import MEDIA_TYPE
from evenface.serve.problems import Problem
from evenface.serve.service import Service


router = APIRouter()

PICTURES = (400, 401, 408, 413, 415, 422, 500, 503, 504)


@router.post(
    "/v1/predict",
    response_model=schemas.PredictAnswer,
    responses=schemas.refusals(*PICTURES),
    openapi_extra={"requestBody": schemas.BODY},
    summary="The faces of pictures and their expressions",
)
async def predict(request: Request, query: Annotated[schemas.PredictQuery, Query()]) -> Response:
    """The faces of one or more pictures, with a score for each expression.

    A picture without a face has none in its result. Where several pictures are sent, one that cannot be used has an `error`.
    """
    service = _service(request)
    ask = _ask(service, query, min_score=query.min_score, top_k=query.top_k)
    results = [
        {"source": source, "error": answer.to_dict()} if isinstance(answer, Problem) else answer
        for source, answer in await service.look(request, ask, finish=lambda seen: {**seen.result.to_dict(ask.top_k), "error": None})
    ]
    return JSONResponse({"schema_version": SCHEMA_VERSION, "model": _about(service, ask), "results": results})


@router.post(
    "/v1/explain",
    response_model=schemas.ExplainAnswer,
    responses=schemas.refusals(*PICTURES),
    openapi_extra={"requestBody": schemas.BODY},
    summary="Why: the class maps of each face and of its mirror",
)
async def explain(request: Request, query: Annotated[schemas.ExplainQuery, Query()]) -> Response:
    """Where in each face the evidence for each expression lies, and how well the mirrored face agrees. Takes exactly one picture."""
    service = _service(request)
    ask = _ask(service, query, explain=True)
    ((_, answer),) = await service.look(request, ask, single=True, finish=_explained)
    assert not isinstance(answer, Problem), "a single picture's problem is raised"
    return JSONResponse({"schema_version": SCHEMA_VERSION, "model": _about(service, ask), **answer})


@router.get("/v1/model", response_model=schemas.ModelAnswer, responses=schemas.refusals(401), summary="The model, its data and the limits")
async def model(request: Request) -> Response:
    """What speaks here, what it has learned from, and what a request may cost."""
    service = _service(request)
    recognizer, config = service.recognizer, service.recognizer.config
    return JSONResponse({
        "schema_version": SCHEMA_VERSION,
        **recognizer.about,
        "priors": list(service.engine.priors),
        "img_size": config.img_size,
        "detector": recognizer.detector.name,
        "dataset": config.dataset,
        "data_licence": config.data_licence,
        "train_counts": config.train_counts,
        "card": service.card,
        "limits": service.limits.told(),
    })  # fmt: skip


@router.head("/healthz", include_in_schema=False)
@router.get("/healthz", response_model=schemas.StatusAnswer, summary="Whether the process lives")
async def healthz() -> Response:
    """200 as long as anything can be answered."""
    return JSONResponse({"status": "ok"})


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz", response_model=schemas.StatusAnswer, responses=schemas.refusals(503), summary="Whether a picture would be taken now")
async def readyz(request: Request) -> Response:
    """200 when the model is loaded and the queue has room."""
    service = _service(request)
    if not service.ready:
        raise Problem("busy", "Too many pictures are under way.", headers={"Retry-After": str(service.batcher.retry_after)})
    return JSONResponse({"status": "ok"})


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"description": "Prometheus' text format", "content": {"text/plain": {}}}, **schemas.refusals(401)},
    summary="Numbers for Prometheus",
)
async def metrics(request: Request) -> Response:
    """Requests, times, batches, faces and refusals; nothing about any picture."""
    return Response(_service(request).metrics.text(), headers={"Content-Type": MEDIA_TYPE})


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


def _ask(service: Service, query: schemas.ExplainQuery, **more: Any) -> Ask:
    if query.prior is not None and query.prior not in service.engine.priors:
        able = ", ".join(service.engine.priors)
        raise Problem("bad-parameter", f"This model has no numbers for the prior '{query.prior}'; it has {able}.")
    prior = service.recognizer.prior if query.prior is None else query.prior
    most = service.limits.max_faces
    return Ask(prior, most if query.max_faces is None else min(most, query.max_faces), cropped=query.cropped, **more)


def _about(service: Service, ask: Ask) -> dict[str, Any]:
    return {**service.recognizer.about, "prior": ask.prior}


def _explained(seen: Seen) -> dict[str, Any]:
    return {"result": seen.result.to_dict(), "faces": [_maps(number, face) for number, face in enumerate(seen.maps)]}


def _maps(number: int, face: FaceMaps) -> dict[str, Any]:
    return {
        "id": number,
        "crop": _png(face.crop),
        "mirror": _png(face.mirror),
        "size": face.crop.shape[0],
        "grid": list(face.maps.shape[1:]),
        "maps": _tables(face.classes, face.maps),
        "mirror_maps": _tables(face.classes, face.mirror_maps),
        "scores": {name: round(p, 6) for name, p in face.scores.items()},
        "mirror_scores": {name: round(p, 6) for name, p in face.mirror_scores.items()},
        "consistency": {"mean_squared": face.mean_squared, "correlation": face.correlation},
    }


def _tables(names: tuple[str, ...], maps: np.ndarray) -> dict[str, list[list[float]]]:
    return {name: np.round(table.astype(np.float64), 6).tolist() for name, table in zip(names, maps, strict=True)}


def _png(pixels: np.ndarray) -> str:
    """(S, S, 3) uint8 RGB as a data: address."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()
