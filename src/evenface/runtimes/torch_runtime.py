"""torch as a runtime: a classifier on a CPU, a GPU or an Apple GPU.

runtime = TorchRuntime(classifier, device="cuda", precision="bf16")
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from evenface.devices import resolve_device, resolve_precision
from evenface.model_folder import load_model
from evenface.models.classifier import Classifier
from evenface.models.output import Output


class TorchRuntime:
    """See `evenface.runtimes.Runtime`.

    Args:
        model: any kind of `evenface.models.networks`; it is moved to the device.
        device: auto, cpu, cuda, cuda:1 or mps.
        precision: fp32, bf16 or auto; bf16 changes scores in the third digit.

    Raises:
        DeviceError: a device or precision that is not there.
    """

    name = "torch"

    def __init__(self, model: Classifier, *, device: str = "auto", precision: str = "fp32") -> None:
        self.device = resolve_device(device)
        self._bf16 = resolve_precision(precision, self.device)[0] == "bf16"
        self.model = model.to(self.device).eval()
        if self.device.type != "mps":
            self.model = self.model.to(memory_format=torch.channels_last)

    def logits(self, faces: np.ndarray) -> np.ndarray:
        return _numbers(self._answer(faces).logits)

    def maps(self, faces: np.ndarray) -> np.ndarray:
        return _numbers(self._answer(faces).maps)

    @torch.inference_mode()
    def _answer(self, faces: np.ndarray) -> Output:
        pixels = torch.from_numpy(np.ascontiguousarray(faces)).to(self.device)
        x = pixels.permute(0, 3, 1, 2).float().div_(255)  # channels_last in memory
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self._bf16):
            found: Output = self.model(x)
        return found


def load(folder: Path, *, device: str = "auto", precision: str = "fp32") -> TorchRuntime:
    """The runtime of a model folder; see `evenface.model_folder.load_model` for the errors."""
    model, _ = load_model(folder)
    return TorchRuntime(model, device=device, precision=precision)


def _numbers(values: Tensor) -> np.ndarray:
    found: np.ndarray = values.float().cpu().numpy()
    return found
