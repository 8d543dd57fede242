"""The public names: what `__all__` promises is there, what a package re-exports is promised, and importing is cheap."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import evenface


SOURCE = Path(__file__).resolve().parents[1] / "src" / "evenface"
PACKAGES = sorted(
    ".".join(("evenface", *path.parent.relative_to(SOURCE).parts)) for path in SOURCE.rglob("__init__.py") if "__all__" in path.read_text()
)
HEAVY = ("torch", "torchvision", "timm", "kornia", "scipy", "pyarrow", "lightning_fabric", "sklearn", "PIL")


def test_the_package_promises_names() -> None:
    assert "evenface" in PACKAGES
    assert "__version__" in evenface.__all__


@pytest.mark.parametrize("name", PACKAGES)
def test_every_promised_name_is_there(name: str) -> None:
    module = importlib.import_module(name)
    assert len(set(module.__all__)) == len(module.__all__)
    assert not [each for each in module.__all__ if not hasattr(module, each)]
    assert not [each for each in module.__all__ if each.startswith("_") and each != "__version__"]


@pytest.mark.parametrize("name", PACKAGES)
def test_every_re_exported_name_is_promised(name: str) -> None:
    """`from ._x import y as y` is how a name is made public, for readers and for type checkers; `__all__` says the same."""
    module = importlib.import_module(name)
    nodes = ast.walk(ast.parse(Path(str(module.__file__)).read_text()))
    taken = {alias.name for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names if alias.asname == alias.name}
    assert taken <= set(module.__all__)


@pytest.mark.parametrize("module", ["evenface", "evenface.cli.main"])
def test_importing_is_cheap(module: str) -> None:
    """No heavy library comes with the package or with the command line, so that `evenface --help` answers at once."""
    code = f"import sys, {module}; print(*sorted(set(sys.modules) & set({HEAVY!r})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == []


def test_no_module_holds_code_that_runs_at_import() -> None:
    """At the top level of a module: a docstring, imports, definitions, constants; no bare call such as a download or a logging set-up."""
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        if path.name == "__main__.py":
            continue
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
                found.append(f"{path.relative_to(SOURCE)}:{node.lineno}")
    assert not found, found


def test_a_method_is_a_file_and_a_test_of_its_name() -> None:
    from evenface.methods import METHODS

    files = {path.stem for path in (SOURCE / "methods").glob("[!_]*.py")} - {"base", "registry"}
    assert set(METHODS) == files
    tests = {path.stem.removeprefix("test_") for path in (Path(__file__).parent / "methods").glob("test_*.py")}
    assert set(METHODS) <= tests
