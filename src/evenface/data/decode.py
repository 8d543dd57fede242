"""From encoded bytes to uint8 RGB pixels, the one way for training, prediction and the audits.

    decode(Path("face.jpg").read_bytes(), 112)      # (112, 112, 3) uint8 RGB

What Pillow reads, and with the extra `heif` the HEIC pictures of phones. The first frame of an animation; upright by the EXIF
orientation; 16-bit and float grey scaled to 8 bits; an alpha channel is dropped.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, UnidentifiedImageError


UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError, EOFError)
"""What a file that is missing or holds no image may raise."""

_HEIF = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")  # the brands of the format, as in its header

_ORIENTATION = 0x0112  # EXIF tag
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def open_rgb(data: bytes) -> Image.Image:
    """Decodes an image, turned upright by its EXIF orientation, as 8-bit RGB.

    Raises:
        one of `UNREADABLE`: the bytes are empty, truncated or no image.
    """
    if not data:
        raise OSError("empty file")
    try:
        return _open_rgb(data)
    except (*UNREADABLE, MemoryError):
        raise
    except Exception as error:  # for damage inside a file Pillow's plugins also raise struct.error, RuntimeError, KeyError ...
        raise OSError(f"damaged image ({type(error).__name__}: {error})") from error


def _open_rgb(data: bytes) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(data))
    except UnidentifiedImageError:
        if data[4:8] != b"ftyp" or data[8:12] not in _HEIF:
            raise
        try:
            from pillow_heif import register_heif_opener
        except ImportError:
            raise OSError("HEIC pictures need an optional package; install it with: pip install 'evenface[heif]'") from None
        register_heif_opener()
        image = Image.open(io.BytesIO(data))  # upright already, and its EXIF data say so
    return upright_rgb(image)


def upright_rgb(image: Image.Image) -> Image.Image:
    """A PIL image of any mode, turned upright by its EXIF orientation, as 8-bit RGB."""
    image.load()
    turn = _UPRIGHT.get(_orientation(image) or 1)
    if turn is not None:
        image = image.transpose(turn)
    if image.mode[0] in "IF":  # Pillow's own conversion would clip 16-bit grey to white, and numbers up to 1 to black
        return Image.fromarray(_eight_bits(image)).convert("RGB")
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # straight to RGB, Pillow would warn, and warnings cannot be silenced safely in threads
    return image.convert("RGB")


def _eight_bits(image: Image.Image) -> np.ndarray:
    """Grey values (H, W) of an image of 16 or 32 bits, or of floats, as uint8; how bright white is, is told by the mode or the values."""
    values = np.asarray(image)
    lowest, highest = float(values.min()), float(values.max())  # nan, where one is
    if not (lowest >= 0 and highest <= 65535):
        raise ValueError(f"grey values from {lowest:g} to {highest:g}, which are none of 0 to 1, 0 to 255 or 0 to 65,535")
    if image.mode.startswith("I;16") or highest > 255:
        return (values.astype(np.uint32) >> 8).astype(np.uint8)
    scale = 255 if image.mode == "F" and highest <= 1 else 1
    return np.round(values * scale).astype(np.uint8)


def _orientation(image: Image.Image) -> int | None:
    """The EXIF orientation, 1 to 8; None where there is none. (`ImageOps.exif_transpose` fails on damage elsewhere in the EXIF data.)"""
    try:
        value = image.getexif().get(_ORIENTATION)
    except Exception:  # damaged EXIF data raise whatever their bytes spell; the pixels are whole
        return None
    return value if isinstance(value, int) else None


def decode(data: bytes, size: int | None = None) -> np.ndarray:
    """Pixels (H, W, 3), uint8 RGB; with `size`, resized to a square of that side (bicubic, antialiased when it shrinks)."""
    image = open_rgb(data)
    return np.asarray(image) if size is None else resize(image, size)


def resize(image: Image.Image, size: int) -> np.ndarray:
    """Pixels (size, size, 3), uint8 RGB."""
    return np.asarray(image if image.size == (size, size) else image.resize((size, size), Image.Resampling.BICUBIC))


def is_grey(pixels: np.ndarray) -> bool:
    """Whether the three channels (H, W, 3) are equal everywhere."""
    return bool((pixels[..., 0] == pixels[..., 1]).all() and (pixels[..., 1] == pixels[..., 2]).all())
