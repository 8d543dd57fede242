"""What a training step costs on this machine: a few real ones of plain cross-entropy on random faces, in seconds.

Probe().seconds_per_face(config)        # of a training step with one view; the same model and size is tried once
"""

from __future__ import annotations

import dataclasses
import io
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from evenface.data.manifest import build
from evenface.data.views import Augmentation
from evenface.labels import BASIC
from evenface.training.config import TrainConfig


_SECONDS = 3.0  # enough once so much was timed
_STEPS = 8  # or so many steps
_FEW = 8  # faces; a large network on a processor would take minutes over a whole batch
_FAST = 0.3  # seconds for those: whole batches can be afforded


class Probe:
    """Tries each network once."""

    def __init__(self) -> None:
        self._found: dict[tuple[Any, ...], float] = {}
        self.spent = 0.0
        """Seconds that all of it took."""

    def seconds_per_face(self, config: TrainConfig) -> float:
        """Of a step with one view, at the config's model, size, precision and device; on a processor the time of all cores together.

        Raises:
            ModelError, ConfigError, DeviceError: what a training would raise.
        """
        key = (config.model, config.img_size, config.batch_size, config.precision, config.device, config.rand_augment)
        if key not in self._found:
            began = time.monotonic()
            threads = torch.get_num_threads()
            torch.set_num_threads(1)  # several wait for one another on a busy machine, and waiting counts as work
            try:
                with tempfile.TemporaryDirectory() as folder:
                    self._found[key] = _measured(config, Path(folder))
            finally:
                torch.set_num_threads(threads)
            self.spent += time.monotonic() - began
        return self._found[key]


def _measured(config: TrainConfig, folder: Path) -> float:
    from evenface.devices import resolve_device
    from evenface.training.run import assemble

    device = resolve_device(config.device)
    cpu = device.type == "cpu"
    _faces(config.batch_size, config.img_size).save(folder / "random.parquet")
    pictures = [field.name for field in dataclasses.fields(Augmentation)]
    network = ("model", "img_size", "batch_size", "precision", "device", "optimizer")
    settings: dict[str, Any] = {name: getattr(config, name) for name in (*network, *pictures)}
    loop = assemble(
        TrainConfig(dataset="manifest", data_dir=str(folder / "random.parquet"), output=str(folder / "run"), workers=1, **settings)
    )
    loop.trainee.train()
    number = 0

    def seconds(count: int) -> float:
        nonlocal number
        rows = np.arange(count)
        clock = time.process_time if cpu else time.perf_counter  # what else the machine does at the time is no part of it
        began = clock()
        loop.step(rows, rows, loop.train.gather(rows), 0.5, number, None)
        if device.type == "cuda":
            torch.cuda.synchronize()
        number += 1
        return clock() - began

    few = min(config.batch_size, _FEW)
    seconds(few)  # warms up
    batch = config.batch_size if not cpu or seconds(few) < _FAST else few
    timed: list[float] = []
    while len(timed) < _STEPS and sum(timed) < _SECONDS:
        timed.append(seconds(batch))
    return float(np.median(timed)) / batch


def _faces(count: int, size: int) -> Any:
    """Noise under all class names: a manifest with `count` training faces (or a face per class)."""
    random = np.random.default_rng(0)
    columns: dict[str, list[Any]] = {"id": [], "split": [], "label": [], "image": []}
    for split, n in (("train", max(count, len(BASIC))), ("validation", len(BASIC))):
        for i in range(n):
            file = io.BytesIO()
            Image.fromarray(random.integers(0, 256, (size, size, 3), dtype=np.uint8)).save(file, "PNG")
            values = {"id": f"{split}-{i}", "split": split, "label": BASIC[i % len(BASIC)], "image": file.getvalue()}
            for name, value in values.items():
                columns[name].append(value)
    return build(columns, BASIC, name="random")
