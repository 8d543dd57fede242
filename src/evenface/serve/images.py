"""Pictures from strangers: what is refused by its header, before anything is decoded, and what is decoded then.

    width, height = inspect(data, max_pixels=50_000_000)      # reads the header only
    decode(data)                                              # (H, W, 3) uint8 RGB, upright

Allowed are JPEG, PNG, WebP, BMP, GIF and TIFF; of a file with several pictures (an animation, a TIFF with pages) the first is taken. No
other decoder of Pillow is ever reached. Names of files are labels: nothing is opened by them.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, UnidentifiedImageError

from evenface.data.decode import upright_rgb
from evenface.serve.problems import Problem


FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
NAMES = "JPEG, PNG, WebP, BMP, GIF or TIFF"
LONGEST = 100  # characters of a name that are kept


def inspect(data: bytes, max_pixels: int) -> tuple[int, int]:
    """Width and height as the header tells them.

    Raises:
        Problem: no picture of an allowed format (415), or one with too many pixels (413).
    """
    try:
        with _open(data) as image:
            width, height = image.size
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_large(max_pixels) from None
    if width * height > max_pixels:
        raise _too_large(max_pixels, f"{width} x {height} pixels")
    return width, height


def decode(data: bytes) -> np.ndarray:
    """Pixels (H, W, 3), uint8 RGB, upright, of a file that `inspect` has passed.

    Raises:
        Problem: damaged or cut short (415).
    """
    with _open(data) as image:
        try:
            return np.asarray(upright_rgb(image))
        except MemoryError:
            raise
        except Exception as error:  # damage makes Pillow raise whatever the bytes spell
            raise Problem("not-an-image", f"The {image.format} file is damaged or cut short; send a whole one.") from error


def _open(data: bytes) -> Image.Image:
    if not data:
        raise Problem("not-an-image", f"The file is empty; send a {NAMES} picture.")
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        raise Problem("not-an-image", f"The file is none of {NAMES}; send one of these.") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning, MemoryError):
        raise
    except Exception as error:
        raise Problem("not-an-image", f"The file's header is damaged; send a whole {NAMES} picture.") from error


def _too_large(max_pixels: int, what: str = "more pixels than any picture here may have") -> Problem:
    return Problem("too-many-pixels", f"The picture has {what}; at most {max_pixels:,} are allowed, so shrink it first.")


def clean_name(name: str, number: int) -> str:
    """A client's file name as a label: its last part, printable, not long; "image 0" where nothing is left."""
    last = name.replace("\\", "/").rpartition("/")[2]
    kept = "".join(c for c in last if c.isprintable()).strip()
    return kept[:LONGEST] or f"image {number}"
