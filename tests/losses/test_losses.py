"""What the package gives away."""

from __future__ import annotations

import inspect

import evenface.losses


def test_all_is_sorted_complete_and_documented() -> None:
    names = evenface.losses.__all__
    assert names == sorted(names)
    functions = [name for name, value in vars(evenface.losses).items() if inspect.isfunction(value)]
    assert sorted(functions) == names
    assert all(inspect.getdoc(getattr(evenface.losses, name)) for name in names)
