"""Pictures from strangers: what is refused by its header, before anything is decoded, and what is decoded then.

    width, height = inspect(data, max_pixels=50_000_000)      # reads the header only
    decode(data)                                              # (H, W, 3) uint8 RGB, upright

Allowed are JPEG, PNG, WebP, BMP, GIF and TIFF; of a file with several pictures (an animation, a TIFF with pages) the first is taken. No
other decoder of Pillow is ever reached. Names of files are labels: nothing is opened by them.
"""

from __future__ import annotations

import io
import re

import numpy as np
from PIL import Image, UnidentifiedImageError

from evenface.data.decode import upright_rgb
from evenface.serve.problems import Problem


FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
NAMES = "JPEG, PNG, WebP, BMP, GIF or TIFF"
LONGEST = 100  # characters of a name that are kept
TILE = 2048 * 2048  # pixels of a TIFF's tile that any picture may have
TILE_TAGS = (322, 323)  # its width and height
SCANS = 40  # encoders write 3 to some 20
MARKERS = 2000  # of a JPEG that are looked at

_MARKER = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])", re.DOTALL)
_SCAN, _END, _BARE = b"\xda", b"\xd9", (b"\x01", b"\xd8")


def inspect(data: bytes, max_pixels: int) -> tuple[int, int]:
    """Width and height as the header tells them.

    Raises:
        Problem: no picture of an allowed format (415), or one with too many pixels (413).
    """
    try:
        with _open(data) as image:
            width, height = image.size
            kind, stored = image.format, _stored_pixels(image)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_large(max_pixels) from None
    if width * height > max_pixels:
        raise _too_large(max_pixels, f"{width} x {height} pixels")
    if stored > max_pixels or stored > max(2 * width * height, TILE):
        raise _too_large(max_pixels, f"{width} x {height} pixels in tiles of {stored:,}")
    if kind in ("JPEG", "MPO") and _scans(data) > SCANS:
        raise Problem("not-an-image", f"The JPEG comes in more than {SCANS} scans, each of which takes time; save it anew.")
    return width, height


def _stored_pixels(image: Image.Image) -> int:
    """Pixels of a tile of a TIFF, which is decoded whole, however small the picture is; 0 where there are no tiles."""
    tags = getattr(image, "tag_v2", None)
    sides = [tags.get(tag) for tag in TILE_TAGS] if tags is not None else []
    return int(sides[0]) * int(sides[1]) if len(sides) == 2 and all(isinstance(side, int) for side in sides) else 0


def _scans(data: bytes) -> int:
    """How often a JPEG goes over its pixels, `SCANS` + 1 at most: a small file can say so thousands of times.

    A length that leads nowhere is passed over, as decoders do; so the markers looked at are at least those that a decoder finds.
    """
    found, at = 0, 2
    for _ in range(MARKERS):
        marker = _MARKER.search(data, at)
        if marker is None or marker[1] == _END:
            return found
        at = marker.end()
        found += marker[1] == _SCAN
        if found > SCANS:
            return found
        if marker[1] not in _BARE:
            at += int.from_bytes(data[at : at + 2], "big")
    return SCANS + 1  # no camera writes so many markers


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
