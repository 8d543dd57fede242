"""From a classifier to a graph that stands alone: normalisation inside, the calibration's temperature applied, the batch of any size.

    data = onnx_bytes(classifier, temperature=1.3, size=112)
    program = exported_program(classifier, temperature=1.3, size=112)

Input `faces`: float32 (n, 3, S, S), RGB in [0, 1]. Outputs, float32: `logits` (n, L), `probabilities` (n, L) and `maps` (n, L, h, w).
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from evenface.errors import MissingExtra, ModelError
from evenface.models.classifier import Classifier
from evenface.runtimes.onnx_runtime import OUTPUTS


OPSET = 18
_FOLD = 1 << 28  # bytes: constants of any size are computed once, such as dlib's convolutions times their scales


class Answers(nn.Module):
    """A classifier and the temperature of its calibration: faces -> logits, probabilities, maps."""

    def __init__(self, model: Classifier, temperature: float) -> None:
        super().__init__()
        self.model = model
        self.temperature = temperature

    def forward(self, faces: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        out = self.model(faces)
        return out.logits, (out.logits / self.temperature).softmax(dim=1), out.maps


def exported_program(model: Classifier, temperature: float, size: int) -> torch.export.ExportedProgram:
    """The graph of torch.export.

    Raises:
        ModelError: torch cannot trace this network.
    """
    whole, faces = Answers(model.cpu().eval(), temperature).eval(), torch.rand(2, 3, size, size)
    try:
        with quiet(), torch.no_grad():
            return torch.export.export(whole, (faces,), dynamic_shapes=({0: torch.export.Dim("n")},))
    except Exception as error:  # torch.export raises what the traced code and its own parts raise
        raise _not_possible(model, error) from error


def onnx_bytes(model: Classifier, temperature: float, size: int) -> bytes:
    """An ONNX file of that graph, without metadata.

    Exported by torch's new exporter (dynamo), by the older tracer for networks that it cannot take.

    Raises:
        MissingExtra: onnx or onnxscript is not installed.
        ModelError: neither exporter can take this network.
    """
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise MissingExtra("evenface export", "onnx") from error
    try:
        return _by_dynamo(model, temperature, size)
    except Exception as first:  # the exporters raise errors of many kinds
        try:
            return _by_tracer(model, temperature, size)
        except Exception:
            raise _not_possible(model, first) from first


def with_metadata(data: bytes, texts: Mapping[str, str]) -> bytes:
    """An ONNX file with these metadata_props, and without what the exporters noted on its nodes (among it paths of this machine)."""
    import onnx

    proto = onnx.load_from_string(data)
    onnx.helper.set_model_props(proto, dict(texts))
    proto.producer_name, proto.doc_string = "evenface", ""
    proto.graph.ClearField("metadata_props")
    for part in (*proto.graph.node, *proto.graph.initializer, *proto.graph.value_info, *proto.graph.input, *proto.graph.output):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    found: bytes = proto.SerializeToString()
    return found


@contextmanager
def quiet() -> Iterator[None]:
    """Without the exporters' warnings and remarks, which are about their own code."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _by_dynamo(model: Classifier, temperature: float, size: int) -> bytes:
    import onnx_ir
    from onnxscript import optimizer

    whole, faces = Answers(model.cpu().eval(), temperature).eval(), torch.rand(2, 3, size, size)
    with quiet(), torch.no_grad():
        program: Any = torch.onnx.export(
            whole,
            (faces,),
            dynamo=True,
            verbose=False,
            input_names=["faces"],
            output_names=list(OUTPUTS),
            dynamic_shapes=({0: torch.export.Dim("n")},),
            opset_version=OPSET,
        )
        if isinstance(next(iter(program.model.graph.inputs)).shape[0], int):  # torch does not mind; it exports what it has traced
            raise ModelError("the batch would have a fixed size")
        optimizer.optimize(program.model, input_size_limit=_FOLD, output_size_limit=_FOLD)
        data: bytes = onnx_ir.to_proto(program.model).SerializeToString()
    return data


def _by_tracer(model: Classifier, temperature: float, size: int) -> bytes:
    whole, faces = Answers(model.cpu().eval(), temperature).eval(), torch.rand(2, 3, size, size)
    buffer: Any = io.BytesIO()
    with quiet(), torch.no_grad():
        torch.onnx.export(
            whole,
            (faces,),
            buffer,
            dynamo=False,
            input_names=["faces"],
            output_names=list(OUTPUTS),
            dynamic_axes={name: {0: "n"} for name in ("faces", *OUTPUTS)},
            opset_version=OPSET,
        )
    data: bytes = buffer.getvalue()
    return data


def _not_possible(model: Classifier, error: Exception) -> ModelError:
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return ModelError(
        f"The network '{model.kind}' on {model.backbone.name} cannot be exported ({reason[:200]}); use it with --runtime torch."
    )
