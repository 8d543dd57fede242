"""Shards: what they hold, going on after an interruption, other settings, and a Ray cluster of which a worker is killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from safetensors.torch import load_file, save_file

from evenface._version import __version__
from evenface.errors import ConfigError, DeviceError, ModelError
from evenface.predict import shards
from evenface.predict.inputs import find_inputs
from evenface.predict.shards import ShardSettings, plan_shards, predict_shards, share_gpus
from evenface.predict.writers import Writer
from evenface.recognizer import Recognizer
from evenface.results import FrameResult

from .test_recognizer import clip as clip


def settings(tiny: Path, size: int = 3) -> ShardSettings:
    return ShardSettings({"name": str(tiny), "detector": "none", "device": "cpu"}, size=size)


@pytest.fixture
def folder(photo: Callable[..., Path], tmp_path: Path) -> Path:
    for number in range(8):
        photo(f"in/{number}.png", ((number, 10),), seed=number)
    (tmp_path / "in" / "5.png").write_bytes(b"broken")
    return tmp_path / "in"


def rows(out: Path) -> list[dict[str, object]]:
    return [row for part in sorted(out.glob("part-*.parquet")) for row in pq.read_table(part).to_pylist()]


def test_shards_hold_what_a_single_table_holds(tiny: Path, folder: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    done = predict_shards(find_inputs([str(folder)]), tmp_path / "out", settings(tiny), progress=lambda *n: seen.append(n))
    assert seen == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert (done.pictures, done.faces) == (7, 7)
    assert [path.name for path, _ in done.failed] == ["5.png"]
    recognizer = Recognizer.from_pretrained(tiny, detector="none", device="cpu")
    paths = [p.resolve() for p in sorted(folder.iterdir()) if p.name != "5.png"]
    expected = [row for result in recognizer.predict(paths) for row in result.rows()]
    found = rows(tmp_path / "out")
    assert [row["source"] for row in found] == [row["source"] for row in expected]
    for ours, theirs in zip(found, expected, strict=True):
        assert ours["p_fear"] == pytest.approx(theirs["p_fear"], abs=1e-6)
    assert "5.png" in (tmp_path / "out" / "failed.csv").read_text()
    assert not list((tmp_path / "out").glob(".*"))


def test_a_second_run_does_only_what_is_missing(tiny: Path, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = predict_shards(find_inputs([str(folder)]), out, settings(tiny))
    times = {part.name: part.stat().st_mtime_ns for part in out.glob("part-*.parquet")}
    (out / "part-00001.parquet").unlink()
    again = predict_shards(find_inputs([str(folder)]), out, settings(tiny))
    assert again == first
    assert {name for name, then in times.items() if (out / name).stat().st_mtime_ns != then} == {"part-00001.parquet"}


@pytest.mark.parametrize("damage", ["part-00001.parquet", "part-00001.json"])
def test_a_damaged_shard_is_done_anew(tiny: Path, folder: Path, tmp_path: Path, damage: str) -> None:
    out = tmp_path / "out"
    first, before = predict_shards(find_inputs([str(folder)]), out, settings(tiny)), rows(out)
    (out / damage).write_bytes(b"")
    assert predict_shards(find_inputs([str(folder)]), out, settings(tiny)) == first
    assert rows(out) == before


@pytest.mark.parametrize("text", ["{", "[]", '{"recognizer": 3}'])
def test_a_damaged_claim_is_told(tiny: Path, folder: Path, tmp_path: Path, text: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "predict.json").write_text(text)
    with pytest.raises(ConfigError, match=r"predict\.json is damaged, so nobody knows what"):
        predict_shards(find_inputs([str(folder)]), tmp_path / "out", settings(tiny))


def test_what_a_killed_call_left_of_the_claim_is_in_nobodys_way(tiny: Path, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".predict.json.1f2e3d4c.part").touch()
    assert predict_shards(find_inputs([str(folder)]), tmp_path / "out", settings(tiny)).pictures == 7


def test_an_exported_file_put_beside_the_weights_is_another_model(tiny: Path, folder: Path, tmp_path: Path) -> None:
    model = shutil.copytree(tiny, tmp_path / "model")
    given = ShardSettings({"name": str(model), "detector": "none", "device": "cpu", "runtime": "torch"}, size=3)
    predict_shards(find_inputs([str(folder)]), tmp_path / "out", given)
    (model / "model.onnx").write_bytes(b"other numbers")
    with pytest.raises(ConfigError, match="was begun with other --model"):
        predict_shards(find_inputs([str(folder)]), tmp_path / "out", given)


def test_a_folder_of_other_work_is_refused(tiny: Path, folder: Path, tmp_path: Path) -> None:
    out, inputs = tmp_path / "out", find_inputs([str(folder)])
    predict_shards(inputs, out, settings(tiny))
    with pytest.raises(ConfigError, match="begun with other --shard-size"):
        predict_shards(inputs, out, settings(tiny, size=4))
    with pytest.raises(ConfigError, match="begun with other files"):
        predict_shards(find_inputs([str(folder / "1.png")]), out, settings(tiny))
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "predict.json").write_text("{}")
    with pytest.raises(ConfigError, match="begun with other files"):
        predict_shards(inputs, tmp_path / "old", settings(tiny))
    with pytest.raises(ConfigError, match="holds something else"):
        predict_shards(inputs, folder, settings(tiny))
    with pytest.raises(ConfigError, match="is a file"):
        predict_shards(inputs, folder / "1.png", settings(tiny))
    with pytest.raises(ConfigError, match="--engine"):
        predict_shards(inputs, tmp_path / "new", settings(tiny), engine="spark")


def test_a_model_that_does_not_exist_does_not_claim_the_folder(tiny: Path, folder: Path, tmp_path: Path) -> None:
    out, inputs = tmp_path / "out", find_inputs([str(folder)])
    with pytest.raises(ModelError):
        predict_shards(inputs, out, ShardSettings({"name": "ferplus-nothing", "detector": "none"}))
    assert not out.exists()
    predict_shards(inputs, out, settings(tiny))
    other = ShardSettings({"name": str(tiny), "detector": "none", "device": "cpu", "tta": "flip"}, size=3)
    with pytest.raises(ConfigError, match="begun with other --tta"):
        predict_shards(inputs, out, other)


def test_a_folder_begun_with_other_weights_is_refused(tiny: Path, folder: Path, tmp_path: Path) -> None:
    out, inputs, model = tmp_path / "out", find_inputs([str(folder)]), tmp_path / "model"
    shutil.copytree(tiny, model)
    predict_shards(inputs, out, settings(model))
    (out / "part-00001.parquet").unlink()
    assert json.loads((out / "predict.json").read_text())["evenface"] == __version__
    weights = load_file(model / "model.safetensors")
    save_file({name: 2 * tensor for name, tensor in weights.items()}, model / "model.safetensors")  # trained anew under the same path
    with pytest.raises(ConfigError, match="begun with other --model"):
        predict_shards(inputs, out, settings(model))
    shutil.copy(tiny / "model.safetensors", model)
    config = model / "config.json"
    before = config.read_text()
    config.write_text(json.dumps(json.loads(before) | {"train_counts": None}))
    with pytest.raises(ConfigError, match="begun with other --model"):
        predict_shards(inputs, out, settings(model))
    config.write_text(before)
    assert not (out / "part-00001.parquet").exists()
    assert predict_shards(inputs, out, settings(model)).pictures == 7


@pytest.mark.parametrize("suffix", [".onnx", ".xml"])
def test_an_exported_file_is_told_apart_by_what_it_holds(suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"model{suffix}"
    file.write_bytes(b"first")
    before = shards._hash_of_model(str(file))
    assert shards._hash_of_model(file) == before
    (file if suffix == ".onnx" else file.with_suffix(".bin")).write_bytes(b"second")  # OpenVINO's weights lie beside
    assert shards._hash_of_model(file) != before


def test_an_interrupted_shard_leaves_no_part_of_a_table(tiny: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, inputs, plain, count = tmp_path / "out", find_inputs([str(folder)]), Writer.write, 0

    def write(self: Writer, result: FrameResult) -> None:
        nonlocal count
        count += 1
        if count == 5:
            raise KeyboardInterrupt
        plain(self, result)

    with monkeypatch.context() as patch:
        patch.setattr(Writer, "write", write)
        with pytest.raises(KeyboardInterrupt):
            predict_shards(inputs, out, settings(tiny))
    assert [path.name for path in out.glob("*.parquet")] == ["part-00000.parquet"]
    (out / "part-00001.partial.parquet").touch()  # as an earlier evenface left it
    assert predict_shards(inputs, out, settings(tiny)).pictures == 7
    assert len(rows(out)) == 7


@pytest.mark.skipif(sys.platform != "linux", reason="other systems want file names in UTF-8")
def test_a_name_that_is_no_utf_8(tiny: Path, folder: Path, tmp_path: Path) -> None:
    (folder / "5.png").rename(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.png"))  # the broken one
    (folder / "6.png").rename(os.fsdecode(os.fsencode(folder) + b"/th\xe9.png"))
    done = predict_shards(find_inputs([str(folder)]), tmp_path / "out", settings(tiny))
    assert (done.pictures, len(done.failed)) == (7, 1)
    assert "caf\\xe9.png" in (tmp_path / "out" / "failed.csv").read_text()
    assert any(str(row["source"]).endswith("th\\xe9.png") for row in rows(tmp_path / "out"))


def test_films_are_shards_of_their_own_and_cameras_are_none(clip: Callable[..., Path], folder: Path, tiny: Path, tmp_path: Path) -> None:
    clip("in/z.mkv")
    inputs = find_inputs([str(folder)])
    assert [len(shard.paths) for shard in plan_shards(inputs, 100)] == [8, 1]
    done = predict_shards(inputs, tmp_path / "out", settings(tiny))
    assert (done.pictures, done.frames) == (7, 12)
    with pytest.raises(ConfigError, match="no end"):
        plan_shards(find_inputs(["webcam"]), 5)
    with pytest.raises(ConfigError, match="--shard-size"):
        plan_shards(inputs, 0)


@pytest.mark.slow
def test_a_ray_cluster_of_which_a_worker_is_killed(tiny: Path, photo: Callable[..., Path], tmp_path: Path) -> None:
    """Twelve shards on two workers; one worker is killed by force after the first shards: the answer is that of one machine."""
    pytest.importorskip("ray", reason="needs Ray: pip install 'evenface[ray]'")
    for number in range(48):
        photo(f"in/{number:02d}.png", ((number, 10),), seed=number)
    inputs = find_inputs([str(tmp_path / "in")])
    predict_shards(inputs, tmp_path / "here", settings(tiny, size=4))
    code = f"""
from pathlib import Path
from evenface.predict.inputs import find_inputs
from evenface.predict.shards import ShardSettings, predict_shards, predict_shard
import evenface.predict.shards as shards
import os, time
class Slow(shards._Worker):
    def __init__(self, out, settings):
        super().__init__(out, settings)
        Path(out, f"pid-{{os.getpid()}}").touch()
    def __call__(self, row):
        time.sleep(0.5)
        return super().__call__(row)
shards._Worker = Slow
s = ShardSettings({{"name": {str(tiny)!r}, "detector": "none", "device": "cpu"}}, size=4)
done = predict_shards(find_inputs([{str(tmp_path / "in")!r}]), Path({str(tmp_path / "ray")!r}), s, engine="ray", workers=2)
print("looked at", done.pictures)
"""
    out = tmp_path / "ray"
    work = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 180
        while not list(out.glob("part-*.parquet")) and time.monotonic() < deadline and work.poll() is None:
            time.sleep(0.05)
        workers = [int(path.name.removeprefix("pid-")) for path in out.glob("pid-*")]
        assert workers, work.communicate(timeout=60)
        assert len(list(out.glob("part-*.parquet"))) < 12
        os.kill(workers[0], signal.SIGKILL)
        printed, errors = work.communicate(timeout=240)
    finally:
        work.kill()
    assert work.returncode == 0, errors
    assert "looked at 48" in printed.splitlines()  # Ray's own words about the killed worker may stand around it
    assert len(list(out.glob("pid-*"))) > 2  # another worker took the place of the killed one
    assert rows(out) == rows(tmp_path / "here")
    assert json.loads((out / "part-00003.json").read_text())["pictures"] == 4


def test_on_a_cluster_each_worker_has_a_gpu_of_its_own() -> None:
    assert share_gpus("cuda", 16, 4) == (True, 4)
    assert share_gpus("auto", 16, 4) == (False, 16)  # the runtimes that compute on the CPU only take no `cuda`
    assert share_gpus("cuda:1", 3, 4) == (True, 3)
    assert share_gpus("auto", 16, 0) == (False, 16)
    assert share_gpus("cpu", 16, 4) == (False, 16)
    with pytest.raises(DeviceError, match="The cluster has no GPU"):
        share_gpus("cuda", 2, 0)
