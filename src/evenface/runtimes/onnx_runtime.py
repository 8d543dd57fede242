"""ONNX Runtime on a file of `evenface export`, on the CPU, without torch.

runtime = OnnxRuntime("model.onnx")
runtime.metadata["class_names"]
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from evenface.errors import MissingExtra, ModelError


OUTPUTS = ("logits", "probabilities", "maps")


class OnnxRuntime:
    """See `evenface.runtimes.Runtime`.

    Args:
        source: a file, or the bytes of one.
        threads: that it computes with; None for a thread per core. OMP_NUM_THREADS means nothing to it.

    Raises:
        MissingExtra: onnxruntime is not installed.
        ModelError: the file cannot be read, or has other inputs and outputs than ours.
    """

    name = "onnx"

    def __init__(self, source: str | os.PathLike[str] | bytes, *, threads: int | None = None) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise MissingExtra("--runtime onnx", "onnx") from error

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors only
        options.intra_op_num_threads = threads or 0
        given: Any = source if isinstance(source, bytes) else os.fspath(source)
        what = "The ONNX file" if isinstance(source, bytes) else str(given)
        try:
            self._session = onnxruntime.InferenceSession(given, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its errors have no common base but Exception
            raise ModelError(f"{what} cannot be read by ONNX Runtime ({_first_line(error)}); export it again.") from error
        names = {each.name for each in self._session.get_outputs()}
        if [each.name for each in self._session.get_inputs()] != ["faces"] or names != set(OUTPUTS):
            raise ModelError(f"{what} is no model of `evenface export`, which takes faces and gives {', '.join(OUTPUTS)}.")
        self.metadata: dict[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)

    def logits(self, faces: np.ndarray) -> np.ndarray:
        return self.answer(faces, ["logits"])["logits"]

    def maps(self, faces: np.ndarray) -> np.ndarray:
        return self.answer(faces, ["maps"])["maps"]

    def answer(self, faces: np.ndarray, outputs: Sequence[str] = OUTPUTS) -> dict[str, np.ndarray]:
        """Those outputs of the file, float32; `probabilities` are softmax(logits / temperature), the prior "model"."""
        return dict(zip(outputs, self._session.run(list(outputs), {"faces": to_input(faces)}), strict=True))


def to_input(faces: np.ndarray) -> np.ndarray:
    """Faces (n, S, S, 3), uint8 RGB -> what an exported file takes: (n, 3, S, S), float32 RGB in [0, 1]."""
    return np.ascontiguousarray(faces.transpose(0, 3, 1, 2), dtype=np.float32) / np.float32(255)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0].strip().rstrip(".") if str(error).strip() else type(error).__name__
