"""Results as they go out: text for people, JSON, JSON lines, CSV and Parquet for programs.

    with open_writer(Path("faces.csv"), "csv", classes) as out:
        out.write(result)

Results are written as they come, in constant memory, beside the final name, and renamed at the end. What was done before an interruption
or an error is kept as `faces.partial.csv`.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from evenface.errors import ConfigError, unknown_name
from evenface.files import aside_of, cannot_write, clear_abandoned
from evenface.results import FrameResult


FORMATS = ("text", "json", "jsonl", "csv", "parquet")
_ROWS = 2048  # of a Parquet row group


def format_of(path: Path) -> str:
    """The format that a file name asks for.

    Raises:
        ConfigError: a suffix that stands for none.
    """
    kind = {".txt": "text", ".ndjson": "jsonl"}.get(path.suffix.lower(), path.suffix.lower().removeprefix("."))
    if kind not in FORMATS:
        raise ConfigError(f"{path}: the suffix names no format; take .json, .jsonl, .csv, .parquet or .txt, or say it with --format.")
    return kind


class Writer:
    """Writes results to a file, or to standard output where `path` is None. A context manager.

    Args:
        kind: one of `FORMATS`.
        classes: those of the model; columns of tables.
        top_k: only so many scores of a face, the highest; the others are left out (of a table: null).
        single: the JSON is one object instead of a list.
        keep_partial: what an interruption or an error left is kept.

    Attributes:
        path: as given, links resolved.
        partial: where an unfinished file was kept.
        written: the file stands under its name.
    """

    def __init__(
        self,
        path: Path | None,
        kind: str,
        classes: Sequence[str],
        *,
        top_k: int | None = None,
        single: bool = False,
        keep_partial: bool = True,
    ) -> None:
        if path is not None and path.is_symlink() and (path.is_file() or not path.exists()):
            path = Path(os.path.realpath(path))  # what a link names is written, and the link stays
        self.path = path
        self.written = False
        self.partial: Path | None = None
        self.count = 0
        self._kind = kind
        self._classes = tuple(classes)
        self._top_k = top_k
        self._single = single
        self._held: list[dict[str, Any]] = []
        self._parquet: Any = None
        self._keep_partial = keep_partial
        self._pipe = path is not None and path.exists() and not path.is_file()  # a pipe or a device is written to, not replaced
        self._aside = None if path is None or self._pipe else aside_of(path, secrets.token_hex(4))  # two calls may write to one
        self._file = self._open()
        self._rows: Any = None
        if kind == "csv":
            from evenface.results import schema

            self._rows = csv.DictWriter(self._file, schema(self._classes).names, lineterminator="\n")
            self._rows.writeheader()

    def _open(self) -> IO[Any]:
        place = self._aside if self._aside is not None else self.path
        if place is None:
            if self._kind not in ("text", "parquet") and isinstance(sys.stdout, io.TextIOWrapper):
                sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")  # for programs, whatever this machine's people write
            return sys.stdout.buffer if self._kind == "parquet" else sys.stdout
        try:
            if not self._pipe:
                place.parent.mkdir(parents=True, exist_ok=True)
                clear_abandoned(place.parent.absolute())
            return place.open("wb") if self._kind == "parquet" else place.open("w", encoding="utf-8", newline="")
        except OSError as error:
            raise cannot_write(Path(self.path or ""), error) from error

    def write(self, result: FrameResult, *, film: bool = False) -> None:
        """Adds one result; as text, that of a film says its time.

        Raises:
            StorageError: the disk is full.
        """
        try:
            self._add(result, film)
            if self.path is None and self._kind != "parquet":
                self._file.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise cannot_write(self.path or Path("standard output"), error) from error
        self.count += 1

    def _add(self, result: FrameResult, film: bool) -> None:
        if self._kind == "text":
            self._file.write("".join(f"{line}\n" for line in text_lines(result, self._top_k, film)))
        elif self._kind == "jsonl":
            self._file.write(json.dumps(result.to_dict(self._top_k), ensure_ascii=False, allow_nan=False) + "\n")
        elif self._kind == "json":
            text = json.dumps(result.to_dict(self._top_k), ensure_ascii=False, allow_nan=False, indent=1 if self._single else None)
            self._file.write(text if self._single else ("[\n" if self.count == 0 else ",\n") + text)
        elif self._kind == "csv":
            for row in self._table_rows(result):
                self._rows.writerow({name: _short(value) for name, value in row.items()})
        else:
            self._held += self._table_rows(result)
            if len(self._held) >= _ROWS:
                self._flush_rows()

    def _flush_rows(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        from evenface.results import schema

        columns = schema(self._classes)
        if self._parquet is None:
            self._parquet = pq.ParquetWriter(self._file, columns)
        if self._held:
            self._parquet.write_table(pa.Table.from_pylist(self._held, schema=columns))
            self._held.clear()

    def _table_rows(self, result: FrameResult) -> list[dict[str, Any]]:
        rows = result.rows(self._classes)
        if self._top_k is not None:
            for row, face in zip(rows, result.faces, strict=False):
                kept = face.top(self._top_k)
                row |= {f"p_{name}": None for name in self._classes if name not in kept}
        return rows

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if isinstance(error, BrokenPipeError):
            return
        try:
            empty = self._kind == "json" and self._single and not self.count  # nothing to say of the one picture
            if not empty:
                self._finish()
            if self._pipe:
                self._file.close()
                self.written = kind is None
            if self._aside is None or self.path is None:
                return
            self._file.close()
            if kind is None and not empty:
                os.replace(self._aside, self.path)
                self.written = True
            elif kind is not None and self.count and self._keep_partial:
                self.partial = self.path.with_name(f"{self.path.stem}.partial{self.path.suffix}")
                os.replace(self._aside, self.partial)
        except OSError as failed:
            if kind is None and isinstance(failed, BrokenPipeError):
                raise
            if kind is None:
                raise cannot_write(self.path or Path("standard output"), failed) from failed
        finally:
            if self._aside is not None:
                with contextlib.suppress(OSError):
                    self._file.close()
                self._aside.unlink(missing_ok=True)

    def _finish(self) -> None:
        """What a format needs at its end."""
        if self._kind == "json" and not self._single:
            self._file.write("[]\n" if self.count == 0 else "\n]\n")
        elif self._kind == "json":
            self._file.write("\n")
        elif self._kind == "parquet":
            self._flush_rows()
            self._parquet.close()
        self._file.flush()


def text_lines(result: FrameResult, top_k: int | None = None, film: bool = False) -> list[str]:
    """A line per face for people: where it comes from, the highest scores in percent, and the box."""
    where = f"{result.source} {result.time:.2f} s" if film else result.source
    if not result.faces:
        return [f"{where}: no face"]
    lines = []
    for face in result.faces:
        shown = ", ".join(f"{name} {100 * p:.0f} %" for name, p in face.top(top_k or 3).items())
        box = " ".join(f"{v:.0f}" for v in face.box)
        lines.append(f"{where}: face {face.id}  {shown}  (box {box})")
    return lines


def _short(value: Any) -> Any:
    return round(value, 6) if isinstance(value, float) else value


def open_writer(path: Path | None, kind: str | None, classes: Sequence[str], *, top_k: int | None = None, single: bool = False) -> Writer:
    """A `Writer` to `path` (None: standard output) in a format, by default the one that the path's suffix names, or text.

    Raises:
        ConfigError: an unknown format, or a suffix that names none; Parquet to a terminal.
        StorageError: the file cannot be made.
    """
    kind = kind or (format_of(path) if path is not None else "text")
    if kind not in FORMATS:
        raise ConfigError(unknown_name("format", kind, FORMATS))
    if path is None and kind == "parquet" and sys.stdout.isatty():
        raise ConfigError("Parquet is no text for a terminal; name a file with -o/--output.")
    if path is not None and path.is_dir():
        raise ConfigError(f"{path} is a folder; -o/--output names a file.")
    return Writer(path, kind, classes, top_k=top_k, single=single)
