"""The service with canned answers, and the page opened from it in a browser; skipped where there is no browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from .fake import Fake


@pytest.fixture(scope="module")
def running() -> Iterator[Fake]:
    with Fake() as fake:
        yield fake


@pytest.fixture
def fake(running: Fake) -> Fake:
    running.reset()
    return running


@pytest.fixture
def opened(browser: Any, fake: Fake) -> Iterator[Callable[..., Any]]:
    """Opens the page in a fresh context. At the end: no error in it, no refusal by the policy, and no request to anybody else."""
    contexts: list[Any] = []
    errors: list[str] = []
    asked: list[str] = []

    def open_page(path: str = "", **options: Any) -> Any:
        context = browser.new_context(**{"permissions": ["camera", "clipboard-read", "clipboard-write"], **options})
        context.set_default_timeout(10_000)
        contexts.append(context)
        context.on("request", lambda request: asked.append(request.url))
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda said: errors.append(said.text) if said.type == "error" and "Failed to load" not in said.text else None)
        page.goto(fake.url + path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not errors
    assert not [url for url in asked if not url.startswith((fake.url, "blob:" + fake.url, "data:"))]


@pytest.fixture
def page(opened: Callable[..., Any]) -> Any:
    page = opened()
    page.wait_for_selector("#facts div")
    return page
