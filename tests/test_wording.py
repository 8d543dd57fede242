"""How many there are of something, as a sentence says it."""

from __future__ import annotations

from evenface.wording import counted


def test_one_thing_is_no_plural() -> None:
    assert [counted(n, "training face") for n in (0, 1, 2, 1234)] == [
        "0 training faces", "1 training face", "2 training faces", "1,234 training faces",
    ]  # fmt: skip
