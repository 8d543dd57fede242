"""float16 and int8: what is made smaller, what stays, and that the answers do."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from evenface.export.quantize import in_float, to_fp16, to_int8
from evenface.model_folder import load_model
from evenface.runtimes.onnx_runtime import OnnxRuntime

from .conftest import by_hand, noise


def test_what_stays_in_float_of_a_graph_by_hand() -> None:
    """faces - sub - conv1 - relu - conv2 (the grid) - [mean - gemm (logits) - div - softmax (probabilities)], [conv3 (maps)]."""
    onnx = pytest.importorskip("onnx")
    nodes = [
        ("Sub", "faces m", "centred"), ("Conv", "centred w1", "c1"), ("Relu", "c1", "r1"), ("Conv", "r1 w2", "grid"),
        ("ReduceMean", "grid", "mean"), ("Gemm", "mean w3", "logits"), ("Div", "logits t", "d"), ("Softmax", "d", "probabilities"),
        ("Conv", "grid w4", "maps"),
    ]  # fmt: skip
    made = [onnx.helper.make_node(kind, given.split(), [out], name=f"n_{out}") for kind, given, out in nodes]

    def value(name: str) -> object:
        return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)

    proto = onnx.helper.make_model(
        onnx.helper.make_graph(made, "g", [value("faces")], [value(n) for n in ("logits", "probabilities", "maps")])
    )
    assert set(in_float(proto)) == {"n_centred", "n_mean", "n_logits", "n_d", "n_probabilities", "n_maps"}


def test_float16_halves_the_weights_and_keeps_the_answers(warm: Path, plain_onnx: bytes) -> None:
    onnx = pytest.importorskip("onnx")
    data = to_fp16(plain_onnx)
    kinds = Counter(tensor.data_type for tensor in onnx.load_from_string(data).graph.initializer if np.prod(tensor.dims) > 16)
    assert set(kinds) == {onnx.TensorProto.FLOAT16}
    assert len(data) < 0.6 * len(plain_onnx)
    faces = noise(40)
    found = OnnxRuntime(data).answer(faces)
    logits, maps = by_hand(load_model(warm)[0], faces)
    assert found["logits"].dtype == np.float32
    assert found["logits"] == pytest.approx(logits, abs=0.02 * float(np.abs(logits).max()))
    assert found["maps"] == pytest.approx(maps, abs=0.02 * float(np.abs(maps).max()))


def test_int8_weights_have_a_scale_per_channel_and_keep_the_answers(warm: Path, plain_onnx: bytes) -> None:
    onnx = pytest.importorskip("onnx")
    data = to_int8(plain_onnx, [noise(32, seed) for seed in range(4)])
    proto = onnx.load_from_string(data)
    sizes = {tensor.name: tensor for tensor in proto.graph.initializer}
    made = {node.output[0]: node for node in proto.graph.node}
    grid_convolutions = [node for node in proto.graph.node if node.op_type == "Conv" and "maps" not in node.output]
    assert grid_convolutions
    for node in grid_convolutions:
        weight = made[node.input[1]]
        assert weight.op_type == "DequantizeLinear"
        assert sizes[weight.input[0]].data_type == onnx.TensorProto.INT8
        assert list(sizes[weight.input[1]].dims) == [sizes[weight.input[0]].dims[0]]
    (head,) = (node for node in proto.graph.node if "logits" in node.output)
    assert sizes[head.input[1]].data_type == onnx.TensorProto.FLOAT
    faces = noise(200, seed=9)
    logits, _ = by_hand(load_model(warm)[0], faces)
    assert (OnnxRuntime(data).logits(faces).argmax(1) == logits.argmax(1)).mean() >= 0.9
