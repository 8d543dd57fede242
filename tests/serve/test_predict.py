"""/v1/predict, /v1/model and the probes: what is answered, held against the recognizer itself and against the published schema."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import pytest

from evenface.faces.detectors import Detector
from evenface.model_folder import load_model
from evenface.recognizer import Recognizer
from evenface.serve.schemas import ModelAnswer, PredictAnswer

from ..predict.conftest import Squares, with_faces
from .conftest import Bench, Make, encoded, part, picture


def test_a_picture_has_the_recognizers_faces(bench: Bench) -> None:
    places = [(10, 10), (60, 40)]
    answer = bench.client.post("/v1/predict", files=[part(picture(0, places), "photo.png")])
    assert answer.status_code == 200
    body = answer.json()
    PredictAnswer.model_validate(body)
    (result,) = body["results"]
    expected = bench.recognizer.predict(with_faces(0, places)).to_dict()
    assert result == {**expected, "source": "photo.png", "error": None}
    assert len(result["faces"]) == 2
    assert body["model"] == result["model"]


def test_json_is_as_good_as_a_form(bench: Bench) -> None:
    images = [base64.b64encode(picture(seed)).decode() for seed in (0, 1)]
    body = bench.client.post("/v1/predict", json={"images": images}).json()
    form = bench.client.post("/v1/predict", files=[part(picture(0)), part(picture(1))]).json()
    assert [result["source"] for result in body["results"]] == ["image 0", "image 1"]
    assert [result["faces"] for result in body["results"]] == [result["faces"] for result in form["results"]]


def test_results_keep_the_order_of_the_files(bench: Bench) -> None:
    files = [part(picture(seed), f"{seed}.png") for seed in range(9)]
    results = bench.client.post("/v1/predict", files=files).json()["results"]
    for seed, result in enumerate(results):
        assert result["source"] == f"{seed}.png"
        expected = bench.recognizer.predict(with_faces(seed, [(10, 10)])).to_dict()["faces"]
        assert [face["label"] for face in result["faces"]] == [face["label"] for face in expected]
        assert result["faces"][0]["scores"] == pytest.approx(expected[0]["scores"], abs=1e-4)


def test_no_face_is_a_result(bench: Bench) -> None:
    (result,) = bench.client.post("/v1/predict", files=[part(picture(0, []))]).json()["results"]
    assert result["faces"] == []
    assert result["error"] is None


def test_the_parameters(bench: Bench, tiny: Path) -> None:
    places = [(10, 10), (60, 40)]

    def faces(query: str) -> list[dict[str, object]]:
        answer = bench.client.post(f"/v1/predict?{query}", files=[part(picture(0, places))])
        assert answer.status_code == 200, answer.text
        found: list[dict[str, object]] = answer.json()["results"][0]["faces"]
        return found

    assert [len(face["scores"]) for face in faces("top_k=2")] == [2, 2]  # type: ignore[arg-type]
    assert len(faces("max_faces=1")) == 1
    assert len(faces("min_score=0.9")) == 2
    assert len(faces("min_score=0.91")) == 0
    model, config = load_model(tiny)
    even = Recognizer(model, config, detector=Detector("squares", Squares()), device="cpu", prior="balanced")
    expected = [face.to_dict()["scores"] for face in even.predict(with_faces(0, places))]
    assert [face["scores"] for face in faces("prior=balanced")] == expected
    assert expected != [face["scores"] for face in faces("")]


def test_mirrors_are_averaged_where_the_service_was_started_so(make: Make, bench: Bench) -> None:
    """Without a prior the softmax is the model's own: each view's comes from the plain service, of the picture and of its mirror."""
    pixels = np.random.default_rng(1).integers(0, 250, (32, 32, 3), dtype=np.uint8)
    own, mirror = (bench.recognizer.classify(view).scores for view in (pixels, pixels[:, ::-1]))
    flip, file = make(tta="flip").client, part(encoded(pixels))
    (result,) = flip.post("/v1/predict?cropped=true", files=[file]).json()["results"]
    mean = {name: (own[name] + mirror[name]) / 2 for name in own}
    assert result["faces"][0]["scores"] == pytest.approx(mean, abs=1e-5)
    assert mean != pytest.approx(own, abs=0.01)
    told = flip.post("/v1/explain?cropped=true", files=[file]).json()
    assert told["result"]["faces"] == result["faces"]
    assert told["faces"][0]["scores"] == pytest.approx(own, abs=1e-5)
    assert told["faces"][0]["mirror_scores"] == pytest.approx(mirror, abs=1e-5)


def test_a_cropped_face_is_not_searched(bench: Bench) -> None:
    pixels = np.random.default_rng(0).integers(0, 250, (40, 30, 3), dtype=np.uint8)
    (result,) = bench.client.post("/v1/predict?cropped=true", files=[part(encoded(pixels))]).json()["results"]
    (face,) = result["faces"]
    assert bench.search.batches == []
    assert (face["box"], face["detection_score"], face["landmarks"]) == ([0, 0, 30, 40], None, None)
    assert face["scores"] == bench.recognizer.classify(pixels).to_dict()["scores"]


def test_priors_of_one_batch_do_not_mix(make: Make) -> None:
    """Two requests with different priors that wait behind a third go through the networks together."""
    from concurrent.futures import ThreadPoolExecutor

    bench = make(batch_wait_ms=1000)
    wanted = {prior: bench.client.post(f"/v1/predict?prior={prior}", files=[part(picture(5))]).json() for prior in ("train", "balanced")}
    bench.search.batches.clear()
    bench.search.entered.clear()
    bench.search.open.clear()
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(bench.client.post, "/v1/predict", files=[part(picture(1))])
        assert bench.search.entered.wait(10)
        rest = {prior: pool.submit(bench.client.post, f"/v1/predict?prior={prior}", files=[part(picture(5))]) for prior in wanted}
        while bench.service.batcher.under_way < 3 or len(bench.service.batcher._jobs) < 2:
            pass
        bench.search.open.set()
        assert first.result().status_code == 200
        answers = {prior: future.result().json() for prior, future in rest.items()}
    assert bench.search.batches == [1, 2]
    for prior, answer in answers.items():
        assert answer["model"]["prior"] == answer["results"][0]["model"]["prior"] == prior
        assert answer["results"][0]["faces"][0]["scores"] == pytest.approx(wanted[prior]["results"][0]["faces"][0]["scores"], abs=1e-5)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("topk=2", "did you mean 'top_k'"),
        ("top_k=0", "top_k"),
        ("top_k=x", "top_k"),
        ("max_faces=-1", "max_faces"),
        ("min_score=1.5", "min_score"),
        ("min_score=nan", "min_score"),
        ("prior=even", "prior"),
        ("cropped=perhaps", "cropped"),
    ],
)
def test_a_wrong_parameter_is_told(bench: Bench, query: str, words: str) -> None:
    answer = bench.client.post(f"/v1/predict?{query}", files=[part(picture())])
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert words in answer.json()["detail"]
    assert answer.json()["type"].endswith("/bad-parameter")


def test_a_prior_without_numbers_is_refused_and_not_offered(tiny: Path) -> None:
    import dataclasses

    from starlette.testclient import TestClient

    from evenface.serve.app import create_app

    model, config = load_model(tiny)
    bare = Recognizer(model, dataclasses.replace(config, train_counts=None), detector=Detector("squares", Squares()), device="cpu")
    with TestClient(create_app(bare)) as client:
        assert client.get("/v1/model").json()["priors"] == ["model"]
        answer = client.post("/v1/predict?prior=train", files=[part(picture())])
        assert answer.status_code == 422
        assert "it has model" in answer.json()["detail"]


def test_the_model_tells_of_itself(make: Make) -> None:
    bench = make(max_files=3, timeout=12, card="# A card\n\ntext")
    body = bench.client.get("/v1/model").json()
    ModelAnswer.model_validate(body)
    assert body["name"] == "tiny"
    assert body["classes"] == list(bench.recognizer.class_names)
    assert body["priors"] == ["model", "train", "half", "balanced"]
    assert (body["img_size"], body["detector"], body["card"]) == (32, "squares", "# A card\n\ntext")
    assert body["train_counts"]["disgust"] == 2
    limits = {"max_bytes": 32 << 20, "max_pixels": 50_000_000, "max_files": 3, "max_faces": 64, "timeout_seconds": 12}
    assert body["limits"] == limits


def test_the_probes(make: Make) -> None:
    from concurrent.futures import ThreadPoolExecutor

    bench = make(queue=1, max_files=1)
    assert bench.client.get("/healthz").json() == bench.client.get("/readyz").json() == {"status": "ok"}
    assert bench.client.head("/readyz").status_code == 200
    bench.search.open.clear()
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(bench.client.post, "/v1/predict", files=[part(picture())])
        assert bench.search.entered.wait(10)
        full = bench.client.get("/readyz")
        assert (full.status_code, full.json()["status"]) == (503, 503)
        assert int(full.headers["retry-after"]) >= 1
        assert bench.client.get("/healthz").status_code == 200
        bench.search.open.set()
        assert slow.result().status_code == 200
    assert bench.client.get("/readyz").status_code == 200


def test_the_servers_limit_of_faces_holds(make: Make) -> None:
    bench = make(max_faces=1)
    files = [part(picture(0, [(10, 10), (60, 40)]))]
    assert len(bench.client.post("/v1/predict?max_faces=9", files=files).json()["results"][0]["faces"]) == 1
