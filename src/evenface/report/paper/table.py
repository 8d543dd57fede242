"""A study in the layout of one of the paper's Tables 1 to 7: its rows, its order of columns, and its numbers in brackets below ours.

    rendered = PaperTable("table7").render(scored)
    print(rendered.page[0].markdown())

Ours are means over the seeds with 95 % intervals, and the paired test of each row against the first run. The paper's numbers are shown where
the faces are those of the paper; on other photographs they are marked as of others; beside drawn faces they are left out.
"""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Sequence
from typing import Any

from evenface.errors import ConfigError
from evenface.evaluation.compare import MethodScores
from evenface.report.grid import Grid
from evenface.report.paper.reported import ReportedRow, ReportedTable, get_table
from evenface.report.paper.scored import Entry, Rendered, Scored
from evenface.report.study import tall, wide
from evenface.report.tables import p_text, percent, points


TOTALS = {"overall": "Overall", "mean_recall": "Mean"}
_DRAWN = "synthetic"


@dataclasses.dataclass(frozen=True)
class _Line:
    """A row: the paper's, a run of ours, or both."""

    reported: ReportedRow | None
    entry: Entry | None
    found: Any  # what Scored.find gives

    @property
    def scores(self) -> MethodScores | None:
        return None if self.found is None else self.found[1]


class PaperTable:
    """The layout of a table."""

    def __init__(self, name: str) -> None:
        self.table: ReportedTable = get_table(name)

    def check(self, entries: tuple[Entry, ...]) -> None:
        names = {row.run for row in self.table.rows}
        if not names & {entry.name for entry in entries}:
            raise ConfigError(f"The layout '{self.table.name}' has rows for runs named {', '.join(sorted(names))}, and none is in the recipe.")

    def render(self, scored: Scored) -> Rendered:
        lines = self._lines(scored)
        shown = next((part.comparison.class_names for part in scored.parts), self.table.classes)
        classes = [*self.table.classes, *(name for name in shown if name not in self.table.classes)]
        notes = self._notes(scored, lines)
        title = f"{self.table.heading}: {self.table.title}"
        sizes = self._sizes(scored)
        heads = [f"{name}\nn {sizes[name]}" if name in sizes else name for name in classes]
        recalls = Grid(
            f"{title}; recall per class",
            ("", *heads),
            tuple((self._name(line), *(self._recall(line, name, scored, tall) for name in classes)) for line in lines),
            notes=("Percent; below it the ends of Wilson's 95 % interval.", *notes[:1]),
        )
        test = _p_head(scored)
        totals = Grid(
            f"{title}; over all classes",
            ("", "seeds", *TOTALS.values(), "gain", test, "minutes"),
            tuple((self._name(line), _seeds(line), *(self._total(line, key, tall) for key in TOTALS), *_gain(line, "\n"), _minutes(line)) for line in lines),
            notes=notes,
        )
        page = Grid(
            title,
            ("", *(head.replace("\n", " (") + ")" if "\n" in head else head for head in heads), *TOTALS.values(), "seeds", "gain", test),
            tuple(
                (
                    self._name(line),
                    *(self._recall(line, name, scored, wide) for name in classes),
                    *(self._total(line, key, wide) for key in TOTALS),
                    _seeds(line),
                    *_gain(line, " "),
                )
                for line in lines
            ),
            notes=("Percent [95 % interval]; recalls per class: Wilson's.", *notes),
        )
        return Rendered((recalls, totals), (page,), self._csv(scored, lines, classes))

    # -------------------- rows

    def _lines(self, scored: Scored) -> list[_Line]:
        """The paper's rows in its order, then the runs that it does not have."""
        entries = {entry.name: entry for entry in scored.entries}
        lines = [_Line(row, entries.pop(row.run, None), scored.find(row.run)) for row in self.table.rows]
        return lines + [_Line(None, entry, scored.find(name)) for name, entry in entries.items()]

    def _name(self, line: _Line) -> str:
        if line.reported is None or line.entry is None:
            return line.entry.name if line.entry is not None else line.reported.name if line.reported is not None else ""
        several = len({row.backbone for row in self.table.rows}) > 1
        other = several and line.entry.model != line.reported.model
        return f"{line.reported.name} (here {line.entry.model})" if other else line.reported.name

    def _reported(self, line: _Line) -> ReportedRow | None:
        """The paper's numbers, where they may stand beside ours."""
        drawn = line.entry is not None and line.entry.dataset == _DRAWN
        return None if drawn or line.entry is None else line.reported

    # -------------------- cells

    def _recall(self, line: _Line, name: str, scored: Scored, form: Any) -> str:
        row = self._reported(line)
        printed = None if row is None or name not in row.cells else row.cells[name]
        if line.scores is None:
            return _with("-", printed)
        names = line.found[0].comparison.class_names
        if name not in names:
            return _with("-", printed)
        i = names.index(name)
        return _with(form(line.scores.recall[i], line.scores.recall_ci95[i]), printed)

    def _total(self, line: _Line, key: str, form: Any) -> str:
        row = self._reported(line)
        printed = None if row is None else row.overall if key == "overall" else row.mean
        return _with("-" if line.scores is None else form(line.scores.mean(key), line.scores.ci95[key]), printed)

    def _sizes(self, scored: Scored) -> dict[str, int]:
        """Images per class, where all parts have the same."""
        sizes = [dict(zip(part.comparison.class_names, part.comparison.n, strict=True)) for part in scored.parts]
        return sizes[0] if sizes and all(size == sizes[0] for size in sizes) else {}

    # -------------------- notes

    def _notes(self, scored: Scored, lines: Sequence[_Line]) -> tuple[str, ...]:
        notes = [self._whose(lines)]
        tested = [part for part in scored.parts if part.comparison.pairs]
        if tested:
            baselines = list(dict.fromkeys(part.names[part.comparison.pairs[0].baseline] for part in tested))
            several = len(scored.parts) > 1
            notes.append(
                f"Gain: points of Mean over {', '.join(baselines)}{', each among its own,' if several else ''} on the same images; paired "
                f"stratified bootstrap, {tested[0].comparison.resamples:,} resamples, p by Holm for the runs that share a baseline."
            )
        if any(line.scores is not None and len(line.scores.seeds) > 1 for line in lines):
            notes.append("Several seeds: means over them; the intervals of Overall and Mean draw images and seeds.")
        extra = [line.entry.name for line in lines if line.reported is None and line.entry is not None]
        if extra:
            notes.append(f"Not in the paper: {', '.join(extra)}.")
        notes += list(dict.fromkeys(note for part in scored.parts for note in part.comparison.notes))
        return tuple(notes)

    def _whose(self, lines: Sequence[_Line]) -> str:
        """Whose numbers stand in brackets, and whether they are of the same faces and network."""
        on = self.table.test_set.title
        entries = [line.entry for line in lines if line.entry is not None and line.reported is not None]
        if entries and all(entry.dataset == _DRAWN for entry in entries):
            return f"The paper's numbers are of {on}, and stand in no table of drawn faces: evenface reported {self.table.name}"
        other_faces = any(entry.dataset != self.table.test_set.dataset for entry in entries)
        networks = dict.fromkeys(
            line.reported.backbone
            for line in lines
            if line.entry is not None and line.reported is not None and line.entry.model != line.reported.model
        )
        text = f"In brackets: as the paper reports it for {on}"
        if not other_faces and not networks:
            return f"{text}; what of it adds up: evenface reported {self.table.name}"
        ours = ", ".join(dict.fromkeys(entry.model for entry in entries if entry is not None))
        what = [*(["other faces"] if other_faces else []), *([f"another network ({', '.join(networks)}, here {ours})"] if networks else [])]
        return f"{text}: {' and '.join(what)}, so not to be compared number by number."

    # -------------------- numbers

    def _csv(self, scored: Scored, lines: Sequence[_Line], classes: Sequence[str]) -> str:
        """A line per row, rates 0 to 1; what does not exist is empty."""
        axes = list(dict.fromkeys(axis for entry in scored.entries for axis in entry.labels))
        rows = [self._csv_row(line, axes, classes) for line in lines]
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue()

    def _csv_row(self, line: _Line, axes: Sequence[str], classes: Sequence[str]) -> dict[str, Any]:
        entry, scores, printed = line.entry, line.scores, self._reported(line)
        row: dict[str, Any] = {"row": line.reported.name if line.reported is not None else "", "run": entry.name if entry else ""}
        row |= {axis: entry.labels.get(axis) if entry else None for axis in axes}
        row |= {"dataset": entry.dataset if entry else None, "model": entry.model if entry else None}
        row |= {"seeds": " ".join(map(str, scores.seeds)) if scores else None, "n": sum(line.found[0].comparison.n) if scores else None}
        for key in TOTALS:
            low, high = scores.ci95[key] if scores else (None, None)
            value = None if printed is None else printed.overall if key == "overall" else printed.mean
            row |= {key: scores.mean(key) if scores else None, f"{key}_low": low, f"{key}_high": high, f"{key}_sd": scores and scores.sd(key)}
            row |= {f"{key}_reported": None if value is None else value / 100}
        gain = line.found[2].mean_recall if scores and line.found[2] is not None else None
        row |= {"gain": gain and gain.value, "gain_low": gain and gain.ci95[0], "gain_high": gain and gain.ci95[1]}
        row |= {"p": gain and gain.p_value, "holm_p": gain and line.found[2].holm_p}
        for name in classes:
            names = line.found[0].comparison.class_names if scores else ()
            i = names.index(name) if name in names else None
            known = scores is not None and i is not None and line.found[0].comparison.n[i] > 0
            low, high = scores.recall_ci95[i] if known and scores is not None else (None, None)
            row |= {f"recall_{name}": scores.recall[i] if known and scores is not None else None}
            row |= {f"recall_{name}_low": low, f"recall_{name}_high": high}
            value = None if printed is None else printed.cells.get(name)
            row |= {f"recall_{name}_reported": None if value is None else value / 100}
        of = None if printed is None else f"{self.table.test_set.title}, {printed.backbone}"
        return row | {"reported_of": of, "minutes": line.found[0].minutes.get(scores.method) if scores else None}


def _with(ours: str, printed: Any) -> str:
    """Ours, and below it the paper's in brackets."""
    return ours if printed is None else f"{ours}\n({printed})"


def _seeds(line: _Line) -> str:
    return "-" if line.scores is None else ", ".join(map(str, line.scores.seeds))


def _gain(line: _Line, gap: str) -> list[str]:
    """The difference of the mean recall to the baseline, and its p."""
    if line.found is None or line.found[2] is None:
        return ["", ""] if line.found is not None else ["-", "-"]
    pair = line.found[2]
    return [points(pair.mean_recall).replace(" ", gap, 1), p_text(pair.holm_p)]


def _minutes(line: _Line) -> str:
    found = None if line.scores is None else line.found[0].minutes.get(line.scores.method)
    return "-" if found is None else f"{found:.1f}"


def _p_head(scored: Scored) -> str:
    return "Holm p" if any(len(part.comparison.pairs) > 1 for part in scored.parts) else "p"
