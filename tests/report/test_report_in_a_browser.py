"""A report opened in Chromium, on a desk and on a phone: nothing runs over, nothing is missing, nothing is asked for, and it prints."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evenface.report.report import write_report

from .conftest import Made


pytestmark = pytest.mark.slow

WIDTHS = (1280, 390)
SECTIONS = {
    *("summary", "methods", "classes", "confusion", "ranking", "calibration", "training", "data"),
    *("mistakes", "doubtful", "class-maps", "reproduce"),
}
OUTSIDE = """() => [...document.querySelectorAll('main *')].filter(e => {
    const box = e.getBoundingClientRect();
    return box.width > 0 && box.right > innerWidth + 1 && !e.closest('.scroll, pre');
}).map(e => e.outerHTML.slice(0, 120))"""
LETTERS = """() => [...document.querySelectorAll('svg text')].map(e =>
    parseFloat(getComputedStyle(e).fontSize) * e.ownerSVGElement.getBoundingClientRect().width / e.ownerSVGElement.viewBox.baseVal.width)"""
HIDDEN = "[...document.querySelectorAll('details > :not(summary)')].filter(e => !e.getBoundingClientRect().height).length"
TWICE = "() => { const ids = [...document.querySelectorAll('[id]')].map(e => e.id); return ids.filter((id, i) => ids.indexOf(id) !== i); }"
BROKEN = """() => [...document.querySelectorAll('svg *')].flatMap(e => [...e.attributes])
    .flatMap(a => a.localName === 'href' && a.value[0] === '#' ? [a.value.slice(1)]
        : [...a.value.matchAll(/url\\(#([^)]+)\\)/g)].map(m => m[1]))
    .filter(id => !document.getElementById(id))"""


@pytest.fixture(scope="module")
def pages(made: Made, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("pages")
    one, many = root / "one.html", root / "many.html"
    write_report([str(made.one)], one, resamples=100, device="cpu")
    write_report(made.all, many, resamples=100, device="cpu")
    return {"one": one, "many": many}


@pytest.fixture(params=[(name, width, scheme) for name in ("one", "many") for width in WIDTHS for scheme in ("light", "dark")], ids=str)
def page(request: pytest.FixtureRequest, browser: Any, pages: dict[str, Path]) -> Iterator[Any]:
    """Opened; at the end nothing was said on the console and nobody was asked."""
    name, width, scheme = request.param
    errors: list[str] = []
    asked: list[str] = []
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    page.on("console", lambda said: errors.append(said.text))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(pages[name].as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(e => e.open = true)")
    yield page
    context.close()
    assert not errors
    assert [url for url in asked if not url.startswith("data:")] == [pages[name].as_uri()]


def test_nothing_runs_over_and_nothing_is_missing(page: Any) -> None:
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
    assert page.evaluate(OUTSIDE) == []
    found = set(page.eval_on_selector_all("main > section", "all => all.map(e => e.id)"))
    assert SECTIONS - found <= {"methods"}
    linked = page.eval_on_selector_all("nav a", "all => all.map(e => e.getAttribute('href').slice(1))")
    assert set(linked) == found
    assert page.evaluate("[...document.images].filter(e => !e.complete || !e.naturalWidth).length") == 0
    assert page.evaluate("[...document.querySelectorAll('svg')].filter(e => e.getBoundingClientRect().height < 60).length") == 0


def test_ids_are_unique_and_what_refers_to_them_finds_them(page: Any) -> None:
    assert page.evaluate(TWICE) == []
    assert page.evaluate(BROKEN) == []


def test_words_in_figures_are_readable(page: Any) -> None:
    """Letters of at least 5 CSS pixels, also where a figure shrinks for a phone; on white in both colour schemes."""
    assert min(page.evaluate(LETTERS)) > 5
    assert page.evaluate("getComputedStyle(document.querySelector('.plot .scroll')).backgroundColor") == "rgb(255, 255, 255)"


@pytest.mark.parametrize("name", ["one", "many"])
def test_it_prints(name: str, browser: Any, pages: dict[str, Path]) -> None:
    page = browser.new_page(viewport={"width": 703, "height": 1000})  # A4 without the margins
    page.emulate_media(media="print")
    page.goto(pages[name].as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= 703
    assert page.evaluate(HIDDEN) == 0  # what is folded on the screen is open on paper
    paper = page.pdf(prefer_css_page_size=True, print_background=True)
    assert paper.startswith(b"%PDF-")
    assert len(paper) > 50_000
    page.close()


def test_a_report_of_many_trainings_is_small(pages: dict[str, Path]) -> None:
    assert pages["many"].stat().st_size < 2_000_000
