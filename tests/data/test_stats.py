from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from evenface.data.ferplus import read_ferplus
from evenface.data.manifest import Manifest, build
from evenface.data.stats import data_stats, vote_ties
from evenface.errors import ConfigError, DataError


Picture = Callable[..., Path]


@pytest.fixture
def faces(tmp_path: Path, picture: Picture) -> Manifest:
    rows: dict[str, list[object]] = {"id": [], "split": [], "label": [], "image": []}
    for i in range(14):
        split = "train" if i < 10 else "test"
        label = "fear" if i % 5 == 0 else "happiness"
        picture(tmp_path / f"{i}.png", seed=3 if i == 12 else i, size=(8 + i, 6))
        rows["id"].append(f"f{i}")
        rows["split"].append(split)
        rows["label"].append(label)
        rows["image"].append(f"{i}.png")
    (tmp_path / "12.png").write_bytes((tmp_path / "3.png").read_bytes())
    (tmp_path / "13.png").write_bytes(b"broken")
    (tmp_path / "4.png").write_bytes((tmp_path / "4.png").read_bytes()[:60])
    return build(rows, ("happiness", "neutral", "fear")[::2], name="faces", root=tmp_path, notes=("a note",), licence="CC0")


def test_the_numbers(faces: Manifest) -> None:
    stats = data_stats(faces, beta=0.9)
    assert stats.counts == {"train": {"happiness": 8, "fear": 2}, "test": {"happiness": 3, "fear": 1}}
    assert stats.imbalance_factor == 4.0
    raw = [0.1 / (1 - 0.9**8), 0.1 / (1 - 0.9**2)]
    assert stats.weights == pytest.approx({"happiness": 2 * raw[0] / sum(raw), "fear": 2 * raw[1] / sum(raw)})
    assert stats.weight_ratio == pytest.approx(raw[1] / raw[0])
    assert stats.warning is None
    assert stats.unreadable == ("f4", "f13")
    assert stats.duplicates_of_train == {"test": 1}
    assert stats.sizes == {"width": (8, 13.5, 19), "height": (6, 6.0, 6)}
    assert stats.ties is None
    assert stats.total == 14
    assert (stats.notes, stats.licence, stats.name) == (("a note",), "CC0", "faces")


def test_it_is_plain_json(faces: Manifest) -> None:
    back = json.loads(json.dumps(data_stats(faces).to_dict(), allow_nan=False))
    assert back["sizes"]["width"] == [8, 13.5, 19]
    assert back["unreadable"] == ["f4", "f13"]
    assert back["total"] == 14


def test_the_warning_where_b_is_uniform(make: Callable[..., Manifest]) -> None:
    m = make({"train": {"happiness": 30, "fear": 15}})
    assert data_stats(m, beta=0.5).warning is not None
    assert "nearly uniform" in str(data_stats(m, beta=0.5).warning)
    assert data_stats(m, beta=0.999).warning is None
    with pytest.raises(ConfigError, match="beta"):
        data_stats(m, beta=1.0)


def test_an_empty_class_and_an_absent_train_split_are_no_error(make: Callable[..., Manifest]) -> None:
    m = make({"train": {"happiness": 3, "fear": 0}, "test": {"happiness": 1, "fear": 1}})
    stats = data_stats(m)
    assert math.isinf(stats.imbalance_factor)
    assert stats.to_dict()["imbalance_factor"] is None
    alone = data_stats(m.split("test"))
    assert math.isnan(alone.imbalance_factor)
    assert alone.weights == {}
    assert alone.duplicates_of_train == {"test": 0}
    assert alone.sizes == {}  # the made set has no files
    json.dumps(alone.to_dict(), allow_nan=False)


def test_vote_ties(make: Callable[..., Manifest]) -> None:
    m = make({"train": {"fear": 3}, "test": {"fear": 1}}, votes_fear=[5, 4, 3, 2], votes_anger=[5, 3, 3, 7], votes_NF=[0, 3, 3, 1])
    ties = vote_ties(m)
    assert ties is not None
    assert ties.tolist() == [True, False, True, False]
    assert data_stats(m).ties == {"train": 2, "test": 0}


def test_a_blank_vote_is_none_and_a_text_is_an_error(make: Callable[..., Manifest]) -> None:
    m = make({"train": {"fear": 4}}, votes_fear=[0.5, None, 0.25, None], votes_anger=[0.5, 0.5, None, None])
    ties = vote_ties(m)
    assert ties is not None
    assert ties.tolist() == [True, False, False, False]  # nobody voted for the last one
    worded = make({"train": {"fear": 2}}, votes_fear=["two", "one"], votes_anger=[1, 2])
    with pytest.raises(DataError, match="`votes_fear` holds something that is no number"):
        vote_ties(worded)
    with pytest.raises(DataError, match="`votes_anger` holds a vote below 0"):
        vote_ties(make({"train": {"fear": 2}}, votes_fear=[2, 1], votes_anger=[1, -2]))
    stats = data_stats(worded)
    assert stats.ties is None
    assert "`votes_fear` holds something that is no number" in stats.notes[-1]


@pytest.mark.slow
def test_the_real_set(shared: Path) -> None:
    stats = data_stats(read_ferplus(shared / "data" / "ferplus"))
    assert stats.duplicates_of_train == {"validation": 248, "test": 257}
    assert stats.unreadable == ()
    assert stats.sizes == {"width": (48, 48.0, 48), "height": (48, 48.0, 48)}
    assert round(stats.weight_ratio, 2) == 8.91
    expected = {
        "neutral": 0.4226,
        "happiness": 0.4228,
        "surprise": 0.4414,
        "sadness": 0.4443,
        "anger": 0.4814,
        "disgust": 3.7640,
        "fear": 1.0237,
    }
    assert {k: float(np.round(v, 4)) for k, v in stats.weights.items()} == expected
