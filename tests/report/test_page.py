"""The page takes nothing from data for markup, asks nobody for anything, and its pictures are what they were."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
from PIL import Image

from evenface.report.grid import Grid
from evenface.report.page import Section, code, escape, face_img, figure_html, folded, gallery_html, grid_html, page, paragraph


EVIL = "<script>alert(1)</script>\"'&<img src=x onerror=alert(1)>"
SVG = """<?xml version="1.0"?>
<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd">
<svg xmlns:xlink="http://www.w3.org/1999/xlink" width="72pt" height="36pt" viewBox="0 0 72 36" xmlns="http://www.w3.org/2000/svg">
 <metadata><a>who</a></metadata><g id="figure_1"><defs><path id="a" d="M0 0"/><clipPath id="c"><rect/></clipPath></defs>
 <use xlink:href="#a"/><g clip-path="url(#c)"/></g></svg>"""


class Elements(HTMLParser):
    """Names, attributes and text of a document as a browser would read it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.words += data

    def all(self, name: str) -> list[str]:
        return [value for _, key, value in self.attributes if key == name]


def everything() -> str:
    grid = Grid(EVIL, (EVIL, "n"), ((EVIL, f"1.0 [{EVIL}]"),), ((EVIL, "2"),), (EVIL,))
    face = face_img(np.zeros((4, 4, 3), np.uint8), side=20, alt=EVIL)
    parts = [
        grid_html(grid), figure_html(SVG, title=EVIL, caption=EVIL), gallery_html([(face, (EVIL, EVIL))]), folded(EVIL, paragraph(EVIL)),
        code(EVIL), escape(EVIL),
    ]  # fmt: skip
    return page(EVIL, EVIL, [Section(EVIL, "first", "".join(parts)), Section("b", "b", "")], footer=EVIL)


def test_what_comes_from_data_is_text() -> None:
    found = Elements(everything())
    assert "script" not in found.tags
    assert found.tags.count("img") == 1
    assert not [name for _, name, _ in found.attributes if name.startswith("on")]
    assert EVIL in found.all("alt")
    assert found.words.count(EVIL) >= 14


def test_nothing_is_asked_for() -> None:
    text = everything()
    found = Elements(text)
    policy = next(value for value in found.all("content") if "default-src" in value)
    assert "default-src 'none'" in policy
    assert all(value.startswith("data:") for value in found.all("src"))
    assert all(value.startswith(("#", "data:")) for value in found.all("href"))
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)


def test_contents_lead_to_the_sections() -> None:
    found = Elements(page("a", "b", [Section("One", "one", ""), Section("Two", "two", "")]))
    assert [value for tag, name, value in found.attributes if (tag, name) == ("a", "href")] == ["#one", "#two"]
    assert [value for tag, name, value in found.attributes if (tag, name) == ("section", "id")] == ["one", "two"]


def test_ids_of_two_drawings_differ_and_still_refer_to_their_own() -> None:
    both = [figure_html(SVG, title=title, caption="") for title in "ab"]
    ids = [Elements(text).all("id") for text in both]
    assert [len(found) for found in ids] == [2, 2]  # figure_1 is referred to by nothing
    assert not set(ids[0]) & set(ids[1])
    for text, found in zip(both, ids, strict=True):
        assert set(re.findall(r'href="#([^"]+)"', text)) | set(re.findall(r"url\(#([^)]+)\)", text)) == set(found)
        assert "who" not in text
        assert "DOCTYPE" not in text
        assert "--w:96px" in text  # 72 points


def test_a_cell_with_an_interval() -> None:
    text = grid_html(Grid("t", ("a", "b"), (("x", "76.3 [61.2, 87.0]"), ("y", "5.0"))))
    assert '<td>76.3 <span class="ci">[61.2, 87.0]</span></td>' in text
    assert '<td>5.0 <span class="ci"></span></td>' in text  # so that it stands below 76.3
    assert "<td>76.3<br>61.2-87.0</td>" in grid_html(Grid("t", ("a", "b"), (("y", "76.3\n61.2-87.0"),)))


def test_columns_of_words_stand_left() -> None:
    text = grid_html(Grid("t", ("a", "b", "c"), (("x", "fear", "1"), ("y", "", "2"))))
    assert '<th scope="col" class="t">b</th><th scope="col">c</th>' in text
    assert text.count('<td class="t">') == 2
    assert "<td>1</td>" in text


def decoded(tag: str) -> Image.Image:
    (source,) = Elements(tag).all("src")
    return Image.open(io.BytesIO(base64.b64decode(source.partition("base64,")[2])))


def test_a_small_face_is_kept_bit_for_bit_and_a_large_one_shrinks() -> None:
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (48, 40, 3), dtype=np.uint8)
    tag = face_img(small, side=96, alt="a")
    assert (np.asarray(decoded(tag).convert("RGB")) == small).all()
    assert 'width="80" height="96"' in tag
    grey = np.repeat(small[..., :1], 3, axis=2)
    assert (np.asarray(decoded(face_img(grey, side=96, alt="a")).convert("RGB")) == grey).all()
    large = np.full((600, 300, 3), (200, 30, 60), np.uint8)
    shrunk = decoded(face_img(large, side=96, alt="a"))
    assert shrunk.size == (96, 192)
    assert np.abs(np.asarray(shrunk.convert("RGB")).astype(int) - large[0, 0]).max() <= 4
