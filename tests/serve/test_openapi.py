"""What /openapi.json promises: it is complete, its examples fit, and a generator of requests finds no answer that it does not name."""

from __future__ import annotations

import base64
import io
from collections import Counter
from typing import Any

import pytest
from PIL import Image

from evenface.serve import schemas

from .conftest import Bench, Live, Make


def document(bench: Bench) -> dict[str, Any]:
    answer = bench.client.get("/openapi.json")
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def test_every_path_is_there_with_its_problems(bench: Bench) -> None:
    paths = document(bench)["paths"]
    assert set(paths) == {"/v1/predict", "/v1/explain", "/v1/model", "/healthz", "/readyz", "/metrics"}
    for path in ("/v1/predict", "/v1/explain"):
        post = paths[path]["post"]
        assert set(post["requestBody"]["content"]) == {"multipart/form-data", "application/json"}
        assert set(post["responses"]) == {"200", "400", "401", "408", "413", "415", "422", "500", "503", "504"}
        for status, answer in post["responses"].items():
            assert set(answer["content"]) == {"application/json" if status == "200" else "application/problem+json"}
    assert {each["name"] for each in paths["/v1/predict"]["post"]["parameters"]} == {
        "top_k", "prior", "max_faces", "min_score", "cropped",
    }  # fmt: skip


def test_the_examples_fit_the_schemas() -> None:
    schemas.Result.model_validate(schemas.RESULT)
    schemas.ProblemAnswer.model_validate(schemas.PROBLEM)
    examples = schemas.PredictAnswer.model_config["json_schema_extra"]["examples"]  # type: ignore[index,call-overload]
    schemas.PredictAnswer.model_validate(examples[0])  # type: ignore[index]
    text = schemas.BODY["content"]["application/json"]["example"]["images"][0]
    with Image.open(io.BytesIO(base64.b64decode(text, validate=True))) as image:
        image.load()
        assert image.size == (8, 8)


def test_no_reference_leads_nowhere(bench: Bench) -> None:
    whole = document(bench)

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            if "$ref" in value:
                at: Any = whole
                for step in value["$ref"].removeprefix("#/").split("/"):
                    at = at[step]
            for each in value.values():
                walk(each)
        elif isinstance(value, list):
            for each in value:
                walk(each)

    walk(whole)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_generated_requests_are_answered_as_promised(make: Make, live: Live) -> None:
    """Valid and invalid requests for every path: status, type and JSON are among those promised, and never a 500."""
    schemathesis = pytest.importorskip("schemathesis")
    from hypothesis import HealthCheck, Phase, given, settings
    from schemathesis.checks import CHECKS
    from schemathesis.generation import GenerationMode

    base = live(make().client.app)
    loaded = schemathesis.openapi.from_url(f"{base}/openapi.json")
    names = ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance")
    checks = [CHECKS.get_one(name) for name in names]
    asked: Counter[int] = Counter()
    for result in loaded.get_all_operations():
        operation = result.ok()
        modes = [GenerationMode.POSITIVE, *([GenerationMode.NEGATIVE] if operation.method == "post" else [])]
        for mode in modes:

            @settings(max_examples=150, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
                      suppress_health_check=list(HealthCheck))  # fmt: skip
            @given(case=operation.as_strategy(generation_mode=mode))
            def one(case: Any) -> None:
                asked[case.call_and_validate(checks=checks, timeout=30).status_code] += 1

            one()
    assert asked.total() > 500
    assert asked[422] > 20
    assert asked[415] > 20
