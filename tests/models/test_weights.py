"""Weight files of every format, and files that would run code."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from evenface.errors import ModelError
from evenface.models.weights import read_weights


TENSORS = {"conv.weight": torch.arange(6.0).reshape(2, 3), "steps": torch.tensor(7)}


def equal(found: dict[str, torch.Tensor]) -> bool:
    return set(found) == set(TENSORS) and all(torch.equal(found[k], v) for k, v in TENSORS.items())


@pytest.mark.parametrize("container", [None, "state_dict", "state_dict_backbone", "model"])
@pytest.mark.parametrize("suffix", [".pth", ".pt", ".pth.tar", ".ckpt"])
def test_torch_checkpoints(tmp_path: Path, container: str | None, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    torch.save(TENSORS if container is None else {container: TENSORS, "epoch": 3, "best": np.float64(0.5)}, path)
    assert equal(read_weights(path))


def test_the_old_torch_format(tmp_path: Path) -> None:
    path = tmp_path / "old.pth.tar"
    torch.save({"state_dict": OrderedDict(TENSORS)}, path, _use_new_zipfile_serialization=False)
    assert equal(read_weights(path))


def test_safetensors(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "a.safetensors")
    assert equal(read_weights(tmp_path / "a.safetensors"))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_numpy_pickles(tmp_path: Path, protocol: int) -> None:
    arrays = OrderedDict((k, v.numpy()) for k, v in TENSORS.items())
    arrays["big_endian"] = np.arange(3, dtype=">f4")
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(arrays, protocol=protocol))
    found = read_weights(tmp_path / "a.pkl")
    assert found.pop("big_endian").tolist() == [0, 1, 2]
    assert equal(found)


def test_a_numpy_pickle_written_by_python_2(tmp_path: Path) -> None:
    """Its text is bytes above 127, which only latin1 can carry: {'w': array([1.5, -2], '<f4')} as Python 2 writes it in protocol 2."""
    raw = np.array([1.5, -2.0], dtype="<f4").tobytes()
    data = (
        b"\x80\x02}U\x01wcnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01K\x02\x85cnumpy\ndtype\n"
        b"U\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U" + bytes([len(raw)]) + raw + b"tbs."
    )
    (tmp_path / "a.pkl").write_bytes(data)
    assert read_weights(tmp_path / "a.pkl")["w"].tolist() == [1.5, -2.0]


class Attack:
    """Writes a file when unpickled; the tests look whether it did."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.target,)


class Evaluate:
    def __reduce__(self) -> tuple[object, ...]:
        return eval, ("1 + 1",)


@pytest.mark.parametrize("suffix", [".pkl", ".pth"])
def test_code_in_a_file_is_named_and_never_run(tmp_path: Path, suffix: str) -> None:
    target, path = tmp_path / "ran", tmp_path / f"a{suffix}"
    for content, name in [({"w": Attack(target)}, "touch|Path|getattr"), ({"w": Evaluate()}, "eval")]:
        if suffix == ".pkl":
            path.write_bytes(pickle.dumps(content))
        else:
            torch.save(content, path)
        with pytest.raises(ModelError, match=name):
            read_weights(path)
    assert not target.exists()


def test_a_pickle_that_no_tensor_can_be_made_of(tmp_path: Path) -> None:
    itself: dict[str, object] = {"w": np.zeros(2, np.float32)}
    itself["self"] = itself
    for content in (itself, {"w": np.zeros(2, np.longdouble)}):
        (tmp_path / "a.pkl").write_bytes(pickle.dumps(content))
        with pytest.raises(ModelError, match=r"a\.pkl is not a readable pickle of numpy arrays \((RecursionError|TypeError): [^\n]*$"):
            read_weights(tmp_path / "a.pkl")


def test_a_codec_other_than_latin1_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.pkl").write_bytes(b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00rot13\x86R.")
    with pytest.raises(ModelError, match="rot13"):
        read_weights(tmp_path / "a.pkl")


@pytest.mark.parametrize("suffix", [".pkl", ".pth", ".safetensors", ".dat"])
@pytest.mark.parametrize("content", [b"", b"garbage", b"\x80\x02}"])
def test_broken_files_are_one_clear_line(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        read_weights(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_torch_file_cut_short_anywhere_is_one_clear_line(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "a.pth"
    torch.save(TENSORS, path, _use_new_zipfile_serialization=zipped)
    data = path.read_bytes()
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(ModelError, match=r"a\.pth cannot be read as a PyTorch checkpoint[^\n]*$"):
            read_weights(path)


def test_what_holds_no_tensors_is_refused(tmp_path: Path) -> None:
    torch.save({"epoch": 3}, tmp_path / "a.pth")
    torch.save([torch.zeros(1)], tmp_path / "b.pth")
    for name in ("a.pth", "b.pth"):
        with pytest.raises(ModelError, match="no named tensors"):
            read_weights(tmp_path / name)
    with pytest.raises(ModelError, match="no weight file"):
        read_weights(tmp_path / "absent.pth")
    (tmp_path / "a.txt").touch()
    with pytest.raises(ModelError, match="not a known format"):
        read_weights(tmp_path / "a.txt")
