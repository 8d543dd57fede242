"""An ONNX file as OpenVINO's pair of files, `.xml` (the graph and our metadata) and `.bin` (the weights).

xml, weights = openvino_bytes(data, texts, precision="fp32")
xml, weights = openvino_bytes(data, texts, precision="int8", batches=batches)
"""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from evenface.errors import MissingExtra
from evenface.export.graph import quiet
from evenface.runtimes.onnx_runtime import to_input
from evenface.runtimes.openvino_runtime import RT_INFO, load_openvino


def openvino_bytes(
    data: bytes, texts: Mapping[str, str], *, precision: str, batches: Iterable[np.ndarray] | None = None
) -> tuple[bytes, bytes]:
    """The contents of the `.xml` and of the `.bin`.

    Args:
        data: an ONNX file in float32.
        texts: metadata; see `evenface.runtimes.metadata`.
        precision: fp32; fp16, weights only, which OpenVINO computes with as the device likes; int8 by NNCF.
        batches: for int8, faces (n, S, S, 3), uint8 RGB, that the ranges are measured on.

    Raises:
        MissingExtra: openvino, or nncf for int8, is not installed.
    """
    openvino = load_openvino()
    with tempfile.TemporaryDirectory() as folder, quiet():
        model = openvino.Core().read_model(data)
        if precision == "int8":
            try:
                import nncf
            except ImportError as error:
                raise MissingExtra("--format openvino --precision int8", "openvino") from error
            inputs = [{"faces": to_input(faces[i : i + 1])} for faces in batches or () for i in range(len(faces))]
            nncf.set_log_level(40)  # errors only
            with contextlib.redirect_stdout(io.StringIO()):  # it draws progress bars
                model = nncf.quantize(
                    model,
                    nncf.Dataset(inputs),
                    preset=nncf.QuantizationPreset.MIXED,  # activations with an offset: after a ReLU they are not symmetric
                    subset_size=len(inputs),
                )
        for name, text in texts.items():
            model.set_rt_info(text, [RT_INFO, name])
        path = Path(folder) / "model.xml"
        openvino.save_model(model, path, compress_to_fp16=precision == "fp16")
        return path.read_bytes(), path.with_suffix(".bin").read_bytes()
