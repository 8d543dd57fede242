"""Clips of known content, made on the spot."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest


BITS, CELL = 12, 8  # the frame's number stands in the picture as 12 black or white squares of 8 pixels


def picture(number: int, width: int = 128, height: int = 96) -> np.ndarray:
    """(H, W, 3) uint8: the number along the upper border, and a red square that moves to the right on grey."""
    image = np.full((height, width, 3), 90, dtype=np.uint8)
    for bit in range(BITS):
        image[:CELL, bit * CELL : (bit + 1) * CELL] = 255 * (number >> bit & 1)
    left = 4 * number % (width - 16)
    image[40:56, left : left + 16] = (220, 30, 40)
    return image


def number_in(image: np.ndarray) -> int:
    """What `picture` has written."""
    cells = [image[CELL // 2, bit * CELL + CELL // 2].mean() > 127 for bit in range(BITS)]
    return sum(1 << bit for bit, white in enumerate(cells) if white)


def fill(seen: list[Any], items: Iterable[Any]) -> None:
    """Appends what comes, so that it is there when an error follows."""
    for item in items:
        seen.append(item)


def sine(seconds: float, rate: int, tone: float = 440.0) -> np.ndarray:
    return (0.4 * np.sin(2 * np.pi * tone * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def make_clip(
    path: Path,
    n: int = 30,
    fps: Fraction | int = 25,
    *,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    size: tuple[int, int] = (128, 96),
    times: Sequence[int] | None = None,
    sound: str | None = None,
    tone: tuple[float, float] | None = None,
    rate: int = 48000,
    layout: str = "mono",
    container: dict[str, str] | None = None,
    prepare: Callable[[Any], None] = lambda stream: None,
) -> Path:
    """Writes `n` frames of `picture`, with `sound` (a codec's name) a sine of 440 Hz of the same length.

    Args:
        tone: seconds from when to when there is sound; all the time where it is None.
        layout: of the sound; the sine is in each channel.
        times: of the frames in milliseconds; evenly by `fps` where it is None.
        prepare: may change the video stream before anything is written.
    """
    av = pytest.importorskip("av")
    with av.open(str(path), "w", options=container or {}) as out:
        stream = out.add_stream(codec, rate=fps, options={"g": "12"} | (options or {}))
        stream.width, stream.height = size
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "rgb8" if codec == "gif" else "yuv420p"
        prepare(stream)
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        audio = out.add_stream(sound, rate=rate, layout=layout) if sound else None
        for i in range(n):
            frame = av.VideoFrame.from_ndarray(picture(i, *size), format="rgb24")
            frame.pts, frame.time_base = (i, 1 / Fraction(fps)) if times is None else (times[i], Fraction(1, 1000))
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        if audio is not None:
            channels = len(av.AudioLayout(layout).channels)
            wave = sine(n / float(fps), rate)
            if tone is not None:
                at = np.arange(len(wave)) / rate
                wave[(at < tone[0]) | (at >= tone[1])] = 0
            for at in range(0, len(wave), 1024):
                piece = av.AudioFrame.from_ndarray(np.repeat(wave[None, at : at + 1024], channels, 0), "fltp", layout)
                piece.sample_rate, piece.pts, piece.time_base = rate, at, Fraction(1, rate)
                out.mux(audio.encode(piece))
            out.mux(audio.encode(None))
    return path
