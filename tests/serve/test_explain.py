"""/v1/explain: maps, pictures and numbers, held against the classifier called by hand."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from evenface.model_folder import load_model
from evenface.serve.schemas import ExplainAnswer

from ..explain.conftest import wide as wide
from .conftest import Bench, part, picture


@pytest.fixture(scope="session")
def tiny(wide: Path) -> Path:
    """The model of the service here has maps of more than one cell."""
    return wide


def pixels(address: str) -> np.ndarray:
    head, _, text = address.partition(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))


def test_maps_are_those_of_the_face_that_is_shown(bench: Bench, tiny: Path) -> None:
    answer = bench.client.post("/v1/explain", files=[part(picture(0, [(10, 10), (60, 40)]), "me.png")])
    assert answer.status_code == 200
    body = answer.json()
    ExplainAnswer.model_validate(body)
    assert body["result"]["source"] == "me.png"
    assert [face["id"] for face in body["faces"]] == [face["id"] for face in body["result"]["faces"]] == [0, 1]
    model, config = load_model(tiny)
    for face, seen in zip(body["faces"], body["result"]["faces"], strict=True):
        crop, mirror = pixels(face["crop"]), pixels(face["mirror"])
        assert crop.shape == (face["size"], face["size"], 3) == (96, 96, 3)
        assert np.array_equal(mirror, np.fliplr(crop))
        assert face["scores"] == seen["scores"]
        with torch.no_grad():
            own = model(torch.tensor(crop / 255, dtype=torch.float32).permute(2, 0, 1)[None]).maps[0].numpy()
            back = model(torch.tensor(mirror / 255, dtype=torch.float32).permute(2, 0, 1)[None]).maps[0].numpy()[:, :, ::-1]
        assert face["grid"] == list(own.shape[1:]) == [3, 3]
        for i, name in enumerate(config.class_names):
            np.testing.assert_allclose(face["maps"][name], own[i], atol=1e-4)
            np.testing.assert_allclose(face["mirror_maps"][name], back[i], atol=1e-4)
        assert face["consistency"]["mean_squared"] == pytest.approx(((own - back) ** 2).mean(), rel=1e-3)
        places = [np.concatenate([(each - each.mean()).ravel() for each in maps]) for maps in (own, back)]
        assert face["consistency"]["correlation"] == pytest.approx(np.corrcoef(*places)[0, 1], abs=1e-4)


def test_one_picture_in_any_of_three_ways(bench: Bench) -> None:
    data = picture(3)
    first = bench.client.post("/v1/explain", files=[part(data)]).json()
    second = bench.client.post("/v1/explain", files=[("file", ("a.png", data))]).json()
    third = bench.client.post("/v1/explain", json={"images": [base64.b64encode(data).decode()]}).json()
    assert first == second
    assert first["faces"] == third["faces"]


def test_several_are_refused(bench: Bench) -> None:
    answer = bench.client.post("/v1/explain", files=[part(picture()), part(picture())])
    assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (413, "too-many-files")


def test_cropped_prior_and_no_face(bench: Bench) -> None:
    cropped = bench.client.post("/v1/explain?cropped=1&prior=balanced", files=[part(picture())]).json()
    assert len(cropped["faces"]) == 1
    assert cropped["result"]["model"]["prior"] == cropped["model"]["prior"] == "balanced"
    assert cropped["faces"][0]["scores"] == cropped["result"]["faces"][0]["scores"]
    nobody = bench.client.post("/v1/explain", files=[part(picture(0, []))]).json()
    assert nobody["faces"] == nobody["result"]["faces"] == []
    few = bench.client.post("/v1/explain?max_faces=1", files=[part(picture(0, [(10, 10), (60, 40)]))]).json()
    assert len(few["faces"]) == 1


def test_it_knows_fewer_parameters(bench: Bench) -> None:
    answer = bench.client.post("/v1/explain?top_k=2", files=[part(picture())])
    assert answer.status_code == 422
    assert "top_k" in answer.json()["detail"]
