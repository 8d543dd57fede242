from __future__ import annotations

import json
from pathlib import Path

import pytest

from evenface.training.environment import environment_of, pictures_in, train_ids


def test_what_a_run_wrote_down(tmp_path: Path) -> None:
    about = {"device": "cpu", "data_ids": "1f", "pictures": {"train": "ab cd"}}
    (tmp_path / "environment.json").write_text(json.dumps(about))
    assert environment_of(tmp_path) == about
    assert (train_ids(tmp_path), pictures_in(tmp_path)) == ("1f", {"train": "ab cd"})


@pytest.mark.parametrize("text", [None, b"", b"{", b"[1]", b"\xff\xfe", b'{"pictures": ["ab"]}'])
def test_what_is_not_there_or_damaged_says_nothing(tmp_path: Path, text: bytes | None) -> None:
    if text is not None:
        (tmp_path / "environment.json").write_bytes(text)
    assert (train_ids(tmp_path), pictures_in(tmp_path)) == ("", {})
