"""What an annotation allows besides None, however it is written."""

from __future__ import annotations

from typing import Any, Literal, Optional

import pytest

from evenface.cli.flags import kind_of
from evenface.hints import without_none


@pytest.mark.parametrize(
    ("hint", "kinds", "typed"),
    [
        (float, (float,), float),
        (float | None, (float,), float),
        (Optional[float], (float,), float),  # noqa: UP045
        (str | int | None, (str, int), str),
        (Literal["a", "b"] | None, (Literal["a", "b"],), str),
    ],
)
def test_kinds_of_value(hint: Any, kinds: tuple[Any, ...], typed: type[Any]) -> None:
    assert without_none(hint) == kinds
    assert kind_of(hint)[0] is typed
