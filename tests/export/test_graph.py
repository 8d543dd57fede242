"""The graph that is exported: the outputs are the model's, for any batch; nothing of this machine stands in the file."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from evenface.errors import MissingExtra, ModelError
from evenface.export import graph
from evenface.labels import BASIC
from evenface.model_folder import load_model
from evenface.models.classifier import build_classifier
from evenface.models.networks import KINDS, build_network
from evenface.runtimes.onnx_runtime import OnnxRuntime

from .conftest import SIZE, TEMPERATURE, by_hand, noise


def softened(logits: np.ndarray, temperature: float) -> np.ndarray:
    """softmax(z / T), row by row."""
    powers = [[math.exp(v / temperature) for v in row - row.max()] for row in logits.astype(np.float64)]
    return np.array([[p / sum(row) for p in row] for row in powers])


@pytest.mark.parametrize("n", [1, 3, 40])
def test_logits_probabilities_and_maps_are_the_models(warm: Path, plain_onnx: bytes, n: int) -> None:
    faces = noise(n)
    logits, maps = by_hand(load_model(warm)[0], faces)
    found = OnnxRuntime(plain_onnx).answer(faces)
    assert {name: value.dtype.name for name, value in found.items()} == dict.fromkeys(("logits", "probabilities", "maps"), "float32")
    assert found["logits"] == pytest.approx(logits, abs=1e-4)
    assert found["maps"] == pytest.approx(maps, abs=1e-4)
    assert found["probabilities"] == pytest.approx(softened(logits, TEMPERATURE), abs=1e-5)


def test_metadata_are_added_and_notes_of_the_exporter_go(plain_onnx: bytes) -> None:
    import onnx

    noted = onnx.load_from_string(plain_onnx)
    entry = noted.graph.node[0].metadata_props.add()
    entry.key, entry.value = "stack_trace", "a folder of mine"
    noted.graph.node[0].doc_string = "a folder of mine"
    data = graph.with_metadata(noted.SerializeToString(), {"model": "warm", "size": "32"})
    assert b"a folder of mine" not in data
    assert OnnxRuntime(data).metadata == {"model": "warm", "size": "32"}


def test_a_network_that_no_exporter_takes_is_told(warm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxscript")

    def fail(*_: object) -> bytes:
        raise ValueError("cannot trace\nsecond line")

    monkeypatch.setattr(graph, "_by_dynamo", fail)
    model = load_model(warm)[0]
    assert OnnxRuntime(graph.onnx_bytes(model, 1.0, SIZE)).logits(noise(1)).shape == (1, 7)  # the older exporter stands in
    monkeypatch.setattr(graph, "_by_tracer", fail)
    with pytest.raises(ModelError, match=r"'linear' on test_resnet cannot be exported \(cannot trace\)"):
        graph.onnx_bytes(model, 1.0, SIZE)


def test_a_missing_package_is_named(warm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxscript", None)
    with pytest.raises(MissingExtra, match=r"evenface\[onnx\]"):
        graph.onnx_bytes(load_model(warm)[0], 1.0, SIZE)


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_of_network(kind: str) -> None:
    torch.manual_seed(1)
    assert_same(build_network(kind, "test_resnet", BASIC, 64, {}).eval(), 64)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("dlib_face_resnet_13", 64),
        ("resnet18", 64),
        ("mobilenetv3_small_100", 64),
        ("swin_tiny_patch4_window7_224", 64),
        ("convnext_atto", 64),
    ],
)
def test_backbones(name: str, size: int) -> None:
    torch.manual_seed(1)
    assert_same(build_classifier(name, BASIC, size).eval(), size)


def assert_same(model: torch.nn.Module, size: int) -> None:
    """The new exporter takes the network, and its file says the same for batches of 1 and of 5."""
    pytest.importorskip("onnxscript")
    runtime = OnnxRuntime(graph._by_dynamo(model, 1.0, size))  # type: ignore[arg-type]
    faces = np.random.default_rng(0).integers(0, 256, (5, size, size, 3), dtype=np.uint8)
    logits, maps = by_hand(model, faces)  # type: ignore[arg-type]
    for rows in (slice(0, 1), slice(0, 5)):
        found = runtime.answer(faces[rows])
        assert found["logits"] == pytest.approx(logits[rows], abs=1e-3)
        assert found["maps"] == pytest.approx(maps[rows], abs=1e-2)


@pytest.mark.slow
def test_constants_are_computed_once() -> None:
    """dlib's convolutions stand in the file with their scales multiplied in: no other arithmetic on weights is left."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    proto = onnx.load_from_string(graph._by_dynamo(build_classifier("dlib_face_resnet_13", BASIC, 64).eval(), 1.0, 64))
    assert "Mul" not in {node.op_type for node in proto.graph.node}
