"""What a training step costs on this machine: a few real ones of plain cross-entropy on random faces, in seconds.

Probe().seconds_per_face(config)        # of a training step with one view; the same model and size is tried once
"""

from __future__ import annotations

import io
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from evenface.data.manifest import build
from evenface.labels import BASIC
from evenface.training.config import TrainConfig


_SECONDS = 3.0  # enough once so much was timed
_STEPS = 8  # or so many steps
_CPU_BATCH = 8  # a processor is busy with few faces, and a large network at full size would take minutes


class Probe:
    """Tries each network once."""

    def __init__(self) -> None:
        self._found: dict[tuple[Any, ...], float] = {}
        self.spent = 0.0
        """Seconds that all of it took."""

    def seconds_per_face(self, config: TrainConfig) -> float:
        """Of a step with one view, at the config's model, size, precision and device; times the threads on a processor: core-seconds.

        Raises:
            ModelError, ConfigError, DeviceError: what a training would raise.
        """
        key = (config.model, config.img_size, config.batch_size, config.precision, config.device)
        if key not in self._found:
            began = time.monotonic()
            with tempfile.TemporaryDirectory() as folder:
                self._found[key] = _measured(config, Path(folder))
            self.spent += time.monotonic() - began
        return self._found[key]


def _measured(config: TrainConfig, folder: Path) -> float:
    import torch

    from evenface.devices import resolve_device
    from evenface.training.run import assemble

    device = resolve_device(config.device)
    batch = min(config.batch_size, _CPU_BATCH) if device.type == "cpu" else config.batch_size
    _faces(batch, config.img_size).save(folder / "random.parquet")
    kept = ("model", "img_size", "precision", "device", "optimizer", "hflip", "erase", "jitter", "rotate", "scale", "shift", "noise")
    settings: dict[str, Any] = {name: getattr(config, name) for name in kept}
    data = str(folder / "random.parquet")
    loop = assemble(TrainConfig(dataset="manifest", data_dir=data, batch_size=batch, output=str(folder / "run"), workers=1, **settings))
    loop.trainee.train()
    rows = np.arange(batch)
    timed: list[float] = []
    while len(timed) <= _STEPS and (len(timed) < 2 or sum(timed[1:]) < _SECONDS):  # the first one warms up
        began = time.perf_counter()
        loop.step(rows, rows, loop.train.gather(rows), 0.5, len(timed), None)
        if device.type == "cuda":
            torch.cuda.synchronize()
        timed.append(time.perf_counter() - began)
    return float(np.median(timed[1:])) / batch * (torch.get_num_threads() if device.type == "cpu" else 1)


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
