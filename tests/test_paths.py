"""Where the cache lies: by EVENFACE_HOME, by XDG_CACHE_HOME, or in the home."""

from __future__ import annotations

from pathlib import Path

import pytest

from evenface import zoo
from evenface.errors import ModelError
from evenface.paths import cache_folder


@pytest.mark.parametrize(
    ("own", "users", "place"),
    [
        ("own", "users", "own"),
        ("own", None, "own"),
        (None, "users", "users/evenface"),
        ("", "users", "users/evenface"),
        (None, "", "home/.cache/evenface"),  # as the XDG specification has it: empty is not set
        (None, None, "home/.cache/evenface"),
    ],
)
def test_the_place_of_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, own: str | None, users: str | None, place: str) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name, value in (("EVENFACE_HOME", own), ("XDG_CACHE_HOME", users)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value and str(tmp_path / value))
    assert cache_folder() == tmp_path / place
    assert [path.name for path in tmp_path.iterdir()] == [place.partition("/")[0]]


def test_a_user_without_a_home_can_say_where(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    monkeypatch.delenv("EVENFACE_HOME", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "evenface"


def test_where_none_can_be_made_models_are_listed_all_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("EVENFACE_HOME", str(tmp_path / "file" / "home"))
    assert cache_folder() == tmp_path / "file" / "home"
    assert zoo.find("yunet") is None
    with pytest.raises(ModelError, match="The model yunet is not on this machine yet; fetch it"):
        zoo.require("yunet", "yunet:PATH")
