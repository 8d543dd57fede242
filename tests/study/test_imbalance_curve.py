"""The curve over the imbalance shows what the kept answers say."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pyarrow.parquet as pq
import pytest
from PIL import Image
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from evenface.study import plan, read_recipe


ROOT = Path(__file__).resolve().parents[2]
ANSWERS = ROOT / "dev" / "kept" / "imbalance_ferplus_cpu.parquet"


@pytest.fixture(scope="module")
def imbalance(benchmark: Callable[[str], ModuleType]) -> ModuleType:
    return benchmark("imbalance")


def test_the_points_are_those_of_the_answers(imbalance: ModuleType) -> None:
    table = pq.read_table(ANSWERS)
    runs = {(run.base, run.labels["imbalance"]): run.folder.name for run in plan(read_recipe(ROOT / imbalance.RECIPE), seeds=[0])}
    found = {(title, factor, key): value for title, factor, key, value, _, _ in imbalance.curves(table, runs).rows}
    assert len(found) == 6 * 3 * 2  # logit_adjust stands with balanced_softmax, whose answers it has
    true = table["label"].to_pylist()
    for title, base in (("rbcf", "rbcf"), ("balanced_softmax = logit_adjust", "logit_adjust")):
        for label, factor in (("own", 73), ("150", 150)):
            answers = table[runs[base, label]].to_pylist()
            assert found[title, factor, "mean_recall"] == pytest.approx(balanced_accuracy_score(true, answers))
            assert found[title, factor, "overall"] == pytest.approx(accuracy_score(true, answers))


def test_it_writes_a_picture_or_says_why_not(imbalance: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    place = tmp_path / "curve.webp"
    monkeypatch.setattr(sys, "argv", ["imbalance.py", str(ANSWERS), "-o", str(place)])
    assert imbalance.main() == 0
    with Image.open(place) as picture:
        assert picture.size[0] > 1000
    before = place.read_bytes()
    noise = ANSWERS.with_name("noise_ferplus_cpu.parquet")
    others = ["--recipe", "recipes/rivals_ferplus_cpu.yaml"]
    for words in ([tmp_path / "none.parquet"], [noise], [ANSWERS, *others], [ANSWERS, "-o", tmp_path / "curve.jpg"]):
        monkeypatch.setattr(sys, "argv", ["imbalance.py", "-o", str(place), *map(str, words)])
        assert imbalance.main() == 1
    assert place.read_bytes() == before
    assert not (tmp_path / "curve.jpg").exists()
