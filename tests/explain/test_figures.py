"""Figures: colours by hand, one scale within a face, and no text over another or beyond the edge."""

from __future__ import annotations

import io
import itertools
from typing import Any

import numpy as np
import pytest
from PIL import Image

from evenface.explain.class_maps import FaceMaps, correlation, mean_squared
from evenface.explain.drawing import SIDE, legend, limit_of, overlay, words
from evenface.explain.figures import DPI, Seen, epochs_figure, face_figure, sheet_figure, thinned
from evenface.labels import BASIC
from evenface.training.watch import WatchedEpoch


EIGHT = (*BASIC, "contempt")


def seen(
    seed: int = 0, classes: tuple[str, ...] = EIGHT, method: str = "class-map", label: str | None = "surprise", name: str = ""
) -> Seen:
    random = np.random.default_rng(seed)
    maps, back = (random.normal(size=(len(classes), 3, 3)).astype(np.float32) * 12 for _ in range(2))
    if method != "class-map":
        maps, back = abs(maps), abs(back)
    crop = random.integers(0, 255, (48, 48, 3), dtype=np.uint8)
    p, q = (dict(zip(classes, random.dirichlet(np.ones(len(classes))).tolist(), strict=True)) for _ in range(2))
    face = FaceMaps(crop, crop[:, ::-1].copy(), classes, maps, back, p, q, mean_squared(maps, back), correlation(maps, back))
    return Seen(name or "a/very/long/name/of/a/face/" + 20 * "long-" + "$x_1$ \u4e2d.png", label, face, method, classes)


def texts_of(figure: Any) -> list[tuple[str, Any]]:
    """What is written, with its box in pixels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    renderer = FigureCanvasAgg(figure).get_renderer()
    return [(text.get_text(), text.get_window_extent(renderer)) for text in figure.texts if text.get_text()]


def assert_legible(figure: Any) -> None:
    width, height = figure.get_size_inches() * figure.dpi
    boxes = texts_of(figure)
    assert len(boxes) > 5
    for text, box in boxes:
        assert box.x0 >= 0, text
        assert box.y0 >= 0, text
        assert box.x1 <= width, text
        assert box.y1 <= height, text
    for (one, a), (other, b) in itertools.combinations(boxes, 2):
        assert not a.overlaps(b), f"{one} | {other}"
    axes = [each.get_window_extent() for each in figure.axes]
    for (text, box), picture in itertools.product(boxes, axes):
        assert not box.overlaps(picture), text
    for a, b in itertools.combinations(axes, 2):
        assert not a.overlaps(b)


def png(figure: Any) -> Image.Image:
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return Image.open(file)


@pytest.mark.parametrize("method", ["class-map", "grad-cam++"])
def test_the_figures_are_legible(method: str) -> None:
    all_classes = seen(method=method)
    figure = face_figure(all_classes)
    assert_legible(figure)
    assert len(figure.axes) == 2 + 3 * 8 + 1  # the two views, three rows of maps, the legend
    assert png(figure).size == tuple((figure.get_size_inches() * DPI).astype(int))
    assert_legible(face_figure(seen(method=method, classes=BASIC[:2], label=None)))
    sheet = sheet_figure([seen(i, method=method, label=label) for i, label in enumerate((None, "fear", "contempt"))])
    assert_legible(sheet)
    assert len(sheet.axes) == 3 * 7 + 1


def test_names_are_texts_and_no_formulas() -> None:
    written = [text for text, _ in texts_of(face_figure(seen(name="$\\frac{1}{x}$ and \u4e2d\n")))]
    assert written[0] == "$\\frac{1}{x}$ and ??"
    assert words("a" * 100, 21) == "a" * 9 + "..." + "a" * 9


def test_the_target_stands_first_then_the_likeliest() -> None:
    face = seen()
    others = sorted((name for name in EIGHT if name != "surprise"), key=lambda name: face.face.scores[name], reverse=True)
    assert face.columns == ("surprise", *others)
    photo = seen(label=None)
    assert photo.target == max(photo.face.scores.items(), key=lambda item: item[1])[0]
    few = Seen(face.name, "surprise", face.face, face.method, ("fear", "anger"))
    assert set(few.columns) == {"surprise", "fear", "anger"}


def test_one_scale_within_a_face_from_the_distances_to_the_means() -> None:
    face = seen()
    far = [abs(v - sum(cells.ravel()) / 9) for cells in (*face.face.maps, *face.face.mirror_maps) for v in cells.ravel()]
    assert face.limit() == pytest.approx(max(far), rel=1e-5)
    above = seen(method="grad-cam")
    assert above.limit() == pytest.approx(max(above.face.maps.max(), above.face.mirror_maps.max()))
    index = EIGHT.index("fear")
    np.testing.assert_allclose(face.difference("fear"), face.face.maps[index] - face.face.mirror_maps[index])
    assert (above.difference("fear") >= 0).all()
    own, back = face.drawn("fear")
    assert own.sum() == pytest.approx(0, abs=1e-4)
    middle = face.face.mirror_maps[index].mean()
    assert back[0, 0] == pytest.approx(face.face.mirror_maps[index][0, 2] - middle, rel=1e-4)  # it lies on the mirror again
    assert limit_of(np.zeros(3)) == 1


def test_colours_of_a_map() -> None:
    from matplotlib import colormaps

    crop = np.full((50, 50, 3), 100, np.uint8)
    cells = np.array([[2.0, 0.0, -2.0]] * 3, np.float32)
    found = overlay(crop, cells, 2.0, signed=True).astype(float)
    assert found.shape == (SIDE, SIDE, 3)
    np.testing.assert_allclose(found[5, SIDE // 2], 100, atol=2)  # 0 leaves the face
    for x, colour in ((5, 1.0), (SIDE - 5, 0.0)):
        expected = 0.2 * 100 + 0.8 * 255 * np.array(colormaps["coolwarm"](colour)[:3])
        np.testing.assert_allclose(found[5, x], expected, atol=1)
    assert found[5, 5, 0] > found[5, 5, 2] + 50  # red: more
    assert found[5, -5, 2] > found[5, -5, 0] + 50  # blue: fewer
    border = found[SIDE // 3, SIDE // 2]
    np.testing.assert_allclose(border, 0.75 * 100 + 0.25 * 255, atol=2)  # the cells' borders show
    above = overlay(crop, np.array([[0.0, 1.0]]), 1.0, signed=False).astype(float)
    np.testing.assert_allclose(above[5, 5], 100, atol=1)
    assert not np.allclose(above[5, -5], 100, atol=30)
    assert legend(True).shape == legend(False).shape == (12, 256, 3)


def test_epochs_are_thinned_out_and_legible() -> None:
    random = np.random.default_rng(0)
    ids = ("one", "a-very-long-identifier/of/a/face-" + "x" * 60)
    epochs = [
        WatchedEpoch(
            n,
            ids,
            ("fear", "happiness"),
            "validation",
            BASIC,
            random.normal(size=(2, 7, 3, 3)).astype(np.float32),
            random.normal(size=(2, 7, 3, 3)).astype(np.float32),
            random.dirichlet(np.ones(7), 2).astype(np.float32),
        )
        for n in range(31)
    ]
    crops = {name: random.integers(0, 255, (40, 40, 3), dtype=np.uint8) for name in ids}
    figure = epochs_figure(epochs, crops)
    assert_legible(figure)
    written = [text for text, _ in texts_of(figure)]
    assert written[:8] == ["start", *(f"epoch {n}" for n in (4, 9, 13, 17, 21, 26, 30))]
    fear = BASIC.index("fear")
    assert f"{100 * epochs[30].scores[0, fear]:.0f} %" in written
    assert_legible(epochs_figure(epochs[:1], crops))
    assert thinned(3) == [0, 1, 2]
    assert thinned(100, 3) == [0, 50, 99]
