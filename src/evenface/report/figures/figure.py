"""What a figure is: a drawing, its caption and its numbers; saved as PNG, SVG and CSV, or put into a page.

    figure = recall_figure(...)            # of a file beside this one
    figure.save(Path("report_files"))      # recall-test.png, .svg, .csv
    figure.html()                          # for `evenface.report.page`

Drawings use matplotlib's object interface: no window, no state, and text in the SVG stays text, which a page shows in its own letters.
"""

from __future__ import annotations

import csv
import dataclasses
import functools
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

from evenface.files import write_aside, write_text
from evenface.report.page import figure_html


if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

P = ParamSpec("P")

DPI = 200
INK, SOFT, LINE, PAPER = "#1c1f24", "#575d66", "#d0cec8", "#ffffff"
_SETTINGS: dict[str, Any] = {
    "font.family": "DejaVu Sans", "font.size": 8.0, "axes.titlesize": 8.5, "axes.titleweight": "bold", "axes.labelsize": 8.0,
    "xtick.labelsize": 7.5, "ytick.labelsize": 8.0, "legend.fontsize": 7.5, "legend.frameon": False,
    "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": SOFT, "xtick.color": SOFT, "ytick.color": SOFT,
    "xtick.labelcolor": INK, "ytick.labelcolor": INK, "axes.spines.top": False, "axes.spines.right": False,
    "axes.linewidth": 0.7, "xtick.major.width": 0.7, "ytick.major.width": 0.7, "grid.color": LINE, "grid.linewidth": 0.5,
    "axes.axisbelow": True, "figure.facecolor": PAPER, "axes.facecolor": "none", "savefig.facecolor": PAPER,
    "svg.fonttype": "none", "svg.hashsalt": "evenface", "text.parse_math": False, "axes.unicode_minus": True,
}  # fmt: skip


@dataclasses.dataclass(frozen=True, eq=False)
class Figure:
    """A drawing with its numbers.

    Attributes:
        name: of its files, without an ending.
        title: what it shows, in a few words.
        caption: of what, of how many, what the lines of error are.
        drawing: matplotlib's figure.
        columns: of the CSV.
        rows: every number that is drawn, rates 0 to 1.
    """

    name: str
    title: str
    caption: str
    drawing: Drawing
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]

    def __post_init__(self) -> None:
        assert all(len(row) == len(self.columns) for row in self.rows), f"{self.name}: a row of another length than the columns"

    def svg(self) -> str:
        """Drawn once: the file and the page show the same."""
        return self._svg

    @functools.cached_property
    def _svg(self) -> str:
        return self._rendered("svg", metadata={"Date": None, "Title": self.title}).decode()

    def png(self) -> bytes:
        return self._rendered("png", dpi=DPI)

    def csv(self) -> str:
        return csv_text(self.columns, self.rows)

    def save(self, folder: Path) -> None:
        """Writes the three files.

        Raises:
            StorageError: one cannot be written.
        """
        write_text(folder / f"{self.name}.svg", self.svg())
        write_text(folder / f"{self.name}.csv", self.csv())
        picture = self.png()
        write_aside(folder / f"{self.name}.png", lambda file: file.write(picture))

    def html(self) -> str:
        """For the page."""
        return figure_html(self.svg(), title=self.title, caption=self.caption)

    def _rendered(self, kind: str, **options: Any) -> bytes:
        import matplotlib

        out = io.BytesIO()
        with matplotlib.rc_context(_SETTINGS):
            self.drawing.savefig(out, format=kind, **options)
        return out.getvalue()


def csv_text(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table for a program: what does not exist is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(["" if _missing(value) else value for value in row] for row in rows)
    return text.getvalue()


def drawn(function: Callable[P, Figure]) -> Callable[P, Figure]:
    """The function draws under our settings, and leaves matplotlib's own as they were."""

    @functools.wraps(function)
    def styled(*args: P.args, **kwargs: P.kwargs) -> Figure:
        import matplotlib

        with matplotlib.rc_context(_SETTINGS):
            return function(*args, **kwargs)

    return styled


def canvas(width: float, height: float) -> Drawing:
    """An empty drawing of so many inches; a page shows 96 CSS pixels for each."""
    from matplotlib.figure import Figure as Drawing

    return Drawing(figsize=(width, height), layout="constrained")


def _missing(value: Any) -> bool:
    return value is None or value != value  # NaN
