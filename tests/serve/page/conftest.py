"""A browser, the service with canned answers, and the page opened in the one from the other; skipped where there is no browser."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from .fake import Fake


BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
]  # fmt: skip


@pytest.fixture(scope="module")  # no longer: the event loop of Playwright is in the way of tests with one of their own
def browser() -> Iterator[Any]:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip("no Chromium or Chrome is installed")
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield browser
        browser.close()


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
