"""Smaller numbers in an ONNX file: float16, or int8 with ranges measured on faces.

    half = to_fp16(data)
    small = to_int8(data, batches)               # batches of faces (n, S, S, 3), uint8 RGB

int8 is static: weights get a scale per channel, activations a range that is measured once, on faces of the training split (Jacob et al.,
"Quantization and training of neural networks for efficient integer-arithmetic-only inference", CVPR 2018). The range leaves out the
farthest value of ten thousand: a few of them would take most of it, and the decisions for rare classes pay for that. The normalisation
before the first convolution and all that follows the last grid (pool, head, maps, softmax) stay in float32: they cost next to nothing.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from evenface.export.graph import quiet
from evenface.runtimes.onnx_runtime import to_input


PERCENTILE = 99.99  # of the values of an activation, that its range holds


def to_fp16(data: bytes) -> bytes:
    """The file with weights and arithmetic in float16; its input and outputs stay float32."""
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    with quiet():
        proto = convert_float_to_float16(onnx.load_from_string(data), keep_io_types=True)
    found: bytes = proto.SerializeToString()
    return found


def to_int8(data: bytes, batches: Iterable[np.ndarray]) -> bytes:
    """The file with int8 weights and activations between quantize and dequantize nodes (QDQ).

    Args:
        batches: faces (n, S, S, 3), uint8 RGB, that the ranges are measured on; ONNX Runtime wants the same n for all of them.
    """
    import onnx
    from onnxruntime import quantization

    proto = onnx.shape_inference.infer_shapes(onnx.load_from_string(data))
    onnx.helper.set_model_props(proto, {"onnx.quant.pre_process": "onnxruntime.quant"})  # or it logs a piece of advice that was followed
    chatter = contextlib.redirect_stdout(io.StringIO())  # ONNX Runtime prints its progress
    with tempfile.TemporaryDirectory() as folder, quiet(), chatter:
        out = Path(folder) / "int8.onnx"
        quantization.quantize_static(
            proto,
            out,
            _Reader(batches),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            calibrate_method=quantization.CalibrationMethod.Percentile,
            extra_options={"CalibPercentile": PERCENTILE},
            nodes_to_exclude=in_float(proto),
        )
        return out.read_bytes()


def in_float(proto: Any) -> list[str]:
    """The nodes that stay in float32: those that no convolution comes before, and those after the last grid.

    The last grid is what the class maps are computed from; every node that leads from it to an output follows it.
    """
    after: set[str] = set()
    before: set[str] = {each.name for each in proto.graph.input}
    early = []
    for node in proto.graph.node:
        if node.op_type != "Conv" and before.intersection(node.input):
            before.update(node.output)
            early.append(node.name)
    wanted = {each.name for each in proto.graph.output}
    late = []
    for node in reversed(proto.graph.node):
        if wanted.intersection(node.output) or after.intersection(node.output):
            late.append(node.name)
            if node.op_type not in ("Conv", "ReduceMean", "GlobalAveragePool"):
                after.update(node.input)
    return early + late


class _Reader:
    """The faces as ONNX Runtime's calibration asks for them; a `CalibrationDataReader` by its methods."""

    def __init__(self, batches: Iterable[np.ndarray]) -> None:
        self._inputs: Iterator[dict[str, np.ndarray]] = ({"faces": to_input(faces)} for faces in batches)

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._inputs, None)
