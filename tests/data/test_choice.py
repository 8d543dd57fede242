"""Choosing faces by id, by number and at random."""

from __future__ import annotations

import pytest

from evenface.data.choice import at_random, chosen, per_class
from evenface.data.manifest import Manifest, build
from evenface.errors import ConfigError, DataError
from evenface.labels import BASIC


def part(n: int = 12, ids: list[str] | None = None) -> Manifest:
    names = ids or [f"face{i:02d}" for i in range(n)]
    labels = [("fear", "happiness", "happiness")[i % 3] for i in range(len(names))]
    return build({"id": names, "split": ["validation"] * len(names), "label": labels, "image": [b"x"] * len(names)}, BASIC, name="few")


def test_named_faces_come_in_the_order_they_are_named() -> None:
    assert chosen(part(), "face07, face02,face07").tolist() == [7, 2]
    with pytest.raises(ConfigError, match="did you mean 'face07'"):
        chosen(part(), "face7x7")
    with pytest.raises(ConfigError, match="Unknown id 'zzz'; it must be one of the 12 of 'few', such as face00"):
        chosen(part(), "face01,zzz")
    with pytest.raises(ConfigError, match="how many of each class"):
        chosen(part(), " , ")


def test_so_many_of_each_class() -> None:
    labels = part().table["label"].to_pylist()
    two = chosen(part(), "2").tolist()
    assert [labels[row] for row in two] == ["happiness", "happiness", "fear", "fear"]  # class by class, in the order of the classes
    three = chosen(part(), "3").tolist()
    assert set(two) < set(three)  # nested
    assert len(chosen(part(), "99")) == 12  # all there are
    assert any(per_class(part(), 1, seed).tolist() != per_class(part(), 1).tolist() for seed in range(1, 6))
    with pytest.raises(ConfigError, match="at least 1"):
        chosen(part(), "0")
    with pytest.raises(DataError, match="no face"):
        per_class(part().take([]), 1)


def test_the_choice_does_not_depend_on_the_order_of_the_rows() -> None:
    whole = part()
    turned = whole.take(range(11, -1, -1))
    assert {whole.ids()[i] for i in per_class(whole, 2)} == {turned.ids()[i] for i in per_class(turned, 2)}


def test_a_number_that_is_an_id_is_that_face() -> None:
    assert chosen(part(ids=["7", "2", "a"]), "2").tolist() == [1]


def test_at_random() -> None:
    assert at_random(part(), 99).tolist() == list(range(12))
    five = at_random(part(), 5)
    assert len(five) == 5
    assert (five[1:] > five[:-1]).all()
    assert set(at_random(part(), 3)) < set(five)
