"""Pictures in all the forms that people hold them, as one: (H, W, 3), uint8, RGB, upright.

pixels, source = as_picture("photo.jpg")          # also encoded bytes, an open file, a PIL image, an array, a tensor
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeAlias, TypeGuard

import numpy as np
from PIL import Image, UnidentifiedImageError

from evenface.data.decode import UNREADABLE, decode, upright_rgb
from evenface.errors import ConfigError, DataError
from evenface.files import require_no_address
from evenface.video.reading import SUFFIXES


if TYPE_CHECKING:
    from torch import Tensor

Picture: TypeAlias = "str | os.PathLike[str] | bytes | IO[bytes] | Image.Image | np.ndarray | Tensor"
"""A path; the bytes of a picture file, or a binary file that is open, which is read from its start; a PIL image; an RGB array (H, W, 3),
(H, W) or (H, W, 4), whose alpha is dropped: uint8, uint16 (0 to 65,535) or float in [0, 1]; a tensor (3, H, W), (1, H, W) or (4, H, W), the
same."""


def as_picture(given: Any, *, bgr: bool = False) -> tuple[np.ndarray, str]:
    """Pixels (H, W, 3), uint8 RGB, and a name for the source.

    Args:
        given: see `Picture`.
        bgr: arrays come as blue, green, red, as OpenCV reads them.

    Raises:
        DataError: a file that is missing or no picture, bytes that hold none, or an image of Pillow whose file is damaged.
        ConfigError: something else than a picture, such as an address or a film.
    """
    if isinstance(given, bytes) or hasattr(given, "read"):
        return _encoded(given)
    if isinstance(given, str | os.PathLike):
        require_no_address(given)
        if Path(given).suffix.lower() in SUFFIXES:
            raise ConfigError(f"{given} is a film, not a picture; go through it with recognizer.video({str(given)!r}).")
        return read_picture(Path(given)), str(given)
    if isinstance(given, Image.Image):
        name = str(getattr(given, "filename", "") or "image")
        try:
            return np.asarray(upright_rgb(given)), name
        except UNREADABLE as error:  # Pillow decodes a file late
            raise DataError(f"The picture {name} cannot be read: {error}.") from error
    if is_tensor(given):
        if given.ndim != 3 or given.shape[0] not in (1, 3, 4):
            raise ConfigError(f"A picture as a tensor is (3, H, W), (4, H, W) or (1, H, W), not {tuple(given.shape)}.")
        given = given.detach().cpu()
        return _pixels((given.float() if given.is_floating_point() else given).numpy().transpose(1, 2, 0), bgr, "tensor"), "tensor"
    if isinstance(given, np.ndarray):
        if given.ndim == 2:
            given = given[:, :, None]
        if given.ndim != 3 or given.shape[2] not in (1, 3, 4):
            raise ConfigError(f"A picture as an array is (H, W, 3), (H, W, 4) or (H, W), not {given.shape}.")
        return _pixels(given, bgr, "array"), "array"
    raise ConfigError(
        f"A picture is a path, its file's bytes, an open file, a PIL image, an array or a tensor, not {type(given).__name__}."
    )


def is_tensor(given: object) -> TypeGuard[Tensor]:
    """Whether it is one of torch's, without loading torch: who holds a tensor has loaded it."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(given, torch.Tensor)


def read_picture(path: Path) -> np.ndarray:
    """The picture in a file, upright by its EXIF orientation.

    Raises:
        DataError: it is missing or holds no picture.
    """
    try:
        return decode(path.read_bytes())
    except FileNotFoundError:
        raise DataError(f"There is no file {path}.") from None
    except IsADirectoryError:
        raise DataError(f"{path} is a folder, not a picture.") from None
    except UNREADABLE as error:
        raise DataError(f"{path} cannot be read: {_reason(error)}.") from error


def _encoded(given: Any) -> tuple[np.ndarray, str]:
    """The picture in bytes or in an open file, and the file's name."""
    if isinstance(given, io.TextIOBase):
        raise ConfigError("The picture's file is open as text; open it in binary mode, as in open(path, 'rb').")
    name = str(getattr(given, "name", "bytes"))
    try:
        if not isinstance(given, bytes):
            with contextlib.suppress(AttributeError, OSError):  # a stream that cannot go back
                given.seek(0)  # as Pillow does: who has just written it is at its end
            given = given.read()
        return decode(given), name
    except UNREADABLE as error:
        raise DataError(f"The picture {name} cannot be read: {_reason(error)}.") from error


def _reason(error: BaseException) -> str:
    return "it is no picture that can be read" if isinstance(error, UnidentifiedImageError) else str(error).rstrip(".")


def _pixels(values: np.ndarray, bgr: bool, what: str) -> np.ndarray:
    if 0 in values.shape:
        raise ConfigError(f"The picture ({what}) has no pixels: {values.shape}.")
    if np.issubdtype(values.dtype, np.floating):
        if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
            raise ConfigError(f"A picture ({what}) of float numbers lies in [0, 1]; give uint8 for 0 to 255.")
        values = np.round(values * 255).astype(np.uint8)
    if values.dtype == np.uint16:
        values = (values >> 8).astype(np.uint8)  # as of files
    if values.dtype != np.uint8:
        raise ConfigError(f"A picture ({what}) is uint8, uint16, or float in [0, 1], not {values.dtype}.")
    if values.shape[2] == 1:
        values = np.repeat(values, 3, axis=2)
    values = values[:, :, :3]  # without alpha
    return np.ascontiguousarray(values[:, :, ::-1] if bgr else values)
