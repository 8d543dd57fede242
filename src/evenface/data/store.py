"""The faces of one split, decoded once to uint8 at the training size.

    store = open_store(manifest.split("train"), size=112)
    faces = store.gather(rows)          # (n, C, 112, 112) uint8; C is 1 when the whole set is grey

Modes: `device` (on the accelerator), `memory`, `memmap` (a file in the cache, shared between runs and processes) and `stream` (decoded by
threads at every visit, for sets larger than the disk cache). `auto` takes the first that fits. An image that cannot be read is skipped,
counted and named; more than 1 % of them is an error.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from evenface.data.decode import UNREADABLE, is_grey, open_rgb, resize
from evenface.data.manifest import Manifest
from evenface.doctor import available_memory
from evenface.errors import ConfigError, DataError, StorageError
from evenface.faces.alignment import Alignment, whole
from evenface.files import printable
from evenface.paths import cache_folder


log = logging.getLogger("evenface")

MAX_UNREADABLE = 0.01
_CHUNK = 512
_LAYOUT = 2  # of a folder in the cache; part of its name, so that an older evenface's faces are not taken for today's
_SMALL_MACHINE = 4 << 30  # bytes assumed free where the system does not say
_ABANDONED = 24 * 3600  # seconds after which a half-written folder belongs to a run that was killed


class FaceStore:
    """Decoded faces in the order of `manifest`, which holds only the rows that could be read.

    Attributes:
        manifest: the readable rows; row i of the store is row i of this manifest.
        size: side in pixels.
        channels: 1 for a set that is grey throughout, else 3.
        unreadable: ids of the rows that were skipped.
        mode: where the pixels live.
    """

    def __init__(
        self,
        manifest: Manifest,
        size: int,
        channels: int,
        unreadable: Sequence[str],
        mode: str,
        faces: Tensor | None,
        workers: int = 1,
        look: Alignment | None = None,
    ):
        self.manifest = manifest
        self.size = size
        self.channels = channels
        self.unreadable = tuple(unreadable)
        self.mode = mode
        self._faces = faces
        self._workers = workers
        self._look = look

    def __len__(self) -> int:
        return len(self.manifest)

    def gather(self, rows: np.ndarray) -> Tensor:
        """Faces (n, C, S, S), uint8, on the store's device, in the order of `rows`."""
        if self._faces is not None:
            return self._faces[torch.from_numpy(np.asarray(rows, dtype=np.int64)).to(self._faces.device)]
        with ThreadPoolExecutor(self._workers) as pool:
            return self._stack(list(pool.map(self._decode_row, rows)))

    def batches(self, groups: Sequence[np.ndarray]) -> Iterator[Tensor]:
        """`gather` of each group in turn; when faces are decoded on the way, two groups ahead of the consumer."""
        if self._faces is not None:
            yield from (self.gather(rows) for rows in groups)
            return
        with ThreadPoolExecutor(self._workers) as pool:
            ahead = [[pool.submit(self._decode_row, row) for row in rows] for rows in groups[:2]]
            for i in range(len(groups)):
                ready = self._stack([f.result() for f in ahead.pop(0)])
                if i + 2 < len(groups):
                    ahead.append([pool.submit(self._decode_row, row) for row in groups[i + 2]])
                yield ready

    def _stack(self, faces: Sequence[np.ndarray]) -> Tensor:
        return torch.from_numpy(np.array(faces, dtype=np.uint8).reshape(-1, self.channels, self.size, self.size))

    def _decode_row(self, row: int) -> np.ndarray:
        try:
            pixels = _pixels(open_rgb(self.manifest.image_bytes(int(row))), self.size, self._look)
        except UNREADABLE as error:  # it could be read when the store was opened
            name = self.manifest.ids()[int(row)]
            raise DataError(f"The image {name} can no longer be read ({error}); the data changed while they were in use.") from error
        return pixels.transpose(2, 0, 1)[: self.channels]


def _pixels(image: Image.Image, size: int, look: Alignment | None) -> np.ndarray:
    return resize(image, size) if look is None else whole(np.asarray(image), look, size)


def to_float(faces: Tensor) -> Tensor:
    """uint8 (n, 1 or 3, S, S) -> float32 RGB (n, 3, S, S) in [0, 1]."""
    return faces.expand(-1, 3, -1, -1).to(torch.float32).div_(255)


def open_store(
    manifest: Manifest,
    size: int,
    *,
    device: torch.device | str = "cpu",
    mode: str = "auto",
    workers: int = 2,
    look: Alignment | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> FaceStore:
    """Decodes a manifest (usually one split) into a store.

    Args:
        size: side in pixels that every face is resized to.
        look: of the faces that a model learned from; these are turned to grey and brought down to its resolution, as it says.
        device: where `mode="device"` puts the faces.
        mode: auto, device, memory, memmap or stream.
        progress: called with (done, all) while decoding.

    Raises:
        DataError: no row, or more than 1 % of the images cannot be read.
        ConfigError: an unknown mode, or one that cannot hold the set here.
    """
    if mode not in ("auto", "device", "memory", "memmap", "stream"):
        raise ConfigError(f"--store is auto, device, memory, memmap or stream, not '{mode}'.")
    if len(manifest) == 0:
        raise DataError(f"The data set '{manifest.name}' has no faces to load.")
    device = torch.device(device)
    mode = _choose_mode(mode, len(manifest) * 3 * size * size, device)
    cached = _cached_folder(manifest, size, look) if mode == "memmap" else None
    if cached is not None:
        found = _open_memmap(cached, manifest, size)
        if found is not None:
            return found
    aside = None if cached is None else _new_part(cached)
    try:
        target, keep, channels = _decode_all(manifest, size, mode, workers, look, progress, aside)
        bad = [name for name, ok in zip(manifest.ids(), keep, strict=True) if not ok]
        _report_unreadable(bad, len(manifest))
        if cached is not None and aside is not None:
            if isinstance(target, np.memmap):
                target.flush()
            del target
            (aside / "unreadable.json").write_text(json.dumps(bad))
            _publish(aside, cached)
            found = _open_memmap(cached, manifest, size, report=False)
            assert found is not None, "just written"
            return found
    finally:
        if aside is not None:
            shutil.rmtree(aside, ignore_errors=True)
    if bad:
        manifest = manifest.take(np.flatnonzero(keep))
    faces = None if target is None else torch.from_numpy(target[: len(manifest)]).to(device if mode == "device" else "cpu")
    return FaceStore(manifest, size, channels, bad, mode, faces, workers, look)


def _decode_all(
    manifest: Manifest,
    size: int,
    mode: str,
    workers: int,
    look: Alignment | None,
    progress: Callable[[int, int], None] | None,
    aside: Path | None,
) -> tuple[np.ndarray | None, np.ndarray, int]:
    """Reads every image once: the faces that could be read, packed at the front (none for `stream`); which could; the channels."""
    n = len(manifest)
    keep = np.ones(n, dtype=bool)
    channels = 1
    target = None if mode == "stream" else _allocate((n, 1, size, size), aside)

    def read(row: int) -> tuple[np.ndarray, bool] | None:
        try:
            original = open_rgb(manifest.image_bytes(row))
        except UNREADABLE:
            return None
        return _pixels(original, size, look), (look is not None and look.grey) or is_grey(np.asarray(original))

    filled = 0
    with ThreadPoolExecutor(workers) as pool:
        for start in range(0, n, _CHUNK):
            rows = range(start, min(start + _CHUNK, n))
            for row, face in zip(rows, pool.map(read, rows), strict=True):
                if face is None:
                    keep[row] = False
                    continue
                pixels, grey = face
                if not grey and channels == 1:  # the first coloured face: what was kept as one channel becomes three
                    channels = 3
                    if target is not None:
                        wider = _allocate((n, 3, size, size), aside)
                        wider[:filled] = target[:filled]
                        target = wider
                if target is not None:
                    target[filled] = pixels.transpose(2, 0, 1)[:channels]
                filled += 1
            if progress is not None:
                progress(rows.stop, n)
    return target, keep, channels


def _allocate(shape: tuple[int, ...], aside: Path | None) -> np.ndarray:
    """Room for the faces: in memory, or as `faces.npy` in the folder `aside`, where it takes the place of an earlier one.

    Raises:
        StorageError: the disk is too full. (Written to a disk that fills up, a memory-mapped file would kill the process.)
    """
    if aside is None:
        return np.zeros(shape, dtype=np.uint8)
    path = aside / "wider.npy" if (aside / "faces.npy").exists() else aside / "faces.npy"
    try:
        target = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
        if hasattr(os, "posix_fallocate"):
            with open(path, "rb+") as handle:
                os.posix_fallocate(handle.fileno(), 0, path.stat().st_size)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        need = int(np.prod(shape)) / 1e9
        raise StorageError(
            f"The disk is full: the decoded faces need {need:.1f} GB under {aside.parent}; free some, or take --store stream."
        ) from error
    os.replace(path, aside / "faces.npy")
    return target


def _report_unreadable(bad: Sequence[str], total: int) -> None:
    if not bad:
        return
    named = ", ".join(bad[:5]) + (f" and {len(bad) - 5} more" if len(bad) > 5 else "")
    if len(bad) > MAX_UNREADABLE * total:
        raise DataError(f"{len(bad)} of {total} images cannot be read ({named}); repair or remove them, up to 1 % is skipped.")
    log.warning("skipped %d of %d images that cannot be read: %s", len(bad), total, named)


def _choose_mode(mode: str, nbytes: int, device: torch.device) -> str:
    if mode == "device" and device.type == "cpu":
        return "memory"
    if mode != "auto":
        return mode
    together = nbytes * int(os.environ.get("LOCAL_WORLD_SIZE", 1))  # each process of torchrun holds, and writes, a copy of its own
    free = available_memory() or _SMALL_MACHINE
    if device.type == "cuda" and nbytes < 0.6 * torch.cuda.mem_get_info(device)[0] and together < 0.8 * free:  # by way of the memory
        return "device"
    if together < 0.4 * free:
        return "memory"
    try:
        return "memmap" if together < 0.5 * shutil.disk_usage(cache_folder()).free else "stream"
    except OSError:  # no place for a cache
        return "stream"


def _cached_folder(manifest: Manifest, size: int, look: Alignment | None) -> Path:
    """Where the decoded faces of just these rows at this size are cached; the name is a hash of all that decides the pixels."""
    seen = "" if look is None else f";{look.resolution};{look.grey}"
    digest = hashlib.blake2b(f"{_LAYOUT};{size};{printable(str(manifest.root))}{seen}".encode(), digest_size=16)
    for name, image in zip(manifest.ids(), manifest.table["image"], strict=True):
        value = image.as_py()
        digest.update(name.encode() + b"\0")
        if value["bytes"] is not None:
            digest.update(hashlib.blake2b(value["bytes"], digest_size=16).digest())
        else:
            path = manifest.resolve(value["path"])
            stat = path.stat() if path.exists() else None
            digest.update(f"{printable(path)};{stat and (stat.st_size, stat.st_mtime_ns)}".encode())
    return cache_folder() / "faces" / digest.hexdigest()


def _new_part(cached: Path) -> Path:
    """A folder of our own beside `cached` to write into; those that killed runs left behind are cleared away."""
    for old in cached.parent.glob("*.part"):
        if old.is_dir() and time.time() - old.stat().st_mtime > _ABANDONED:
            shutil.rmtree(old, ignore_errors=True)
    aside = cached.with_name(f"{cached.name}.{secrets.token_hex(4)}.part")
    aside.mkdir(parents=True)
    return aside


def _publish(aside: Path, cached: Path) -> None:
    """Renames, unless another run has written the same faces meanwhile."""
    try:
        os.replace(aside, cached)
    except OSError:
        if not cached.is_dir():
            raise


def _open_memmap(folder: Path, manifest: Manifest, size: int, report: bool = True) -> FaceStore | None:
    """The store in a cache folder, or None where there is none; one that is damaged is removed."""
    if not folder.is_dir():
        return None
    try:
        faces = np.load(folder / "faces.npy", mmap_mode="c")  # copy-on-write: torch wants a writable buffer, the file stays as it is
        bad = json.loads((folder / "unreadable.json").read_text())
    except (OSError, ValueError):
        log.warning("the cached faces in %s are damaged and are made again", folder)
        shutil.rmtree(folder, ignore_errors=True)
        return None
    if report:
        _report_unreadable(bad, len(manifest))
    if bad:
        skip = set(bad)
        manifest = manifest.take([i for i, name in enumerate(manifest.ids()) if name not in skip])
    return FaceStore(manifest, size, faces.shape[1], bad, "memmap", torch.from_numpy(faces[: len(manifest)]))
