"""What may stand in the way of evenface on this machine, a finding per matter, each with a way out.

    evenface doctor
    evenface doctor --format json

Nothing here raises: what is broken becomes a finding. torch and torchvision are first imported in a child process, because a pair that does
not fit can raise, and even crash, while it is imported. `lightning` is looked up and never imported: two of its releases ran foreign code.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement
from packaging.version import InvalidVersion, Version

from evenface.paths import cache_folder
from evenface.wording import counted


Status = Literal["ok", "warn", "fail"]

COMPROMISED = {"lightning": ("2.6.2", "2.6.3")}  # 30 April 2026
REINSTALL_PAIR = "install both plainly from the index, with no other source: pip install --force-reinstall torch torchvision"
PROBE = """
import torch; print(torch.__version__)
import torchvision; torchvision.ops.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
"""
PROBE_SECONDS = 180
MIN_PYTHON = "3.11"

GB = 1 << 30
CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: what was found, and what to do about it where something should be done."""

    name: str
    status: Status
    detail: str
    way_out: str = ""

    def __post_init__(self) -> None:
        assert self.status in ("ok", "warn", "fail"), self.status
        assert self.status == "ok" or self.way_out, f"'{self.name}' names no way out"

    def to_dict(self) -> dict[str, str]:
        return asdict(self)


def examine() -> list[Finding]:
    """Look at everything, in the order in which one thing needs another; takes some seconds, most of them to import torch twice."""
    probe = torch_pair()
    findings = [python_version(), *packages(), *compromised(), *extras(), probe]
    if probe.status != "fail" or _torch_imports():
        findings += [*devices(), threads(), precision()]
    return [*findings, *memory(), *disk_and_caches()]


def python_version() -> Finding:
    version = platform.python_version()
    detail = f"{version} at {sys.executable}"
    if Version(version.rstrip("+")) < Version(MIN_PYTHON):
        return Finding("python", "fail", detail, f"evenface needs Python {MIN_PYTHON} or newer; make an environment with one")
    return Finding("python", "ok", detail)


# Packages


def packages() -> Iterator[Finding]:
    """evenface and what it needs, each against the lower bound in the package's own metadata."""
    try:
        yield Finding("evenface", "ok", metadata.version("evenface"))
    except metadata.PackageNotFoundError:
        way_out = "install it: pip install -e . in the repository, or pip install evenface"
        yield Finding("evenface", "warn", "runs from its source files, not installed, so its requirements are not known", way_out)
        return
    for requirement in _requirements():
        if _applies(requirement):
            yield check_requirement(requirement, installed_version(requirement.name))


def check_requirement(requirement: Requirement, installed: str | None) -> Finding:
    """The finding for one requirement, given the version that is installed (None: it is not)."""
    wanted = f"{requirement.name}{requirement.specifier}"
    way_out = f"pip install '{wanted}'"
    if installed is None:
        return Finding(requirement.name, "fail", f"not installed, {requirement.specifier or 'any version'} is needed", way_out)
    try:
        base = Version(installed).base_version  # 2.6.0a0+nv25.1, as a vendor builds it, counts as 2.6.0
    except InvalidVersion:
        return Finding(requirement.name, "warn", f"cannot read the version '{installed}'", way_out)
    if not requirement.specifier.contains(base):
        return Finding(requirement.name, "fail", f"{installed}, {requirement.specifier} is needed", way_out)
    return Finding(requirement.name, "ok", f"{installed} ({requirement.specifier})")


def compromised() -> Iterator[Finding]:
    """Releases that carried foreign code; nothing is said where none is installed."""
    for name, versions in COMPROMISED.items():
        installed = installed_version(name)
        if installed in versions:
            way_out = (
                f"pip uninstall {name}, then change every password and token that this machine holds; releases from 2.6.4 on are sound"
            )
            yield Finding(name, "fail", f"{installed} is a compromised release", way_out)


def extras() -> Iterator[Finding]:
    """The optional features, one finding each; an absent one is no fault."""
    optional = [requirement for requirement in _requirements() if not _applies(requirement)]
    for extra in sorted(set(_extras()) - {"dev"}):
        absent = [
            requirement.name for requirement in optional if _applies(requirement, extra) and installed_version(requirement.name) is None
        ]
        if absent:
            yield Finding(
                f"extra {extra}", "ok", f"not installed ({', '.join(absent)})", f"if you want it: pip install 'evenface[{extra}]'"
            )
        else:
            yield Finding(f"extra {extra}", "ok", "installed")


def installed_version(name: str) -> str | None:
    """The version of a distribution, read from its metadata without an import; None where it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _requirements() -> list[Requirement]:
    try:
        return [Requirement(line) for line in metadata.requires("evenface") or []]
    except metadata.PackageNotFoundError:
        return []


def _extras() -> list[str]:
    try:
        return metadata.metadata("evenface").get_all("Provides-Extra") or []
    except metadata.PackageNotFoundError:
        return []


def _applies(requirement: Requirement, extra: str = "") -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


# torch and torchvision as a pair


def torch_pair(code: str = PROBE) -> Finding:
    """Import torch and torchvision, and call one compiled operator, in a child process; a crash there is a finding here."""
    name = "torch + torchvision"
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, errors="replace", timeout=PROBE_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return Finding(name, "warn", f"importing them took more than {PROBE_SECONDS} s", "try again when the machine is less busy")
    except OSError as error:
        return Finding(name, "warn", f"no child process could be started: {error}", "free some memory and try again")
    if done.returncode == 0:
        return Finding(name, "ok", "they fit together")
    return Finding(name, "fail", _why_it_broke(done), REINSTALL_PAIR)


def _why_it_broke(done: subprocess.CompletedProcess[str]) -> str:
    versions = f"torch {installed_version('torch')} and torchvision {installed_version('torchvision')}"
    if done.returncode < 0:
        return f"{versions} crash when imported (signal {-done.returncode})"
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    cause = lines[-1] if lines else f"exit code {done.returncode}"
    if "torchvision::" in cause and "does not exist" in cause:
        return f"{versions} are builds that do not fit together ({cause})"
    culprit = "importing torchvision fails" if done.stdout.strip() else "importing torch fails"
    return f"{versions}: {culprit} ({cause})"


def _torch_imports() -> bool:
    """Whether torch alone can be imported here, once the pair is known to be broken."""
    return torch_pair("import torch").status == "ok"


# Devices


def devices() -> Iterator[Finding]:
    """Each GPU with its name and memory, or the CPU alone with the reason why there is none."""
    import torch

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        available = torch.cuda.is_available()
    if available:
        for index in range(torch.cuda.device_count()):
            yield _cuda_device(index)
    elif Path("/proc/driver/nvidia/version").exists():
        cause = str(caught[0].message).splitlines()[0] if caught else f"torch {torch.__version__} cannot use it"
        yield Finding(
            "cuda", "warn", f"there is an NVIDIA driver, but {cause}", "install a torch whose CUDA fits the driver (nvidia-smi names it)"
        )
    elif torch.backends.mps.is_available():
        yield Finding("mps", "ok", "an Apple GPU")
    else:
        yield Finding("gpu", "ok", "none; training and prediction run on the CPU")


def _cuda_device(index: int) -> Finding:
    """Name and memory, after one small computation: a torch without kernels for this GPU sees it and fails only then."""
    import torch

    name = f"cuda:{index}"
    try:
        properties = torch.cuda.get_device_properties(index)
        torch.ones(8, device=name).sum().item()
        free, total = torch.cuda.mem_get_info(index)
    except Exception as error:
        cause = str(error).splitlines()[0] if str(error) else type(error).__name__
        return Finding(
            name, "fail", f"a small computation on it fails: {cause}", "free the GPU, or install a torch built for it; else --device cpu"
        )
    detail = f"{properties.name}, {free / GB:.1f} of {total / GB:.1f} GB free"
    if free < 2 * GB:
        return Finding(name, "warn", detail, "stop what else runs on it, or use a smaller --batch-size")
    return Finding(name, "ok", detail)


def threads() -> Finding:
    """CPU cores that this process may use, and the threads that torch starts."""
    import torch

    cores = usable_cores()
    count = torch.get_num_threads()
    detail = f"{counted(cores, 'core')}, torch computes with {counted(count, 'thread')}"
    if count > cores:
        return Finding("cpu", "warn", detail, f"more threads than cores slow each other down: export OMP_NUM_THREADS={cores}")
    return Finding("cpu", "ok", detail)


def usable_cores(cpu_max: Path = CGROUP / "cpu.max") -> int:
    """Cores that this process may use: the machine's, less what its affinity or a container's quota (docker --cpus=2) takes away."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = (int(word) for word in cpu_max.read_text(encoding="utf-8").split())
    except (OSError, ValueError):  # no such file, or the word "max"
        return cores
    return min(cores, max(1, round(quota / period)))


def precision() -> Finding:
    """What `--precision auto` takes on the device that `--device auto` takes."""
    from evenface.devices import resolve_device, resolve_precision

    device = resolve_device("auto")
    chosen, reason = resolve_precision("auto", device)
    return Finding("precision", "ok", f"--precision auto takes {chosen} on {device.type}: {reason}")


# Memory and disk


def memory() -> Iterator[Finding]:
    """Memory that a new process can have, and the shared memory through which several processes on GPUs talk."""
    free = available_memory()
    if free is not None:
        detail = f"{free / GB:.1f} GB free"
        if free < 2 * GB:
            yield Finding("memory", "warn", detail, "close other programs, or use a smaller --batch-size and --img-size")
        else:
            yield Finding("memory", "ok", detail)
    shm = Path("/dev/shm")
    if shm.is_dir() and (size := shutil.disk_usage(shm).free) < GB // 2:
        way_out = "give the container more (docker run --shm-size=2g), or run in one process on one GPU"
        yield Finding("shared memory", "warn", f"{size / GB:.2f} GB free, trainings in several processes may die of it", way_out)


def available_memory(meminfo: Path = Path("/proc/meminfo"), cgroup: Path = CGROUP) -> int | None:
    """Bytes that are free, no more than what a container's limit leaves; None where the system does not say."""
    try:
        free = _table(meminfo)["MemAvailable:"] * 1024
    except (OSError, KeyError):
        return None
    try:
        limit, used = (int((cgroup / name).read_text(encoding="utf-8")) for name in ("memory.max", "memory.current"))
        used -= _table(cgroup / "memory.stat").get("inactive_file", 0)  # cached files, given back when memory is short
    except (OSError, ValueError):  # no such file, or the word "max"
        return free
    return min(free, max(limit - used, 0))


def _table(file: Path) -> dict[str, int]:
    """The lines `name number ...` of a file under /proc or /sys."""
    rows = (line.split() for line in file.read_text(encoding="utf-8").splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) >= 2 and row[1].isdecimal()}


def disk_and_caches() -> Iterator[Finding]:
    """Free disk under the working folder, where runs are written, and each cache with where it lies."""
    yield _place("disk", Path.cwd, "where runs are written", "change to a folder that is there")
    caches = {
        "evenface": ("EVENFACE_HOME", cache_folder),
        "torch": ("TORCH_HOME", lambda: _user_cache("TORCH_HOME", "torch")),
        "timm": ("HF_HOME", lambda: _user_cache("HF_HOME", "huggingface")),
    }
    for name, (variable, folder) in caches.items():
        yield _place(f"cache of {name}", folder, f"{variable} moves it", f"set {variable} to a folder that you may write to")


def _user_cache(variable: str, name: str) -> Path:
    return Path(os.environ.get(variable) or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / name)


def _place(name: str, find: Callable[[], Path], note: str, way_out: str) -> Finding:
    """The finding for a folder that may not be there, or whose place nobody knows: the home of a user without an account."""
    try:
        return folder_finding(name, find(), note)
    except (OSError, RuntimeError) as error:
        return Finding(name, "warn", f"the folder ({note}) cannot be found: {error}", way_out)


def folder_finding(name: str, folder: Path, note: str) -> Finding:
    """Free space and the right to write at `folder`, or at its nearest parent that exists.

    Raises:
        NotADirectoryError: that is a file.
    """
    there = folder
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir():
        raise NotADirectoryError(f"{there} is a file")
    try:
        free = shutil.disk_usage(there).free
    except OSError as error:
        return Finding(name, "warn", f"{folder} ({note}) cannot be read: {error}", "choose another folder")
    detail = f"{folder} ({note}), {free / GB:.1f} GB free"
    if not os.access(there, os.W_OK):
        return Finding(name, "warn", f"{detail}, not writable", "choose another folder, or change the rights of this one")
    if free < GB // 5:
        return Finding(name, "fail", detail, "free some space: a checkpoint with its optimizer takes 100 to 300 MB")
    if free < 2 * GB:
        return Finding(name, "warn", detail, "free some space: a run takes about 0.5 GB, pretrained weights up to 0.4 GB each")
    return Finding(name, "ok", detail)
