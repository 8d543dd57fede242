"""The tiny model and its ONNX file, and a copy of its folder that holds the file."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ..export.conftest import plain_onnx as plain_onnx
from ..export.conftest import silent as silent
from ..export.conftest import warm as warm
from ..export.conftest import whole_onnx as whole_onnx


@pytest.fixture
def folder(warm: Path, whole_onnx: bytes, tmp_path: Path) -> Path:
    """The model folder with model.onnx in it."""
    copy = tmp_path / "warm"
    shutil.copytree(warm, copy)
    (copy / "model.onnx").write_bytes(whole_onnx)
    return copy
