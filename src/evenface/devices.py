"""Which device and which precision a run uses, each with the reason in words.

    resolve_device("auto")                -> cuda where there is one, else mps, else cpu
    resolve_precision("auto", device)     -> ("bf16" | "fp32", why)

bf16 does not always pay. A CPU without bf16 instructions emulates it, about ten times slower than float32 (ResNet-18, forward and backward
at 64 px on two AVX2-only cores: 9.9 against 89.6 images/s); a CPU with avx512_bf16 is about twice as fast as in float32.
The reasons are strings because they go into the log of a run and into `evenface doctor`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch

from evenface.errors import DeviceError, unknown_name


Precision = Literal["fp32", "bf16"]

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "fp32", "bf16")

CPUINFO = Path("/proc/cpuinfo")


def resolve_device(name: str = "auto") -> torch.device:
    """The device of that name: `auto`, `cpu`, `cuda`, `cuda:1`, `mps`.

    Raises DeviceError for a device that this machine does not have and for a name that nobody knows.
    """
    kind, colon, index = name.strip().lower().partition(":")
    if kind not in DEVICES:
        raise DeviceError(unknown_name("device", name, DEVICES))
    if colon and (kind != "cuda" or not index.isdecimal()):
        raise DeviceError(f"Unknown device '{name}'; an index is a whole number and goes with cuda only, as in cuda:1.")
    if kind == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu")
    if kind == "cuda":
        _require_cuda(name, int(index or 0))
        return torch.device(f"cuda:{int(index)}" if colon else "cuda")
    if kind == "mps" and not torch.backends.mps.is_available():
        raise DeviceError("Device 'mps' was asked for, but this machine has no Apple GPU that torch can use; choose --device cpu or auto.")
    return torch.device(kind)


def _require_cuda(name: str, index: int) -> None:
    if not torch.cuda.is_available():
        cause = "this torch was built without CUDA" if torch.version.cuda is None else "torch finds no CUDA GPU or driver"
        raise DeviceError(f"Device '{name}' was asked for, but {cause}; choose --device cpu or auto.")
    count = torch.cuda.device_count()
    if index >= count:
        raise DeviceError(
            f"Device '{name}' was asked for, but this machine has {count} CUDA device(s), counted from 0; choose one of them."
        )


def resolve_precision(name: str, device: torch.device) -> tuple[Precision, str]:
    """The precision of that name (`auto`, `fp32`, `bf16`) on `device`, and the reason for it.

    `auto` takes bf16 only where it pays. bf16 may be forced anywhere, and the reason then warns. Raises DeviceError for an unknown name.
    """
    key = name.strip().lower()
    if key not in PRECISIONS:
        raise DeviceError(unknown_name("precision", name, PRECISIONS))
    if key == "fp32":
        return "fp32", "asked for"
    pays, reason = bf16_pays(device)
    if key == "bf16":
        return "bf16", f"asked for; {reason}" if pays else f"asked for, though it will be slow: {reason}"
    return ("bf16" if pays else "fp32"), reason


def bf16_pays(device: torch.device) -> tuple[bool, str]:
    """Whether bf16 is faster than float32 on `device`, and why, in a few words without a full stop."""
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        if major >= 8:
            return True, f"the GPU computes bf16 natively (compute capability {major}.{minor})"
        return False, f"the GPU emulates bf16 (compute capability {major}.{minor}; it is native from 8.0)"
    if device.type == "mps":
        return False, "bf16 on Apple GPUs is not measured here, float32 is safe"
    return _bf16_pays_on_cpu(torch.backends.cpu.get_cpu_capability(), cpu_flags())


def _bf16_pays_on_cpu(capability: str, flags: frozenset[str]) -> tuple[bool, str]:
    """`capability` is what torch dispatches to (it honours ATEN_CPU_CAPABILITY), `flags` what the processor says it has."""
    native = [flag for flag in ("amx_bf16", "avx512_bf16") if flag in flags]
    if native and capability.upper().startswith(("AVX512", "AVX10", "AMX")):
        return True, f"the CPU computes bf16 natively ({', '.join(native)})"
    if native:
        return False, f"the CPU has {native[0]} but torch is held to {capability}, which emulates bf16 about ten times slower than fp32"
    if not flags:
        return False, "this system does not say whether the CPU has bf16 instructions, so float32 is the safe choice"
    return False, f"the CPU has no bf16 instructions ({capability}) and emulates bf16 about ten times slower than fp32"


def cpu_flags(cpuinfo: Path = CPUINFO) -> frozenset[str]:
    """The instruction sets that Linux names for the first core; empty on other systems."""
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return frozenset()
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("flags", "Features"):  # x86 and ARM
            return frozenset(value.split())
    return frozenset()


def channels_last_pays(device: torch.device) -> bool:
    """Whether the channels_last memory format is the faster one: on CUDA and on the CPU it is, MPS does not gain."""
    return device.type in ("cuda", "cpu")
