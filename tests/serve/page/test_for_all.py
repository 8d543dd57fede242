"""The page is for everybody: keyboard, screen readers, contrast, narrow windows, no motion."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from evenface.predict.drawing import COLOURS

from .acting import give, png


expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect


@pytest.mark.slow
def test_all_of_it_goes_with_the_keyboard(page: Any) -> None:
    focused = "document.activeElement"

    def tab_to(name: str, most: int = 25) -> None:
        for _ in range(most):
            page.keyboard.press("Tab")
            outline = page.evaluate(
                f"getComputedStyle({focused}).outlineStyle + getComputedStyle({focused}.nextElementSibling ?? {focused}).outlineStyle"
            )
            assert "solid" in outline  # one sees where one is; of a hidden radio button its label shows it
            if page.evaluate(f"({focused}.textContent || {focused}.nextElementSibling?.textContent || '').trim()").startswith(name):
                return
        raise AssertionError(f"Tab never came to {name}")

    page.on("filechooser", lambda _: None)  # the browser hands its dialog over from here on, so that the key below does not outrun that
    tab_to("Skip")
    tab_to("Choose photos")
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files([{"name": "three.png", "mimeType": "image/png", "buffer": png()}])
    expect(page.locator("#verdict")).to_have_text("happiness 86 %")
    tab_to("1 happiness")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#verdict")).to_have_text("neutral 81 %")
    tab_to("Why?")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Why neutral?")).to_be_focused()
    tab_to("Close")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Why?")).to_be_focused()


@pytest.mark.slow
def test_a_screen_reader_gets_names_for_everything(page: Any) -> None:
    give(page, "three.png", "one.png")
    expect(page.locator("#files-done")).to_have_text("2 of 2 done")
    page.get_by_role("button", name="Why?").click()
    expect(page.get_by_role("heading", name="Why happiness?")).to_be_visible()
    tree = page.locator("body").aria_snapshot()
    assert not re.findall(r"^\s*- (?:button|radio|slider|img|link|table|textbox)(?:\s*:|\s*$|\s+\[)", tree, re.MULTILINE)
    assert 'table "All expressions, face 1 of 3"' in tree
    assert re.search(r'row "happiness 86\.\d %"', tree)
    assert 'group "Faces, the largest first"' in tree
    assert page.locator("html").get_attribute("lang") == "en"


@pytest.mark.slow
def test_nothing_moves_for_those_who_asked_for_that(opened: Callable[..., Any]) -> None:
    page = opened(reduced_motion="reduce")
    give(page, "slow.png")
    expect(page.locator(".runner")).to_be_visible()
    assert page.locator(".runner").evaluate("e => getComputedStyle(e, '::after').animationName") == "none"
    expect(page.locator("#scores")).to_be_visible()
    assert (
        page.locator(".fill").first.evaluate("e => getComputedStyle(e).transitionProperty + getComputedStyle(e).transitionDuration")
        == "none0s"
    )


def luminance(rgb: tuple[float, ...]) -> float:
    """Of WCAG 2: relative luminance of sRGB values 0 to 255."""
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in (c / 255 for c in rgb)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def painted(page: Any, selector: str, kind: str = "color") -> tuple[float, ...]:
    """RGB of a colour of the style of an element, as the browser paints it."""
    script = """(e, kind) => {
        const pen = new OffscreenCanvas(1, 1).getContext("2d");
        pen.fillStyle = getComputedStyle(e)[kind];
        pen.fillRect(0, 0, 1, 1);
        return [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3);
    }"""
    return tuple(page.locator(selector).first.evaluate(script, kind))


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_are_those_of_the_drawings_and_stand_out(opened: Callable[..., Any], scheme: str) -> None:
    page = opened(color_scheme=scheme)
    give(page, "three.png", "broken.jpg")
    expect(page.locator("#files-done")).to_have_text("2 of 2 done, 1 could not be used")
    card, ground = painted(page, ".card", "backgroundColor"), painted(page, "body", "backgroundColor")
    assert (luminance(ground) > 0.5) == (scheme == "light")
    for selector in ("#verdict", "#which", ".caveat", ".value", "#caption", ".state", ".chip", "#prior-text", "#files-done"):
        assert contrast(painted(page, selector), card) >= 4.5, selector
    for selector in (".about p", "dd", "dt", ".private", ".speaks", ".speaks a", ".brand"):
        assert contrast(painted(page, selector), ground) >= 4.5, selector
    assert contrast(painted(page, "#choose"), painted(page, "#choose", "backgroundColor")) >= 4.5
    for name, colour in COLOURS.items():
        edge = page.evaluate(
            """(name) => {
                const dot = document.createElement("span");
                dot.className = "dot";
                dot.dataset.class = name;
                document.body.append(dot);
                const pen = new OffscreenCanvas(2, 1).getContext("2d");
                const style = getComputedStyle(dot);
                [style.backgroundColor, style.borderTopColor].forEach((c, i) => { pen.fillStyle = c; pen.fillRect(i, 0, 1, 1); });
                return [...pen.getImageData(0, 0, 2, 1).data];
            }""",
            name,
        )
        assert tuple(edge[:3]) == colour
        assert contrast(tuple(edge[4:7]), card) >= 3, name  # the rim of a bar, where its inside is too pale


@pytest.mark.slow
@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_is_wider_than_the_window(opened: Callable[..., Any], width: int) -> None:
    page = opened(viewport={"width": width, "height": 740})
    long = "a very long name of a picture " * 4 + "x" * 60 + ".png"
    over = "document.documentElement.scrollWidth - document.documentElement.clientWidth"

    def fits(state: str) -> None:
        assert page.evaluate(over) <= 0, state
        script = """() => [...document.querySelectorAll("button, .chip, td, th, dd, p, h1, h2, figure, input[type=range]")]
            .filter((e) => e.offsetParent && !e.closest(".unseen, .intro, .scroll, thead"))
            .filter((e) => e.getBoundingClientRect().right > innerWidth + 0.5)
            .map((e) => e.outerHTML.slice(0, 80))"""
        assert page.evaluate(script) == [], state

    fits("start")
    page.get_by_text("The model's own card").click()
    fits("card")
    give(page, "crowd.png", size=(900, 600))
    expect(page.locator("#which")).to_have_text("Face 1 of 24")
    page.get_by_role("button", name="Why?").click()
    expect(page.locator("#why")).to_be_visible()
    fits("why")
    give(page, long, "three.png", "broken.jpg", "none.png")
    expect(page.locator("#csv")).to_be_enabled()
    fits("many")
    page.get_by_role("button", name="Use the webcam").click()
    expect(page.get_by_role("button", name="Keep this picture")).to_be_enabled()
    fits("webcam")
