"""Every kind of file becomes upright 8-bit RGB, and whatever is broken says so in one way."""

from __future__ import annotations

import io
import struct
import sys
from typing import Any

import numpy as np
import pytest
from PIL import Image, features

from evenface.data.decode import UNREADABLE, decode, is_grey, open_rgb, resize


PIXELS = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)


def encoded(image: Image.Image | np.ndarray, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def exif(orientation: int) -> Image.Exif:
    found = Image.Exif()
    found[0x0112] = orientation
    return found


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_lossless_files_give_their_pixels(kind: str) -> None:
    assert np.array_equal(decode(encoded(PIXELS, kind)), PIXELS)


# Of each orientation the EXIF standard says where the stored row 0 and column 0 lie in what a person should see.
SIDES = {
    1: ("top", "left"), 2: ("top", "right"), 3: ("bottom", "right"), 4: ("bottom", "left"),
    5: ("left", "top"), 6: ("right", "top"), 7: ("right", "bottom"), 8: ("left", "bottom"),
}  # fmt: skip


@pytest.mark.parametrize("orientation", SIDES)
def test_exif_orientation(orientation: int) -> None:
    height, width = PIXELS.shape[:2]
    row_side, column_side = SIDES[orientation]
    turned = row_side in ("left", "right")
    stored = np.zeros((width, height, 3) if turned else (height, width, 3), dtype=np.uint8)
    for r in range(stored.shape[0]):
        for c in range(stored.shape[1]):
            along = {"top": r, "bottom": height - 1 - r, "left": r, "right": width - 1 - r}[row_side]
            across = {"left": c, "right": width - 1 - c, "top": c, "bottom": height - 1 - c}[column_side]
            y, x = (across, along) if turned else (along, across)
            stored[r, c] = PIXELS[y, x]
    assert np.array_equal(decode(encoded(stored, exif=exif(orientation))), PIXELS)


def test_an_orientation_that_does_not_exist_and_damaged_exif_leave_the_pixels() -> None:
    assert np.array_equal(decode(encoded(PIXELS, exif=exif(99))), PIXELS)
    assert np.array_equal(decode(encoded(PIXELS, exif=b"Exif\0\0nonsense")), PIXELS)


def test_cmyk() -> None:
    ink = np.array([[[0, 255, 255, 0], [255, 0, 0, 0]], [[0, 0, 0, 255], [0, 0, 0, 0]]], dtype=np.uint8)
    expected = [[[255, 0, 0], [0, 255, 255]], [[0, 0, 0], [255, 255, 255]]]
    assert decode(encoded(Image.frombytes("CMYK", (2, 2), ink.tobytes()), "TIFF")).tolist() == expected


def test_sixteen_bit_grey_is_scaled_and_not_clipped() -> None:
    values = np.array([[0, 255, 256], [32768, 40000, 65535]], dtype=np.uint16)
    for kind in ("PNG", "TIFF"):
        found = decode(encoded(values, kind))
        assert found[..., 0].tolist() == [[0, 0, 1], [128, 156, 255]]
        assert is_grey(found)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0, 0.5], [0.25, 1]], np.float32), [[0, 128], [64, 255]]),
        (np.array([[0, 40], [200, 255]], np.float32), [[0, 40], [200, 255]]),
        (np.array([[0, 32768], [40000, 65535]], np.float32), [[0, 128], [156, 255]]),
        (np.array([[0, 1], [200, 255]], np.int32), [[0, 1], [200, 255]]),
        (np.array([[0, 256], [40000, 65535]], np.int32), [[0, 1], [156, 255]]),
        (np.zeros((2, 2), np.float32), [[0, 0], [0, 0]]),
    ],
)
def test_grey_of_32_bits_and_of_floats(values: np.ndarray, expected: list[list[int]]) -> None:
    found = decode(encoded(Image.fromarray(values), "TIFF"))
    assert found[..., 0].tolist() == expected
    assert is_grey(found)


@pytest.mark.parametrize("odd", [-1.0, 1e9, float("nan"), float("inf")])
def test_floats_that_are_no_picture(odd: float) -> None:
    with pytest.raises(UNREADABLE, match="grey values from"):
        decode(encoded(Image.fromarray(np.array([[0, 0.5], [odd, 1]], np.float32)), "TIFF"))


def test_palettes_with_and_without_transparency() -> None:
    colours = [(10, 20, 30), (200, 100, 50), (0, 0, 255)]
    picture = Image.frombytes("P", (3, 1), bytes([0, 1, 2]))
    picture.putpalette([value for colour in colours for value in colour])
    assert decode(encoded(picture))[0].tolist() == [list(c) for c in colours]
    assert decode(encoded(picture, transparency=bytes([255, 0, 128])))[0].tolist() == [list(c) for c in colours]  # and without a warning
    assert decode(encoded(picture, "GIF", transparency=1))[0].tolist() == [list(c) for c in colours]


def test_grey_alpha_and_black_and_white() -> None:
    alpha = np.dstack([PIXELS, np.full(PIXELS.shape[:2], 7, dtype=np.uint8)])
    assert np.array_equal(decode(encoded(alpha)), PIXELS)
    grey = PIXELS[..., 0]
    assert np.array_equal(decode(encoded(grey)), np.dstack([grey] * 3))
    assert np.array_equal(decode(encoded(Image.fromarray(grey).convert("LA"))), np.dstack([grey] * 3))
    two = Image.fromarray(grey > 128)
    assert np.array_equal(decode(encoded(two))[..., 1], np.where(grey > 128, 255, 0))


GREY_STEPS = np.kron(np.array([[30, 90, 150], [210, 60, 240]], np.uint8), np.ones((64, 64), np.uint8))[:, :, None].repeat(3, axis=2)


@pytest.mark.parametrize("orientation", [1, 6])
def test_heic_as_phones_write_it(orientation: int) -> None:
    """Its own rotation is applied by the decoder, once; lossy, so grey fields are compared and not pixels."""
    pillow_heif = pytest.importorskip("pillow_heif")
    stored = Image.fromarray(GREY_STEPS if orientation == 1 else np.rot90(GREY_STEPS).copy())
    file = io.BytesIO()
    pillow_heif.from_pillow(stored).save(file, quality=90, exif=exif(orientation).tobytes())
    assert file.getvalue()[4:12] == b"ftypheic"
    found = decode(file.getvalue()).astype(int)
    assert found.shape == GREY_STEPS.shape
    for row in (32, 96):
        for column in (32, 96, 160):
            assert abs(found[row, column] - GREY_STEPS[row, column]).max() <= 6


def test_heic_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.setattr(Image, "ID", [name for name in Image.ID if name != "HEIF"])
    with pytest.raises(OSError, match=r"pip install 'evenface\[heif\]'"):
        open_rgb(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")


def test_avif() -> None:
    if not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    assert abs(decode(encoded(GREY_STEPS, "AVIF", quality=90))[96, 32].astype(int) - 210).max() <= 6


def test_of_an_animation_the_first_frame() -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "lime", "blue")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert decode(data).reshape(-1, 3).tolist() == [[255, 0, 0]] * 16


def cubic(x: float) -> float:
    """Keys's kernel with a = -0.5."""
    x = abs(x)
    if x < 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0


def resized_line(line: np.ndarray, size: int) -> np.ndarray:
    """Bicubic along the first axis, the kernel widened where it shrinks, cut off and normalised at the border."""
    n = len(line)
    ratio = n / size
    wide = max(ratio, 1.0)
    out = []
    for i in range(size):
        centre = (i + 0.5) * ratio
        weights = [cubic((j + 0.5 - centre) / wide) for j in range(n)]
        out.append(sum(w * v for w, v in zip(weights, line.astype(float), strict=True)) / sum(weights))
    return np.clip(np.round(np.array(out)), 0, 255)


@pytest.mark.parametrize("size", [4, 5, 12])
def test_resize_is_antialiased_bicubic(size: int) -> None:
    found = decode(encoded(PIXELS), size)
    assert found.shape == (size, size, 3)
    assert found.dtype == np.uint8
    assert np.array_equal(found, np.asarray(Image.fromarray(PIXELS).resize((size, size), Image.Resampling.BICUBIC)))
    across = resized_line(PIXELS.transpose(1, 0, 2), size)  # Pillow goes along the rows first, and rounds in between
    expected = resized_line(across.transpose(1, 0, 2), size)
    assert np.abs(found - expected).max() <= 1


def test_a_face_of_the_right_size_is_left_alone() -> None:
    square = PIXELS[:6, :6]
    assert np.array_equal(decode(encoded(square), 6), square)
    assert np.array_equal(resize(Image.new("RGB", (9, 5), (9, 8, 7)), 4).reshape(-1, 3), [[9, 8, 7]] * 16)


@pytest.mark.parametrize("data", [b"", b"no image", encoded(PIXELS)[:50], encoded(PIXELS, "JPEG")[:60], encoded(PIXELS, "GIF")[:20]])
def test_broken_bytes_are_unreadable(data: bytes) -> None:
    with pytest.raises(UNREADABLE):
        open_rgb(data)


@pytest.mark.parametrize("error", [struct.error("odd"), RuntimeError("codec"), NotImplementedError("pixel format"), KeyError(3)])
def test_whatever_a_plugin_raises_is_unreadable(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> Image.Image:
        raise error

    monkeypatch.setattr(Image, "open", broken)
    with pytest.raises(OSError, match="damaged image"):
        open_rgb(b"x")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "WEBP"])
def test_random_damage_never_raises_anything_else(kind: str) -> None:
    options = {"exif": exif(6)} if kind in ("PNG", "JPEG", "WEBP") else {}
    data = encoded(PIXELS, kind, **options)
    rng = np.random.default_rng(1)
    broken = 0
    for _ in range(150):
        damaged = bytearray(data[: rng.integers(1, len(data))] if rng.random() < 0.3 else data)
        for place in rng.integers(0, len(damaged), 4):
            damaged[place] = rng.integers(256)
        try:
            assert open_rgb(bytes(damaged)).mode == "RGB"
        except UNREADABLE:
            broken += 1
    assert broken > 10


def test_is_grey() -> None:
    grey = np.repeat(PIXELS[..., :1], 3, axis=2)
    assert is_grey(grey)
    for channel in range(3):
        other = grey.copy()
        other[3, 4, channel] ^= 1
        assert not is_grey(other)
