"""What a person does on the page, and what they see."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image

from .fake import Fake, Seen


def png(size: tuple[int, int] = (120, 80), colour: tuple[int, int, int] = (90, 120, 150)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, "PNG")
    return out.getvalue()


def give(page: Any, *names: str, size: tuple[int, int] = (120, 80)) -> None:
    """Chooses files with these names; broken... holds no picture."""
    contents = {name: b"no picture" if name.startswith("broken") else png(size) for name in names}
    page.locator("#file").set_input_files([{"name": name, "mimeType": "image/png", "buffer": data} for name, data in contents.items()])


def calls(fake: Fake, path: str = "/v1/predict") -> list[Seen]:
    return [seen for seen in fake.seen if seen.path == path]


def bars(page: Any) -> dict[str, str]:
    rows = page.locator("#bars tr").all()
    return {row.locator("th").inner_text(): row.locator(".value").inner_text().replace("\u00a0", " ") for row in rows}


def pixel(page: Any, canvas: str, x: float, y: float) -> list[int]:
    """RGBA at a place of a canvas, given as shares of its width and height."""
    script = "(c, [x, y]) => [...c.getContext('2d').getImageData(Math.round(x * c.width), Math.round(y * c.height), 1, 1).data]"
    found: list[int] = page.locator(canvas).evaluate(script, [x, y])
    return found


def looks_like(found: list[int], colour: tuple[int, ...]) -> bool:
    return found[3] > 200 and max(abs(a - b) for a, b in zip(found[:3], colour, strict=True)) < 12
