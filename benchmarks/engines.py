"""How fast each runtime classifies faces, and what mean recall it keeps: torch, ONNX Runtime and OpenVINO, in fp32, bf16 and int8.

    python benchmarks/engines.py --model runs/x --dataset ferplus --data-dir DIR
    python benchmarks/engines.py --model runs/x                                     (times only, without int8, which is calibrated on faces)

All engines run in turn in every round, so that what else the machine does meets all alike; the table has medians, the times of the fastest
round beside them, and ratios to torch in fp32. All get the same number of --threads. Measure with one thread where other work runs: with
more, torch's threads wait for each other whenever one of them has to make room, and the ratios are about that, not about the engines.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np


BATCHES = (1, 32)
Call = Callable[[np.ndarray], np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="a run, a model folder or a shipped model's name")
    parser.add_argument("--dataset", help="faces to calibrate int8 on (train) and to score (--split)")
    parser.add_argument("--data-dir", help="where they lie")
    parser.add_argument("--split", default="validation", choices=["validation", "test"])
    parser.add_argument(
        "--files", type=Path, help="folder of the exported files, which are made where they are missing (default: a temporary one)"
    )
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of every engine (default: the cores)")
    args = parser.parse_args()
    import torch

    torch.set_num_threads(args.threads)
    from evenface import zoo
    from evenface.evaluation.metrics import confusion_matrix, scores
    from evenface.export.faces import drawn_faces, faces_of, read_set
    from evenface.model_folder import read_config

    folder = zoo.model_path(args.model)
    config = read_config(folder)
    given = read_set(folder, config, args.dataset, args.data_dir)
    faces = drawn_faces(config, "no data set was named") if given is None else faces_of(given, config, args.split)
    with tempfile.TemporaryDirectory() as temporary:
        calls = engines(folder, args.files or Path(temporary), args.dataset, args.data_dir, args.threads)
        times = timed(calls, {size: faces.take(np.arange(size) % len(faces)) for size in BATCHES}, args.rounds)
        recalls = {}
        if faces.labels is not None:
            for name, call in calls.items():
                found = np.concatenate([call(batch).argmax(axis=1) for batch in faces.batches(BATCHES[-1])])
                recalls[name] = float(scores(confusion_matrix(faces.labels, found, len(config.class_names))).mean_recall)
    print(f"{config.architecture}, {config.img_size} px, {os.cpu_count()} cores, {args.threads} threads; {faces.what}")
    print(
        "  ".join(
            f"{word:>14}"
            for word in ("engine", "1 face, ms", "(fastest)", "against torch", "32: faces/s", "(fastest)", "against torch", "mean recall")
        )
    )
    one, many = (times["torch fp32", size] for size in BATCHES)
    for name in calls:
        single, batch = times[name, 1], times[name, BATCHES[-1]]
        row = [
            name,
            f"{1000 * statistics.median(single):.1f}",
            f"{1000 * min(single):.1f}",
            f"{statistics.median(one) / statistics.median(single):.1f}x",
        ]
        row += [
            f"{BATCHES[-1] / statistics.median(batch):.0f}",
            f"{BATCHES[-1] / min(batch):.0f}",
            f"{statistics.median(many) / statistics.median(batch):.1f}x",
        ]
        row += [f"{100 * recalls[name]:.2f}" if name in recalls else "-"]
        print("  ".join(f"{word:>14}" for word in row), flush=True)


def engines(folder: Path, place: Path, dataset: str | None, data_dir: str | None, threads: int) -> dict[str, Call]:
    """Name -> faces (n, S, S, 3), uint8 RGB, to logits (n, L). Files are made in `place`; those that disagree are refused."""
    from evenface.export import export_model
    from evenface.runtimes.onnx_runtime import OnnxRuntime
    from evenface.runtimes.openvino_runtime import OpenVinoRuntime
    from evenface.runtimes.torch_runtime import load

    def made(name: str, **settings: str) -> Path:
        if not (place / name).is_file():
            export_model(folder, place / name, dataset=dataset, data_dir=data_dir, **settings)
        return place / name

    fp32 = made("fp32.onnx")
    calls: dict[str, Call] = {
        "torch fp32": load(folder, device="cpu").logits,
        "torch bf16": load(folder, device="cpu", precision="bf16").logits,
        "onnx fp32": OnnxRuntime(fp32, threads=threads).logits,
        "openvino fp32": OpenVinoRuntime(fp32, threads=threads).logits,
        "openvino bf16": OpenVinoRuntime(fp32, precision="bf16", threads=threads).logits,
    }
    if dataset is not None:
        calls["onnx int8"] = OnnxRuntime(made("int8.onnx", precision="int8"), threads=threads).logits
        calls["openvino int8"] = OpenVinoRuntime(made("int8.xml", precision="int8", format="openvino"), threads=threads).logits
    return calls


def timed(calls: dict[str, Call], batches: dict[int, np.ndarray], rounds: int) -> dict[tuple[str, int], list[float]]:
    """Seconds of each call and batch size, in turn; the first round warms up and is left out."""
    seconds: dict[tuple[str, int], list[float]] = {(name, size): [] for name in calls for size in batches}
    for size, batch in batches.items():
        for number in range(rounds + 1):
            for name, call in calls.items():
                start = time.perf_counter()
                call(batch)
                if number:
                    seconds[name, size].append(time.perf_counter() - start)
    return seconds


if __name__ == "__main__":
    main()
