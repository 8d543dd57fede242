"""Devices and precisions: the names, the reasons and the sentences for what this machine does not have."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from evenface import devices
from evenface.devices import bf16_pays, cpu_flags, resolve_device, resolve_precision
from evenface.errors import DeviceError


ZEN4 = "processor\t: 0\nflags\t\t: fpu avx2 avx512f avx512_bf16\n\nprocessor\t: 1\nflags\t\t: fpu\n"
CPU = torch.device("cpu")


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.mark.usefixtures("no_gpu")
def test_auto_is_the_cpu_without_a_gpu() -> None:
    assert resolve_device("auto") == CPU
    assert resolve_device(" CPU ") == CPU


@pytest.mark.usefixtures("two_gpus")
def test_auto_takes_cuda_and_an_index_is_kept() -> None:
    assert resolve_device("auto").type == "cuda"
    assert resolve_device("cuda").type == "cuda"
    assert resolve_device("cuda:1") == torch.device("cuda", 1)


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("name", ["cuda", "cuda:1", "mps"])
def test_an_absent_device_is_one_clear_sentence(name: str) -> None:
    with pytest.raises(DeviceError, match=rf"^Device '{name}' was asked for, but .*; choose --device cpu or auto\.$") as caught:
        resolve_device(name)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("two_gpus")
def test_an_index_beyond_the_last_gpu_says_how_many_there_are() -> None:
    with pytest.raises(DeviceError, match=r"has 2 CUDA device\(s\)"):
        resolve_device("cuda:2")


@pytest.mark.parametrize(("name", "message"), [("cdua", "did you mean 'cuda'"), ("tpu", "Unknown device 'tpu'"), ("cpu:1", "index")])
def test_unknown_devices(name: str, message: str) -> None:
    with pytest.raises(DeviceError, match=message):
        resolve_device(name)


@pytest.mark.parametrize("name", ["cuda:", "cuda:x", "cuda:-1"])
def test_a_bad_index(name: str) -> None:
    with pytest.raises(DeviceError, match="whole number"):
        resolve_device(name)


@pytest.mark.parametrize(
    ("capability", "flags", "pays"),
    [
        ("AVX512", {"avx512f", "avx512_bf16"}, True),
        ("AVX512", {"avx512f", "amx_bf16"}, True),
        ("AVX512", {"avx512f"}, False),
        ("AVX2", {"avx2"}, False),
        ("AVX2", {"avx2", "avx512_bf16"}, False),  # ATEN_CPU_CAPABILITY=avx2, or a torch built without
        ("DEFAULT", set(), False),
    ],
)
def test_bf16_pays_on_a_cpu_only_with_its_instructions(
    capability: str, flags: set[str], pays: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(devices, "cpu_flags", lambda: frozenset(flags))
    answer, reason = bf16_pays(CPU)
    assert answer is pays
    assert reason
    assert resolve_precision("auto", CPU) == ("bf16" if pays else "fp32", reason)
    assert resolve_precision("fp32", CPU)[0] == "fp32"
    forced, why = resolve_precision("BF16", CPU)
    assert forced == "bf16"
    assert ("slow" in why) is not pays


@pytest.mark.parametrize(("capability", "pays"), [((7, 5), False), ((8, 0), True), ((9, 0), True)])
def test_bf16_pays_on_a_gpu_from_ampere_on(capability: tuple[int, int], pays: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert bf16_pays(torch.device("cuda"))[0] is pays


def test_unknown_precision() -> None:
    with pytest.raises(DeviceError, match="did you mean 'bf16'"):
        resolve_precision("bf61", CPU)


def test_cpu_flags_reads_the_first_core(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text(ZEN4)
    assert cpu_flags(tmp_path / "cpuinfo") == {"fpu", "avx2", "avx512f", "avx512_bf16"}
    (tmp_path / "arm").write_text("Features\t: fp asimd bf16\n")
    assert "bf16" in cpu_flags(tmp_path / "arm")
    assert cpu_flags(tmp_path / "none") == frozenset()
