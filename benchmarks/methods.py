"""What a training step of each method costs, beside one of plain cross-entropy with one view (`ce`).

    python benchmarks/methods.py                                                   # every method, some minutes
    python benchmarks/methods.py --methods rbcf,eac --model resnet18 --img-size 112
    python benchmarks/methods.py --write src/evenface/methods/costs.json           # what `evenface methods` shows

The step is the training's own (`Loop.step`) on random faces: gather, views, forward, loss, backward, optimiser, and whatever the method
adds, such as further views, unlabelled faces, a teacher. It is taken in the middle of a run of 10 epochs, when schedules have begun.

time     steps of the method and of `ce` in turn, in one process; the median of the ratios of neighbours, and their quartiles
memory   in a process of the method's own: what the peak rises above what was there before the network was made; by the system's count of
         resident memory, on a GPU by torch's. The ratio is to that of `ce` in a process of its own.
steps    steps in an epoch, where the method draws more or fewer faces than there are

All start from the same model folder of random weights, which methods that go on from a finished run need.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import json
import multiprocessing
import os
import platform
import resource
import shlex
import statistics
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from evenface.data.manifest import build
from evenface.devices import resolve_device
from evenface.errors import EvenfaceError
from evenface.files import write_text
from evenface.labels import BASIC
from evenface.methods import METHODS
from evenface.model_folder import save_model
from evenface.models.classifier import build_classifier
from evenface.training.config import TrainConfig
from evenface.training.loop import Loop
from evenface.training.run import assemble


EPOCHS, MIDDLE = 10, 5
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")  # Linux


@dataclasses.dataclass(frozen=True)
class Cost:
    """Of one method: the ratio of each pair of steps, bytes at the peak, and steps in an epoch against `ce`; no ratio without a step."""

    ratios: list[float]
    memory: int
    steps: float


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="dlib_face_resnet_13")
    parser.add_argument("--img-size", type=int, default=64)
    parser.add_argument("-b", "--batch-size", type=int, default=32)
    parser.add_argument("--steps", type=int, default=11, help="timed pairs of steps")
    parser.add_argument("--methods", help="names with commas between them; default: all")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16"])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the ratios as JSON")
    args = parser.parse_args()
    if args.write is not None and args.methods:
        parser.error("--write takes all methods, so that the file's ratios are of one machine and hour; leave out --methods.")
    names = args.methods.split(",") if args.methods else list(METHODS)
    device = resolve_device(args.device)
    print(f"{args.model}, {args.img_size} px, {args.batch_size} faces a step, {args.precision}, {device}, {args.threads} threads\n")
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder), args)
        found = {name: measured(name, folder, args) for name in dict.fromkeys(["ce", *names])}
    base = found["ce"]
    if isinstance(base, str):
        print(f"ce: {base}")
        return 1
    print(f"{'':<18} {'time':>6} {'quartiles':>13} {'memory':>8} {'MiB':>6} {'steps':>6}")
    for name in names:
        print(line(name, found[name], base))
    print("\nce is timed against itself: what differs from 1 there is the noise of this machine.")
    failed = any(isinstance(cost, str) for cost in found.values())
    if args.write is not None and not failed:
        write_text(args.write, json.dumps(report(args, device, names, found, base), indent=1) + "\n")
    return int(failed)


def line(name: str, cost: Cost | str, base: Cost) -> str:
    if isinstance(cost, str):
        return f"{name:<18} {cost}"
    if not cost.ratios:
        return f"{name:<18} no training"
    low, middle, high = quartiles(cost.ratios)
    memory = f"{cost.memory / base.memory:>8.2f} {cost.memory / 2**20:>6.0f}"
    return f"{name:<18} {middle:>6.2f} {low:>6.2f} {high:>6.2f} {memory} {cost.steps:>6.2f}"


def quartiles(values: list[float]) -> tuple[float, float, float]:
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    return float(low), float(middle), float(high)


def report(args: argparse.Namespace, device: torch.device, names: list[str], found: dict[str, Any], base: Cost) -> dict[str, Any]:
    """The content of costs.json; a method without training has null."""
    methods: dict[str, Any] = {}
    for name in names:
        cost = found[name]
        if isinstance(cost, str):
            continue
        time_ratio = statistics.median(cost.ratios) if cost.ratios and name != "ce" else 1.0
        ratios = {"time": round(time_ratio, 2), "memory": round(cost.memory / base.memory, 2), "steps": round(cost.steps, 2)}
        methods[name] = ratios if cost.ratios else None
    words = [word for i, word in enumerate(sys.argv[1:]) if "--write" not in (word.split("=")[0], sys.argv[i])]
    return {
        "schema_version": 1,
        "command": shlex.join(["python", "benchmarks/methods.py", *words]),
        "machine": {"cpu": processor(), "device": device_name(device), "threads": args.threads, "torch": torch.__version__},
        "model": args.model,
        "img_size": args.img_size,
        "batch_size": args.batch_size,
        "precision": args.precision,
        "methods": methods,
    }


def processor() -> str:
    """The processor's name, where the system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(errors="replace").splitlines() if cpuinfo.exists() else []
    named = [text.partition(":")[2].strip() for text in lines if text.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


# -------------------- what is measured on


def prepare(folder: Path, args: argparse.Namespace) -> None:
    """Random faces of rare and frequent classes, and a model folder of random weights."""
    random = np.random.default_rng(0)
    columns: dict[str, list[Any]] = {"id": [], "split": [], "label": [], "image": []}
    for split, count in (("train", 8 * args.batch_size), ("validation", 7)):
        for i in range(count):
            file = io.BytesIO()
            Image.fromarray(random.integers(0, 256, (args.img_size, args.img_size, 3), dtype=np.uint8)).save(file, "PNG")
            columns["id"].append(f"{split}-{i}")
            columns["split"].append(split)
            columns["label"].append(BASIC[i if i < 7 else int(random.integers(0, 7) * random.random())])
            columns["image"].append(file.getvalue())
    build(columns, BASIC, name="random").save(folder / "random.parquet")
    torch.manual_seed(0)
    save_model(folder / "start", build_classifier(args.model, BASIC, args.img_size), {}, "# Random weights\n")


def loop_of(name: str, folder: str, args: argparse.Namespace) -> Loop:
    config = TrainConfig(
        dataset="manifest",
        data_dir=str(Path(folder) / "random.parquet"),
        model=args.model,
        init=str(Path(folder) / "start"),
        method=name,
        img_size=args.img_size,
        batch_size=args.batch_size,
        precision=args.precision,
        device=args.device,
        output=str(Path(folder) / f"run-{name}-{os.getpid()}-{time.monotonic_ns()}"),
        epochs=EPOCHS,
        store="auto",
    )
    return assemble(config)


# -------------------- measuring


def measured(name: str, folder: str, args: argparse.Namespace) -> Cost | str:
    """The cost, or why there is none. A process per method: forked from one that has all imports and has computed nothing."""
    methods = multiprocessing.get_all_start_methods()
    context: Any = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    if "forkserver" in methods:
        context.set_forkserver_preload(["evenface.training.run", "evenface.cli.train", "kornia", "timm"])
    ours, theirs = context.Pipe()
    process = context.Process(target=measure, args=(name, folder, args, theirs))
    process.start()
    theirs.close()
    try:
        found: Cost | str = ours.recv()
    except EOFError:
        found = "it died; too little memory?"
    process.join()
    return found


def measure(name: str, folder: str, args: argparse.Namespace, answer: Connection) -> None:
    torch.set_num_threads(args.threads)
    try:
        answer.send(cost_of(name, folder, args))
    except (EvenfaceError, RuntimeError, ValueError) as error:
        answer.send(str(error).splitlines()[0])


def cost_of(name: str, folder: str, args: argparse.Namespace) -> Cost:
    device = resolve_device(args.device)
    before = start_of_peak(device)
    loop = loop_of(name, folder, args)
    drawn = len(loop.method.draw(loop.labels, np.random.default_rng(0)))
    if not drawn:
        return Cost([], 0, 0.0)
    for epoch in range(MIDDLE + 1):
        loop.state.epoch = epoch
        loop.method.start_epoch(epoch)
        loop.trainee.train()
        for turn in range(2):
            step(loop, turn)
    memory = peak(device) - before

    other = loop_of("ce", folder, args)
    other.state.epoch = MIDDLE
    other.trainee.train()
    ratios = []
    for turn in range(-2, args.steps):
        pair = [(0, loop), (1, other)] if turn % 2 else [(1, other), (0, loop)]  # neither always goes first
        spent = dict.fromkeys((0, 1), 0.0)
        for place, each in pair:
            begin = time.perf_counter()
            step(each, turn + 4)
            if device.type == "cuda":
                torch.cuda.synchronize()
            spent[place] = time.perf_counter() - begin
        if turn >= 0:  # the first two pairs warm up
            ratios.append(spent[0] / spent[1])
    return Cost(ratios, memory, drawn / len(loop.labels))


def step(loop: Loop, turn: int) -> None:
    """The step that a run would make there, on another batch of the epoch each time."""
    epoch, size = loop.state.epoch, loop.config.batch_size
    order = loop.method.draw(loop.labels, np.random.default_rng([0, epoch, turn]))
    rows = order[:size]
    unlabelled = next(loop._unlabelled([rows], 0))
    loop.step(rows, rows, loop.train.gather(rows), epoch + 0.5, turn, unlabelled)


def start_of_peak(device: torch.device) -> int:
    """Bytes in use now; the peak is counted from here."""
    if device.type == "cuda":
        torch.zeros(1, device=device)
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device)
    try:
        CLEAR.write_text("5")  # Linux: sets the peak back to what is resident now
        return status("VmRSS")
    except OSError:
        return peak(device)


def peak(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if STATUS.exists():
        return status("VmHWM")
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def status(key: str) -> int:
    """A size of this process that Linux tells, in bytes."""
    found = next(text for text in STATUS.read_text().splitlines() if text.startswith(key))
    return int(found.split()[1]) * 1024


if __name__ == "__main__":
    sys.exit(main())
