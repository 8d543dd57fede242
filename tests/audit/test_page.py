"""The page in a browser, wide and narrow: nothing spills over, nothing is asked of anybody, every face is shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evenface.audit.run import audit

from .conftest import manifest_of


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_in_a_browser(browser: Any, planted: Any, tmp_path: Path, width: int) -> None:
    audit(manifest_of(planted), tmp_path / "x", checks=["unreadable", "tiny", "blank", "duplicates", "near-duplicates", "votes"])
    context = browser.new_context(viewport={"width": width, "height": 900})
    page = context.new_page()
    asked: list[str] = []
    errors: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda said: errors.append(said.text))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto((tmp_path / "x" / "audit.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    images = page.evaluate("[...document.images].map(i => [i.complete, i.naturalWidth, i.alt])")
    assert len(images) == 15
    assert all(complete and wide > 0 and alt for complete, wide, alt in images)
    links = page.evaluate("[...document.querySelectorAll('a[href^=\"#\"]')].map(a => a.getAttribute('href').slice(1))")
    assert links == ["overview", "unreadable", "tiny", "blank", "duplicates", "near-duplicates"]
    assert page.evaluate("ids => ids.every(id => document.getElementById(id))", links)
    assert not errors
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    context.close()
