"""Every format read back by another reader; interruptions; full disks."""

from __future__ import annotations

import csv
import io
import json
import os
import threading
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from evenface.errors import ConfigError, StorageError
from evenface.predict.writers import format_of, open_writer
from evenface.results import Face, FrameResult


CLASSES = ("happiness", "fear", "surprise")
MODEL = {"name": "m", "version": "1", "classes": list(CLASSES), "prior": "model"}


def results() -> list[FrameResult]:
    first = Face((1.0, 2.0, 30.5, 40.0), {"happiness": 0.2, "fear": 0.7, "surprise": 0.1}, 0.9)
    second = Face((50.0, 2.0, 80.0, 40.0), {"happiness": 0.8, "fear": 0.1, "surprise": 0.1}, 0.8, id=1)
    return [FrameResult("a.jpg", 100, 80, MODEL, (first, second)), FrameResult("b, c.jpg", 90, 80, MODEL)]


def write(path: Path, kind: str | None = None, **options: object) -> None:
    with open_writer(path, kind, CLASSES, **options) as out:  # type: ignore[arg-type]
        for result in results():
            out.write(result)


def test_json_is_a_list(tmp_path: Path) -> None:
    write(tmp_path / "x.json")
    assert json.loads((tmp_path / "x.json").read_text()) == [r.to_dict() for r in results()]


def test_json_of_one_picture_is_its_object(tmp_path: Path) -> None:
    with open_writer(tmp_path / "x.json", None, CLASSES, single=True) as out:
        out.write(results()[0])
    assert json.loads((tmp_path / "x.json").read_text()) == results()[0].to_dict()


def test_json_of_nothing_is_an_empty_list(tmp_path: Path) -> None:
    with open_writer(tmp_path / "x.json", None, CLASSES):
        pass
    assert json.loads((tmp_path / "x.json").read_text()) == []


def test_json_lines(tmp_path: Path) -> None:
    write(tmp_path / "x.jsonl", top_k=1)
    lines = [json.loads(line) for line in (tmp_path / "x.jsonl").read_text().splitlines()]
    assert lines == [r.to_dict(1) for r in results()]
    assert lines[0]["faces"][0]["scores"] == {"fear": 0.7}


def test_csv(tmp_path: Path) -> None:
    write(tmp_path / "x.csv")
    with (tmp_path / "x.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(r["source"], r["face"], r["label"], r["p_fear"]) for r in rows] == [
        ("a.jpg", "0", "fear", "0.7"), ("a.jpg", "1", "happiness", "0.1"), ("b, c.jpg", "", "", ""),
    ]  # fmt: skip
    assert (rows[0]["x1"], rows[0]["y2"], rows[0]["width"], rows[0]["time"]) == ("1.0", "40.0", "100", "0.0")
    assert [(r["model"], r["prior"]) for r in rows] == [("m", "model")] * 3


def test_parquet(tmp_path: Path) -> None:
    write(tmp_path / "x.parquet", top_k=2)
    rows = pq.read_table(tmp_path / "x.parquet").to_pylist()
    assert [(r["source"], r["face"], r["label"]) for r in rows] == [
        ("a.jpg", 0, "fear"),
        ("a.jpg", 1, "happiness"),
        ("b, c.jpg", None, None),
    ]
    assert (rows[0]["p_fear"], rows[0]["p_happiness"], rows[0]["p_surprise"]) == (0.7, 0.2, None)
    assert [(r["model"], r["prior"]) for r in rows] == [("m", "model")] * 3


def test_a_parquet_file_of_many_groups(tmp_path: Path) -> None:
    with open_writer(tmp_path / "x.parquet", None, CLASSES) as out:
        for _ in range(3000):
            out.write(results()[0])
    file = pq.ParquetFile(tmp_path / "x.parquet")
    assert file.metadata.num_rows == 6000
    assert file.metadata.num_row_groups > 1


def test_text_names_the_highest_scores(tmp_path: Path) -> None:
    write(tmp_path / "x.txt", top_k=2)
    assert (tmp_path / "x.txt").read_text().splitlines() == [
        "a.jpg: face 0  fear 70 %, happiness 20 %  (box 1 2 30 40)",
        "a.jpg: face 1  happiness 80 %, fear 10 %  (box 50 2 80 40)",
        "b, c.jpg: no face",
    ]


@pytest.mark.parametrize("kind", ["text", "json", "jsonl", "csv"])
def test_standard_output(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    with open_writer(None, kind, CLASSES) as out:
        out.write(results()[0])
    assert "a.jpg" in capsys.readouterr().out


@pytest.mark.parametrize("suffix", ["json", "jsonl", "csv", "parquet", "txt"])
def test_an_interruption_keeps_what_was_done_under_another_name(tmp_path: Path, suffix: str) -> None:
    def interrupted(path: Path) -> None:
        with open_writer(path, None, CLASSES) as out:
            out.write(results()[0])
            raise KeyboardInterrupt

    path = tmp_path / f"x.{suffix}"
    with pytest.raises(KeyboardInterrupt):
        interrupted(path)
    assert [p.name for p in tmp_path.iterdir()] == [f"x.partial.{suffix}"]
    kept = tmp_path / f"x.partial.{suffix}"
    if suffix == "json":
        assert len(json.loads(kept.read_text())) == 1
    elif suffix == "parquet":
        assert pq.read_table(kept).num_rows == 2
    else:
        assert "a.jpg" in kept.read_text()


def test_an_error_before_the_first_result_leaves_nothing_and_an_old_file_stays(tmp_path: Path) -> None:
    def failing(path: Path) -> None:
        with open_writer(path, None, CLASSES):
            raise RuntimeError

    (tmp_path / "x.csv").write_text("old")
    with pytest.raises(RuntimeError):
        failing(tmp_path / "x.csv")
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("x.csv", "old")]


def test_two_calls_that_write_to_one_file_leave_the_later_one_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    with open_writer(path, None, CLASSES) as early:
        early.write(results()[0])
        with open_writer(path, None, CLASSES) as late:
            for result in results():
                late.write(result)
        long = path.read_text()
        early.write(results()[0])
        assert path.read_text() == long
    assert path.read_text() == 2 * f"{long.splitlines()[0]}\n"
    assert [each.name for each in tmp_path.iterdir()] == ["x.jsonl"]


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    monkeypatch.setattr("secrets.token_hex", lambda n: "01" * n)
    (tmp_path / ".x.jsonl.01010101.part").symlink_to(full)

    def write_much() -> None:
        with open_writer(tmp_path / "x.jsonl", None, CLASSES) as out:
            for _ in range(1000):
                out.write(results()[0])

    with pytest.raises(StorageError, match="disk is full"):
        write_much()
    assert not (tmp_path / "x.jsonl").exists()


@pytest.mark.parametrize(("name", "kind"), [("a.JSON", "json"), ("a.ndjson", "jsonl"), ("a.b.csv", "csv"), ("a.txt", "text")])
def test_the_suffix_names_the_format(name: str, kind: str) -> None:
    assert format_of(Path(name)) == kind


def test_what_names_no_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="names no format"):
        open_writer(tmp_path / "x.xlsx", None, CLASSES)
    with pytest.raises(ConfigError, match="jsonl"):
        open_writer(None, "jsonll", CLASSES)
    with pytest.raises(ConfigError, match="is a folder"):
        open_writer(tmp_path, "csv", CLASSES)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.jsonl"
    os.mkfifo(pipe)
    heard: list[str] = []
    reader = threading.Thread(target=lambda: heard.append(pipe.read_text()))
    reader.start()
    write(pipe)
    reader.join(10)
    assert [json.loads(line) for line in heard[0].splitlines()] == [r.to_dict() for r in results()]
    assert pipe.is_fifo()
    write(Path("/dev/null"), kind="csv")
    assert Path("/dev/null").is_char_device()


def test_a_link_stays_and_its_file_is_written(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    for name in ("there.json", "new.json"):
        (tmp_path / name).symlink_to(tmp_path / "real" / name)
    (tmp_path / "real" / "there.json").write_text("old")
    for name in ("there.json", "new.json"):
        write(tmp_path / name)
        assert (tmp_path / name).is_symlink()
        assert len(json.loads((tmp_path / "real" / name).read_text())) == 2


def test_one_picture_that_is_broken_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("old")
    with open_writer(tmp_path / "x.json", None, CLASSES, single=True) as out:
        pass
    assert not out.written
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]
    assert (tmp_path / "x.json").read_text() == "old"


def test_a_reader_that_has_gone_at_the_end_is_no_error_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(io.StringIO):
        def flush(self) -> None:
            raise BrokenPipeError

    monkeypatch.setattr("sys.stdout", Gone())
    with pytest.raises(BrokenPipeError), open_writer(None, "json", CLASSES):
        pass
    with pytest.raises(ValueError, match="ours"), open_writer(None, "json", CLASSES):
        raise ValueError("ours")
