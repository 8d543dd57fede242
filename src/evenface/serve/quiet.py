"""Keeps the libraries from writing about pictures: their warnings and messages quote sizes, tags and bytes of what was sent.

quiet_libraries()               # warnings and loggers of Python packages, for the whole process
with quiet_c():                 # what libraries in C write to standard error by themselves, as libtiff does
    ...
"""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import sys
import warnings
from collections.abc import Iterator

from PIL import Image


def quiet_libraries() -> None:
    """Pillow's warnings of damaged files are not shown, one of a bomb becomes an error, and python_multipart and Pillow log nothing."""
    warnings.filterwarnings("ignore", module=r"PIL\.")
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    for name in ("python_multipart", "PIL"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


@contextlib.contextmanager
def quiet_c() -> Iterator[None]:
    """Python's `sys.stderr` and its logging go where they went; the file descriptor 2 itself leads nowhere meanwhile.

    A crash is still told by Python's fault handler.
    """
    former = sys.stderr
    former.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    with os.fdopen(os.dup(kept), "w", buffering=1, encoding="utf-8", errors="backslashreplace") as stream:
        handlers = [h for h in logging.root.handlers if isinstance(h, logging.StreamHandler) and h.stream is former]
        was_on = faulthandler.is_enabled()
        try:
            os.dup2(nowhere, 2)
            sys.stderr = stream
            for handler in handlers:
                handler.setStream(stream)
            faulthandler.enable(stream)
            yield
        finally:
            faulthandler.disable()
            os.dup2(kept, 2)
            sys.stderr = former
            for handler in handlers:
                handler.setStream(former)
            if was_on:
                faulthandler.enable()
            os.close(kept)
            os.close(nowhere)
