"""How many frames a second are read from and written to H.264, and how much memory a long clip takes.

    python benchmarks/video.py                          # 1,200 frames of 854 x 480, half a minute
    python benchmarks/video.py --size 1920x1080

The clip is a moving texture with some grain. Seconds are those of the processor, so other programs disturb little; the threads' seconds
add up.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from evenface.video import Frame, VideoWriter, open_video


class Texture:
    """A source of frames that costs little: a window that moves over a large blurred noise, and grain."""

    source = "texture"
    fps = 25.0
    has_audio = False

    def __init__(self, width: int, height: int, n: int) -> None:
        self.width, self.height, self._n = width, height, n

    def frames(self, every: int = 1, start: float = 0.0, end: float | None = None):  # type: ignore[no-untyped-def]
        rng = np.random.default_rng(0)
        field = cv2.GaussianBlur(rng.normal(128, 600, (self.height + 256, self.width + 256, 3)).astype(np.float32), (0, 0), 6)
        field = np.clip(field, 0, 255).astype(np.uint8)
        grain = [rng.integers(0, 9, (self.height, self.width, 1), dtype=np.uint8) for _ in range(8)]
        for i in range(0, self._n, every):
            x, y = round(128 + 127 * np.sin(i / 40)), round(128 + 127 * np.cos(i / 55))
            window = field[y : y + self.height, x : x + self.width]
            yield Frame(i, i / self.fps, np.minimum(window, 246) + grain[i % 8])


def peak() -> float:
    """The most memory that this process has held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="854x480")
    parser.add_argument("--frames", type=int, default=1200)
    args = parser.parse_args()
    width, height = (int(side) for side in args.size.split("x"))
    print(f"{args.frames} frames of {width} x {height}, H.264; per second of processor time")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        texture = Texture(width, height, args.frames)
        began = time.process_time()
        for _ in texture.frames():
            pass
        drawn = time.process_time()
        with VideoWriter(path, texture) as writer:
            for frame in texture.frames():
                writer.write(frame.image, frame.time)
        spent = (time.process_time() - drawn) - (drawn - began)
        rate = path.stat().st_size * 8 / args.frames * texture.fps / 1e6
        print(f"writing            {args.frames / spent:7.0f} frames/s   {rate:.1f} Mbit/s")
        for every in (1, 5, args.frames):
            began, n, early = time.process_time(), 0, 0.0
            for n, _ in enumerate(open_video(path).frames(every=every), 1):
                early = peak() if n <= 50 else early
            took = time.process_time() - began
            grown = f"   {peak() - early:.1f} MB more than after 50" if every == 1 else ""
            print(f"reading, every {every:<4d}{args.frames / took:7.0f} frames/s of the clip, {n} given{grown}")


if __name__ == "__main__":
    main()
