"""Cutting faces out: the similarity transform against a search, and pixels where a hand computation puts them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from evenface.errors import ConfigError
from evenface.faces.alignment import TEMPLATES, Alignment, align, similarity, whole
from evenface.faces.detection import Detection


def turned(points: np.ndarray, degrees: float, scale: float, shift: tuple[float, float]) -> np.ndarray:
    angle = np.deg2rad(degrees)
    matrix = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return points @ matrix.T + shift


@pytest.mark.parametrize("seed", range(5))
def test_the_similarity_is_the_best_one(seed: int) -> None:
    """Against a numerical search over angle, scale and shift."""
    rng = np.random.default_rng(seed)
    source, target = rng.uniform(0, 100, (5, 2)), rng.uniform(0, 100, (5, 2))

    def distance(v: np.ndarray) -> float:
        matrix = np.array([[v[0], -v[1]], [v[1], v[0]]])
        return float(((source @ matrix.T + v[2:] - target) ** 2).sum())

    best = minimize(distance, np.zeros(4), method="BFGS", options={"gtol": 1e-9}).x
    found = similarity(source, target)
    assert found == pytest.approx(np.array([[best[0], -best[1], best[2]], [best[1], best[0], best[3]]]), abs=1e-4)


def test_the_similarity_undoes_a_turn() -> None:
    points = np.array([[0.0, 0], [10, 0], [5, 7], [1, 12], [9, 12]])
    matrix = similarity(turned(points, 25, 1.7, (30, -4)), points)
    assert turned(points, 25, 1.7, (30, -4)) @ matrix[:, :2].T + matrix[:, 2] == pytest.approx(points, abs=1e-9)


def test_the_similarity_never_mirrors_and_takes_one_place() -> None:
    points = np.array([[0.0, 0], [10, 0], [5, 7], [1, 12], [9, 12]])
    assert np.linalg.det(similarity(points * [-1, 1], points)[:, :2]) > 0
    assert np.isfinite(similarity(np.ones((5, 2)), points)).all()


def spots(side: int, points: np.ndarray, radius: float = 3) -> np.ndarray:
    """A grey picture with a bright spot at each point (continuous coordinates)."""
    y, x = np.mgrid[:side, :side] + 0.5
    image = np.full((side, side, 3), 40.0)
    for px, py in points:
        image += 200 * np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * radius**2))[..., None]
    return image.clip(0, 255).astype(np.uint8)


def centres(image: np.ndarray, near: np.ndarray, reach: float) -> np.ndarray:
    """The centre of brightness around each point."""
    y, x = np.mgrid[: image.shape[0], : image.shape[1]] + 0.5
    found = []
    for px, py in near:
        weight = np.where((x - px) ** 2 + (y - py) ** 2 < reach**2, image[..., 0].astype(float) - 40, 0).clip(0)
        found.append((float((weight * x).sum() / weight.sum()), float((weight * y).sum() / weight.sum())))
    return np.array(found)


@pytest.mark.parametrize("template", [name for name, points in TEMPLATES.items() if points is not None])
@pytest.mark.parametrize(("degrees", "scale", "margin"), [(0, 120, 0.0), (20, 150, 0.0), (-35, 300, 0.2), (10, 700, 0.1)])
def test_landmarks_come_to_lie_where_the_template_says(template: str, degrees: float, scale: float, margin: float) -> None:
    points = TEMPLATES[template]
    assert points is not None
    side = 900
    marks = turned(points - 0.5, degrees, scale, (side / 2, side / 2))
    face = Detection((0, 0, 1, 1), 0.9, tuple((float(x), float(y)) for x, y in marks))
    square = align(spots(side, marks, radius=scale / 50), face, Alignment(template, margin), 112)
    expected = ((points - 0.5) / (1 + 2 * margin) + 0.5) * 112
    assert centres(square, expected, 7) == pytest.approx(expected, abs=0.25)


def test_a_box_at_its_own_size_is_cut_out_to_the_pixel() -> None:
    image = np.random.default_rng(0).integers(0, 256, (80, 90, 3), dtype=np.uint8)
    face = Detection((20.0, 10.0, 52.0, 42.0))
    assert (align(image, face, Alignment("box"), 32) == image[10:42, 20:52]).all()


def test_an_oblong_box_becomes_the_square_around_it() -> None:
    image = np.random.default_rng(0).integers(0, 256, (80, 90, 3), dtype=np.uint8)
    assert (align(image, Detection((20.0, 18.0, 52.0, 34.0)), Alignment("box"), 32) == image[10:42, 20:52]).all()


def test_a_margin_shows_more() -> None:
    image = np.random.default_rng(0).integers(0, 256, (80, 90, 3), dtype=np.uint8)
    face = Detection((28.0, 18.0, 44.0, 34.0))
    assert (align(image, face, Alignment("box", margin=0.5), 32) == image[10:42, 20:52]).all()


def test_what_lies_outside_repeats_the_border() -> None:
    image = np.full((20, 20, 3), 9, dtype=np.uint8)
    image[:, 0] = 200
    square = align(image, Detection((-10.0, 0.0, 10.0, 20.0)), Alignment("box"), 20)
    assert (square[:, :11] == 200).all()
    assert (square[:, 11:] == 9).all()
    assert (align(image, Detection((500.0, 500.0, 520.0, 520.0)), Alignment("box"), 20) == 9).all()


def test_a_large_face_is_averaged_not_picked() -> None:
    """A fine chequerboard shrinks to even grey; taking single pixels would give patches of black and white."""
    board = np.where(np.indices((640, 640)).sum(0) % 2, 255, 0).astype(np.uint8)
    image = np.repeat(board[..., None], 3, axis=2)
    square = align(image, Detection((10.0, 10.0, 610.0, 610.0)), Alignment("box"), 48)
    assert np.abs(square.astype(int) - 127).max() < 12


def test_resolution_and_grey() -> None:
    image = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    face = Detection((0.0, 0.0, 96.0, 96.0))
    coarse = align(image, face, Alignment("box", resolution=12), 96)
    fine = align(image, face, Alignment("box"), 96)
    assert coarse.shape == fine.shape == (96, 96, 3)
    assert np.abs(np.diff(coarse.astype(int), axis=0)).mean() < 0.2 * np.abs(np.diff(fine.astype(int), axis=0)).mean()
    grey = align(image, face, Alignment("box", grey=True), 96)
    assert (grey[..., 0] == grey[..., 1]).all()
    weights = image.astype(float) @ [0.299, 0.587, 0.114]  # ITU-R BT.601
    assert np.abs(grey[..., 0] - weights).max() <= 1


def test_a_cropped_face_goes_the_way_of_the_training_faces() -> None:
    from PIL import Image

    small = np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8)
    expected = np.asarray(Image.fromarray(small).resize((112, 112), Image.Resampling.BICUBIC))
    assert (whole(small, Alignment("fer2013", resolution=48), 112) == expected).all()
    large = np.kron(small, np.ones((4, 4, 1), dtype=np.uint8))  # each pixel four by four: its mean is the pixel itself
    assert (whole(large, Alignment("fer2013", resolution=48), 112) == expected).all()
    assert whole(small[:, :30], Alignment("box"), 64).shape == (64, 64, 3)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"template": "arcfase"}, "arcface"),
        ({"template": ["box"]}, r"Unknown alignment template '\['box'\]'"),
        ({"margin": 3}, "margin"),
        ({"resolution": 2}, "resolution"),
        ({"size": 3}, "has no size"),
        (5, "a template's name or a table of template, margin, resolution and grey, not 5"),
        ([1], r"a table .*, not \[1\]"),
    ],
)
def test_an_alignment_that_cannot_be_is_refused(values: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Alignment.from_dict(values)  # type: ignore[arg-type]


def test_an_alignment_travels_as_a_table() -> None:
    one = Alignment("fer2013", 0.1, 48, True)
    assert Alignment.from_dict(one.to_dict()) == one
    assert Alignment.from_dict("arcface") == Alignment("arcface")
    assert Alignment.from_dict(None) == Alignment("box")
