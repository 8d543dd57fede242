"""What a whole training step costs beside a bare forward and backward of the same network.

    python benchmarks/train_step.py --data-dir path/to/ferplus
    python benchmarks/train_step.py --sizes 64 --precisions fp32 --method rbcf        # synthetic faces where no --data-dir is given

(a) bare: forward and backward of the network on random faces, two views (2N images), no loss worth the name, no optimiser.
(b) ours: gather, augmentation, second view, forward, the method's loss, backward, optimiser, checks - `Loop.step` on real faces.
Both run in turn, a b a b ..., in one process; the table has medians and the ratio (b)/(a) of the medians. Images are views: 2N a step.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from evenface.devices import bf16_pays, channels_last_pays, resolve_device
from evenface.models.classifier import build_classifier
from evenface.training.config import TrainConfig
from evenface.training.loop import Loop
from evenface.training.run import assemble


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", help="FERPlus as downloaded; the synthetic set without it")
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--method", default="rbcf")
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 112, 224])
    parser.add_argument("--precisions", nargs="+", default=["fp32", "bf16"], choices=["fp32", "bf16"])
    parser.add_argument("-b", "--batch-size", type=int, default=32, help="faces a step; twice as many images")
    parser.add_argument("--rounds", type=int, default=7, help="timed pairs of (a) and (b)")
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    device = resolve_device(args.device)
    where = f"{device}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    print(f"{args.model}, {args.method}, {args.batch_size} faces a step, {where}")
    print(f"{bf16_pays(device)[1]}\n")
    print(f"{'px':>4} {'precision':>9} {'(a) bare img/s':>15} {'(b) step img/s':>15} {'(b)/(a)':>8} {'peak memory':>12}")
    for size in args.sizes:
        for precision in args.precisions:
            with ProcessPoolExecutor(1, get_context("spawn")) as fresh:  # own process: the peak memory is this row's
                bare, ours, memory = fresh.submit(measure, args, size, precision, device).result()
            print(f"{size:>4} {precision:>9} {bare:>15.1f} {ours:>15.1f} {ours / bare:>8.2f} {memory / 2**20:>8.0f} MiB", flush=True)


def measure(args: argparse.Namespace, size: int, precision: str, device: torch.device) -> tuple[float, float, float]:
    """Images/s of the bare network and of our step, and the peak memory in bytes (of the device, else of this process)."""
    with tempfile.TemporaryDirectory() as folder:
        config = TrainConfig(
            dataset="ferplus" if args.data_dir else "synthetic",
            data_dir=args.data_dir,
            model=args.model,
            method=args.method,
            img_size=size,
            batch_size=args.batch_size,
            precision=precision,
            device=args.device,
            output=str(Path(folder) / "run"),
            epochs=1,
            rotate=10.0,
            scale=0.1,
            shift=0.05,
        )
        loop = assemble(config)
    bare, faces = bare_network(args.model, size, args.batch_size, device)
    times: dict[str, list[float]] = {"bare": [], "ours": []}
    for turn in range(args.rounds + 1):  # the first pair warms up
        for name in times:
            begin = time.perf_counter()
            if name == "bare":
                forward_backward(bare, faces, precision)
            else:
                step(loop, np.arange(args.batch_size), turn)
            if device.type == "cuda":
                torch.cuda.synchronize()
            if turn:
                times[name].append(time.perf_counter() - begin)
    images = 2 * args.batch_size
    memory = torch.cuda.max_memory_allocated() if device.type == "cuda" else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return images / statistics.median(times["bare"]), images / statistics.median(times["ours"]), memory


def bare_network(name: str, size: int, batch: int, device: torch.device) -> tuple[torch.nn.Module, torch.Tensor]:
    network = build_classifier(name, [f"class {i}" for i in range(7)], size).backbone.to(device).train()
    faces = torch.rand(2 * batch, 3, size, size, device=device)
    if channels_last_pays(device):
        network, faces = network.to(memory_format=torch.channels_last), faces.contiguous(memory_format=torch.channels_last)
    return network, faces


def forward_backward(network: torch.nn.Module, faces: torch.Tensor, precision: str) -> None:
    with torch.autocast(faces.device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
        grid = network(faces)
    grid.float().square().mean().backward()
    network.zero_grad(set_to_none=True)


def step(loop: Loop, rows: np.ndarray, turn: int) -> None:
    loop.step(rows, rows, loop.train.gather(rows), 0.0, turn)


if __name__ == "__main__":
    sys.exit(main())
