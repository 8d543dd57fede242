"""Runs against each other: alignment by id and name, grouping by seed, and numbers that agree with the parts."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics as sk

from evenface.errors import ConfigError, DataError, LabelError
from evenface.evaluation.compare import RunPredictions, align, compare_runs, method_labels
from evenface.evaluation.intervals import wilson
from evenface.evaluation.paired import holm, mcnemar_exact, paired_bootstrap
from evenface.evaluation.records import write_metrics


NAMES = ("happiness", "fear", "disgust")
TRUE = np.repeat(np.arange(3), (50, 20, 10))
IDS = tuple(f"face-{i:03d}" for i in range(TRUE.size))


def run(method: str, seed: int, right: float, duplicates: int = 0) -> RunPredictions:
    rng = np.random.default_rng([seed, int(100 * right)])
    predicted = np.where(rng.random(TRUE.size) < right, TRUE, rng.integers(0, 3, TRUE.size))
    return RunPredictions(f"{method}-{seed}", method, seed, IDS, TRUE, predicted, NAMES, np.arange(TRUE.size) < duplicates)


def shuffled(r: RunPredictions) -> RunPredictions:
    """The same answers with images and classes in another order."""
    order = np.random.default_rng(0).permutation(TRUE.size)
    names = ("disgust", "happiness", "fear")
    to = np.array([names.index(name) for name in NAMES])
    ids = tuple(r.ids[i] for i in order)
    return dataclasses.replace(
        r, ids=ids, true=to[r.true[order]], predicted=to[r.predicted[order]], class_names=names, duplicates=r.duplicates[order]
    )


def test_two_runs() -> None:
    a, b = run("ce", 0, 0.6), run("rbcf", 0, 0.8)
    found = compare_runs([a, b], resamples=500)
    assert [m.method for m in found.methods] == ["ce", "rbcf"]
    assert found.n == (50, 20, 10)
    for method, r in zip(found.methods, (a, b), strict=True):
        assert method.mean("mean_recall") == pytest.approx(sk.balanced_accuracy_score(TRUE, r.predicted))
        assert method.mean("macro_f1") == pytest.approx(sk.f1_score(TRUE, r.predicted, average="macro"))
        assert method.sd("overall") is None
        np.testing.assert_allclose(method.recall, sk.recall_score(TRUE, r.predicted, average=None))
        hits = np.diagonal(sk.confusion_matrix(TRUE, r.predicted))
        np.testing.assert_allclose(method.recall_ci95, np.stack(wilson(hits, (50, 20, 10)), axis=1))
    (pair,) = found.pairs
    assert pair.mean_recall == paired_bootstrap(TRUE, a.predicted, b.predicted, 3, resamples=500)["mean_recall"]
    assert pair.mcnemar == (mcnemar_exact(a.predicted == TRUE, b.predicted == TRUE),)
    assert pair.holm_p == pair.mean_recall.p_value
    assert any("one seed" in note for note in found.notes)


def test_order_of_images_and_classes_changes_nothing() -> None:
    a, b = run("ce", 0, 0.6, duplicates=5), run("rbcf", 0, 0.8)
    straight, mixed = compare_runs([a, b], resamples=300), compare_runs([a, shuffled(b)], resamples=300)
    assert straight.pairs == mixed.pairs
    assert straight.notes == mixed.notes
    np.testing.assert_array_equal(straight.methods[1].recall, mixed.methods[1].recall)


def test_seeds_are_grouped_and_paired() -> None:
    ce = [run("ce", s, 0.6) for s in (0, 1, 2)]
    rbcf = [run("rbcf", s, 0.8) for s in (2, 0, 1)]  # given in another order
    found = compare_runs([*ce, *rbcf], resamples=300)
    assert [m.seeds for m in found.methods] == [(0, 1, 2), (0, 1, 2)]
    assert found.methods[1].runs == ("rbcf-0", "rbcf-1", "rbcf-2")
    values = [sk.balanced_accuracy_score(TRUE, r.predicted) for r in ce]
    assert found.methods[0].mean_recall == pytest.approx(values)
    assert found.methods[0].sd("mean_recall") == pytest.approx(np.std(values, ddof=1))
    (pair,) = found.pairs
    assert pair.seeds == (0, 1, 2)
    by_seed = sorted(rbcf, key=lambda r: r.seed)
    assert pair.mcnemar == tuple(mcnemar_exact(p.predicted == TRUE, q.predicted == TRUE) for p, q in zip(ce, by_seed, strict=True))
    means = [np.mean([sk.balanced_accuracy_score(TRUE, r.predicted) for r in group]) for group in (ce, rbcf)]
    assert pair.mean_recall.value == pytest.approx(means[1] - means[0])
    assert not any("one seed" in note for note in found.notes)
    a, b = (np.stack([r.predicted for r in group], axis=1) for group in (ce, by_seed))
    together, apart = (paired_bootstrap(TRUE, a, b, 3, resamples=300, pair_seeds=paired)["mean_recall"] for paired in (True, False))
    assert pair.mean_recall.ci95 == together.ci95 != apart.ci95


def test_methods_are_paired_on_the_seeds_that_both_have() -> None:
    """As while a study goes on, and one method is ahead of the others."""
    ce, rbcf = [run("ce", s, 0.6) for s in (0, 1, 2)], [run("rbcf", s, 0.8) for s in (1, 2)]
    found = compare_runs([*ce, *rbcf, run("cb", 2, 0.7), run("cb", 1, 0.7), run("cb", 4, 0.7)], resamples=300)
    alone = compare_runs([*ce[1:], *rbcf], resamples=300)
    assert found.pairs[0].mean_recall == alone.pairs[0].mean_recall
    assert [len(pair.mcnemar) for pair in found.pairs] == [2, 2]
    assert [pair.seeds for pair in found.pairs] == [(1, 2), (1, 2)]
    assert [m.seeds for m in found.methods] == [(0, 1, 2), (1, 2), (1, 2, 4)]
    means = [np.mean([sk.balanced_accuracy_score(TRUE, r.predicted) for r in group]) for group in (ce[1:], rbcf)]
    assert found.pairs[0].mean_recall.value == pytest.approx(means[1] - means[0])
    assert "Against ce on the seeds that both have, 1, 2, and no others: rbcf, cb." in found.notes
    assert not any("drawn apart" in note for note in found.notes)


def test_other_seeds_are_drawn_apart() -> None:
    found = compare_runs([run("ce", 0, 0.6), run("ce", 1, 0.6), run("rbcf", 5, 0.8), run("rbcf", 6, 0.8)], resamples=100)
    assert found.pairs[0].mcnemar == ()
    assert found.pairs[0].seeds == ()
    assert any("drawn apart, which widens the interval" in note for note in found.notes)
    assert not any("too narrow" in note for note in found.notes)
    single = compare_runs([run("ce", 0, 0.6), run("rbcf", 5, 0.8)], resamples=100)
    assert len(single.pairs[0].mcnemar) == 1  # one training of each is a pair


@pytest.mark.parametrize(("ce", "rbcf", "single"), [((0, 1, 2), (5,), "rbcf"), ((5,), (0, 1, 2), "ce"), ((0, 1), (0,), "rbcf")])
def test_one_seed_against_several_has_too_narrow_an_interval(ce: tuple[int, ...], rbcf: tuple[int, ...], single: str) -> None:
    found = compare_runs([*(run("ce", s, 0.6) for s in ce), *(run("rbcf", s, 0.8) for s in rbcf)], resamples=100)
    assert [note for note in found.notes if "interval" in note] == [
        f"rbcf against ce: {single} has one seed, so how far its trainings lie apart is not in the interval; "
        "that is too narrow, and p too small."
    ]
    assert found.pairs[0].mcnemar == ()


def test_three_methods_get_holms_correction() -> None:
    found = compare_runs([run("ce", 0, 0.6), run("focal", 0, 0.65), run("rbcf", 0, 0.85)], resamples=500)
    assert [pair.baseline for pair in found.pairs] == ["ce", "ce"]
    assert [pair.holm_p for pair in found.pairs] == holm([pair.mean_recall.p_value for pair in found.pairs])


def test_without_duplicates() -> None:
    a, b = run("ce", 0, 0.6, duplicates=5), run("rbcf", 0, 0.8)
    b = dataclasses.replace(b, duplicates=(np.arange(80) >= 3) & (np.arange(80) < 8))  # the union counts
    found = compare_runs([a, b], without_duplicates=True, resamples=100)
    assert found.n == (42, 20, 10)
    assert found.methods[0].mean("overall") == pytest.approx((a.predicted == TRUE)[8:].mean())
    assert "8 of 80 images" in found.notes[0]
    assert "left out" in found.notes[0]
    with pytest.raises(DataError, match="nothing left"):
        compare_runs([run("ce", 0, 0.6, duplicates=80)], without_duplicates=True)


def test_one_run_and_a_class_without_images(tmp_path: Path) -> None:
    a = run("ce", 0, 0.6)
    wider = dataclasses.replace(a, class_names=(*NAMES, "contempt"))
    found = compare_runs([wider], resamples=50)
    assert found.pairs == ()
    assert np.isnan(found.methods[0].recall[3])
    assert any("No image of contempt" in note for note in found.notes)
    write_metrics(tmp_path / "comparison.json", found.to_dict())
    assert json.loads((tmp_path / "comparison.json").read_text())["methods"][0]["recall"][3] is None


def test_runs_that_cannot_be_compared() -> None:
    a, b = run("ce", 0, 0.6), run("rbcf", 0, 0.8)
    with pytest.raises(ConfigError, match="no run"):
        compare_runs([])
    with pytest.raises(LabelError, match="lacks disgust and it adds anger"):
        compare_runs([a, dataclasses.replace(b, class_names=("happiness", "fear", "anger"))])
    fewer = dataclasses.replace(b, ids=b.ids[1:], true=b.true[1:], predicted=b.predicted[1:], duplicates=b.duplicates[1:])
    with pytest.raises(DataError, match=r"80 images.*79.*face-000"):
        align([a, fewer])
    with pytest.raises(DataError, match="different images"):
        align([a, dataclasses.replace(b, ids=("other", *b.ids[1:]))])
    with pytest.raises(DataError, match="true label of 1 images"):
        align([a, dataclasses.replace(b, true=np.where(np.arange(80) == 0, 1, TRUE))])
    with pytest.raises(ConfigError, match=r"both 'ce' with seed 0; leave one out\.$"):
        compare_runs([a, dataclasses.replace(run("ce", 0, 0.7), name="copy")])


def test_method_labels_show_what_differs() -> None:
    base = {"model": "resnet18", "init": "none", "lr": 0.1, "output": "runs/a"}
    runs = [
        {"method": "ce", "cls_views": "one", "seed": 0, **base},
        {"method": "ce", "cls_views": "one", "seed": 1, **base, "output": "runs/b"},
        {"method": "ce", "cls_views": "both", "seed": 0, **base},
        {"method": "rbcf", "lambda": 0.1, "seed": 0, **base},
    ]
    assert method_labels(runs) == ["ce cls_views=one", "ce cls_views=one", "ce cls_views=both", "rbcf"]
    other_model = [runs[0], {**runs[3], "model": "swin"}]
    assert method_labels(other_model) == ["ce model=resnet18", "rbcf model=swin"]
