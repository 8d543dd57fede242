from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from evenface.data.manifest import Manifest
from evenface.data.splits import stratified_validation
from evenface.errors import ConfigError, DataError


Make = Callable[..., Manifest]
COUNTS = {"train": {"happiness": 200, "fear": 33, "disgust": 2, "anger": 1}, "test": {"happiness": 7, "fear": 3, "disgust": 1, "anger": 1}}


def test_each_class_gives_its_share_and_keeps_one(make: Make) -> None:
    m = make(COUNTS)
    out = stratified_validation(m, 0.1)
    assert out.counts("validation") == {"happiness": 20, "fear": 3, "disgust": 1, "anger": 0}
    assert out.counts("train") == {"happiness": 180, "fear": 30, "disgust": 1, "anger": 1}
    assert out.split("test").ids() == m.split("test").ids()
    assert out.ids() == m.ids()
    assert "24 of 236" in out.notes[-1]


def test_it_is_seeded_and_nested(make: Make) -> None:
    m = make(COUNTS)
    moved = [set(stratified_validation(m, f).split("validation").ids()) for f in (0.05, 0.1, 0.3)]
    assert moved[0] < moved[1] < moved[2]
    assert set(stratified_validation(m, 0.1, seed=1).split("validation").ids()) != moved[1]
    assert set(stratified_validation(m, 0.1).split("validation").ids()) == moved[1]


def test_a_large_fraction_leaves_one_in_train(make: Make) -> None:
    assert stratified_validation(make(COUNTS), 0.999).counts("train") == {"happiness": 1, "fear": 1, "disgust": 1, "anger": 1}


@pytest.mark.parametrize("fraction", [0.1, 0.25])
def test_no_subject_stands_on_both_sides(make: Make, fraction: float) -> None:
    people = [None if i % 50 == 0 else f"p{k}" for i, k in enumerate(np.random.default_rng(0).integers(0, 60, 236 + 12).tolist())]
    m = make({"train": COUNTS["train"], "test": COUNTS["test"]}, subject=people)
    out = stratified_validation(m, fraction)
    sides = {s: set(out.split(s).table["subject"].to_pylist()) - {None} for s in ("train", "validation")}
    assert not sides["train"] & sides["validation"]
    assert all(out.counts("train").values())
    for name in ("happiness", "fear"):
        want = fraction * COUNTS["train"][name]
        assert 0.5 * want <= out.counts("validation")[name] <= 1.6 * want


def test_misuse(make: Make) -> None:
    for fraction in (0.0, 1.0, -1.0):
        with pytest.raises(ConfigError, match="between 0 and 1"):
            stratified_validation(make(COUNTS), fraction)
    with pytest.raises(ConfigError, match="has a validation split already"):
        stratified_validation(make({"train": {"fear": 3}, "validation": {"fear": 1}}))
    with pytest.raises(DataError, match="no train split"):
        stratified_validation(make({"test": {"fear": 3}}))
    with pytest.raises(DataError, match="cannot be divided"):
        stratified_validation(make({"train": {"fear": 3, "anger": 2}}, subject=["p"] * 5))


def of_people(make: Make, *people: dict[str, int]) -> Manifest:
    """A train split in which person i, called p<i>, has so many faces of each class."""
    names = list(dict.fromkeys(name for person in people for name in person))
    counts = {name: sum(person.get(name, 0) for person in people) for name in names}
    subject = [f"p{i}" for name in names for i, person in enumerate(people) for _ in range(person.get(name, 0))]
    return make({"train": counts}, subject=subject)


def persons(manifest: Manifest) -> set[str]:
    return set(manifest.split("validation").table["subject"].to_pylist())


def test_each_class_that_several_people_show_is_in_validation(make: Make) -> None:
    # of 41 happy faces 4 are wanted, and p3 brings one; of 30 fearful ones 3, and everybody who is afraid has more than six
    m = of_people(make, {"happiness": 20, "fear": 12}, {"happiness": 20, "fear": 10}, {"fear": 8}, {"happiness": 1})
    out = stratified_validation(m, 0.1)
    assert persons(out) == {"p3", "p2"}
    assert out.counts("validation") == {"happiness": 1, "fear": 8}
    assert len(out.notes) == 1


@pytest.mark.parametrize("seed", range(5))
def test_a_class_that_one_person_shows_is_named(make: Make, seed: int) -> None:
    m = of_people(make, {"happiness": 10}, {"happiness": 10, "fear": 9}, {"happiness": 1}, {"happiness": 1})
    out = stratified_validation(m, 0.1, seed)
    assert persons(out) == {"p2", "p3"}
    assert out.notes[1:] == ("The validation split has no face of fear: whoever shows it is needed in train.",)


@pytest.mark.parametrize("people", [2, 3, 5])
def test_few_people_are_divided_too(make: Make, people: int) -> None:
    m = make({"train": {"fear": 10 * people, "anger": 10 * people}}, subject=[f"p{i % people}" for i in range(20 * people)])
    out = stratified_validation(m, 0.1)
    sides = [set(out.split(s).table["subject"].to_pylist()) for s in ("train", "validation")]
    assert len(sides[1]) == 1
    assert not sides[0] & sides[1]
    assert out.split("validation").counts() == {"fear": 10, "anger": 10} or people == 2
