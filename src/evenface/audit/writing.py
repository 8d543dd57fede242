"""What an audit writes: `verdicts.csv`, `exclude.txt`, and the page with the faces.

verdicts_text(rows, findings)               # id,split,label,check,verdict,score,others,suggestion
write_excluded(path, rows, chosen(rows, ...))  # ids for --exclude
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from evenface.audit.finding import CHECKS, Audit, Finding
from evenface.audit.rows import Rows
from evenface.data.decode import UNREADABLE, decode
from evenface.data.manifest import SPLITS
from evenface.files import write_text
from evenface.report.grid import Grid
from evenface.report.page import Section, face_img, gallery_html, grid_html, page, paragraph
from evenface.wording import counted


COLUMNS = ("id", "split", "label", "check", "verdict", "score", "others", "suggestion")
SHOWN = 200  # faces of a check on the page
TWINS = ("duplicates", "near-duplicates")  # checks that are shown in pairs
TITLES = {"labels": "doubtful labels"}  # of the page, where the check's name says too little
SIDE = 72  # of a face on the page, CSS pixels
BETWEEN = "|"  # between the ids of `others`


def verdicts_text(rows: Rows, findings: Sequence[Finding]) -> str:
    """A line per finding. `label` is empty for a row that the reader leaves out."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for f in findings:
        told = (rows.ids[f.row], rows.splits[f.row], rows.labels[f.row] or "", f.check, f.verdict, f"{f.score:.4f}")
        writer.writerow([*told, BETWEEN.join(f.others), f.suggestion])
    return out.getvalue()


def write_excluded(path: Path, rows: Rows, chosen: Sequence[int]) -> None:
    """A table of one column `id`, which `--exclude` takes."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([["id"], *([rows.ids[row]] for row in chosen)])
    write_text(path, out.getvalue())


def counts_grid(done: Audit) -> Grid:
    """Findings per check and split."""
    here = [split for split in SPLITS if split in set(done.rows.splits)]
    rows = tuple(
        (check, *(f"{counts.get(split, 0):,}" for split in here), f"{_suggested(done.findings, check):,}")
        for check, counts in done.counts.items()
    )
    sizes = ("rows looked at", *(f"{done.rows.splits.count(split):,}" for split in here), "")
    skipped = [f"Not run: {check}. {why}" for check, why in done.skipped.items()]
    return Grid(f"{done.rows.manifest.name}: what was found", ("check", *here, "exclude"), rows, (sizes,), (*skipped, *done.notes))


def _suggested(findings: Sequence[Finding], check: str) -> int:
    return sum(f.suggestion == "exclude" for f in findings if f.check == check)


def write_page(path: Path, done: Audit) -> None:
    """`audit.html`; it holds real faces."""
    sections = [Section("Overview", "overview", _overview(done))]
    for check, counts in done.counts.items():
        if counts:
            found = [f for f in done.findings if f.check == check]
            sections.append(Section(TITLES.get(check, check).replace("-", " ").capitalize(), check, _section(done.rows, check, found)))
    lead = (
        f"Looked at: {counted(len(done.rows), 'row')} of {done.rows.manifest.name}. Suggested for exclusion: "
        f"{counted(done.suggested, 'training face')}, those that also stand in validation or test, and pictures that show nothing. "
        "Nothing has been changed."
    )
    foot = "This page holds faces of the data set. Keep it to yourself, as the set's licence asks."
    write_text(path, page(f"Audit of {done.rows.manifest.name}", lead, sections, footer=foot))


def _overview(done: Audit) -> str:
    meanings = Grid("", ("check", "what it looks for"), tuple((check, CHECKS[check]) for check in done.counts))
    return grid_html(counts_grid(done), title=False) + grid_html(meanings, title=False)


def _section(rows: Rows, check: str, found: Sequence[Finding]) -> str:
    if check == "unreadable":
        table = Grid("", ("id", "split", "reason"), tuple((rows.ids[f.row], rows.splits[f.row], f.verdict) for f in found[:SHOWN]))
        return _said(check, min(len(found), SHOWN), len(found)) + grid_html(table, title=False)
    shown = list(_twins(rows, found) if check in TWINS else _spread(found))[:SHOWN]
    position = {name: row for row, name in enumerate(rows.ids)} if check in TWINS else {}
    cards = []
    for f in shown:
        picture = _face(rows, f.row)
        lines = [rows.ids[f.row], f"{rows.splits[f.row]} · {rows.labels[f.row] or 'left out'}"]
        if check in TWINS:
            other = position[f.others[0]]
            picture += _face(rows, other)
            more = f" and {len(f.others) - 1} more" if len(f.others) > 1 else ""
            lines += [f"{rows.ids[other]}{more}", f"{rows.splits[other]} · {rows.labels[other]}"]
        cards.append((picture, [*lines, f.verdict]))
    return _said(check, len(shown), len(found)) + gallery_html(cards)


def _said(check: str, shown: int, total: int) -> str:
    rest = f" {shown} of {total:,} are shown; verdicts.csv has all." if shown < total else ""
    return paragraph(f"{CHECKS[check].capitalize()}.{rest}", "note")


def _twins(rows: Rows, found: Sequence[Finding]) -> Iterator[Finding]:
    """Those across splits and with two labels first, each pair once."""
    seen: set[frozenset[str]] = set()
    for f in sorted(found, key=lambda f: (" and " not in f.verdict, "labels" not in f.verdict, -f.score, f.row)):
        pair = frozenset((rows.ids[f.row], f.others[0]))
        if pair not in seen:
            seen.add(pair)
            yield f


def _spread(found: Sequence[Finding]) -> Iterator[Finding]:
    """The worst first; where all have the same score, the kinds of verdict in turn."""
    if len({f.score for f in found}) > 1:
        yield from sorted(found, key=lambda f: (-f.score, f.row))
        return
    kinds: dict[str, list[Finding]] = {}
    for f in found:
        kinds.setdefault(f.verdict, []).append(f)
    for place in range(max(map(len, kinds.values()), default=0)):
        yield from (kind[place] for kind in kinds.values() if place < len(kind))


def _face(rows: Rows, row: int) -> str:
    try:
        rgb = decode(rows.image_bytes(row))
    except UNREADABLE:
        rgb = np.full((8, 8, 3), 128, np.uint8)
    return face_img(rgb, side=SIDE, alt=f"{rows.splits[row]}, {rows.labels[row] or 'left out'}")
