"""`evenface predict` as a person calls it."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from evenface.predict.writers import Writer
from evenface.results import FrameResult

from ..predict.conftest import photo as photo
from ..predict.conftest import tiny as tiny
from .conftest import Cli


@pytest.fixture
def ask(cli: Cli, tiny: Path) -> Cli:
    """`evenface predict` with the tiny model and faces that are cropped already."""
    return lambda *words: cli("predict", *words, "--model", tiny, "--detector", "none", "--device", "cpu")


def test_one_picture_gets_a_line(ask: Cli, photo: Callable[..., Path]) -> None:
    answer = ask(photo("a.png"))
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.count("\n") == 1
    assert "a.png: face 0" in answer.out


def test_json_on_standard_output_can_be_parsed(ask: Cli, photo: Callable[..., Path], tmp_path: Path) -> None:
    one = json.loads(ask(photo("in/a.png"), "--format", "json").out)
    assert (one["schema_version"], one["width"], len(one["faces"])) == (1, 128, 1)
    assert one["model"]["name"] == "tiny"
    photo("in/b.png")
    both = json.loads(ask(tmp_path / "in", "--format", "json", "-o", "-", "--top-k", 2).out)
    assert [Path(r["source"]).name for r in both] == ["a.png", "b.png"]
    assert [len(r["faces"][0]["scores"]) for r in both] == [2, 2]


def test_a_table_copies_and_crops(ask: Cli, photo: Callable[..., Path], tmp_path: Path, home: Path) -> None:
    photo("in/a.png")
    photo("in/b.png")
    answer = ask(tmp_path / "in", "-o", "out/faces.csv", "--draw", "copies", "--faces", "crops")
    assert answer.code == 0
    assert "written   out/faces.csv: 2 pictures, 2 faces" in answer.err
    with (home / "out" / "faces.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 2
    assert len(list((home / "copies").iterdir())) == len(list((home / "crops").iterdir())) == 2
    assert [p.name for p in (home / "out").iterdir()] == ["faces.csv"]


def test_one_is_no_plural(ask: Cli, photo: Callable[..., Path]) -> None:
    picture = photo("a.png")
    assert ask(picture, "-o", "faces.csv").err == "written   faces.csv: 1 picture, 1 face\n"
    assert ask(picture, "-o", "out/").err == "written   out/part-*.parquet: 1 picture, 1 face\n"


def test_a_broken_file_is_reported_and_the_rest_goes_on(ask: Cli, photo: Callable[..., Path], tmp_path: Path) -> None:
    photo("in/a.png")
    (tmp_path / "in" / "broken.jpg").write_bytes(b"x")
    answer = ask(tmp_path / "in", "--format", "jsonl")
    assert len(answer.out.splitlines()) == 1
    answer.refused(1, "broken.jpg", "no picture that can be read")


def test_many_broken_files_are_counted(ask: Cli, photo: Callable[..., Path], tmp_path: Path) -> None:
    for number in range(14):
        photo(f"in/{number:02d}.png").write_bytes(b"x")
    answer = ask(tmp_path / "in", "-q")
    assert answer.code == 1
    assert answer.err.splitlines()[-1] == "evenface predict: 4 more files could not be read or copied."
    assert answer.err.count("\n") == 11


def test_a_folder_of_shards(ask: Cli, photo: Callable[..., Path], tmp_path: Path, home: Path) -> None:
    for number in range(5):
        photo(f"in/{number}.png")
    answer = ask(tmp_path / "in", "-o", "out/", "--shard-size", 2)
    assert answer.code == 0
    assert "written   out/part-*.parquet: 5 pictures, 5 faces" in answer.err
    assert len(list((home / "out").glob("part-*.parquet"))) == 3
    ask(tmp_path / "in", "-o", "out/", "--shard-size", 3).refused(2, "begun with other --shard-size")
    ask(tmp_path / "in", "-o", "new/", "--draw", "x").refused(2, "Parquet only")
    ask(tmp_path / "in", "-o", "new/", "--format", "csv").refused(2, "Parquet only")
    assert not (home / "new").exists()


def test_ctrl_c_in_shards_says_how_to_go_on(
    ask: Cli, photo: Callable[..., Path], tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        photo(f"in/{number}.png")
    whole, count = Writer.write, 0

    def write(self: Writer, result: FrameResult) -> None:
        nonlocal count
        count += 1
        if count == 4:
            raise KeyboardInterrupt
        whole(self, result)

    with monkeypatch.context() as patch:
        patch.setattr(Writer, "write", write)
        answer = ask(tmp_path / "in", "-o", "out/", "--shard-size", 2)
    answer.refused(1, "Stopped; what is finished stays in out, and the same command goes on from there.")
    assert sorted(path.name for path in (home / "out").iterdir()) == ["part-00000.json", "part-00000.parquet", "predict.json"]
    assert "5 pictures, 5 faces" in ask(tmp_path / "in", "-o", "out/", "--shard-size", 2).err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["nowhere.jpg"], 2, "There is no file or folder nowhere.jpg"),
        (["empty"], 1, "holds no picture or film"),
        (["a.png", "-o", "x.xlsx"], 2, "names no format"),
        (["a.png", "-o", "empty", "--format", "csv"], 2, "is a folder"),
        (["a.png", "--prior", "balance"], 2, "did you mean 'balanced'"),
        (["a.png", "--prior", "fear=much"], 2, "A prior names classes"),
        (["a.png", "--prior", "fear=1"], 2, "prior"),
        (["a.png", "--every", "0"], 2, "--every must be at least 1"),
        (["a.png", "--smoothing", "-1"], 2, "--smoothing"),
        (["a.png", "--draw", "a.png"], 2, "--draw names a folder"),
        (["a.png", "--engine", "ray"], 2, "name their folder with -o"),
        (["99"], 1, "Camera 99 gives no picture"),
        (["a.png", "--min-face", "3"], 2, "--min-face"),
    ],
)
def test_wrong_usage_is_one_line(ask: Cli, photo: Callable[..., Path], home: Path, words: list[str], code: int, message: str) -> None:
    (home / "empty").mkdir()
    photo("cwd/a.png")
    ask(*words).refused(code, message)
    assert sorted(p.name for p in home.iterdir()) == ["a.png", "empty"]


def test_an_unknown_model_is_told(cli: Cli, photo: Callable[..., Path]) -> None:
    cli("predict", photo("a.png"), "--model", "nowhere").refused(1, "nowhere")


ASIDE = ".faces.jsonl.*.part"


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 1), (signal.SIGTERM, 143)])
def test_a_signal_keeps_what_was_done(tiny: Path, photo: Callable[..., Path], tmp_path: Path, number: signal.Signals, code: int) -> None:
    for i in range(400):
        photo(f"in/{i:03d}.png")
    words = ["predict", "in", "-o", "faces.jsonl", "--model", str(tiny), "--detector", "none", "--device", "cpu"]
    command = [sys.executable, "-m", "evenface", *words]
    work = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not any(file.stat().st_size for file in tmp_path.glob(ASIDE)) and time.monotonic() < deadline and work.poll() is None:
        time.sleep(0.005)
    work.send_signal(number)
    _, errors = work.communicate(timeout=60)
    assert work.returncode == code, errors
    assert "stopped after" in errors
    assert "faces.partial.jsonl" in errors
    assert "Traceback" not in errors
    lines = (tmp_path / "faces.partial.jsonl").read_text().splitlines()
    assert 0 < len(lines) < 400
    assert json.loads(lines[-1])["schema_version"] == 1
    assert not (tmp_path / "faces.jsonl").exists()
    assert not list(tmp_path.glob(ASIDE))


def test_names_that_the_terminal_cannot_show(tiny: Path, photo: Callable[..., Path]) -> None:
    path = photo("写真.png")
    for kind, expected in (("text", rb"\u5199\u771f.png: face 0"), ("jsonl", "写真.png".encode()), ("csv", "写真.png".encode())):
        words = ["predict", str(path), "--model", str(tiny), "--detector", "none", "--device", "cpu", "--format", kind]
        done = subprocess.run(
            [sys.executable, "-m", "evenface", *words], capture_output=True, env={**os.environ, "PYTHONIOENCODING": "cp1252"}, check=False
        )
        assert done.returncode == 0, done.stderr
        assert expected in done.stdout


def test_a_second_run_looks_at_no_copy_of_the_first(ask: Cli, photo: Callable[..., Path], home: Path) -> None:
    photo(str(home / "in" / "a.png"))
    first = ask("in", "--draw", "in/drawn", "--faces", "in/crops")
    again = ask("in", "--draw", "in/drawn", "--faces", "in/crops")
    assert (first.code, again.code) == (0, 0)
    assert again.out == first.out
    assert again.err == "left out  in/crops: results go there\nleft out  in/drawn: results go there\n"
    ask("in", "--faces", "in").refused(2, "give --faces another folder")


@pytest.mark.parametrize("value", ["-1", "nan", "inf"])
def test_smoothing_is_a_time(ask: Cli, photo: Callable[..., Path], value: str) -> None:
    ask(photo("a.png"), f"--smoothing={value}").refused(2, "--smoothing is a time in seconds")
