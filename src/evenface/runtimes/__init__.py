"""What computes a model's answers: torch, ONNX Runtime or OpenVINO, behind one small protocol.

    runtime, config, name = open_runtime("runs/x", runtime="auto")
    runtime.logits(faces)                              # uint8 (n, S, S, 3) RGB -> float32 (n, L)

| name | computes | needs |
|---|---|---|
| `torch` | model folders, on any device | torch |
| `onnx` | a folder's `model.onnx` or a `.onnx` file of `evenface export`, on the CPU | the extra `onnx`; no torch |
| `openvino` | a folder's `model.xml` or `model.onnx`, or such a file, on the CPU | the extra `openvino`; no torch |
| `auto` | see `choose` | |
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from evenface import zoo
from evenface.errors import ConfigError, DeviceError, ModelError, unknown_name
from evenface.model_folder import CONFIG, WEIGHTS, ModelConfig, read_config, standing
from evenface.runtimes.metadata import from_metadata


RUNTIMES = ("auto", "torch", "onnx", "openvino")
ONNX, XML = "model.onnx", "model.xml"  # beside config.json in a model folder
CPU_PRECISIONS = ("auto", "fp32", "bf16")


@runtime_checkable
class Runtime(Protocol):
    """A model that is ready to answer.

    A face's answer does not depend on its neighbours in the batch, to some 1e-5.
    """

    name: str

    def logits(self, faces: np.ndarray) -> np.ndarray:
        """Faces (n, S, S, 3), uint8 RGB -> logits (n, L), float32."""
        ...

    def maps(self, faces: np.ndarray) -> np.ndarray:
        """Faces (n, S, S, 3), uint8 RGB -> class maps (n, L, h, w), float32."""
        ...


def open_runtime(
    name: str | os.PathLike[str], *, runtime: str = "auto", device: str = "auto", precision: str = "fp32", threads: int | None = None
) -> tuple[Runtime, ModelConfig, str]:
    """A model made ready, its config, and what it is called.

    Args:
        name: a model folder, a run, the name of a shipped model, or a `.onnx` or `.xml` file of `evenface export`.
        runtime: one of `RUNTIMES`.
        device: for torch; the others compute on the CPU.
        precision: fp32, bf16 or auto, for torch and OpenVINO; an ONNX file has its own.
        threads: that ONNX Runtime and OpenVINO compute with; None leaves it to them. torch has its own setting.

    Raises:
        ConfigError: an unknown runtime, or one that cannot compute this.
        DeviceError: a device that is not there, or not for this runtime.
        MissingExtra: the runtime's package is not installed.
        ModelError: no such model, a broken one, or a file that was exported from other weights than the folder now has, or does not fit
            its metadata.
    """
    if runtime not in RUNTIMES:
        raise ConfigError(unknown_name("runtime", runtime, RUNTIMES))
    path = Path(name)
    if path.suffix in (".onnx", ".xml") and not path.is_dir():
        return _open_file(path, runtime, device, precision, threads)
    folder = zoo.model_path(name)
    config = read_config(folder)
    label = zoo.called(folder)
    chosen = choose(folder, runtime, device, precision)
    if chosen == "torch":
        from evenface.runtimes.torch_runtime import load

        return load(folder, device=device, precision=precision), config, label
    place = standing(folder)
    file = next((place / each for each in ((XML, ONNX) if chosen == "openvino" else (ONNX,)) if (place / each).is_file()), None)
    if file is None:
        raise ModelError(f"{folder} holds no {ONNX}; make it with: evenface export {folder} -o {folder / ONNX}")
    found, about = _on_cpu(chosen, file, device, precision, threads)
    if about.get("weights_sha256") != zoo.sha256_of(place / WEIGHTS):
        raise ModelError(f"{file} was exported from other weights than {WEIGHTS} beside it; export it again, or remove it.")
    _require_fit(found, config, file, CONFIG)
    return found, config, label


def choose(folder: Path, runtime: str, device: str, precision: str = "fp32") -> str:
    """The runtime that "auto" means for a model folder; any other name is given back.

    torch where the folder has no ONNX file, where a GPU is there (or another device than the CPU is asked for), and for bf16, which an
    ONNX file does not know; else onnx if ONNX Runtime is installed, or torch is not; else torch.
    """
    if runtime != "auto":
        return runtime
    if not is_installed("torch"):
        return "onnx"
    if not (standing(folder) / ONNX).is_file() or precision != "fp32" or not is_installed("onnxruntime"):
        return "torch"
    if device.strip().lower() == "auto":
        from evenface.devices import resolve_device

        return "onnx" if resolve_device().type == "cpu" else "torch"
    return "onnx" if device.strip().lower() == "cpu" else "torch"


def is_installed(package: str) -> bool:
    """Whether a package is there, without loading it."""
    return importlib.util.find_spec(package) is not None


def _open_file(path: Path, runtime: str, device: str, precision: str, threads: int | None) -> tuple[Runtime, ModelConfig, str]:
    if not path.is_file():
        raise ModelError(f"There is no file {path}; name one that `evenface export` wrote.")
    if runtime == "torch" or (runtime == "onnx" and path.suffix == ".xml"):
        raise ConfigError(f"The runtime {runtime} cannot compute {path.name}; take --runtime auto.")
    if runtime == "auto":
        runtime = "openvino" if path.suffix == ".xml" or (not is_installed("onnxruntime") and is_installed("openvino")) else "onnx"
    found, about = _on_cpu(runtime, path, device, precision, threads)
    config, label = from_metadata(about, path)
    _require_fit(found, config, path, "its metadata")
    return found, config, label


def _require_fit(runtime: Runtime, config: ModelConfig, file: Path, about: str) -> None:
    """Asks for a black face, of the size and with the classes that the config tells.

    Raises:
        ModelError: the file takes or gives others.
    """
    try:
        shape = runtime.logits(np.zeros((1, config.img_size, config.img_size, 3), dtype=np.uint8)).shape
    except Exception:  # each runtime has its own
        shape = ()
    if shape != (1, len(config.class_names)):
        size = f"{config.img_size} pixels and {len(config.class_names)} classes"
        raise ModelError(f"The numbers in {file} do not fit {about}, which tells of {size}; export it again.")


def _on_cpu(runtime: str, file: Path, device: str, precision: str, threads: int | None) -> tuple[Runtime, dict[str, str]]:
    """The runtime on a file, and the file's metadata."""
    if device.strip().lower() not in ("auto", "cpu"):
        raise DeviceError(f"The runtime {runtime} computes on the CPU; choose --device cpu, or --runtime torch for '{device}'.")
    if precision not in CPU_PRECISIONS:
        raise DeviceError(unknown_name("precision", precision, CPU_PRECISIONS))
    if runtime == "openvino":
        from evenface.runtimes.openvino_runtime import OpenVinoRuntime

        vino = OpenVinoRuntime(file, precision=precision, threads=threads)
        return vino, vino.metadata
    if precision == "bf16":
        raise ConfigError("An ONNX file has the precision that it was exported in; leave --precision out, or take --runtime openvino.")
    from evenface.runtimes.onnx_runtime import OnnxRuntime

    onnx = OnnxRuntime(file, threads=threads)
    return onnx, onnx.metadata
