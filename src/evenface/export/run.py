"""The work behind `evenface export`.

    report = export_model("runs/x", "model.onnx")                                       # compared on the run's own validation faces
    report = export_model("model_folder", "small.onnx", precision="int8", dataset="ferplus", data_dir="DIR")

The file is made, run and compared first; only one that agrees gets its name.
"""

from __future__ import annotations

import io
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from evenface import zoo
from evenface.errors import ConfigError, DataError, ModelError
from evenface.export.faces import Faces, FaceSet, calibration_batches, drawn_faces, faces_of, read_set
from evenface.export.graph import exported_program, onnx_bytes, with_metadata
from evenface.export.openvino_file import openvino_bytes
from evenface.export.parity import Exported, Report, compare, require
from evenface.export.quantize import to_fp16, to_int8
from evenface.files import require_writable, write_aside
from evenface.model_folder import WEIGHTS, ModelConfig, load_model, standing
from evenface.models.classifier import Classifier
from evenface.runtimes.metadata import to_metadata
from evenface.runtimes.onnx_runtime import OnnxRuntime, to_input
from evenface.runtimes.openvino_runtime import OpenVinoRuntime
from evenface.runtimes.torch_runtime import TorchRuntime


FORMATS = {"onnx": ".onnx", "openvino": ".xml", "torch-export": ".pt2"}
"""Name -> suffix; OpenVINO's `.xml` has a `.bin` beside it."""
PRECISIONS = ("fp32", "fp16", "int8")
CALIBRATION_FACES = 512


def export_model(
    target: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    format: str = "onnx",
    precision: str = "fp32",
    dataset: str | None = None,
    data_dir: str | None = None,
    calibrate_on: str | None = None,
    calibration_faces: int | None = None,
    seed: int | None = None,
) -> Report:
    """Writes the file, if it says what the model says.

    Args:
        target: a run, a model folder or the name of a shipped model.
        output: the file; its suffix is that of the format.
        format: a key of `FORMATS`.
        precision: one of `PRECISIONS`; torch-export knows fp32 only.
        dataset, data_dir: the faces to compare on (the validation split), by default the run's own; drawn ones where those are not there.
        calibrate_on: for int8, the data set whose training faces the ranges are measured on, in `data_dir`; by default `dataset` or the
            run's own.
        calibration_faces: how many of them; by default `CALIBRATION_FACES`.
        seed: of the choice of these; by default 0.

    Returns:
        What the comparison found; see `evenface.export.parity`.

    Raises:
        ConfigError: a setting that cannot work, or int8 without faces.
        DataError, LabelError: a data set that was named, or int8 needs, and that cannot be read or has other classes.
        MissingExtra: a package of the format is not installed.
        ModelError: no such model, one that cannot be exported, or a file that disagrees with it; nothing is left under its name then.
        StorageError: the file cannot be written.
    """
    output = Path(output)
    _check(output, format, precision, dataset, calibrate_on, calibration_faces, seed)
    require_writable(output.parent)
    folder = zoo.model_path(target)
    model, config = load_model(folder)
    given, lacking = None, "no data set was named"
    try:
        given = read_set(folder, config, dataset or calibrate_on, data_dir)
    except DataError as error:
        if dataset or calibrate_on or data_dir:
            raise
        if precision == "int8":
            raise DataError(
                "int8 is calibrated on the run's training faces, which are not here as they were; say with --data-dir where they lie."
            ) from error
        lacking = "the run's data are not here"
    if precision == "int8" and given is None:
        raise ConfigError("int8 is calibrated on training faces; name a data set with --calibrate-on and --data-dir.")
    sha = zoo.sha256_of(standing(folder) / WEIGHTS)
    texts = to_metadata(config, name=zoo.called(folder), precision=precision, weights_sha256=sha)
    made = _make(model, config, texts, format, precision, given, calibration_faces or CALIBRATION_FACES, seed or 0)
    if given is None:
        faces = drawn_faces(config, lacking)
    elif "validation" not in given.manifest.splits:  # as under --protocol paper; test is left alone
        faces = drawn_faces(config, f"{given.manifest.name} has no validation split")
    else:
        faces = faces_of(given, config, "validation")
    reference = TorchRuntime(load_model(folder)[0], device="cpu")  # anew: what the exporters did to `model` must not matter
    exported = _running(made, format)
    _require_any_batch(exported, faces, f"The network '{model.kind}' on {config.architecture}")
    report = compare(reference, exported, faces, config, torch.get_num_threads())
    require(report, precision)
    for suffix, data in reversed(made.items()):  # the .bin before the .xml that needs it
        write_aside(output.with_suffix(suffix), lambda file, data=data: file.write(data))  # type: ignore[misc]
    return report


def _check(
    output: Path, format: str, precision: str, dataset: str | None, calibrate_on: str | None, count: int | None, seed: int | None
) -> None:
    if format not in FORMATS:
        raise ConfigError(f"--format is one of {', '.join(FORMATS)}, not '{format}'.")
    if precision not in PRECISIONS:
        raise ConfigError(f"--precision is one of {', '.join(PRECISIONS)}, not '{precision}'.")
    if format == "torch-export" and precision != "fp32":
        raise ConfigError(f"--format torch-export knows --precision fp32 only; take onnx or openvino for {precision}.")
    if output.suffix != FORMATS[format] or output.is_dir():
        raise ConfigError(f"-o/--output names a file that ends in {FORMATS[format]} for --format {format}, not {output}.")
    for flag, value in (("--calibrate-on", calibrate_on), ("--calibration-faces", count), ("--seed", seed)):
        if value is not None and precision != "int8":
            raise ConfigError(f"{flag} goes with --precision int8; the others need no calibration.")
    if dataset is not None and calibrate_on is not None and dataset != calibrate_on:
        raise ConfigError("--dataset and --calibrate-on share one --data-dir, so they name the same data set; give one of them.")
    if count is not None and count < 1:
        raise ConfigError(f"--calibration-faces is at least 1, not {count}.")


def _make(
    model: Classifier,
    config: ModelConfig,
    texts: dict[str, str],
    format: str,
    precision: str,
    given: FaceSet | None,
    count: int,
    seed: int,
) -> dict[str, bytes]:
    """The contents of the file, or files, by their suffixes."""
    temperature = 1.0 if config.fitted is None else config.fitted.temperature_only
    if format == "torch-export":
        buffer = io.BytesIO()
        torch.export.save(exported_program(model, temperature, config.img_size), buffer, extra_files=dict(texts))
        return {".pt2": buffer.getvalue()}
    data = onnx_bytes(model, temperature, config.img_size)
    faces = None
    if precision == "int8" and given is not None:
        faces = calibration_batches(given, config, count, seed)
    if format == "openvino":
        xml, weights = openvino_bytes(data, texts, precision=precision, batches=faces)
        return {".xml": xml, ".bin": weights}
    if precision == "fp16":
        data = to_fp16(data)
    elif faces is not None:
        data = to_int8(data, faces)
    return {".onnx": with_metadata(data, texts)}


def _require_any_batch(exported: Exported, faces: Faces, network: str) -> None:
    """Raises ModelError where the file does not run, or only on as many faces as it was traced with."""
    try:
        for size in (1, 3):
            exported.answer(faces.take(np.arange(size) % len(faces)))
    except Exception as error:  # each runtime has its own
        raise ModelError(
            f"{network} was exported, but the file does not run on batches of any size; use it with --runtime torch."
        ) from error


def _running(made: dict[str, bytes], format: str) -> Exported:
    """The contents, ready to answer, as they will be read."""
    if format == "onnx":
        return OnnxRuntime(made[".onnx"])
    if format == "torch-export":
        return _Program(made[".pt2"])
    with tempfile.TemporaryDirectory() as folder:
        for suffix, data in made.items():
            (Path(folder) / "model").with_suffix(suffix).write_bytes(data)
        return OpenVinoRuntime(Path(folder) / "model.xml")


class _Program:
    """A `.pt2` file that runs."""

    def __init__(self, data: bytes) -> None:
        self._module: Any = torch.export.load(io.BytesIO(data)).module()

    @torch.inference_mode()
    def answer(self, faces: np.ndarray) -> dict[str, np.ndarray]:
        found = self._module(torch.from_numpy(to_input(faces)))
        return {name: value.numpy() for name, value in zip(("logits", "probabilities", "maps"), found, strict=True)}
