#!/usr/bin/env python3
"""Makes the two pictures of the documentation that show the model that ships: docs/predicted.png and docs/page.webp.

    .venv/bin/python scripts/pictures.py

To be run when the weights or the page change. The page needs Chromium or Chrome; the other picture nothing but what `make setup` installs.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import sync_playwright

from evenface.data.synthetic import synthetic_face


DOCS = Path(__file__).resolve().parents[1] / "docs"
DRAWN = (("happiness", 2), ("surprise", 3), ("sadness", 1), ("neutral", 0))
"""Expression and seed of each face; the page's own example has the same."""

SIDE, STEP, MARGIN, SKY = 300, 430, 20, (214, 220, 229)
"""Of the picture with the faces in a row: pixels of a face, from face to face and around them, and the colour between, RGB."""

EVENFACE = [sys.executable, "-m", "evenface"]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def main() -> int:
    with tempfile.TemporaryDirectory() as place:
        predicted(Path(place))
        browser = next(filter(None, map(shutil.which, BROWSERS)), None)
        if browser is None:
            print("docs/page.webp is as it was: install Chromium or Chrome, in which the page is opened.", file=sys.stderr)
            return 1
        page(Path(place), browser)
    return 0


def predicted(place: Path) -> None:
    """The drawn faces in a row, with what `evenface predict --draw` says of them."""
    row = np.empty((SIDE + 2 * MARGIN, STEP * len(DRAWN), 3), np.uint8)
    row[:] = SKY
    for i, (label, seed) in enumerate(DRAWN):
        left = MARGIN + i * STEP
        row[MARGIN : MARGIN + SIDE, left : left + SIDE] = synthetic_face(label, seed, SIDE, plain=True)
    Image.fromarray(row).save(place / "predicted.png")
    subprocess.run([*EVENFACE, "predict", str(place / "predicted.png"), "--draw", str(place / "drawn")], check=True)
    (made,) = (place / "drawn").iterdir()
    with Image.open(made) as picture:
        picture.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(DOCS / "predicted.png", optimize=True)


def page(place: Path, browser: str) -> None:
    """The page of `evenface serve` after its example was chosen, and asked why."""
    with serving() as address, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox", "--disable-gpu"])
        sight = chromium.new_page(viewport={"width": 1280, "height": 900})
        sight.goto(address)
        sight.get_by_role("button", name="Try drawn faces").click()
        sight.get_by_role("button", name="Why?").click()
        sight.get_by_text("Does the mirror agree?").wait_for()
        sight.wait_for_load_state("networkidle")
        end = sight.locator("#why").evaluate("why => why.getBoundingClientRect().bottom + window.scrollY")
        shown = {"x": 0, "y": 0, "width": 1280, "height": end + 14}
        sight.screenshot(path=place / "page.png", full_page=True, clip=shown, animations="disabled")
        chromium.close()
    with Image.open(place / "page.png") as picture:
        picture.convert("RGB").save(DOCS / "page.webp", quality=85, method=6)


@contextlib.contextmanager
def serving() -> Iterator[str]:
    """The address of a service with the model that ships."""
    with subprocess.Popen([*EVENFACE, "serve", "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as service:
        try:
            assert service.stdout is not None
            said = ""
            for line in service.stdout:
                said += line
                if found := re.search(r"http://\S+", line):
                    yield found[0]
                    return
            sys.exit(f"The service did not start:\n{said}")
        finally:
            service.terminate()


if __name__ == "__main__":
    sys.exit(main())
