"""FERPlus: FER2013's 35,887 grey 48x48 faces, each with the votes of ten annotators (Barsoum et al., ICMI 2016).

    read_ferplus("path/to/ferplus").counts("train")        # {"happiness": 7287, "neutral": 8740, ...}, 24,941 in all

Three layouts are read as they come (see `TREE`). How ten votes become a label is the option `labels`:

`majority`     (default; the published protocol, 24,941 / 3,186 / 3,137 with 7 classes.) A count of one is taken for a slip and set to 0;
               the expression with the most votes is the label if it has *more than half* of the votes left, those for `unknown`
               and `NF` (not a face) included. Other rows are dropped. Then contempt is dropped for 7 classes.
`max`          The largest of the ten raw counts, ties to the first in the file's order (neutral, happiness, surprise, sadness, anger,
               disgust, fear, contempt, unknown, NF); rows whose winner is unknown or NF are dropped, and contempt for 7 classes.
`probability`  As the original code does, only *train* changes: validation and test rows are those of `majority`, so the numbers compare.
               Train keeps each row where, after counts of one are set to 0, a kept class has votes and neither unknown nor NF (nor, for
               7 classes, contempt) has as many as the best class. `soft` (all splits) is the share of each kept class in the votes
               for kept classes; votes for unknown, NF and a dropped contempt do not enter it. `label` is its arg-max (ties as above).
`fer2013`      The rows of `majority`; train labels are FER2013's own, a real label noise (a third of them differ), with the
               majority label in `clean_label`. Validation and test keep the majority label. Not for the PNG folders, which lack it.
`every`        For learning without labels: each row that has a file name and is not mostly voted NF. The label is the class with the most
               votes among those kept, ties as above, and means little: `evenface distill` does not look at it.

An id is FERPlus's file name without its suffix. Four names stand on two rows each; the second gets `-2`, the same in all layouts.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from PIL import Image

from evenface.data.layout import csv_lines, not_found, present, require_folder, require_utf8
from evenface.data.manifest import IMAGE_TYPE, SPLITS, Manifest
from evenface.data.votes import NAMED, UNDECIDED, VOTES, distribution, majority, maximum, without_slips
from evenface.errors import ConfigError, DataError, unknown_name
from evenface.labels import ORDERS, canonical, class_set


TREE = """
  train.parquet  validation.parquet  test.parquet      (image, fer2013_label, votes_neutral ... votes_NF)
or
  fer2013.csv                                          (emotion,pixels,Usage)
  fer2013new.csv                                       (Usage,Image name,neutral,...,NF: the votes, from the FERPlus repository)
or
  FER2013Train/  FER2013Valid/  FER2013Test/           (each with fer0000000.png ... and label.csv)
"""
LICENCE = "FER2013 images: research use only; FERPlus votes: MIT"

USAGE = {"Training": "train", "PublicTest": "validation", "PrivateTest": "test"}
FOLDERS = {"train": "FER2013Train", "validation": "FER2013Valid", "test": "FER2013Test"}
ALIGNMENT = {"template": "fer2013", "margin": 0.0, "resolution": 48, "grey": True}
"""How the faces lie in their pictures, in the fields of `evenface.faces.alignment.Alignment`."""

RULES = ("majority", "max", "probability", "fer2013", "every")

_NAMELESS, _CONTEMPT = "no file name in FERPlus (not a face)", "contempt, which is not among the classes"
_NOBODY, _UNCLEAR = "mostly voted unknown or not a face", "no expression that the rule accepts"
_REASONS = {_NAMELESS: f"have {_NAMELESS}", _CONTEMPT: "were contempt", _NOBODY: f"were {_NOBODY}", _UNCLEAR: f"had {_UNCLEAR}"}
"""Why a row is left out -> how the notes say it of many, in the order that they say it."""


def read_ferplus(root: str | Path, *, classes: int = 7, labels: str = "majority") -> Manifest:
    """Reads FERPlus from any of its layouts.

    Args:
        root: the folder that holds one of the layouts of `TREE`.
        classes: 7, or 8 with contempt.
        labels: the vote rule, one of `RULES`.

    Returns:
        A manifest with `votes_<name>` (ten columns, int8) and, except for the PNG folders, `fer2013_row` and `fer2013_label`.

    Raises:
        ConfigError: an unknown rule. DataError: no layout found, or files that disagree.
    """
    choose = _chooser(classes, labels)
    path = require_folder(root, "FERPlus", TREE)
    return Manifest(_read(path, choose), choose.class_names, "ferplus", path, choose.sentences(), LICENCE, dict(ALIGNMENT))


def left_out_ferplus(root: str | Path, *, classes: int = 7, labels: str = "majority") -> pa.Table:
    """The rows that `read_ferplus` with the same arguments leaves out, with its errors.

    Returns:
        id, split, reason, image and the ten `votes_<name>`. A row to which FERPlus gives no name is called after its place in
        fer2013.csv, `fer2013-row-29`, or in its split where that is not known, `train-row-29`; both from 0.
    """
    choose = _chooser(classes, labels)
    choose.left_out = True
    table = _read(require_folder(root, "FERPlus", TREE), choose)
    if "fer2013_row" not in table.column_names:
        return table
    facts = zip(*(table[name].to_pylist() for name in ("id", "reason", "fer2013_row")), strict=True)
    ids = [f"fer2013-row-{row}" if why == _NAMELESS else name for name, why, row in facts]
    return table.set_column(0, "id", pa.array(ids, pa.string()))


def _chooser(classes: int, labels: str) -> Chooser:
    if labels not in RULES:
        raise ConfigError(unknown_name("label rule", labels, RULES))
    return Chooser(class_set(classes), labels)


def _read(path: Path, choose: Chooser) -> pa.Table:
    if all(_parquet_files(path, split) for split in SPLITS):
        return _from_parquet(require_utf8(path), choose)
    if (path / "fer2013new.csv").is_file() and (path / "fer2013.csv").is_file():
        return _from_csv(require_utf8(path), choose)
    if all((path / folder / "label.csv").is_file() for folder in FOLDERS.values()):
        return _from_folders(path, choose)
    raise not_found(path, "FERPlus", TREE)


class Chooser:
    """Applies one rule split by split, and counts what it does for the notes.

    With `left_out` it gives the other rows: those that the rule does not keep, with the reason in place of a label.
    """

    def __init__(self, class_names: tuple[str, ...], rule: str) -> None:
        self.class_names = class_names
        self.rule = rule
        self.dropped: Counter[str] = Counter()
        self.extra: tuple[str, ...] = ()
        self.rows = self.kept = self.ties = 0
        self.left_out = False
        self._seen: Counter[str] = Counter()

    def __call__(
        self, split: str, names: Sequence[str | None], votes: np.ndarray, emotions: Sequence[str] | None
    ) -> tuple[np.ndarray, pa.Table]:
        """Decides one split.

        Args:
            split: train, validation or test.
            names: file name of each row, or None where FERPlus gives none.
            votes: (n, 10).
            emotions: FER2013's own label of each row, or None.

        Returns:
            The rows kept (k,), int64, and a table of their id, split, label, soft, votes and fer2013_label.
        """
        if self.rule == "fer2013" and emotions is None:
            raise ConfigError("The PNG folders of FERPlus do not hold FER2013's own labels; choose labels majority, max or probability.")
        soft = distribution(votes, self.class_names)
        winner = maximum(votes) if self.rule == "max" else majority(votes)
        if self.rule == "probability" and split == "train":
            order = np.array([NAMED.index(name) for name in self.class_names])
            # ties go to the first in the file's order, not in ours: look the shares up in that order
            shares = np.zeros((len(votes), len(NAMED)), dtype=np.float32)
            shares[:, order] = soft
            winner = np.where(soft.sum(axis=1) > 0, shares.argmax(axis=1), UNDECIDED)
        if self.rule == "every":
            inside = [column for column, name in enumerate(NAMED) if name in self.class_names]
            faceless = 2 * votes[:, VOTES.index("NF")] > votes.sum(axis=1)
            winner = np.where(faceless, UNDECIDED, np.array(inside)[votes[:, inside].argmax(axis=1)])
        named = np.array([bool(name) for name in names], dtype=bool)
        known = np.array([*(name in self.class_names for name in NAMED), False])  # the last is UNDECIDED
        keep = known[winner] & named
        why = self._count(votes, winner, keep, named)

        ids = np.array(self._ids(names), dtype=object)
        if self.left_out:
            return self._others(split, np.flatnonzero(~keep), ids, named, votes, why)
        rows = np.flatnonzero(keep)
        voted = [NAMED[w] for w in winner[rows]]
        columns: dict[str, pa.Array] = {"id": pa.array(ids[rows], pa.string()), "split": pa.array([split] * len(rows), pa.string())}
        own = None if emotions is None else [emotions[int(r)] for r in rows]
        if self.rule == "fer2013" and split == "train":
            columns["label"], columns["clean_label"] = pa.array(own, pa.string()), pa.array(voted, pa.string())
        else:
            columns["label"] = pa.array(voted, pa.string())
            if self.rule == "fer2013":
                columns["clean_label"] = columns["label"]
        if self.rule == "probability":
            columns["soft"] = pa.FixedSizeListArray.from_arrays(pa.array(soft[rows].ravel(), pa.float32()), len(self.class_names))
        for i, name in enumerate(VOTES):
            columns[f"votes_{name}"] = pa.array(votes[rows, i].astype(np.int8))
        if own is not None:
            columns["fer2013_label"] = pa.array(own, pa.string())
        return rows, pa.table(columns)

    def _others(
        self, split: str, rows: np.ndarray, ids: np.ndarray, named: np.ndarray, votes: np.ndarray, why: np.ndarray
    ) -> tuple[np.ndarray, pa.Table]:
        called = [ids[row] if named[row] else f"{split}-row-{row}" for row in rows]
        columns = {"id": called, "split": [split] * len(rows), "reason": why.tolist()}
        table = {name: pa.array(values, pa.string()) for name, values in columns.items()}
        return rows, pa.table(table | {f"votes_{name}": pa.array(votes[rows, i].astype(np.int8)) for i, name in enumerate(VOTES)})

    def _ids(self, names: Sequence[str | None]) -> list[str]:
        """Unique ids; numbered before any row is dropped, so that no rule changes them."""
        ids = []
        for name in names:
            stem = (name or "").removesuffix(".png")
            self._seen[stem] += 1
            ids.append(stem if self._seen[stem] == 1 else f"{stem}-{self._seen[stem]}")
        return ids

    def _count(self, votes: np.ndarray, winner: np.ndarray, keep: np.ndarray, named: np.ndarray) -> np.ndarray:
        """Counts a split's rows; gives the reason of each that is not kept, one of `_REASONS`."""
        self.rows += len(votes)
        self.kept += int(keep.sum())
        judged = votes if self.rule in ("max", "every") else without_slips(votes)
        tied = (judged == judged.max(axis=1, keepdims=True)).sum(axis=1) > 1
        self.ties += int((tied & named).sum())
        contempt = winner == NAMED.index("contempt")
        if self.rule == "probability":  # shares are of the classes alone, so where contempt has the most votes nobody wins
            contempt |= (winner == UNDECIDED) & (judged.argmax(axis=1) == NAMED.index("contempt"))
        nobody = judged[:, len(NAMED) :].max(axis=1) >= judged.max(axis=1)
        told = np.where(contempt, _CONTEMPT, np.where(nobody, _NOBODY, _UNCLEAR))
        why: np.ndarray = np.where(named, told, _NAMELESS)[~keep]
        for reason in _REASONS:
            self.dropped[reason] += int((why == reason).sum())
        return why

    def sentences(self) -> tuple[str, ...]:
        reasons = [f"{n} {_REASONS[why]}" for why, n in self.dropped.items() if n]
        fate = "went to the first in the file's order" if self.rule in ("max", "every") else "were dropped unless the rule allows them"
        if self.rule == "probability":
            fate = "kept their shares in train"
        return (
            f"FERPlus rule '{self.rule}' with {len(self.class_names)} classes kept {self.kept} of {self.rows} rows"
            + (f"; {', '.join(reasons)}." if reasons else "."),
            f"{self.ties} rows have a tie for the most votes; they {fate}.",
            *self.extra,
        )


def _parquet_files(root: Path, split: str) -> list[Path]:
    """`train.parquet`, or the shards `train-00000-of-00002.parquet` that Hugging Face writes (there under data/)."""
    for folder in (root, root / "data"):
        files = [folder / f"{split}.parquet"] if (folder / f"{split}.parquet").is_file() else sorted(folder.glob(f"{split}-*.parquet"))
        if files:
            return files
    return []


def _from_parquet(root: Path, choose: Chooser) -> pa.Table:
    columns = ["image", *(f"votes_{name}" for name in VOTES)]
    own = ["fer2013_row", "fer2013_label"]
    parts = []
    for split in SPLITS:
        files = _parquet_files(root, split)
        try:
            there = set(pq.read_schema(files[0]).names)
        except (pa.ArrowInvalid, OSError) as error:
            raise _broken(files[0], error) from error
        if not there.issuperset(columns):
            raise DataError(f"{files[0]} lacks the columns {', '.join(sorted(set(columns) - there))}; it is not a FERPlus table.")
        table = pa.concat_tables([_read_parquet(f, columns + [c for c in own if c in there]) for f in files])
        image = table["image"].combine_chunks()
        votes = _votes(table, columns[1:], files[0])
        emotions = _canonical(table["fer2013_label"].to_pylist(), files[0]) if "fer2013_label" in there else None
        rows, part = choose(split, _names(image, files[0]), votes, emotions)
        part = part.add_column(3, "image", image.take(pa.array(rows)).cast(IMAGE_TYPE))
        if "fer2013_row" in there:
            part = part.append_column("fer2013_row", table["fer2013_row"].take(pa.array(rows)).combine_chunks())
        parts.append(part)
    return pa.concat_tables(parts)


def _names(image: pa.Array, path: Path) -> list[str | None]:
    """FERPlus's file name of each face; a row without one is no face."""
    whole = pa.types.is_struct(image.type) and {"bytes", "path"} <= {field.name for field in image.type}
    names = image.field("path").to_pylist() if whole else [None]
    if names and not any(names):
        raise DataError(
            f"{path}: the column 'image' must be a struct of `bytes` and `path`, with FERPlus's file name of the face (fer0000000.png) in "
            "`path`; without a name a row counts as no face."
        )
    return list(names)


def _read_parquet(path: Path, columns: list[str]) -> pa.Table:
    try:
        return pq.read_table(path, columns=columns)
    except (pa.ArrowInvalid, OSError) as error:
        raise _broken(path, error) from error


def _broken(path: Path, error: Exception) -> DataError:
    return DataError(f"{path} cannot be read ({str(error).splitlines()[0]}); the copy is damaged or cut short, fetch it again.")


def _canonical(names: Sequence[str | None], path: Path) -> list[str]:
    if None in names:
        raise DataError(f"{path}, row {names.index(None) + 1}: there is no fer2013_label; the copy is damaged, fetch it again.")
    nouns = {name: canonical(str(name)) for name in set(names)}
    return [nouns[name] for name in names]


def _votes(table: pa.Table, columns: Sequence[str], path: Path) -> np.ndarray:
    """(n, 10) int64, counts from 0 on: a missing one would make a face decided that is not."""
    votes = np.empty((len(table), len(columns)), dtype=np.int64)
    for i, name in enumerate(columns):
        try:
            counts = table[name].to_numpy().astype(np.float64)  # null is NaN then
        except (TypeError, ValueError):
            raise DataError(f"{path}: the column '{name}' does not hold numbers; a vote is one from 0 on.") from None
        if (bad := np.flatnonzero(~(np.isfinite(counts) & (counts >= 0)))).size:
            raise DataError(f"{path}, row {bad[0] + 1}: the column '{name}' has no number from 0 on; the copy is damaged, fetch it again.")
        votes[:, i] = counts
    return votes


def _from_csv(root: Path, choose: Chooser) -> pa.Table:
    """Row i of both files is the same face. Only the pixels of kept rows are decoded."""
    table = _read_columns(root / "fer2013new.csv", ["Usage", "Image name", *VOTES])
    usage = table["Usage"].to_pylist()
    names = table["Image name"].to_pylist()
    votes = _votes(table, VOTES, root / "fer2013new.csv")
    pixels, emotions, theirs = _read_pixels(root / "fer2013.csv")
    if theirs != usage:
        raise DataError(f"fer2013.csv ({len(theirs)} rows) and fer2013new.csv ({len(usage)} rows) in {root} do not go together row by row.")
    parts = []
    for code, split in USAGE.items():
        here = np.flatnonzero(np.array(usage) == code)
        own = [emotions[r] for r in here]
        rows, part = choose(split, [names[r] for r in here], votes[here], own)
        kept = here[rows]
        faces = ({"bytes": _png(pixels[r], root / "fer2013.csv", r + 1), "path": names[r]} for r in kept)
        part = part.add_column(3, "image", pa.array(faces, type=IMAGE_TYPE, size=len(kept)))
        parts.append(part.append_column("fer2013_row", pa.array(kept.astype(np.int32))))
    return pa.concat_tables(parts)


def _read_columns(path: Path, columns: Sequence[str]) -> pa.Table:
    try:
        table = pacsv.read_csv(path, convert_options=pacsv.ConvertOptions(strings_can_be_null=True))
        table = table.rename_columns([name.strip() for name in table.column_names])
    except (pa.ArrowInvalid, OSError, UnicodeDecodeError) as error:
        raise _broken(path, error) from error
    missing = [name for name in columns if name not in table.column_names]
    if missing:
        raise DataError(f"{path} lacks the columns {', '.join(missing)}; it has {', '.join(table.column_names)}.")
    return table.select(list(columns))


def _read_pixels(path: Path) -> tuple[pa.ChunkedArray, list[str], list[str]]:
    """Pixels, FER2013's own labels by name, and the part of each row."""
    table = _read_columns(path, ["emotion", "pixels", "Usage"])
    order = ORDERS["fer2013"]
    numbers = table["emotion"].to_pylist()
    if odd := [row for row, number in enumerate(numbers, 1) if number not in range(len(order))]:
        raise DataError(f"{path}, row {odd[0]}: an emotion is a number from 0 to {len(order) - 1}, not {numbers[odd[0] - 1]}.")
    return table["pixels"], [order[int(number)] for number in numbers], table["Usage"].to_pylist()


def _png(pixels: pa.Scalar, path: Path, row: int) -> bytes:
    """2,304 numbers as text -> a lossless PNG of 48x48."""
    try:
        values = np.fromstring(pixels.as_py() or "", dtype=np.int32, sep=" ")
    except ValueError:
        raise DataError(f"{path}, row {row}: the pixels are not numbers; the copy is damaged, fetch it again.") from None
    if values.size != 48 * 48:
        raise DataError(f"{path}, row {row} holds {values.size} pixels where 2304 are needed; the file is cut short.")
    if (odd := values[(values < 0) | (values > 255)]).size:
        raise DataError(f"{path}, row {row}: a pixel is a number from 0 to 255, not {odd[0]}.")
    out = io.BytesIO()
    Image.fromarray(values.reshape(48, 48).astype(np.uint8)).save(out, "PNG", compress_level=1)
    return out.getvalue()


def _from_folders(root: Path, choose: Chooser) -> pa.Table:
    """Each label.csv has no header as it comes: name, "(x, y, w, h)" (always the whole image), ten votes."""
    parts = []
    for split, folder in FOLDERS.items():
        path = root / folder / "label.csv"
        lines = list(_label_rows(path))
        files = [f"{folder}/{name}" for name, _ in lines]
        there, notes = present(root, files, f"{folder}/label.csv")
        choose.extra += notes
        lines = [line for line, ok in zip(lines, there, strict=True) if ok]
        votes = np.array([counts for _, counts in lines], dtype=np.int64).reshape(-1, len(VOTES))
        rows, part = choose(split, [name for name, _ in lines], votes, None)
        image = [{"bytes": None, "path": f"{folder}/{lines[r][0]}"} for r in rows]
        parts.append(part.add_column(3, "image", pa.array(image, type=IMAGE_TYPE)))
    return pa.concat_tables(parts)


def _label_rows(path: Path) -> Iterator[tuple[str, list[int]]]:
    """Name and ten votes of each line; a header is passed over."""
    for number, line in enumerate(csv_lines(path), 1):
        if not line:
            continue
        if len(line) < 12:
            raise DataError(f"{path}, line {number}: a name, a box and ten votes are needed, found {len(line)} fields.")
        try:
            yield line[0], [int(float(vote)) for vote in line[2:12]]
        except (ValueError, OverflowError):
            if number > 1 or any(vote.strip().isdecimal() for vote in line[2:12]):
                raise DataError(f"{path}, line {number}: a vote is a number, found '{','.join(line[2:12])}'.") from None
