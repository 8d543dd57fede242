"""One page of HTML that stands alone: a title, sections with a table of contents, tables, figures, faces.

    text = page("Faces", "What was found.", [Section("Scores", "scores", grid_html(grid))])
    write_text("page.html", text)

Nothing is fetched: the style is in the page, pictures are data: URIs, and a policy in the head forbids every request. There is no script.
The page is light or dark as the system is, fits a phone (wide tables and figures scroll inside their own boxes) and prints on paper.
Whatever comes from data goes through `escape`.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import html
import io
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from evenface.report.grid import Grid


POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
LOSSLESS = 64  # pixels; a smaller face costs little as it is, a larger one is kept at quality 90
_STYLE = Path(__file__).with_name("page.css")
_WORDS, _ESTIMATES = ' class="t"', "estimates"  # kinds of columns; the rest are plain numbers
_ESTIMATE = re.compile(r"(\S+) (\[[^\]]*\])")  # 76.3 [61.2, 87.0]


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        title: plain text.
        anchor: what links name it by: letters, digits and hyphens.
        html: its content; what comes from data is escaped in it already.
    """

    title: str
    anchor: str
    html: str

    def __post_init__(self) -> None:
        assert re.fullmatch(r"[a-z][a-z0-9-]*", self.anchor), f"no anchor: {self.anchor}"


def escape(text: object) -> str:
    """Text of whatever origin as HTML shows it, also inside an attribute."""
    return html.escape(str(text), quote=True)


def page(title: str, lead: str, sections: Sequence[Section], *, footer: str = "") -> str:
    """The whole document.

    Args:
        title, lead, footer: plain text; the lead is a sentence or two below the title.
    """
    links = "".join(f'<li><a href="#{s.anchor}">{escape(s.title)}</a></li>' for s in sections)
    contents = f'<nav class="toc" aria-label="Contents"><ol>{links}</ol></nav>' if len(sections) > 1 else ""
    parts = "".join(
        f'<section id="{s.anchor}" aria-labelledby="{s.anchor}-title"><h2 id="{s.anchor}-title">{escape(s.title)}</h2>{s.html}</section>'
        for s in sections
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<meta name="color-scheme" content="light dark">\n'
        '<meta name="robots" content="noindex">\n<link rel="icon" href="data:,">\n'
        f"<title>{escape(title)}</title>\n<style>\n{_STYLE.read_text(encoding='utf-8')}</style>\n</head>\n<body>\n"
        f'<header class="top"><h1>{escape(title)}</h1><p class="lead">{escape(lead)}</p></header>\n'
        f'<div class="layout">{contents}<main>{parts}</main></div>\n'
        + (f'<footer class="foot">{escape(footer)}</footer>\n' if footer else "")
        + "</body>\n</html>\n"
    )


def paragraph(text: str, kind: str = "") -> str:
    """A sentence or more of plain text; `kind` is "note" (small print), "warn" (must be seen) or nothing."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def grid_html(grid: Grid, *, title: bool = True) -> str:
    """A table that scrolls inside its own box where it is wider than the page; its notes stand below.

    Args:
        title: whether the grid's title stands above.
    """
    kinds = _kinds(grid)
    head = "".join(f'<th scope="col"{kind * (kind == _WORDS)}>{_cell(name)}</th>' for name, kind in zip(grid.head, kinds, strict=True))
    body = "".join(_row(row, kinds) for row in grid.rows)
    foot = f"<tfoot>{''.join(_row(row, kinds) for row in grid.footer)}</tfoot>" if grid.footer else ""
    caption = f"<caption>{escape(grid.title)}</caption>" if title and grid.title else ""
    label = f'tabindex="0" role="region" aria-label="{escape(grid.title or "table")}"'
    table = f'<div class="scroll" {label}><table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody>{foot}</table></div>'
    return table + "".join(paragraph(note, "note") for note in grid.notes)


def figure_html(svg: str, *, title: str, caption: str) -> str:
    """A drawing with its caption, on a light card in dark mode too.

    Args:
        svg: a whole SVG document; its prolog is dropped, its ids are made unique to the page.
        title: what a screen reader says, and what stands above.
        caption: plain text: what is drawn, of how many images, what the bars of error are.
    """
    drawing = svg[svg.index("<svg") :].strip()
    drawing = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", drawing, flags=re.DOTALL)
    key = hashlib.blake2b(f"{title}\n{caption}\n{svg}".encode(), digest_size=4).hexdigest()
    drawing = _own_ids(drawing, f"f{key}-")
    opening = drawing[: drawing.index(">") + 1]
    width, height = (float(v) for v in _match(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', opening))
    wide = round(width * 96 / 72)  # matplotlib's units are points
    label = f'<svg role="img" aria-label="{escape(title)}" xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
    label += f'viewBox="0 0 {width:g} {height:g}" style="--w:{wide}px">'
    return (
        f'<figure class="plot" style="--w:{wide}px"><figcaption class="name">{escape(title)}</figcaption>'
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(title)}">{label}{drawing[len(opening) :]}</div>'
        f'<figcaption class="note">{escape(caption)}</figcaption></figure>'
    )


def face_img(rgb: np.ndarray, *, side: int, alt: str) -> str:
    """A picture inside the page.

    Args:
        rgb: (h, w, 3) uint8; shrunk to twice `side` at most, for screens with two pixels per CSS pixel, and never enlarged.
        side: of the square that it fits into on the page, in CSS pixels.
        alt: what a reader who cannot see it is told; plain text.
    """
    image = Image.fromarray(rgb)
    if (rgb[..., 0] == rgb[..., 1]).all() and (rgb[..., 1] == rgb[..., 2]).all():
        image = image.convert("L")
    image.thumbnail((2 * side, 2 * side), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    image.save(out, "WEBP", lossless=max(image.size) <= LOSSLESS, quality=90, method=4)
    longer = max(image.size)
    width, height = (max(1, round(side * v / longer)) for v in image.size)
    data = base64.b64encode(out.getvalue()).decode()
    return f'<img src="data:image/webp;base64,{data}" width="{width}" height="{height}" alt="{escape(alt)}" decoding="async">'


def gallery_html(items: Sequence[tuple[str, Sequence[str]]]) -> str:
    """Pictures side by side, as many in a row as fit.

    Args:
        items: HTML of the picture(s), such as `face_img` gives it, and the plain lines below; the first line is set in bold.
    """
    cards = [
        f"<figure>{picture}<figcaption>{'<br>'.join(_line(i, line) for i, line in enumerate(lines))}</figcaption></figure>"
        for picture, lines in items
    ]
    return f'<div class="faces">{"".join(cards)}</div>'


def folded(summary: str, content: str) -> str:
    """HTML behind a line of plain text that opens it; open on paper."""
    return f"<details><summary>{escape(summary)}</summary>{content}</details>"


def code(text: str) -> str:
    """Commands or settings, in a box of their own that scrolls."""
    return f'<pre tabindex="0"><code>{escape(text)}</code></pre>'


def _line(number: int, text: str) -> str:
    return f"<b>{escape(text)}</b>" if number == 0 else escape(text)


def _row(cells: Sequence[str], kinds: Sequence[str]) -> str:
    first, *others = cells
    rest = "".join(_td(cell, kind) for cell, kind in zip(others, kinds[1:], strict=True))
    return f'<tr><th scope="row">{_cell(first)}</th>{rest}</tr>'


def _td(cell: str, kind: str) -> str:
    """A number without an interval stands below those that have one."""
    if kind != _ESTIMATES:
        return f"<td{kind}>{_cell(cell)}</td>"
    blank = '<span class="ci"></span>' if cell and "[" not in cell and "," not in cell else ""
    return f"<td>{_cell(cell)}{' ' * bool(blank)}{blank}</td>"


def _kinds(grid: Grid) -> list[str]:
    """Columns of words stand left, those of numbers right."""
    columns = zip(*grid.rows, *grid.footer, strict=True) if grid.rows or grid.footer else [()] * len(grid.head)
    return [_kind(column) for column in columns]


def _kind(column: Sequence[str]) -> str:
    if any(sign.isalpha() for cell in column for sign in cell):
        return _WORDS
    return _ESTIMATES if any(_ESTIMATE.fullmatch(cell) for cell in column) else ""


def _cell(text: str) -> str:
    """An interval is set back behind its number; further lines of a cell stay lines."""
    return "<br>".join(
        f'{escape(found[1])} <span class="ci">{escape(found[2])}</span>' if (found := _ESTIMATE.fullmatch(line)) else escape(line)
        for line in text.split("\n")
    )


def _own_ids(svg: str, prefix: str) -> str:
    """Ids that something refers to get the prefix, the others go."""
    used = set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', svg))
    wanted = {name for pair in used for name in pair if name}
    svg = re.sub(r' id="([^"]*)"', lambda found: f' id="{prefix}{found[1]}"' if found[1] in wanted else "", svg)
    return re.sub(r'(href="#|url\(#)', rf"\g<1>{prefix}", svg)


def _match(pattern: str, text: str) -> tuple[str, ...]:
    found = re.search(pattern, text)
    assert found is not None, f"the SVG has no {pattern}"
    return found.groups()
