"""What `--exclude` takes: a list of ids, a table of ids, and the verdicts of an audit."""

from __future__ import annotations

from pathlib import Path

import pytest

from evenface.data.exclude import read_excluded
from evenface.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\nb\n", {"a", "b"}),
        ("a, a remark\n\n b \n", {"a", "b"}),
        ("\ufeffa\r\nb", {"a", "b"}),
        ("id\na\nb\n", {"a", "b"}),
        ("split,id\ntrain,a\ntrain,b\n", {"a", "b"}),
        ('id,split,suggestion\na,train,exclude\nb,train,keep\nc,train,left out\n"d,e",train,exclude\n', {"a", "d,e"}),
        ("id,check,suggestion\na,blank,keep\na,duplicates,exclude\n", {"a"}),
        ('id,verdict,suggestion\na,"two\nlines",exclude\n', {"a"}),
        ("id,suggestion\n a ,Exclude\nb,exclude \nc,keep\nd\n", {"a", "b"}),
        ("\n\nid, suggestion\na,exclude\nb,keep\n", {"a"}),
        (" \n\t\nid,suggestion\na,exclude\nb,keep\n", {"a"}),
        ("split,id\ntrain, a\ntrain\n", {"a"}),
    ],
)
def test_the_ids_of_a_file(tmp_path: Path, text: str, expected: set[str]) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(text.encode())
    assert read_excluded(path) == expected


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read"),
        (b"\xff\xfe\x00\x80", "is no text"),
        (b"id,suggestion\na,keep\n", "suggests to leave out no face"),
        (b"id,suggestion\na,exclude\nb,Remove\n", "says 'remove' in the column suggestion; write 'exclude' or 'keep'"),
        (b'id,suggestion\na,"exclude\n' + b"b,keep\n" * 20_000, "quotation mark that is not closed"),
    ],
)
def test_what_names_nothing_is_refused(tmp_path: Path, content: bytes | None, words: str) -> None:
    path = tmp_path / "x.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=words):
        read_excluded(path)
