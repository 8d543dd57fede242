"""`evenface data prepare RAW OUT`: its flags, the bar while it works, and what it tells at the end."""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenface.wording import counted


if TYPE_CHECKING:
    from evenface.data.prepare import Prepared
    from evenface.report.grid import Grid

LABELS = ("majority", "max", "probability", "fer2013")
DATASETS = ("folder", "rafdb", "affectnet", "ferplus", "manifest")
REAL_FACES = "It holds faces of real people: keep it out of your repository, and see the licence of the data set."

ABOUT = """\
Find the faces of raw pictures, cut them out alike, and pack them into Parquet shards.

  evenface data prepare RAW OUT --dataset rafdb -j 8
  evenface train --dataset manifest --data-dir OUT ...

Stopped or killed, the same command goes on from the last whole shard. OUT/dropped.csv says which pictures gave no face, and why.
"""


def add_verb(verbs: Any) -> None:
    """Adds `prepare` to the verbs of `evenface data`."""
    parser = verbs.add_parser(
        "prepare", help="find faces, cut them out, pack them into shards", description=ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
    )  # fmt: skip
    parser.add_argument("raw", metavar="RAW", type=Path, help="where the data set lies, in the layout as downloaded")
    parser.add_argument("out", metavar="OUT", type=Path, help="a new folder, or one that the same command was stopped in")
    parser.add_argument("--dataset", choices=DATASETS, default="folder", help="how RAW is laid out (default: folder, split/class/file)")
    parser.add_argument("--classes", type=int, choices=[7, 8], default=7, help="7 basic expressions, or 8 with contempt (default: 7)")
    parser.add_argument("--labels", choices=LABELS, default="majority", help="FERPlus: how votes become labels (default: majority)")

    find = parser.add_argument_group("which face")
    find.add_argument("--detector", default="mtcnn", help="mtcnn, yunet, yunet:PATH, or none: every picture is a face (default: mtcnn)")
    find.add_argument("--min-face", type=int, default=40, metavar="N", help="smallest face in pixels (default: 40)")
    find.add_argument("--min-score", type=float, metavar="X", help="lowest detection score (default: the detector's own)")
    find.add_argument("--several", default="largest", help="of several faces: largest, centre, or skip the picture (default: largest)")
    find.add_argument("--missing", default="skip", help="without a face: skip the picture, or take it whole (default: skip)")

    cut = parser.add_argument_group("how it is cut out and stored")
    cut.add_argument("--template", help="arcface, fer2013 or box (default: arcface; box where the detector is none)")
    cut.add_argument("--margin", type=float, default=0.0, metavar="X", help="shown around the face, relative to its side (default: 0)")
    cut.add_argument("--size", type=int, default=224, metavar="N", help="side in pixels (default: 224)")
    cut.add_argument("--quality", type=_quality, default=95, metavar="N", help="of the JPEG, 1 to 100, or 'lossless' (default: 95)")
    cut.add_argument("--shard-rows", type=int, default=2000, metavar="N", help="pictures per shard (default: 2000)")
    cut.add_argument("-j", "--workers", type=int, default=os.cpu_count() or 1, metavar="N", help="processes (default: one per core)")
    parser.set_defaults(run=run_prepare)


def _quality(text: str) -> int | None:
    if text == "lossless":
        return None
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"'{text}' is neither a whole number nor 'lossless'")
    return int(text)


def run_prepare(args: argparse.Namespace) -> int:
    from evenface.cli.output import console
    from evenface.data import load_dataset
    from evenface.data.prepare import prepare
    from evenface.errors import TrainingError
    from evenface.faces.alignment import Alignment

    searched = args.detector != "none"
    alignment = Alignment(args.template or ("arcface" if searched else "box"), args.margin)
    manifest = load_dataset(args.dataset, args.raw, classes=args.classes, labels=args.labels, original=searched)
    for note in manifest.notes:
        print(note)
    try:
        with _bar() as progress:
            prepared = prepare(
                manifest, args.out, detector=args.detector, alignment=alignment, size=args.size, min_face=args.min_face,
                min_score=args.min_score, several=args.several, missing=args.missing, quality=args.quality, workers=args.workers,
                shard_rows=args.shard_rows, progress=progress,
            )  # fmt: skip
    except KeyboardInterrupt:
        raise TrainingError(f"Stopped; what is finished stays in {args.out}, and the same command goes on from there.") from None
    console().print(summary(prepared))
    now = f", {prepared.made} of them now" if prepared.made < prepared.shards else ""
    print(f"written   {args.out}: {counted(prepared.shards, 'shard')}{now}")
    print(f"next      evenface train --dataset manifest --data-dir {shlex.quote(str(args.out))} ...")
    print(REAL_FACES)
    return 0


def summary(prepared: Prepared) -> Grid:
    """Kept and dropped pictures per split and class, and the reasons below."""
    from evenface.report.grid import Grid
    from evenface.report.tables import class_order

    splits = list(prepared.kept)
    head = ("class", *(cell for split in splits for cell in (split, "dropped")))
    rows = tuple(
        (name, *(f"{table[split][name]:,}" for split in splits for table in (prepared.kept, prepared.dropped)))
        for name in class_order(prepared.class_names, prepared.kept.get("train"))
    )
    total = ("all", *(f"{sum(table[split].values()):,}" for split in splits for table in (prepared.kept, prepared.dropped)))
    notes = prepared.notes()
    if notes:
        notes.append(f"Which ones: {prepared.out / 'dropped.csv'}.")
    if any(prepared.reasons.get(split) for split in ("validation", "test")):
        notes.append("Scores on a split that lost pictures are not those on the whole split; say so beside them.")
    faces = counted(sum(sum(per.values()) for per in prepared.kept.values()), "face")
    return Grid(f"{prepared.name}: {faces}", head, rows, (total,), tuple(notes))


@contextlib.contextmanager
def _bar() -> Iterator[Callable[[int, int], None] | None]:
    """A bar with the time left, on a terminal; nothing else elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    screen = Console(stderr=True)
    if not screen.is_terminal:
        yield None
        return
    columns = (
        TextColumn("pictures"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.percentage:.0f} %"), TimeElapsedColumn(),
        TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=screen, speed_estimate_period=120, refresh_per_second=2) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
