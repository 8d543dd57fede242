from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pyarrow as pa
import pytest

from evenface.data.manifest import Manifest
from evenface.data.noise import symmetric_noise
from evenface.errors import ConfigError, DataError


Make = Callable[..., Manifest]
COUNTS = {"train": {"happiness": 700, "fear": 200, "anger": 101}, "test": {"happiness": 20, "fear": 20, "anger": 20}}


def wrong(noisy: Manifest) -> dict[str, tuple[str, str]]:
    rows = zip(noisy.ids(), noisy.table["clean_label"].to_pylist(), noisy.table["label"].to_pylist(), strict=True)
    return {i: (a, b) for i, a, b in rows if a != b}


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.3, 1.0])
def test_exactly_the_rate_is_wrong_and_only_in_train(make: Make, rate: float) -> None:
    m = make(COUNTS)
    noisy = symmetric_noise(m, rate)
    flips = wrong(noisy)
    assert len(flips) == round(rate * 1001)
    assert set(flips) <= set(m.split("train").ids())
    assert noisy.table["clean_label"].to_pylist() == m.table["label"].to_pylist()
    assert noisy.ids() == m.ids()
    assert f"{len(flips)} of 1001" in noisy.notes[-1]


def test_the_wrong_class_is_uniform_over_the_others(make: Make) -> None:
    flips = Counter(wrong(symmetric_noise(make(COUNTS), 1.0)).values())
    assert flips["happiness", "fear"] + flips["happiness", "anger"] == 700
    assert 300 < flips["happiness", "fear"] < 400
    assert 75 < flips["fear", "anger"] < 125


def test_it_is_seeded_and_nested(make: Make) -> None:
    m = make(COUNTS)
    small, large = wrong(symmetric_noise(m, 0.1)), wrong(symmetric_noise(m, 0.4))
    assert small.items() <= large.items()
    assert wrong(symmetric_noise(m, 0.1)) == small
    assert wrong(symmetric_noise(m, 0.1, seed=1)) != small


def test_cleaner_labels_that_were_there_stay(make: Make) -> None:
    m = make({"train": {"happiness": 10, "fear": 10}}, clean_label=["fear"] * 20)
    assert symmetric_noise(m, 0.5).table["clean_label"].to_pylist() == ["fear"] * 20


def test_misuse(make: Make) -> None:
    with pytest.raises(ConfigError, match="between 0 and 1"):
        symmetric_noise(make(COUNTS), 1.2)
    with pytest.raises(DataError, match="no train split"):
        symmetric_noise(make({"test": {"fear": 1, "anger": 1}}), 0.2)
    with pytest.raises(ConfigError, match="two classes"):
        symmetric_noise(make({"train": {"fear": 3}}), 0.2)
    m = make({"train": {"fear": 1, "anger": 1}})
    soft = m.replace(m.table.append_column("soft", pa.array([[1.0, 0.0], [0.0, 1.0]])))
    with pytest.raises(ConfigError, match="vote distributions"):
        symmetric_noise(soft, 0.2)
