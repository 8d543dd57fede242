"""Numbers in sentences.

counted(1, "picture"), counted(2500, "picture")        # "1 picture", "2,500 pictures"
"""

from __future__ import annotations


def counted(n: int, noun: str) -> str:
    """A number of things, whose noun has its plural by an `s`."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"
