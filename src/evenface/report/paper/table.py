"""A study in the layout of one of the paper's Tables 1 to 7: its rows, its order of columns, and its numbers in brackets below ours.

    rendered = PaperTable("table7").render(scored)
    print(rendered.page[0].markdown())

Ours are means over the seeds with 95 % intervals, and the paired test of each row against the first run. The paper's numbers are shown
where the faces are those of the paper; on other photographs they are marked as of others; beside drawn faces they are left out.
"""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from evenface.errors import ConfigError
from evenface.evaluation.compare import MethodScores, PairedComparison
from evenface.report.grid import Grid
from evenface.report.paper.reported import ReportedRow, ReportedTable, get_table
from evenface.report.paper.scored import Entry, Part, Rendered, Scored
from evenface.report.study import tall, wide
from evenface.report.tables import p_text, points


TOTALS = {"overall": "Overall", "mean_recall": "Mean"}
_DRAWN = "synthetic"
_Form = Callable[[float, Any], str]


@dataclasses.dataclass(frozen=True)
class _Line:
    """A row: the paper's, a run of ours, or both; and what the run has so far."""

    reported: ReportedRow | None
    entry: Entry | None
    part: Part | None = None
    scores: MethodScores | None = None
    pair: PairedComparison | None = None

    @property
    def minutes(self) -> float | None:
        return None if self.part is None or self.scores is None else self.part.minutes.get(self.scores.method)

    def place(self, name: str) -> int | None:
        """Where a class stands in the scores; None where it has no images."""
        names = () if self.part is None else self.part.comparison.class_names
        return names.index(name) if self.part is not None and name in names and self.part.comparison.n[names.index(name)] else None


class PaperTable:
    """The layout of a table."""

    def __init__(self, name: str) -> None:
        self.table: ReportedTable = get_table(name)

    def check(self, entries: tuple[Entry, ...]) -> None:
        names = {row.run for row in self.table.rows}
        if not names & {entry.name for entry in entries}:
            raise ConfigError(
                f"The layout '{self.table.name}' has rows for runs named {', '.join(sorted(names))}, and none is in the recipe."
            )

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
            tuple((self._name(line), *(self._recall(line, name, tall) for name in classes)) for line in lines),
            notes=("Percent; below it the ends of Wilson's 95 % interval.", *notes[:1]),
        )
        test = _p_head(scored)
        totals = Grid(
            f"{title}; over all classes",
            ("", "seeds", *TOTALS.values(), "gain", test, "minutes"),
            tuple(
                (self._name(line), _seeds(line), *(self._total(line, key, tall) for key in TOTALS), *_gain(line, "\n"), _minutes(line))
                for line in lines
            ),
            notes=notes[1:],
        )
        page = Grid(
            title,
            ("", *(head.replace("\n", " (") + ")" if "\n" in head else head for head in heads), *TOTALS.values(), "seeds", "gain", test),
            tuple(
                (
                    self._name(line),
                    *(self._recall(line, name, wide) for name in classes),
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
        lines = [_Line(row, entries.pop(row.run, None), *(scored.find(row.run) or ())) for row in self.table.rows]
        return lines + [_Line(None, entry, *(scored.find(name) or ())) for name, entry in entries.items()]

    def _name(self, line: _Line) -> str:
        """The paper's name; with the network that ran, where that is another and the rows differ by it."""
        if line.reported is None:
            return line.entry.name if line.entry is not None else ""
        if line.entry is None:
            return line.reported.name
        several = len({row.backbone for row in self.table.rows}) > 1
        other = several and line.entry.model != line.reported.model
        return f"{line.reported.name} (here {line.entry.model})" if other else line.reported.name

    def _reported(self, line: _Line) -> ReportedRow | None:
        """The paper's numbers, where they may stand beside ours."""
        drawn = line.entry is not None and line.entry.dataset == _DRAWN
        return None if drawn or line.entry is None else line.reported

    # -------------------- cells

    def _recall(self, line: _Line, name: str, form: _Form) -> str:
        row, i = self._reported(line), line.place(name)
        printed = None if row is None else row.cells.get(name)
        return _with("-" if line.scores is None or i is None else form(line.scores.recall[i], line.scores.recall_ci95[i]), printed)

    def _total(self, line: _Line, key: str, form: _Form) -> str:
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
        on = self.table.test_set
        both = [(line.reported, line.entry) for line in lines if line.reported is not None and line.entry is not None]
        if all(entry.dataset == _DRAWN for _, entry in both):
            return f"The paper's numbers are of {on.title}, and stand beside no drawn faces: evenface reported {self.table.name}"
        text = f"In brackets: as the paper reports it for {on.title}"
        faces = any(entry.dataset != on.dataset for _, entry in both)
        other = [(row.backbone, entry.model) for row, entry in both if row.model != entry.model]
        if not faces and not other:
            return f"{text}; what of it adds up: evenface reported {self.table.name}"
        networks = f"another network ({', '.join(dict.fromkeys(theirs for theirs, _ in other))}, here "
        networks += f"{', '.join(dict.fromkeys(ours for _, ours in other))})"
        what = " and ".join(["other faces"] * faces + [networks] * bool(other))
        return f"{text}: {what}, so not to be compared number by number."

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
        row: dict[str, Any] = {"row": line.reported.name if line.reported is not None else None, "run": entry and entry.name}
        row |= {axis: entry and entry.labels.get(axis) for axis in axes}
        row |= {"dataset": entry and entry.dataset, "model": entry and entry.model}
        row |= {"seeds": scores and " ".join(map(str, scores.seeds)), "n": line.part and sum(line.part.comparison.n)}
        for key in TOTALS:
            low, high = (None, None) if scores is None else scores.ci95[key]
            row |= {key: scores and scores.mean(key), f"{key}_low": low, f"{key}_high": high, f"{key}_sd": scores and scores.sd(key)}
            row |= {f"{key}_reported": _rate(None if printed is None else printed.overall if key == "overall" else printed.mean)}
        gain = line.pair and line.pair.mean_recall
        row |= {"gain": gain and gain.value, "gain_low": gain and gain.ci95[0], "gain_high": gain and gain.ci95[1]}
        row |= {"p": gain and gain.p_value, "holm_p": line.pair and line.pair.holm_p}
        for name in classes:
            i = line.place(name)
            known = scores is not None and i is not None
            low, high = scores.recall_ci95[i] if scores is not None and known else (None, None)
            row |= {f"recall_{name}": scores.recall[i] if scores is not None and known else None}
            row |= {f"recall_{name}_low": low, f"recall_{name}_high": high}
            row |= {f"recall_{name}_reported": _rate(None if printed is None else printed.cells.get(name))}
        of = printed and f"{self.table.test_set.title}, {printed.backbone}"
        return row | {"reported_of": of, "minutes": line.minutes}


def _rate(printed: Decimal | None) -> Decimal | None:
    """Percent as a rate in [0, 1]."""
    return None if printed is None else printed / 100


def _with(ours: str, printed: Decimal | None) -> str:
    """Ours, and below it the paper's in brackets."""
    return ours if printed is None else f"{ours}\n({printed})"


def _seeds(line: _Line) -> str:
    return "-" if line.scores is None else ", ".join(map(str, line.scores.seeds))


def _gain(line: _Line, gap: str) -> list[str]:
    """The difference of the mean recall to the baseline, and its p."""
    if line.pair is None:
        return ["-", "-"] if line.scores is None else ["", ""]
    return [points(line.pair.mean_recall).replace(" ", gap, 1), p_text(line.pair.holm_p)]


def _minutes(line: _Line) -> str:
    return "-" if line.minutes is None else f"{line.minutes:.1f}"


def _p_head(scored: Scored) -> str:
    return "Holm p" if any(len(part.comparison.pairs) > 1 for part in scored.parts) else "p"
