"""Every mode of the store gives the same bytes, broken images are named, and the cache survives rivals, damage and a full disk."""

from __future__ import annotations

import errno
import io
import logging
import os
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from evenface.data import store as store_module
from evenface.data.decode import open_rgb
from evenface.data.manifest import Manifest, build
from evenface.data.store import FaceStore, open_store, to_float
from evenface.errors import ConfigError, DataError, StorageError
from evenface.faces.alignment import Alignment


MODES = ("memory", "memmap", "stream")
SIZE = 8


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache, in a folder of the test."""
    folder = tmp_path / "home"
    monkeypatch.setenv("EVENFACE_HOME", str(folder))
    return folder


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def faces(n: int, coloured: Callable[[int], bool] = lambda i: True, broken: dict[int, bytes] | None = None) -> Manifest:
    """n faces of 11 x 9 pixels, grey where not `coloured`, with the given bytes in the place of some."""
    rng = np.random.default_rng(5)
    images = []
    for i in range(n):
        pixels = rng.integers(0, 256, (9, 11, 3), dtype=np.uint8)
        images.append((broken or {}).get(i, png(pixels if coloured(i) else np.repeat(pixels[..., :1], 3, axis=2))))
    labels = [("fear", "anger")[i % 2] for i in range(n)]
    return build(
        {"id": [f"f{i}" for i in range(n)], "split": ["train"] * n, "label": labels, "image": images}, ("anger", "fear"), name="tiny"
    )


def expected(manifest: Manifest, row: int) -> np.ndarray:
    """(3, S, S), straight from Pillow."""
    image = Image.open(io.BytesIO(manifest.image_bytes(row))).convert("RGB").resize((SIZE, SIZE), Image.Resampling.BICUBIC)
    return np.asarray(image).transpose(2, 0, 1)


def check(store: FaceStore, manifest: Manifest, rows: list[int], mode: str) -> None:
    """`rows` are the manifest's rows that the store must hold, in order."""
    assert (len(store), store.mode, store.size) == (len(rows), mode, SIZE)
    assert store.manifest.ids() == [manifest.ids()[row] for row in rows]
    found = store.gather(np.arange(len(rows)))
    assert found.dtype == torch.uint8
    assert found.shape == (len(rows), store.channels, SIZE, SIZE)
    for i, row in enumerate(rows):
        assert np.array_equal(found[i].expand(3, -1, -1).numpy(), expected(manifest, row))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("workers", [1, 3])
def test_modes_give_the_same_bytes(mode: str, workers: int) -> None:
    manifest = faces(13)
    store = open_store(manifest, SIZE, mode=mode, workers=workers)
    assert store.channels == 3
    check(store, manifest, list(range(13)), mode)


@pytest.mark.parametrize("mode", MODES)
def test_a_grey_set_is_one_channel(mode: str) -> None:
    manifest = faces(5, coloured=lambda i: False)
    store = open_store(manifest, SIZE, mode=mode)
    assert store.channels == 1
    check(store, manifest, list(range(5)), mode)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("first", [0, 3, 6])
def test_one_coloured_face_makes_it_three(mode: str, first: int) -> None:
    manifest = faces(7, coloured=lambda i: i == first)
    store = open_store(manifest, SIZE, mode=mode)
    assert store.channels == 3
    check(store, manifest, list(range(7)), mode)
    if mode == "memmap":
        check(open_store(manifest, SIZE, mode=mode), manifest, list(range(7)), mode)


@pytest.mark.parametrize("mode", MODES)
def test_gather_and_batches_keep_the_order_asked_for(mode: str) -> None:
    manifest = faces(9)
    store = open_store(manifest, SIZE, mode=mode)
    groups = [np.array(g, dtype=np.int64) for g in ([8, 0, 3], [3, 3], [], [1], [7, 2, 6, 5, 4])]
    found = list(store.batches(groups))
    assert len(found) == len(groups)
    for rows, batch in zip(groups, found, strict=True):
        assert batch.shape == (len(rows), 3, SIZE, SIZE)
        assert torch.equal(batch, store.gather(rows))
        for row, face in zip(rows, batch, strict=True):
            assert np.array_equal(face.numpy(), expected(manifest, row))
    assert list(store.batches([])) == []


@pytest.mark.parametrize("mode", MODES)
def test_faces_are_made_to_look_like_those_that_a_model_knows(mode: str) -> None:
    """Means of 2 x 2 pixels, then the weights of ITU-R BT.601, each rounded."""
    pixels = np.random.default_rng(1).integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)
    columns = {"id": list("abcd"), "split": ["test"] * 4, "label": ["fear", "anger"] * 2, "image": [png(each) for each in pixels]}
    manifest = build(columns, ("anger", "fear"), name="colourful")
    store = open_store(manifest, SIZE, mode=mode, look=Alignment("fer2013", resolution=8, grey=True))
    assert store.channels == 1
    small = pixels.reshape(4, 8, 2, 8, 2, 3).mean(axis=(2, 4))
    grey = small @ [0.299, 0.587, 0.114]
    found = store.gather(np.array([2, 0, 1, 3]))[:, 0].numpy().astype(float)
    assert np.abs(found - grey[[2, 0, 1, 3]]).max() <= 1.01
    plain = open_store(manifest, SIZE, mode=mode)  # not taken from the cache of the other
    assert plain.channels == 3


def test_gathered_faces_are_a_copy() -> None:
    store = open_store(faces(3), SIZE, mode="memmap")
    before = store.gather(np.arange(3))
    store.gather(np.arange(3)).zero_()
    assert torch.equal(store.gather(np.arange(3)), before)


# -------------------- the cache


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one with every image that is decoded."""
    seen: list[int] = []
    real = open_rgb

    def counting(data: bytes) -> Image.Image:
        seen.append(len(data))
        return real(data)

    monkeypatch.setattr(store_module, "open_rgb", counting)
    return seen


def test_the_cache_is_written_once(home: Path, decoded: list[int]) -> None:
    manifest = faces(6)
    first = open_store(manifest, SIZE, mode="memmap")
    assert len(decoded) == 6
    again = open_store(manifest, SIZE, mode="memmap")
    assert len(decoded) == 6
    assert torch.equal(first.gather(np.arange(6)), again.gather(np.arange(6)))
    open_store(manifest, SIZE + 1, mode="memmap")
    open_store(manifest.take([1, 0, 2]), SIZE, mode="memmap")
    assert len(decoded) == 6 + 6 + 3
    assert len(list((home / "faces").iterdir())) == 3  # and no .part among them


def test_a_changed_file_is_not_taken_from_the_cache(tmp_path: Path, decoded: list[int]) -> None:
    rows = {"id": ["a"], "split": ["train"], "label": ["fear"], "image": ["a.png"]}
    manifest = build(rows, ("fear", "anger"), name="files", root=tmp_path)
    for value in (10, 200):
        (tmp_path / "a.png").write_bytes(png(np.full((SIZE, SIZE, 3), value, dtype=np.uint8)))
        os.utime(tmp_path / "a.png", (value, value))
        assert int(open_store(manifest, SIZE, mode="memmap").gather(np.array([0])).max()) == value
    assert len(decoded) == 2


def test_rivals_end_with_one_whole_folder(home: Path) -> None:
    manifest = faces(40)
    with ThreadPoolExecutor(4) as pool:
        stores = list(pool.map(lambda _: open_store(manifest, SIZE, mode="memmap"), range(4)))
    for store in stores:
        check(store, manifest, list(range(40)), "memmap")
    assert len(list((home / "faces").iterdir())) == 1


@pytest.mark.parametrize("harm", ["short", "list", "gone"])
def test_a_damaged_cache_is_made_again(home: Path, harm: str, decoded: list[int], caplog: pytest.LogCaptureFixture) -> None:
    manifest = faces(4)
    open_store(manifest, SIZE, mode="memmap")
    folder = next((home / "faces").iterdir())
    if harm == "short":
        os.truncate(folder / "faces.npy", 200)
    elif harm == "list":
        (folder / "unreadable.json").write_text("[")
    else:
        (folder / "faces.npy").unlink()
    check(open_store(manifest, SIZE, mode="memmap"), manifest, list(range(4)), "memmap")
    assert len(decoded) == 8
    assert "damaged" in caplog.text


def test_what_is_half_written_never_stands_in_the_cache(home: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_store(faces(4), SIZE, mode="memmap", progress=stop)
    assert list((home / "faces").iterdir()) == []


def test_leftovers_of_killed_runs_are_cleared_after_a_day(home: Path) -> None:
    old, new = home / "faces" / "x.1.part", home / "faces" / "x.2.part"
    for folder, age in ((old, 2 * 86400), (new, 3600)):
        folder.mkdir(parents=True)
        os.utime(folder, (time.time() - age,) * 2)
    open_store(faces(2), SIZE, mode="memmap")
    assert (old.exists(), new.exists()) == (False, True)


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="this system cannot reserve disk space")
def test_a_full_disk(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(StorageError, match=r"disk is full.*--store stream"):
        open_store(faces(2), SIZE, mode="memmap")
    assert list((home / "faces").iterdir()) == []


# -------------------- images that cannot be read


@pytest.mark.parametrize("mode", MODES)
def test_one_in_a_hundred_is_skipped_and_named(mode: str, caplog: pytest.LogCaptureFixture) -> None:
    manifest = faces(100, broken={17: b""})
    rows = [i for i in range(100) if i != 17]
    for _ in range(2):  # the second time from the cache, where there is one
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            store = open_store(manifest, SIZE, mode=mode)
        assert store.unreadable == ("f17",)
        check(store, manifest, rows, mode)
        assert caplog.text.count("skipped 1 of 100 images that cannot be read: f17") == 1
    assert store.manifest.counts() == {"anger": 49, "fear": 50}


@pytest.mark.parametrize("mode", MODES)
def test_more_than_one_in_a_hundred_is_an_error(mode: str, home: Path) -> None:
    whole = png(np.zeros((4, 4, 3), dtype=np.uint8))
    manifest = faces(199, broken={3: b"no image", 90: whole[:40]})
    with pytest.raises(DataError, match=r"2 of 199 images cannot be read \(f3, f90\)"):
        open_store(manifest, SIZE, mode=mode)
    assert not any((home / "faces").iterdir()) if (home / "faces").exists() else True


def test_many_are_named_in_short() -> None:
    with pytest.raises(DataError, match=r"8 of 20 images cannot be read \(f0, f1, f2, f3, f4 and 3 more\)"):
        open_store(faces(20, broken=dict.fromkeys(range(8), b"x")), SIZE)


def test_a_missing_file_is_unreadable(tmp_path: Path) -> None:
    rows = {"id": ["a"], "split": ["train"], "label": ["fear"], "image": ["nowhere.png"]}
    with pytest.raises(DataError, match=r"1 of 1 images cannot be read \(a\)"):
        open_store(build(rows, ("fear", "anger"), name="files", root=tmp_path), SIZE)


def test_an_image_that_breaks_while_it_is_streamed(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(np.zeros((4, 4, 3), dtype=np.uint8)))
    rows = {"id": ["a"], "split": ["train"], "label": ["fear"], "image": ["a.png"]}
    store = open_store(build(rows, ("fear", "anger"), name="files", root=tmp_path), SIZE, mode="stream")
    (tmp_path / "a.png").unlink()
    with pytest.raises(DataError, match="image a can no longer be read"):
        list(store.batches([np.array([0])]))


# -------------------- choices


def test_modes_by_what_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = faces(2)
    assert open_store(manifest, SIZE, mode="device").mode == "memory"  # the CPU's memory is the device
    assert open_store(manifest, SIZE).mode == "memory"
    monkeypatch.setattr(store_module, "available_memory", lambda: 100)
    assert open_store(manifest, SIZE).mode == "memmap"
    monkeypatch.setattr(shutil, "disk_usage", lambda _: type("Usage", (), {"free": 100}))
    assert open_store(manifest, SIZE).mode == "stream"


def test_wrong_calls() -> None:
    with pytest.raises(ConfigError, match="--store is auto"):
        open_store(faces(2), SIZE, mode="ram")
    with pytest.raises(DataError, match="no faces"):
        open_store(faces(2).take([]), SIZE)


def test_progress_is_told() -> None:
    seen: list[tuple[int, int]] = []
    open_store(faces(3), SIZE, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (3, 3)


@pytest.fixture(params=[1, 3])
def raw(request: Any) -> torch.Tensor:
    return torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).repeat(2, request.param, 1, 1)


def test_to_float(raw: torch.Tensor) -> None:
    before = raw.clone()
    found = to_float(raw)
    assert (found.shape, found.dtype) == ((2, 3, 16, 16), torch.float32)
    assert found.is_contiguous()
    for channel in range(3):
        assert found[1, channel].flatten().tolist() == pytest.approx([i / 255 for i in range(256)], abs=1e-7)
    found.add_(1)
    assert torch.equal(raw, before)


def test_each_process_holds_a_copy_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "available_memory", lambda: 1000)
    monkeypatch.setattr(store_module.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1000})())
    cpu = torch.device("cpu")
    modes = []
    for processes in ("1", "4", "8"):
        monkeypatch.setenv("LOCAL_WORLD_SIZE", processes)
        modes.append(store_module._choose_mode("auto", 110, cpu))
    assert modes == ["memory", "memmap", "stream"]
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")

    def no_place() -> Path:
        raise PermissionError

    monkeypatch.setattr(store_module, "cache_folder", no_place)
    assert store_module._choose_mode("auto", 110, cpu) == "stream"
