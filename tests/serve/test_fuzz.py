"""Thousands of damaged pictures and bodies: an answer that is promised, every time, soon, and no memory that stays.

pytest -m slow tests/serve/test_fuzz.py
"""

from __future__ import annotations

import gc
import os
import random
import struct
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from .conftest import Bench, Make, encoded, part
from .test_images import saved
from .test_uploads import HEAD, TAIL


PIXELS = np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8)
GIF = [Image.fromarray(PIXELS).convert("P"), Image.fromarray(PIXELS[::-1].copy()).convert("P")]
SEEDS = [
    encoded(PIXELS, "JPEG"),
    encoded(PIXELS, "JPEG", progressive=True, quality=40),
    saved(Image.fromarray(PIXELS).convert("CMYK"), "JPEG"),
    encoded(PIXELS, "PNG"),
    saved(Image.fromarray(PIXELS).convert("P"), "PNG", transparency=b"\x00\x80"),
    saved(Image.fromarray(np.kron(PIXELS[..., 0], np.uint16([[257]])).astype(np.uint16)), "PNG"),
    encoded(PIXELS, "WEBP"),
    encoded(PIXELS, "WEBP", lossless=True),
    encoded(PIXELS, "BMP"),
    saved(GIF[0], "GIF", save_all=True, append_images=GIF[1:]),
    encoded(PIXELS, "TIFF"),
    encoded(PIXELS, "TIFF", compression="tiff_lzw"),
    encoded(PIXELS, "TIFF", compression="jpeg"),
    saved(Image.fromarray(PIXELS).convert("CMYK"), "TIFF", compression="tiff_adobe_deflate"),
]
PROMISED = {200, 400, 413, 415}


def damaged(dice: random.Random) -> bytes:
    """A picture with bytes flipped, cut out, repeated, swapped with another's, or with a huge number put in."""
    data = bytearray(dice.choice(SEEDS))
    for _ in range(dice.choice((1, 1, 2, 5, 20))):
        kind, at = dice.randrange(6), dice.randrange(len(data)) if dice.random() < 0.5 else dice.randrange(min(64, len(data)))
        if kind == 0:
            data[at] ^= 1 << dice.randrange(8)
        elif kind == 1:
            data[at : at + 4] = dice.choice((b"\xff\xff\xff\xff", bytes(4), struct.pack(">I", dice.randrange(2**32)), b"\x7f\xff\xff\xff"))
        elif kind == 2:
            del data[at : at + dice.randrange(1, 200)]
        elif kind == 3:
            data[at:at] = data[at : at + dice.randrange(1, 400)]
        elif kind == 4:
            other = dice.choice(SEEDS)
            start = dice.randrange(len(other))
            data[at : at + 100] = other[start : start + 100]
        else:
            del data[dice.randrange(len(data)) + 1 :]
        if not data:
            break
    return bytes(data)


def resident() -> int:
    """Bytes of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def fuzz(bench: Bench, count: int, seed: int) -> dict[int, int]:
    dice = random.Random(seed)
    found: dict[int, int] = {}
    for _ in range(count):
        begin = time.monotonic()
        answer = bench.client.post("/v1/predict?cropped=1", files=[part(damaged(dice))])
        assert time.monotonic() - begin < 20
        assert answer.status_code in PROMISED, answer.text
        found[answer.status_code] = found.get(answer.status_code, 0) + 1
    return found


def test_some_damaged_pictures(bench: Bench) -> None:
    found = fuzz(bench, 120, seed=0)
    assert found[415] > 20
    assert found[200] > 20  # a flipped bit of pixels is still a picture


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the memory of a process is read from /proc")
def test_thousands_of_damaged_pictures_leave_no_memory(make: Make) -> None:
    bench = make(max_pixels=200_000)
    fuzz(bench, 1000, seed=1)
    gc.collect()
    before, objects = resident(), len(gc.get_objects())
    fuzz(bench, 5000, seed=2)
    gc.collect()
    assert resident() - before < 30 << 20
    assert len(gc.get_objects()) - objects < 1000
    assert bench.service._pixels.free == bench.service._pixels.size
    assert bench.service.batcher.under_way == 0


@pytest.mark.slow
def test_thousands_of_damaged_bodies(bench: Bench) -> None:
    """The form itself is damaged: boundaries, headers, lengths."""
    dice = random.Random(3)
    seen = set()
    for _ in range(3000):
        body = bytearray(HEAD + SEEDS[3][:300] + TAIL)
        for _ in range(dice.choice((1, 2, 8))):
            at = dice.randrange(len(body))
            if dice.random() < 0.5:
                body[at : at + dice.randrange(3)] = dice.randbytes(dice.randrange(4))
            else:
                body[at:at] = dice.choice((b"\r\n", b"--xx", b"\r\n--xx\r\n", b"--xx--", b":", b'"', b"\x00", b";"))
        answer = bench.client.post("/v1/predict", content=bytes(body), headers={"content-type": "multipart/form-data; boundary=xx"})
        seen.add(answer.status_code)
    assert seen <= PROMISED
    assert {400, 415} <= seen
