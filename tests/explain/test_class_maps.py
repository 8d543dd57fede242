"""Class maps of faces and mirrors against the classifier called by hand, and the two numbers against slow loops."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from evenface.errors import ConfigError
from evenface.explain.class_maps import correlation, explain_crops, explain_faces, mean_squared
from evenface.faces.detection import Detection
from evenface.faces.detectors import Detector
from evenface.model_folder import load_model
from evenface.recognizer import Recognizer

from ..predict.conftest import SIDE, Squares, with_faces
from .conftest import PX


@pytest.fixture
def recognizer(wide: Path) -> Recognizer:
    model, config = load_model(wide)
    return Recognizer(model, config, name="wide", detector=Detector("squares", Squares()), device="cpu")


def faces_at(*places: tuple[int, int]) -> list[Detection]:
    return [Detection((float(x), float(y), float(x + SIDE), float(y + SIDE)), 0.9) for x, y in places]


def test_maps_and_scores_are_those_of_the_network(recognizer: Recognizer, wide: Path) -> None:
    image = with_faces(0, [(10, 10), (60, 40)])
    faces = faces_at((10, 10), (60, 40))
    found = explain_faces(recognizer, image, faces)
    assert len(found) == 2
    model, config = load_model(wide)
    for each, crop in zip(found, recognizer.crops(image, faces), strict=True):
        assert np.array_equal(each.crop, crop)
        assert np.array_equal(each.mirror[3], np.stack([crop[3, PX - 1 - x] for x in range(PX)]))
        for pixels, maps, scores, back in (
            (crop, each.maps, each.scores, False),
            (each.mirror, each.mirror_maps, each.mirror_scores, True),
        ):
            x = torch.tensor(pixels.astype(np.float32) / 255).permute(2, 0, 1)[None]
            with torch.no_grad():
                out = model(x)
            for i, name in enumerate(config.class_names):
                plain = out.maps[0, i].numpy()
                expected = np.array([[row[len(row) - 1 - c] for c in range(len(row))] for row in plain]) if back else plain
                np.testing.assert_allclose(maps[i], expected, atol=1e-4)
                assert scores[name] == pytest.approx(out.logits[0].softmax(0)[i].item(), abs=1e-5)
        assert each.classes == config.class_names


def test_a_map_adds_up_to_its_logit(recognizer: Recognizer, wide: Path) -> None:
    """Mean over space plus bias; so the differences of the log scores are those of the means plus biases."""
    (face,) = explain_faces(recognizer, with_faces(1, [(10, 10)]), faces_at((10, 10)))
    bias = load_model(wide)[0].head.bias.detach().numpy()
    logits = face.maps.mean(axis=(1, 2)) + bias
    logs = np.log([face.scores[name] for name in face.classes])
    np.testing.assert_allclose(logits - logits[0], logs - logs[0], atol=1e-3)


def test_the_two_numbers_by_hand(recognizer: Recognizer) -> None:
    (face,) = explain_faces(recognizer, with_faces(2, [(10, 10)]), faces_at((10, 10)))
    a, b = face.maps.ravel().tolist(), face.mirror_maps.ravel().tolist()
    n = len(a)
    assert face.maps.shape == (7, 3, 3)
    assert face.mean_squared == pytest.approx(sum((x - y) ** 2 for x, y in zip(a, b, strict=True)) / n)
    top = squares_a = squares_b = 0.0
    for i in range(7):  # each class around its own mean
        a, b = face.maps[i].ravel().tolist(), face.mirror_maps[i].ravel().tolist()
        mean_a, mean_b = sum(a) / 9, sum(b) / 9
        top += sum((x - mean_a) * (y - mean_b) for x, y in zip(a, b, strict=True))
        squares_a += sum((x - mean_a) ** 2 for x in a)
        squares_b += sum((y - mean_b) ** 2 for y in b)
    assert face.correlation == pytest.approx(top / math.sqrt(squares_a * squares_b))
    assert face.mean_squared > 0
    assert -1 < face.correlation < 1


def test_a_symmetric_face_agrees_with_its_mirror(recognizer: Recognizer) -> None:
    half = np.random.default_rng(0).integers(0, 255, (PX, PX // 2, 3), dtype=np.uint8)
    (face,) = explain_crops(recognizer, [np.hstack([half, half[:, ::-1]])])
    assert np.array_equal(face.crop, face.mirror)
    assert face.scores == face.mirror_scores
    # The maps of a symmetric face need not be symmetric: strides see the left and the right edge differently.
    np.testing.assert_array_equal(face.mirror_maps, face.maps[..., ::-1])


def test_numbers_of_known_arrays() -> None:
    a = np.array([[[1.0, 2.0], [3.0, 4.0]]], np.float32)
    assert mean_squared(a, a + 2) == 4
    assert correlation(a, 3 * a + 5) == pytest.approx(1)
    assert correlation(a, -a) == pytest.approx(-1)
    assert correlation(a, np.array([[[1.0, -1.0], [-1.0, 1.0]]], np.float32)) == pytest.approx(0)
    both = np.concatenate([a, 100 + a])
    assert correlation(both, np.concatenate([-a, 100 - a])) == pytest.approx(-1)  # the classes' own levels say nothing of places
    flat = np.ones_like(a)
    assert correlation(flat, flat) == 1
    assert correlation(flat, a) == 0


def test_a_prior_moves_the_scores_and_not_the_maps(recognizer: Recognizer, wide: Path) -> None:
    image = with_faces(3, [(10, 10)])
    (plain,) = explain_faces(recognizer, image, faces_at((10, 10)))
    (even,) = explain_faces(recognizer, image, faces_at((10, 10)), "balanced")
    np.testing.assert_array_equal(plain.maps, even.maps)
    counts = load_model(wide)[1].train_counts
    assert counts is not None
    weighted = {name: p / counts[name] for name, p in plain.scores.items()}  # Bayes: divided by how frequent the class was
    total = sum(weighted.values())
    assert even.scores == pytest.approx({name: p / total for name, p in weighted.items()}, abs=1e-6)
    with pytest.raises(ConfigError, match="balanced"):
        explain_faces(recognizer, image, faces_at((10, 10)), "balancd")


def test_no_face_has_no_maps(recognizer: Recognizer) -> None:
    assert explain_faces(recognizer, with_faces(0, []), []) == []


def test_many_faces_in_parts_are_as_each_alone(wide: Path) -> None:
    model, config = load_model(wide)
    plain = Recognizer(model, config, detector=Detector("squares", lambda images: [[] for _ in images]), device="cpu")
    crops = list(np.random.default_rng(1).integers(0, 255, (70, PX, PX, 3), dtype=np.uint8))
    together = plain.maps(crops)
    assert together.shape[0] == 70
    assert together.dtype == np.float32
    np.testing.assert_allclose(together[69], plain.maps(crops[69:])[0], atol=1e-4)
