"""Reads files of network weights, none of which may run code: safetensors, PyTorch checkpoints, numpy pickles and dlib's own format.

    tensors = read_weights(Path("resnet18_msceleb.pth"))      # {"conv1.weight": tensor, ...}

| suffix | read by |
|---|---|
| .safetensors | safetensors |
| .pth .pt .tar .ckpt .bin | `torch.load(weights_only=True)` |
| .pkl | an unpickler that rebuilds numpy arrays and nothing else (the ResNet-50 of VGGFace2 comes as such a file) |
| .dat | `dlib_dat` |
"""

from __future__ import annotations

import pickle
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from evenface.errors import ModelError
from evenface.models.dlib_dat import read_face_network


SUFFIXES = (".safetensors", ".pth", ".pt", ".tar", ".ckpt", ".bin", ".pkl", ".dat")

_CONTAINERS = ("state_dict", "state_dict_backbone", "model_state_dict", "model", "net", "weights")
"""Where checkpoints keep the tensors, beside an epoch, an optimiser and so on; the first one found is taken."""


def read_weights(path: Path) -> dict[str, Tensor]:
    """Name -> tensor, on the CPU, names as in the file (see the module's table for the formats).

    Raises:
        ModelError: no such file, an unknown or broken format, no tensors, or a pickle that asks for anything but arrays.
    """
    if not path.is_file():
        raise ModelError(f"There is no weight file {path}.")
    readers: dict[str, Callable[[Path], Any]] = {".safetensors": _safetensors, ".pkl": _numpy_pickle, ".dat": read_face_network}
    if path.suffix not in SUFFIXES:
        raise ModelError(f"{path} is not a known format of weights; known are {', '.join(SUFFIXES)}.")
    content = readers.get(path.suffix, _torch)(path)
    for name in _CONTAINERS:
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
            break
    tensors = {str(k): v for k, v in content.items() if isinstance(v, Tensor)} if isinstance(content, Mapping) else {}
    if not tensors:
        raise ModelError(f"{path} holds no named tensors, alone or under {', '.join(_CONTAINERS)}.")
    return tensors


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        tensors: dict[str, Tensor] = safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError) as error:
        raise ModelError(f"{path} is not a readable safetensors file: {error}.") from error
    return tensors


def _torch(path: Path) -> Any:
    # Many published checkpoints keep their best accuracy as a numpy number, which torch's list of safe types lacks.
    scalar = np.float64(0).__reduce__()[0]
    numbers: list[Any] = [np.dtype, (scalar, "numpy.core.multiarray.scalar"), (scalar, "numpy._core.multiarray.scalar")]
    numbers += [type(np.dtype(kind)) for kind in (np.float64, np.float32, np.int64)]
    try:
        with torch.serialization.safe_globals(numbers):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        asked = re.search(r"GLOBAL ([\w.]+)", str(error))
        reason = f"it asks for {asked[1]}, and evenface runs no code from a file; save its state_dict alone" if asked else "it is broken"
        raise ModelError(f"{path} cannot be read as a PyTorch checkpoint: {reason}.") from error
    except Exception as error:  # a damaged file raises whatever its bytes happen to spell
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
        raise ModelError(f"{path} cannot be read as a PyTorch checkpoint ({reason}).") from error


class _Refused(Exception):
    pass


def _latin1(text: str, encoding: str = "latin1") -> bytes:
    """What Python 3 writes for bytes in an old pickle, without the other codecs."""
    if encoding != "latin1":
        raise _Refused(f"_codecs.encode to {encoding}")
    return text.encode("latin1")


class _ArraysOnly(pickle.Unpickler):
    """An unpickler that knows the constructors of numpy arrays, and no other name."""

    def find_class(self, module: str, name: str) -> Any:
        allowed: dict[tuple[str, str], Any] = {
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
            ("collections", "OrderedDict"): OrderedDict,
            ("_codecs", "encode"): _latin1,
            ("numpy.core.multiarray", "_reconstruct"): np.zeros(1).__reduce__()[0],
            ("numpy.core.numeric", "_frombuffer"): np.zeros(1).__reduce_ex__(5)[0],
        }
        key = (module.replace("numpy._core", "numpy.core"), name)
        if key not in allowed:
            raise _Refused(f"{module}.{name}")
        return allowed[key]


def _numpy_pickle(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            return _as_tensors(_ArraysOnly(file, encoding="latin1").load())
    except _Refused as error:
        raise ModelError(
            f"{path} is refused: unpickling it would call {error}, and evenface reads only numpy arrays from a pickle."
        ) from error
    except Exception as error:  # a broken pickle raises almost anything
        raise ModelError(f"{path} is not a readable pickle of numpy arrays ({type(error).__name__}: {error}).") from error


def _as_tensors(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {k: _as_tensors(v) for k, v in content.items()}
    if isinstance(content, np.ndarray) and content.dtype.kind in "fiub":
        return torch.from_numpy(np.array(content, dtype=content.dtype.newbyteorder("=")))
    return content
