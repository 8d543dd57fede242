"""OpenVINO on a file of `evenface export` (`.onnx`, or `.xml` with its `.bin`), on the CPU, without torch.

    runtime = OpenVinoRuntime("model.xml", precision="bf16")

OpenVINO's Python package reports each use to its makers as soon as `openvino_telemetry` is installed, and asks nobody. Looking at a face is
no reason to call anyone, so it is loaded here as if that package were missing, which it allows for.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np

from evenface.errors import MissingExtra, ModelError
from evenface.runtimes.onnx_runtime import OUTPUTS, to_input


HINTS = {"fp32": {"INFERENCE_PRECISION_HINT": "f32"}, "bf16": {"INFERENCE_PRECISION_HINT": "bf16"}, "auto": {}}
RT_INFO = "evenface"  # the section of a model's runtime information with our metadata


class OpenVinoRuntime:
    """See `evenface.runtimes.Runtime`.

    Args:
        path: `.onnx` or `.xml`.
        precision: fp32; bf16, for CPUs that have it; auto leaves the choice to OpenVINO. int8 files stay int8.
        threads: that it computes with; None leaves the choice to OpenVINO.

    Raises:
        MissingExtra: openvino is not installed.
        ModelError: the file cannot be read, or has other inputs and outputs than ours.
    """

    name = "openvino"

    def __init__(self, path: str | os.PathLike[str], *, precision: str = "fp32", threads: int | None = None) -> None:
        core = load_openvino().Core()
        limit = {} if threads is None else {"INFERENCE_NUM_THREADS": threads}
        try:
            model = core.read_model(os.fspath(path))
            names = {name for output in model.outputs for name in output.get_names()}
            fits = len(model.inputs) == 1 and "faces" in model.inputs[0].get_names() and set(OUTPUTS) <= names
            if fits:
                self._compiled = core.compile_model(model, "CPU", {"PERFORMANCE_HINT": "LATENCY", **HINTS[precision], **limit})
        except RuntimeError as error:
            raise ModelError(f"{path} cannot be read by OpenVINO; export it again.") from error
        if not fits:
            raise ModelError(f"{path} is no model of `evenface export`, which takes faces and gives {', '.join(OUTPUTS)}.")
        self._own = threading.local()  # a request serves one thread at a time, and making one takes longer than a face
        self.metadata = _onnx_metadata(Path(path)) if Path(path).suffix == ".onnx" else _xml_metadata(model)

    def logits(self, faces: np.ndarray) -> np.ndarray:
        return self.answer(faces)["logits"]

    def maps(self, faces: np.ndarray) -> np.ndarray:
        return self.answer(faces)["maps"]

    def answer(self, faces: np.ndarray) -> dict[str, np.ndarray]:
        """All outputs of the file, float32; `probabilities` are softmax(logits / temperature), the prior "model"."""
        if not hasattr(self._own, "request"):
            self._own.request = self._compiled.create_infer_request()
        found = self._own.request.infer({"faces": to_input(faces)})
        return {name: np.array(found[self._compiled.output(name)], dtype=np.float32) for name in OUTPUTS}


def load_openvino() -> Any:
    """The module `openvino`, loaded without its telemetry.

    Raises:
        MissingExtra: it is not installed.
    """
    silence()
    try:
        import openvino
    except ImportError as error:
        raise MissingExtra("--runtime openvino", "openvino") from error
    return openvino


def silence() -> None:
    """Makes `openvino_telemetry` look as if it were not installed; call it before openvino or nncf is imported."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]


def _xml_metadata(model: Any) -> dict[str, str]:
    if not model.has_rt_info([RT_INFO]):
        return {}
    return {name: value.astype(str) for name, value in model.get_rt_info([RT_INFO]).astype(dict).items()}


def _onnx_metadata(path: Path) -> dict[str, str]:
    """The metadata_props of an ONNX file: field 14 of ModelProto, pairs of key (1) and value (2). Read here: `onnx` may be missing."""
    data = path.read_bytes()
    found = {}
    for number, value in _fields(data):
        if number == 14:
            pair = dict(_fields(value))
            found[pair.get(1, b"").decode()] = pair.get(2, b"").decode()
    return found


def _fields(data: bytes) -> list[tuple[int, bytes]]:
    """The length-delimited fields of a protobuf message."""
    found, at = [], 0
    while at < len(data):
        tag, at = _varint(data, at)
        kind = tag & 7
        if kind == 2:
            length, at = _varint(data, at)
            found.append((tag >> 3, data[at : at + length]))
            at += length
        elif kind == 0:
            _, at = _varint(data, at)
        else:
            at += 8 if kind == 1 else 4
    return found


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 128:
            return value, at
