"""What leaves the repository: the wheel and the tracked files."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib import util
from pathlib import Path

import pyarrow.parquet as pq
import pytest


ROOT = Path(__file__).resolve().parents[1]

# What the wheel may carry beside code. Data and weights that are meant to ship are named here, one by one.
PACKAGE_SUFFIXES = {".py", ".typed", ".yaml", ".html", ".js", ".css", ".svg"}
MEANT = {
    "evenface/pretrained/ferplus-rbf/README.md",
    "evenface/pretrained/ferplus-rbf/card.json",
    "evenface/pretrained/ferplus-rbf/config.json",
    "evenface/pretrained/ferplus-rbf/model.safetensors",
    "evenface/pretrained/ferplus-rbf/notes.md",
    "evenface/methods/costs.json",
    "evenface/faces/mtcnn.safetensors",
    "evenface/faces/mtcnn.LICENSE",
    "evenface/serve/static/example.webp",
}

# Pictures belong into docs/ (drawn, or of synthetic faces); data sets and weights into no commit.
PICTURES = {".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff"}
DATA = {".parquet", ".npy", ".npz", ".pth", ".pt", ".ckpt", ".safetensors", ".onnx", ".pkl", ".zip", ".gz", ".tar", ".whl", ".mp4"}
LARGEST = 1 << 20
MACHINE_PATHS = re.compile(r"(?<![\w.\-~}])/(?:work|root|home|Users)/\w")


def call(*command: str | Path, cwd: Path, **env: str) -> str:
    """The output of a command that must succeed; its whole output is the message where it does not."""
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, env={**os.environ, **env}, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# Tracked files


@pytest.fixture(scope="module")
def tracked() -> list[Path]:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"git cannot list the files: {done.stderr.strip()}")
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_no_tracked_file_names_a_place_on_somebodys_machine(tracked: list[Path]) -> None:
    found = []
    for path in tracked:
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            if MACHINE_PATHS.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:120]}")
    assert not found, "\n".join(found)


def is_answers(path: Path) -> bool:
    """The kept answers of a study: names and flags, and no picture."""
    if path.suffix != ".parquet" or path.parent.name not in ("kept", "docs"):
        return False
    schema = pq.read_schema(path)
    return b"evenface" in (schema.metadata or {}) and all(str(field.type) in ("string", "bool") for field in schema)


def test_no_tracked_file_is_large_a_data_set_or_a_photo(tracked: list[Path]) -> None:
    names = [path.relative_to(ROOT) for path in tracked]
    others = [name for name in names if name.as_posix().removeprefix("src/") not in MEANT and not is_answers(ROOT / name)]
    assert not [name for name in others if (ROOT / name).stat().st_size > LARGEST]
    assert not [name for name in others if name.suffix.lower() in DATA]
    assert not [name for name in others if name.suffix.lower() in PICTURES and name.parts[0] != "docs"]


def test_constraints_are_exact_versions_and_nothing_else() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert not [line for line in lines if not re.fullmatch(r"[A-Za-z0-9_.\-]+==[0-9][0-9A-Za-z.]*", line)]
    names = [normal(line.partition("==")[0]) for line in lines]
    assert names == sorted(set(names))


def test_every_dependency_has_its_exact_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *itertools.chain.from_iterable(project["optional-dependencies"].values()), "editables"]
    wanted = {normal(re.split(r"[><=\[;]", line)[0]) for line in lines}
    fixed = {normal(line.partition("==")[0]) for line in (ROOT / "constraints.txt").read_text().splitlines()}
    assert wanted <= fixed


def normal(name: str) -> str:
    """The name of a distribution as registries compare it."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def test_scripts_can_be_run() -> None:
    scripts = [*(ROOT / "scripts").glob("*"), ROOT / ".ci" / "run"]
    assert {"setup", "test", "check", "demo", "run"} <= {script.name for script in scripts}
    assert not [script.name for script in scripts if not os.access(script, os.X_OK) or not script.read_text().startswith("#!")]


# The wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for module in ("build", "hatchling", "pip"):
        if util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    folder = tmp_path_factory.mktemp("wheel")
    call(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    (path,) = folder.glob("*.whl")
    return path


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/")]
        entry_points = next(archive.read(name).decode() for name in names if name.endswith(".dist-info/entry_points.txt"))
        metadata = next(archive.read(name).decode() for name in names if name.endswith(".dist-info/METADATA"))
    info = wheel.name.split("-py3-")[0] + ".dist-info"
    package = [name for name in names if name.startswith("evenface/")]
    assert {name.partition("/")[0] for name in names} == {"evenface", info}
    assert {"evenface/__init__.py", "evenface/__main__.py", "evenface/py.typed", "evenface/cli/main.py"} <= set(package)
    assert not [name for name in package if Path(name).suffix not in PACKAGE_SUFFIXES and name not in MEANT]
    assert not [name for name in package if "test" in Path(name).parts or "__pycache__" in name]
    assert set(package) == {path.relative_to(ROOT / "src").as_posix() for path in sources()}
    assert "evenface = evenface.cli.main:main" in entry_points
    assert f"{info}/licenses/LICENSE" in names
    assert "License-Expression: Apache-2.0" in metadata


def sources() -> list[Path]:
    return [path for path in (ROOT / "src" / "evenface").rglob("*") if path.is_file() and "__pycache__" not in path.parts]


def test_the_wheel_installs_and_runs_from_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    target, empty = tmp_path / "site", tmp_path / "empty"
    empty.mkdir()
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps", "--no-index")
    call(*pip, "--target", target, wheel, cwd=empty)
    where = call(sys.executable, "-c", "import evenface; print(evenface.__file__)", cwd=empty, PYTHONPATH=str(target))
    assert Path(where.strip()).is_relative_to(target)
    version = wheel.name.split("-")[1]
    assert version in call(sys.executable, "-m", "evenface", "--version", cwd=empty, PYTHONPATH=str(target))
    assert "train" in call(sys.executable, target / "bin" / "evenface", "--help", cwd=empty, PYTHONPATH=str(target))
    assert not list(empty.iterdir())
