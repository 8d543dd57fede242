"""Each finding of the doctor, from made-up machines; the real one only has to answer."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections import namedtuple
from importlib import metadata
from pathlib import Path

import pytest
import torch
from packaging.requirements import Requirement

from evenface import doctor
from evenface.cli import doctor as command
from evenface.doctor import GB, Finding


Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def fitting_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "torch_pair", lambda code="": Finding("torch + torchvision", "ok", "they fit together"))


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args(words)


# The whole


@pytest.mark.usefixtures("fitting_pair")
def test_examine_looks_at_everything(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EVENFACE_HOME", str(tmp_path / "home"))
    findings = {finding.name: finding for finding in doctor.examine()}
    expected = {"python", "torch + torchvision", "cpu", "precision", "disk", "cache of evenface", "cache of torch", "cache of timm"}
    assert expected <= set(findings)
    assert findings["python"].status == "ok"
    assert str(tmp_path / "home") in findings["cache of evenface"].detail
    assert not any("\n" in finding.detail + finding.way_out for finding in findings.values())


def test_a_broken_torch_is_not_imported_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "torch_pair", lambda code="": Finding("torch + torchvision", "fail", "crash", "reinstall"))
    names = {finding.name for finding in doctor.examine()}
    assert "precision" not in names
    assert {"torch + torchvision", "disk"} <= names


def test_a_finding_that_is_not_ok_needs_a_way_out() -> None:
    with pytest.raises(AssertionError, match="no way out"):
        Finding("disk", "fail", "full")


# The command


def test_text_names_status_and_way_out_and_a_failure_leaves_with_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        doctor, "examine", lambda: [Finding("disk", "fail", "0.1 GB free", "free some space"), Finding("cpu", "ok", "2 cores")]
    )
    assert command.run(parsed()) == 1
    out = capsys.readouterr().out
    assert out.splitlines()[0] == "fail  disk  0.1 GB free"
    assert out.splitlines()[1].strip() == "-> free some space"
    assert out.splitlines()[2] == "ok    cpu   2 cores"
    assert "1 failed" in out
    assert "\033" not in out


def test_json_is_json_and_a_warning_is_no_failure(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(doctor, "examine", lambda: [Finding("memory", "warn", "1.0 GB free", "close something")])
    assert command.run(parsed("--format", "json")) == 0
    assert json.loads(capsys.readouterr().out) == {
        "schema_version": 1,
        "ok": True,
        "findings": [{"name": "memory", "status": "warn", "detail": "1.0 GB free", "way_out": "close something"}],
    }


# Packages


@pytest.mark.parametrize(
    ("installed", "status"),
    [("2.6", "ok"), ("2.15.0+cpu", "ok"), ("2.6.0a0+nv25.1", "ok"), ("2.5.1", "fail"), ("10.0", "ok"), (None, "fail"), ("odd", "warn")],
)
def test_requirements(installed: str | None, status: str) -> None:
    finding = doctor.check_requirement(Requirement("torch>=2.6"), installed)
    assert finding.status == status
    assert finding.way_out == ("" if status == "ok" else "pip install 'torch>=2.6'")


@pytest.mark.parametrize(("version", "bad"), [("2.6.2", True), ("2.6.3", True), ("2.6.4", False), (None, False)])
def test_compromised_releases_are_found(version: str | None, bad: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "installed_version", lambda name: version)
    findings = list(doctor.compromised())
    assert len(findings) == bad
    assert all(finding.status == "fail" and "uninstall" in finding.way_out for finding in findings)


def test_extras_are_told_present_or_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["torch>=2.6", 'tensorboard>=2; extra == "tensorboard"', 'gone==1; extra == "faces"', 'pytest; extra == "dev"']
    monkeypatch.setattr(doctor, "_requirements", lambda: [Requirement(line) for line in lines])
    monkeypatch.setattr(doctor, "_extras", lambda: ["tensorboard", "faces", "dev"])
    monkeypatch.setattr(doctor, "installed_version", lambda name: None if name == "gone" else "2.1")
    faces, board = doctor.extras()
    assert (faces.name, faces.status, faces.detail) == ("extra faces", "ok", "not installed (gone)")
    assert faces.way_out == "if you want it: pip install 'evenface[faces]'"
    assert (board.name, board.detail, board.way_out) == ("extra tensorboard", "installed", "")


def test_from_source_files_without_an_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    for function in ("version", "requires", "metadata"):
        monkeypatch.setattr(metadata, function, absent)
    (finding,) = doctor.packages()
    assert finding.status == "warn"
    assert list(doctor.extras()) == []


# torch and torchvision, in a real child process


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("raise RuntimeError('operator torchvision::nms does not exist')", "builds that do not fit together"),
        ("print(1); raise ImportError('undefined symbol')", "importing torchvision fails (ImportError: undefined symbol)"),
        ("raise ModuleNotFoundError('No module named torch')", "importing torch fails"),
        ("import os; os.abort()", "crash when imported (signal 6)"),
    ],
)
def test_a_pair_that_does_not_fit_is_a_finding(code: str, expected: str) -> None:
    if "abort" in code and sys.platform == "win32":
        pytest.skip("no signals on Windows")
    finding = doctor.torch_pair(code)
    assert finding.status == "fail"
    assert expected in finding.detail
    assert "pip install --force-reinstall torch torchvision" in finding.way_out


def test_a_pair_that_fits() -> None:
    assert doctor.torch_pair("print('fine')").status == "ok"


def test_a_pair_that_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "PROBE_SECONDS", 0.2)
    assert doctor.torch_pair("import time; time.sleep(60)").status == "warn"


# Devices


def test_a_gpu_that_computes_is_named_and_one_that_fails_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    properties = namedtuple("Properties", "name")("GPU X")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: properties)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda index: ((40 - 39 * index) * GB, 80 * GB))
    monkeypatch.setattr(torch, "ones", lambda size, device: torch.zeros(size))
    first, second = doctor.devices()
    assert (first.status, first.detail) == ("ok", "GPU X, 40.0 of 80.0 GB free")
    assert second.status == "warn"

    def broken(size: int, device: str) -> None:
        raise RuntimeError("CUDA error: no kernel image is available\nmore lines")

    monkeypatch.setattr(torch, "ones", broken)
    first, _ = doctor.devices()
    assert first.status == "fail"
    assert first.detail.endswith("no kernel image is available")


def test_more_threads_than_cores_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 10_000)
    finding = doctor.threads()
    assert finding.status == "warn"
    assert "OMP_NUM_THREADS" in finding.way_out


def test_usable_cores_knows_a_quota(tmp_path: Path) -> None:
    cores = doctor.usable_cores(tmp_path / "none")
    assert 1 <= cores <= (os.cpu_count() or 1)
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    assert doctor.usable_cores(tmp_path / "cpu.max") == 1
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert doctor.usable_cores(tmp_path / "cpu.max") == cores


# Memory and disk


def test_available_memory_is_the_smaller_of_machine_and_container(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:       24000000 kB\nMemAvailable:    8000000 kB\nHugePages_Total:       0\n")
    assert doctor.available_memory(meminfo, tmp_path) == 8_000_000 * 1024
    (tmp_path / "memory.max").write_text("2000000000\n")
    (tmp_path / "memory.current").write_text("1500000000\n")
    (tmp_path / "memory.stat").write_text("anon 900000000\ninactive_file 600000000\n")
    assert doctor.available_memory(meminfo, tmp_path) == 1_100_000_000
    (tmp_path / "memory.max").write_text("max\n")
    assert doctor.available_memory(meminfo, tmp_path) == 8_000_000 * 1024
    assert doctor.available_memory(tmp_path / "none", tmp_path) is None


@pytest.mark.parametrize(("gigabytes", "status"), [(1, "warn"), (3, "ok")])
def test_little_memory_is_a_warning(gigabytes: int, status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "available_memory", lambda: gigabytes * GB)
    assert next(doctor.memory()).status == status


@pytest.mark.parametrize(("free", "status"), [(GB // 10, "fail"), (GB, "warn"), (10 * GB, "ok")])
def test_little_disk_warns_and_then_fails(free: int, status: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(100 * GB, 0, free))
    assert doctor.folder_finding("disk", tmp_path / "not" / "yet", "here").status == status


def test_a_folder_without_the_right_to_write(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    finding = doctor.folder_finding("disk", tmp_path, "here")
    assert finding.status == "warn"
    assert "not writable" in finding.detail


def test_a_cache_that_cannot_be_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("EVENFACE_HOME", str(tmp_path / "file" / "home"))
    finding = next(finding for finding in doctor.disk_and_caches() if finding.name == "cache of evenface")
    assert finding.status == "warn"
    assert f"{tmp_path / 'file'} is a file" in finding.detail
    assert "EVENFACE_HOME" in finding.way_out


def test_a_working_folder_that_is_gone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    finding = next(doctor.disk_and_caches())
    assert (finding.name, finding.status, finding.way_out) == ("disk", "warn", "change to a folder that is there")


def test_a_user_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("EVENFACE_HOME", "XDG_CACHE_HOME", "HF_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TORCH_HOME", "/")
    monkeypatch.setattr(Path, "home", homeless)
    found = {finding.name: finding for finding in doctor.disk_and_caches()}
    for name, variable in (("evenface", "EVENFACE_HOME"), ("timm", "HF_HOME")):
        assert found[f"cache of {name}"].status == "warn"
        assert found[f"cache of {name}"].way_out == f"set {variable} to a folder that you may write to"
    assert found["cache of torch"].detail.startswith("/ (TORCH_HOME moves it)")


@pytest.mark.slow
def test_the_pair_on_this_machine_fits() -> None:
    assert doctor.torch_pair().status == "ok"
