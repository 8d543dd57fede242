"""Pictures of every kind that people and attackers send: the right pixels, or the right refusal, before anything is decoded."""

from __future__ import annotations

import contextlib
import io
import struct
import time
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from evenface.serve.images import clean_name, decode, inspect
from evenface.serve.problems import Problem

from .conftest import Bench, Make, encoded, part, picture


MOST = 1_000_000

PIXELS = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def looked(data: bytes) -> np.ndarray:
    width, height = inspect(data, MOST)
    pixels = decode(data)
    assert pixels.dtype == np.uint8
    assert sorted(pixels.shape[:2]) == sorted((height, width))
    return pixels


def of_scans(repeats: int, *, stuffing: bytes = b"") -> bytes:
    """A progressive JPEG whose last scan comes `repeats` times more."""
    whole = saved(Image.fromarray(PIXELS).convert("L"), "JPEG", progressive=True)
    last = whole.rindex(b"\xff\xda")
    return whole[:-2] + repeats * (stuffing + whole[last:-2]) + whole[-2:]


def test_a_jpeg_that_goes_over_its_pixels_again_and_again() -> None:
    assert looked(of_scans(10)).shape == (20, 30, 3)
    for data in (of_scans(60), of_scans(60, stuffing=b"\xff\xff\xff"), of_scans(60, stuffing=b"\xff\xfe\x00\x04ab")):
        decode(data)  # a decoder takes it
        with pytest.raises(Problem, match="more than 40 scans") as caught:
            inspect(data, MOST)
        assert caught.value.status == 415
    looked(of_scans(0) + 99 * b"\xff\xda\x00\x08")  # behind the picture's end a phone may keep a film
    looked(of_scans(0)[:2] + b"\xff\xe5\x01\x92" + 100 * b"\xff\xda\x00\x08" + of_scans(0)[2:])  # and anything in a segment of its own


def test_a_jpeg_of_markers_without_end_is_refused() -> None:
    whole = saved(Image.fromarray(PIXELS), "JPEG")
    with pytest.raises(Problem, match="scans"):
        inspect(whole[:-2] + 3000 * b"\xff\xfe\x00\x02" + whole[-2:], MOST)
    inspect(whole[:-2] + 1000 * b"\xff\xfe\x00\x02" + whole[-2:], MOST)


@pytest.mark.parametrize("side", [2064, 65_520])
def test_a_small_tiff_of_a_huge_tile(side: int) -> None:
    tags = [(256, 1), (257, 1), (258, 8), (259, 8), (262, 1), (277, 1), (322, side), (323, side), (324, 146), (325, 8)]
    head = b"II*\0" + struct.pack("<IH", 8, len(tags))
    data = head + b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags) + bytes(4) + zlib.compress(b"")
    with pytest.raises(Problem, match="1 x 1 pixels in tiles of") as caught:
        inspect(data, 50_000_000)
    assert caught.value.status == 413


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "WEBP", "GIF", "JPEG"])
def test_every_allowed_format(kind: str) -> None:
    flat = np.full((20, 30, 3), (200, 40, 90), np.uint8)
    options = {"lossless": True} if kind == "WEBP" else {}
    found = looked(encoded(flat, kind, **options))
    assert np.abs(found.astype(int) - flat).max() <= (3 if kind == "JPEG" else 0)


def test_odd_modes_become_rgb() -> None:
    image = Image.fromarray(PIXELS)
    grey = np.asarray(image.convert("L"))
    assert np.array_equal(looked(saved(image.convert("L"), "PNG")), np.stack([grey] * 3, axis=2))
    deep = Image.fromarray(grey.astype(np.uint16) * 257)
    assert np.array_equal(looked(saved(deep, "PNG")), np.stack([grey] * 3, axis=2))
    assert np.array_equal(looked(saved(deep, "TIFF")), np.stack([grey] * 3, axis=2))
    rgba = np.dstack([PIXELS, np.full((20, 30), 128, np.uint8)])
    assert np.array_equal(looked(saved(Image.fromarray(rgba), "PNG")), PIXELS)
    black_and_white = looked(saved(image.convert("1"), "PNG"))
    assert set(np.unique(black_and_white)) == {0, 255}
    ink = Image.new("CMYK", (30, 20), (0, 255, 255, 0))  # magenta and yellow are red
    assert (looked(saved(ink, "TIFF")) == (255, 0, 0)).all()
    assert np.abs(looked(saved(ink, "JPEG", quality=95)).astype(int) - (255, 0, 0)).max() <= 12


def test_a_palette_with_transparency() -> None:
    image = Image.fromarray(PIXELS).convert("P", palette=Image.Palette.ADAPTIVE)
    expected = np.asarray(image.convert("RGB"))
    assert np.array_equal(looked(saved(image, "PNG", transparency=bytes([0, 128, 255]))), expected)
    assert np.array_equal(looked(saved(image, "GIF", transparency=0)), expected)


def test_the_first_frame_of_an_animation() -> None:
    frames = [Image.new("RGB", (30, 20), colour) for colour in ((255, 0, 0), (0, 255, 0))]
    for kind, options in (("GIF", {}), ("WEBP", {"lossless": True}), ("PNG", {}), ("TIFF", {})):
        data = saved(frames[0], kind, save_all=True, append_images=frames[1:], **options)
        assert (looked(data) == (255, 0, 0)).all(), kind


def test_a_phones_photo_is_turned_upright() -> None:
    image = Image.fromarray(PIXELS)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright: turn by 90 degrees clockwise
    assert np.array_equal(looked(saved(image, "PNG", exif=exif)), np.rot90(PIXELS, -1))


SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9"/></svg>'
HEIC = b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + bytes(200)
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"
PPM = b"P6 2 2 255 " + bytes(12)
ICO = saved(Image.new("RGB", (16, 16)), "ICO")
PSD = b"8BPS\x00\x01" + bytes(6) + struct.pack(">HIIHH", 3, 9, 9, 8, 3) + bytes(300)


@pytest.mark.parametrize(
    "data",
    [b"", b"x", b"hello, this is a text\n" * 40, SVG, HEIC, EPS, PPM, ICO, PSD, b"%PDF-1.7\n", b"PK\x03\x04" + bytes(99), bytes(5000)],
    ids=["empty", "x", "text", "svg", "heic", "eps", "ppm", "ico", "psd", "pdf", "zip", "zeros"],
)
def test_what_is_no_picture_here_is_refused(data: bytes) -> None:
    with pytest.raises(Problem) as refused:
        inspect(data, MOST)
    assert refused.value.status == 415


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"])
def test_a_cut_file_is_refused(kind: str) -> None:
    whole = encoded(PIXELS, kind)
    for share in (0.1, 0.5, 0.9):
        cut = whole[: int(share * len(whole))]
        with pytest.raises(Problem) as refused:
            looked(cut)
        assert refused.value.status == 415


def png_of(width: int, height: int) -> bytes:
    """A PNG whose header tells a size, without the pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def bmp_of(width: int, height: int) -> bytes:
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)


def gif_of(width: int, height: int) -> bytes:
    image = b"\x2c" + struct.pack("<HHHHB", 0, 0, width, height, 0)
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6) + image + b"\x02\x02\x44\x01\x00\x3b"


def webp_of(width: int, height: int) -> bytes:
    pixels = b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14) + bytes(20)
    body = b"WEBPVP8L" + struct.pack("<I", len(pixels)) + pixels + bytes(len(pixels) % 2)
    return b"RIFF" + struct.pack("<I", len(body)) + body


@pytest.mark.parametrize(
    "data",
    [png_of(1001, 1000), png_of(11_000, 11_000), png_of(60_000, 60_000), png_of(2**31 - 1, 2**31 - 1),
     bmp_of(30_000, 30_000), gif_of(65_535, 65_535), webp_of(16_000, 16_000)],
    ids=["png just over", "png 121 MP", "png 3.6 GP", "png largest", "bmp", "gif", "webp"],
)  # fmt: skip
def test_a_bomb_is_refused_by_its_header(bench: Bench, data: bytes) -> None:
    """Also one that Pillow would only warn of, between 89 and 179 megapixels."""
    begin = time.perf_counter()
    with pytest.raises(Problem) as refused:
        inspect(data, MOST)
    assert refused.value.status == 413
    assert refused.value.kind == "too-many-pixels"
    assert time.perf_counter() - begin < 1


def test_just_small_enough_passes_the_header() -> None:
    assert inspect(png_of(1000, 1000), MOST) == (1000, 1000)


def test_no_other_decoder_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    """EPS calls Ghostscript; whatever Pillow's list of decoders holds, only the six are asked."""
    from PIL import Image as Pillow

    Pillow.init()
    asked = []
    for kind, (factory, accept) in list(Pillow.OPEN.items()):

        def watched(prefix: bytes, kind: str = kind, accept: Any = accept) -> Any:
            asked.append(kind)
            return True if accept is None else accept(prefix)

        monkeypatch.setitem(Pillow.OPEN, kind, (factory, watched))
    for data in (EPS, PPM, picture()):
        with contextlib.suppress(Problem):
            inspect(data, MOST)
    assert set(asked) <= {"JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"}
    assert "PNG" in asked


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("photo.jpg", "photo.jpg"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\photo.jpg", "photo.jpg"),
        ("a\nb\x1b[31m.png\u202e", "ab[31m.png"),
        ("", "image 4"),
        ("dir/", "image 4"),
        (" \t", "image 4"),
        ("größe 顔.png", "größe 顔.png"),
        ("x" * 500, "x" * 100),
    ],
)
def test_a_file_name_is_a_label_only(name: str, label: str) -> None:
    assert clean_name(name, 4) == label


def test_refusals_over_http(make: Make) -> None:
    bench = make(max_pixels=MOST)
    for data, status, kind in ((b"x", 415, "not-an-image"), (b"", 415, "not-an-image"), (png_of(2000, 2000), 413, "too-many-pixels")):
        answer = bench.client.post("/v1/predict", files=[part(data, "odd.bin")])
        assert answer.status_code == answer.json()["status"] == status
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["type"] == f"https://evenface.invalid/problems/{kind}"
        assert answer.json()["source"] == "odd.bin"
    assert bench.search.batches == []


def test_one_bad_picture_of_several_does_not_spoil_the_rest(make: Make) -> None:
    bench = make(max_pixels=MOST)
    files = [part(picture(0), "good.png"), part(b"x", "bad.txt"), part(png_of(2000, 2000), "huge.png"), part(picture(1), "last.png")]
    answer = bench.client.post("/v1/predict", files=files)
    assert answer.status_code == 200
    good, bad, huge, last = answer.json()["results"]
    assert [len(good["faces"]), len(last["faces"])] == [1, 1]
    assert set(bad) == set(huge) == {"source", "error"}
    assert (bad["source"], bad["error"]["status"], bad["error"]["source"]) == ("bad.txt", 415, "bad.txt")
    assert (huge["source"], huge["error"]["status"]) == ("huge.png", 413)
    page = bench.client.get("/metrics").text
    assert 'evenface_refusals_total{reason="not-an-image"} 1\n' in page
    assert 'evenface_refusals_total{reason="too-many-pixels"} 1\n' in page
