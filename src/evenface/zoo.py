"""The models that can be had by name: classifiers that ship inside the package, and files that are fetched once.

    shipped()                                # the names of the classifiers in the package
    model_path("runs/first")                 # the model folder of a run, of a folder or of a name
    download("yunet")                        # into the cache, checked by its SHA-256; not fetched twice
    install("yunet", "from/elsewhere.onnx")  # the same from a file that came another way

Nothing is fetched unless it is asked for. EVENFACE_OFFLINE=1 forbids it, EVENFACE_MIRROR names another place to fetch from.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import http.client
import json
import os
import shlex
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from evenface._version import __version__
from evenface.errors import ConfigError, ModelError, unknown_name
from evenface.files import cannot_write, write_aside
from evenface.paths import cache_folder


PRETRAINED = Path(__file__).parent / "pretrained"  # a model folder for each classifier that ships
TIMEOUT = 30.0  # seconds without a byte, after which a server is given up
_BLOCK = 1 << 16
KEPT = "kept.json"
"""In a run folder that was made from kept answers (`evenface.study.kept`), without weights and state: how long it was trained."""

_WEIGHTS, _CONFIG, _CARD = "model.safetensors", "config.json", "README.md"  # as in evenface.model_folder, which needs torch

Progress = Callable[[int, int], object]
"""Called with the bytes that are here and the bytes in all."""


@dataclasses.dataclass(frozen=True, slots=True)
class Download:
    """A file that is fetched once and then lies in the cache.

    Attributes:
        name: what it is asked for by.
        what: one line that says what it is for.
        file: its name in the cache, in `--to DIR` and under a mirror.
        address: where it is published.
        licence: of the file at `address`.
        source: the page that describes it.
        known: SHA-256 -> size in bytes of every file that may stand in for it; the first one is the file at `address`.
    """

    name: str
    what: str
    file: str
    address: str
    licence: str
    source: str
    known: Mapping[str, int]

    @property
    def sha256(self) -> str:
        """Of the file at `address`."""
        return next(iter(self.known))

    @property
    def size(self) -> int:
        """Of the file at `address`, in bytes."""
        return self.known[self.sha256]


YUNET = Download(
    name="yunet",
    what="YuNet, a fast face detector with five landmarks",
    file="yunet.onnx",
    # The commit is named, for the main branch has moved on to another export. raw.githubusercontent.com has a pointer only.
    address="https://media.githubusercontent.com/media/opencv/opencv_zoo/47534e27c9851bb1128ccc0102f1145e27f23f98/"
    "models/face_detection_yunet/face_detection_yunet_2023mar.onnx",
    licence="MIT",
    source="https://github.com/opencv/opencv_zoo/tree/main/models/face_detection_yunet",
    # By their sizes the first two hold YuNet_s (54,608 parameters), the others YuNet_n (75,856), which finds more of the hard faces.
    known={
        "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4": 232589,  # OpenCV's 2023mar, as in its Git LFS pointer
        "ebafce4e3c118d6554634be5c27ab333b4c047a9a8c3faf1d7cf93101c22f0f0": 229738,  # OpenCV's 2026may: the same for any input size
        "104ee26c71d5c270ce79a6b3dced91c91013260d29a6bf18f9296c5b8c4c2b12": 322906,  # the authors' yunet_n_dynamic (Apache-2.0)
        "25a606a145a5b6d7271ae138fbd00eba91dad8b83222ae3f2c7ecd0f4a7b0e31": 317466,  # the same weights for 640 x 640: equal answers
    },
)

DOWNLOADS: dict[str, Download] = {YUNET.name: YUNET}


# Classifiers that ship


def shipped() -> list[str]:
    """The names of the classifiers in the package, in alphabetical order."""
    folders = PRETRAINED.iterdir() if PRETRAINED.is_dir() else ()
    return sorted(path.name for path in folders if _is_model(path))


def default_model() -> str:
    """The name of the classifier that is taken where none is named: the first that ships.

    Raises:
        ModelError: none ships.
    """
    names = shipped()
    if not names:
        raise ModelError("No classifier ships with this evenface; name the folder of a run or of a model.")
    return names[0]


def model_path(name_or_folder: str | os.PathLike[str]) -> Path:
    """The model folder of a model folder, of a run (its `best`) or of a classifier's name; a folder goes before a name.

    Raises:
        ModelError: neither of them, or a run without a model; says what would do.
    """
    name, folder = os.fspath(name_or_folder), Path(name_or_folder)
    if _is_model(_standing(folder)):
        return folder
    if _is_model(_standing(folder / "best")):
        return folder / "best"
    if name in shipped():
        return PRETRAINED / name
    if (folder / "config.yaml").is_file():
        raise ModelError(no_model(folder))
    if (folder.parent / KEPT).is_file():
        raise ModelError(no_model(folder.parent))
    if folder.exists():
        raise ModelError(f"{folder} is neither a model folder ({_WEIGHTS}, {_CONFIG}) nor a run with a best model; name one of them.")
    if name in DOWNLOADS:
        raise ModelError(f"'{name}' is {DOWNLOADS[name].what}, and no classifier; name a run, a model folder or a classifier.")
    if len(folder.parts) > 1 or not shipped():
        raise ModelError(f"There is no folder {folder}; name the folder of a run or of a model.")
    raise ModelError(unknown_name("model", name, shipped()))


def no_model(run: Path) -> str:
    """What to say of a run that has no model."""
    if (run / KEPT).is_file():
        return f"Of the run {run} only the answers were kept, not the weights; remove the folder and train it again to have its model."
    return f"The run {run} has no best model yet; let it finish an epoch: evenface {verb_of(run)} --resume {shlex.quote(str(run))}"


def verb_of(run: Path) -> str:
    """The command that made a run folder: train or distill."""
    import yaml

    with contextlib.suppress(OSError, ValueError, yaml.YAMLError):
        values = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
        if isinstance(values, dict) and values.get("method") == "distill":
            return "distill"
    return "train"


def called(folder: Path) -> str:
    """What a model is called: as its folder, or for the best model of a run as that."""
    whole = Path(os.path.abspath(folder))
    return whole.parent.name if whole.name == "best" else whole.name


def read_about(folder: Path) -> dict[str, Any]:
    """What `config.json` of a model folder says, unchecked and without loading torch; `evenface.model_folder.read_config` checks it.

    Raises:
        ModelError: it is missing or no JSON table.
    """
    try:
        values = json.loads((_standing(folder) / _CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder / _CONFIG} cannot be read ({error}); take another model folder.") from error
    if not isinstance(values, dict):
        raise ModelError(f"{folder / _CONFIG} must hold a table, not {type(values).__name__}.")
    return values


def weights_file(folder: Path) -> Path:
    """The weights of a model folder."""
    return _standing(folder) / _WEIGHTS


def read_card(folder: Path) -> str:
    """The model card without its head for machines; empty where there is none."""
    try:
        text = (_standing(folder) / _CARD).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    _, _, rest = text.removeprefix("---\n").partition("\n---\n")
    return (rest if text.startswith("---\n") and rest else text).strip()


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_model(folder: Path) -> bool:
    return (folder / _CONFIG).is_file() and (folder / _WEIGHTS).is_file()


def _standing(folder: Path) -> Path:
    """The folder, or its former self when a save was killed between its two renames (see `evenface.model_folder.standing`)."""
    former = folder.with_name(f".{folder.name}.old") if folder.name else folder
    return folder if folder.exists() or not former.is_dir() else former


# Files that are fetched


def get_download(name: str) -> Download:
    """The download of that name.

    Raises:
        ConfigError: there is none; names the nearest one.
    """
    if name not in DOWNLOADS:
        raise ConfigError(unknown_name("download", name, DOWNLOADS))
    return DOWNLOADS[name]


def models_folder() -> Path:
    """Where downloads go: `models` in the cache folder."""
    return cache_folder() / "models"


def find(name: str) -> Path | None:
    """The file of a download in the cache; None where it is missing or is another file than was published."""
    wanted = get_download(name)
    path = models_folder() / wanted.file
    return path if _is_known(path, wanted) else None


def require(name: str, instead: str) -> Path:
    """The file of a download in the cache.

    Args:
        instead: what a user may give in its place, for the message, such as "yunet:PATH".

    Raises:
        ModelError: it is missing, or is another file than was published; says how to fetch it.
    """
    path = find(name)
    if path is None:
        stale = models_folder() / get_download(name).file
        what = f"{stale} is not the file that was published as {name}" if stale.exists() else f"The model {name} is not on this machine yet"
        raise ModelError(f"{what}; fetch it with `evenface models download {name}`, or name a file with {instead}.")
    return path


def download(name: str, to: str | os.PathLike[str] | None = None, progress: Progress | None = None) -> Path:
    """Fetches a download unless it is there; the file is checked by its SHA-256 before it stands under its name.

    Args:
        to: another folder than `models_folder()`.
        progress: called as bytes arrive.

    Returns:
        The path of the file.

    Raises:
        ConfigError: an unknown name, or an EVENFACE_MIRROR that is no address.
        ModelError: offline, no connection, a cut one, a server that stalls, or another file than was published. Nothing is left behind.
        StorageError: the file cannot be written.
    """
    wanted = get_download(name)
    path = _folder(to) / wanted.file
    if _is_known(path, wanted):
        return path
    address = _address(wanted)
    if not address.startswith("file:") and _is_offline():
        raise ModelError(
            f"EVENFACE_OFFLINE or HF_HUB_OFFLINE forbids fetching {name}; unset it, or bring the file from elsewhere and give it with "
            f"`evenface models download {name} --from FILE`."
        )
    data = _fetch(wanted, address, progress)
    _require_known(data, wanted, f"What came from {address}")
    write_aside(path, lambda file: file.write(data))
    return path


def install(name: str, file: str | os.PathLike[str], to: str | os.PathLike[str] | None = None) -> Path:
    """Takes a download from a file that came another way, if its SHA-256 is known.

    Returns:
        The path of the copy, in `models_folder()` or `to`.

    Raises:
        ConfigError: an unknown name.
        ModelError: no such file, or another one than was published.
        StorageError: the copy cannot be written.
    """
    wanted, source = get_download(name), Path(file)
    if not source.is_file():
        raise ModelError(f"There is no file {source}; name the file that was fetched from {wanted.address}.")
    try:
        with source.open("rb") as opened:
            data = opened.read(max(wanted.known.values()) + 1)
    except OSError as error:
        raise ModelError(f"{source} cannot be read ({error.strerror or error}); give access to it.") from error
    _require_known(data, wanted, str(source))
    path = _folder(to) / wanted.file
    write_aside(path, lambda copy: copy.write(data))
    return path


def _folder(to: str | os.PathLike[str] | None) -> Path:
    folder = models_folder() if to is None else Path(to)
    if folder.exists() and not folder.is_dir():
        raise cannot_write(folder, NotADirectoryError(20, "it is a file, not a folder"))
    return folder


def _is_known(path: Path, wanted: Download) -> bool:
    return path.is_file() and path.stat().st_size in wanted.known.values() and sha256_of(path) in wanted.known


def _require_known(data: bytes, wanted: Download, what: str) -> None:
    found = hashlib.sha256(data).hexdigest()
    if found in wanted.known:
        return
    if data.startswith(b"version https://git-lfs"):
        raise ModelError(f"{what} is a pointer of Git LFS, not the model; take the file from {wanted.address}.")
    raise ModelError(
        f"{what} is not {wanted.name} as it was published (SHA-256 {found[:12]}... where {wanted.sha256[:12]}... was expected); "
        f"nothing was kept; take the file from {wanted.address}."
    )


def _address(wanted: Download) -> str:
    """Where to fetch from: its own address, or its file name below EVENFACE_MIRROR."""
    mirror = os.environ.get("EVENFACE_MIRROR", "")
    if not mirror:
        return wanted.address
    if not mirror.startswith(("http://", "https://", "file://")):
        raise ConfigError(f"EVENFACE_MIRROR is an address that begins with https://, http:// or file://, not '{mirror}'.")
    return f"{mirror.rstrip('/')}/{wanted.file}"


def _is_offline() -> bool:
    return any(os.environ.get(name, "").lower() in ("1", "true", "yes", "on") for name in ("EVENFACE_OFFLINE", "HF_HUB_OFFLINE"))


def _fetch(wanted: Download, address: str, progress: Progress | None) -> bytes:
    """The bytes at an address, one more than the largest known file at most."""
    limit = max(wanted.known.values()) + 1
    data = bytearray()
    try:
        request = urllib.request.Request(address, headers={"User-Agent": f"evenface/{__version__}"})
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            told = answer.headers.get("Content-Length", "")
            total = int(told) if told.isdigit() else wanted.size
            while len(data) < limit and (block := answer.read(min(_BLOCK, limit - len(data)))):
                data += block
                if progress is not None:
                    progress(len(data), total)
    except (OSError, http.client.HTTPException, ValueError) as error:  # ValueError: a mirror such as http://[x
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # it is the answer too, and holds the connection
        raise _not_fetched(wanted, address, _reason(error)) from error
    if len(data) < min(total, limit):
        raise _not_fetched(wanted, address, f"the connection ended after {len(data):,} of {total:,} bytes")
    return bytes(data)


def _not_fetched(wanted: Download, address: str, reason: str) -> ModelError:
    return ModelError(
        f"{wanted.name} could not be fetched from {address} ({reason}); try again, or bring the file from elsewhere and give it with "
        f"`evenface models download {wanted.name} --from FILE`."
    )


def _reason(error: BaseException) -> str:
    """What went wrong on the way, in a few words."""
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code} {error.reason}"
    if isinstance(error, urllib.error.URLError):
        return _reason(error.reason) if isinstance(error.reason, BaseException) else error.reason
    if isinstance(error, TimeoutError):
        return f"no answer for {TIMEOUT:g} seconds"
    return " ".join(str(getattr(error, "strerror", None) or error or type(error).__name__).split())
