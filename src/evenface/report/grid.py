"""A small table of texts that prints three ways: on a terminal, as plain text, as Markdown.

    grid = Grid("Scores", ("class", "recall"), (("fear", "82.4"),))
    rich.print(grid); grid.text(100); grid.markdown()

Cells are plain text: nothing in a class or run name is taken for markup.
"""

from __future__ import annotations

import dataclasses
import io

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text


@dataclasses.dataclass(frozen=True)
class Grid:
    """Rows of texts under a head.

    Attributes:
        title: stands above.
        head: column names; the first column is left-aligned, the others right-aligned.
        rows: each as long as `head`; a cell may have several lines.
        footer: rows set apart from the others by a line.
        notes: sentences below the table.
    """

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    footer: tuple[tuple[str, ...], ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        assert all(len(row) == len(self.head) for row in (*self.rows, *self.footer)), "a row of another length than the head"

    def __rich__(self) -> RenderableType:
        table = Table(title=Text(self.title, style="bold"), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
        for index, name in enumerate(self.head):
            table.add_column(Text(name), justify="right" if index else "left", overflow="fold")
        for index, row in enumerate(self.rows):
            table.add_row(*map(Text, row), end_section=bool(self.footer) and index == len(self.rows) - 1)
        for row in self.footer:
            table.add_row(*map(Text, row), style="bold")
        return Group(table, *(Text(note, style="dim") for note in self.notes))

    def text(self, width: int = 100) -> str:
        """The table as a person sees it in a log file: no colours, at most `width` columns."""
        console = Console(file=io.StringIO(), width=width, color_system=None, force_terminal=False, legacy_windows=False)
        with console.capture() as capture:
            console.print(self)
        return "\n".join(line.rstrip() for line in capture.get().splitlines()) + "\n"

    def markdown(self) -> str:
        """The table for a document, as GitHub draws it; footer rows in bold, notes below."""
        align = ["---" if index == 0 else "--:" for index in range(len(self.head))]
        body = [[_escape(cell) for cell in row] for row in self.rows]
        bold = [[f"**{_escape(cell)}**" if cell else "" for cell in row] for row in self.footer]
        lines = ["| " + " | ".join(row) + " |" for row in ([_escape(name) for name in self.head], align, *body, *bold)]
        return "\n".join([f"**{_escape(self.title)}**", "", *lines, *(line for note in self.notes for line in ("", _escape(note)))]) + "\n"


def _escape(cell: str) -> str:
    """Keeps a name's own signs from being read as Markdown."""
    for sign in ("\\", "|", "*", "_", "<"):
        cell = cell.replace(sign, "\\" + sign)
    return cell.replace("\n", "<br>")
