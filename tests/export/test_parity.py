"""The comparison of a file with its model, on logits that are made up; the limits, at both of their sides."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from evenface.errors import ModelError
from evenface.export.parity import Report, Speed, agreement, compare, require
from evenface.model_folder import ModelConfig


LOGITS = np.array([[2.0, 0.0], [0.0, 1.0], [0.5, 0.4], [3.0, 3.00005]], dtype=np.float32)
CONFIG = ModelConfig("resnet18", ("fear", "anger"), (0, 0, 0), (1, 1, 1), 2)


class Faces:
    """Four faces whose first pixel is their number."""

    what = "four faces"

    def __init__(self, labels: list[int] | None) -> None:
        self.labels = None if labels is None else np.array(labels)

    def __len__(self) -> int:
        return 4

    def take(self, rows: np.ndarray) -> np.ndarray:
        return np.broadcast_to(np.asarray(rows, dtype=np.uint8)[:, None, None, None], (len(rows), 2, 2, 3))

    def batches(self, size: int) -> list[np.ndarray]:
        return [self.take(np.arange(4))[i : i + 3] for i in (0, 3)]


class Table:
    """Answers from a table of logits."""

    name = "table"

    def __init__(self, table: np.ndarray) -> None:
        self.table = table
        self.cells = np.arange(4 * 2 * 3, dtype=np.float32).reshape(4, 2, 3, 1)
        self.temperature = 1.0

    def logits(self, faces: np.ndarray) -> np.ndarray:
        return self.table[faces[:, 0, 0, 0]]

    def maps(self, faces: np.ndarray) -> np.ndarray:
        return self.cells[faces[:, 0, 0, 0]]

    def answer(self, faces: np.ndarray) -> dict[str, np.ndarray]:
        z = self.logits(faces).astype(np.float64) / self.temperature
        p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
        return {"logits": self.logits(faces), "probabilities": p.astype(np.float32), "maps": self.maps(faces)}


def found(other: np.ndarray | Table, labels: list[int] | None) -> Report:
    file = other if isinstance(other, Table) else Table(other)
    return compare(Table(LOGITS), file, Faces(labels), CONFIG, threads=1)  # type: ignore[arg-type]


def test_differences_agreement_and_recalls_by_hand() -> None:
    other = LOGITS.copy()
    other[2] = [0.4, 0.6]  # another class
    report = found(other, [0, 1, 0, 1])
    assert (report.n, report.faces) == (4, "four faces")
    assert report.max_logit_difference == pytest.approx(0.2, abs=1e-6)
    before, after = 1 / (1 + np.exp(-0.1)), 1 / (1 + np.exp(0.2))
    assert report.max_probability_difference == pytest.approx(before - after, abs=1e-6)
    assert report.agreement == 0.75
    assert report.recall == {"fear": (1.0, 0.5), "anger": (1.0, 1.0)}
    assert report.mean_recall == (1.0, 0.75)
    assert report.torch.ms > 0
    assert report.file.faces_per_second > 0


def test_without_labels_there_is_no_recall() -> None:
    report = found(LOGITS, None)
    assert (report.recall, report.mean_recall, report.agreement, report.max_logit_difference) == (None, None, 1.0, 0.0)


def test_ties_are_no_disagreement() -> None:
    other = LOGITS.copy()
    other[3] = [3.00005, 3.0]  # a tie of 5e-5 in the reference
    assert agreement(LOGITS, other) == 1
    other[2] = [0.4, 0.5]  # one of 0.1 is none
    assert agreement(LOGITS, other) == 0.75


def test_probabilities_that_do_not_follow_from_the_logits() -> None:
    """Those of half the temperature, the logits right: of the first face softmax(4, 0) in place of softmax(2, 0)."""
    file = Table(LOGITS)
    file.temperature = 0.5
    report = found(file, None)
    gaps = [abs(1 / (1 + np.exp(-2 * d)) - 1 / (1 + np.exp(-d))) for d in (2.0, 1.0, 0.1)]
    assert report.max_softmax_difference == pytest.approx(max(gaps), abs=1e-6)
    for precision in ("fp32", "fp16", "int8"):
        with pytest.raises(ModelError, match="probabilities differ from the softmax of its logits"):
            require(report, precision)
    assert found(LOGITS + 0.1, None).max_softmax_difference < 1e-6  # other logits, and what follows from them


@pytest.mark.parametrize("damage", ["one cell", "zeros", "classes", "mirror", "shape", "nan"])
def test_maps_that_are_not_the_models(damage: str) -> None:
    file, right = Table(LOGITS), Table(LOGITS).cells
    if damage == "one cell":
        file.cells[2, 1, 0, 0] += 3
    elif damage == "shape":
        file.cells = right.mean(axis=2, keepdims=True)  # which numpy would stretch over the cells
    else:
        file.cells = {"zeros": 0 * right, "classes": right[:, ::-1], "mirror": right[:, :, ::-1], "nan": right + np.nan}[damage]
    report = found(file, None)
    squares = [(float(a) - float(b)) ** 2 for a, b in zip(file.cells.flat, right.flat, strict=damage != "shape")]
    expected = (sum(squares) / sum(float(b) ** 2 for b in right.flat)) ** 0.5
    assert report.map_difference == (np.inf if damage == "shape" else pytest.approx(expected, nan_ok=True))
    with pytest.raises(ModelError, match="maps are off by"):
        require(report, "fp32")
    assert report.max_logit_difference == 0.0


GOOD = Report("faces", 1000, 9e-4, 1e-4, 9e-4, 9e-4, 1.0, {"fear": (0.5, 0.5)}, (0.7, 0.7), Speed(1, 1), Speed(1, 1), 1)


@pytest.mark.parametrize(
    ("precision", "changes", "wrong"),
    [
        ("fp32", {}, ""),
        ("fp32", {"max_logit_difference": 1.1e-3}, "logits differ by 0.0011"),
        ("fp32", {"agreement": 0.999}, "99.90% of 1,000 faces"),
        ("fp32", {"max_logit_difference": float("nan")}, "logits differ by nan"),
        ("fp16", {"max_logit_difference": 0.5, "agreement": 0.995}, ""),
        ("fp16", {"agreement": 0.9949}, "99.5% must"),
        ("int8", {"max_logit_difference": 2.0, "agreement": 0.97, "mean_recall": (0.7, 0.6951)}, ""),
        ("int8", {"agreement": 0.969}, "97.0% must"),
        ("int8", {"mean_recall": (0.7, 0.694)}, "from 70.00% to 69.40%"),
        ("int8", {"mean_recall": (0.7, 0.706)}, "0.5 points"),
        ("int8", {"mean_recall": (0.7, 0.6), "n": 499}, ""),
        ("int8", {"mean_recall": None}, ""),
        ("int8", {"max_logit_difference": float("nan")}, "same class"),
        ("fp32", {"max_softmax_difference": 1.1e-3}, "probabilities differ .* by 0.0011, where 0.001 is allowed"),
        ("fp16", {"max_softmax_difference": 4.9e-3, "map_difference": 0.0099}, ""),
        ("fp16", {"max_softmax_difference": 5.1e-3}, "probabilities differ"),
        ("int8", {"max_softmax_difference": float("nan")}, "probabilities differ"),
        ("fp32", {"map_difference": 1.1e-3}, "maps are off by 0.11%, where 0.1% is allowed"),
        ("fp16", {"map_difference": 0.011}, "maps are off by 1.10%"),
        ("int8", {"map_difference": 0.29}, ""),
        ("int8", {"map_difference": 0.31}, "maps are off by 31.00%, where 30.0% is allowed"),
        ("int8", {"map_difference": float("nan")}, "maps are off"),
    ],
)
def test_the_limits(precision: str, changes: dict[str, object], wrong: str) -> None:
    report = dataclasses.replace(GOOD, **changes)  # type: ignore[arg-type]
    if not wrong:
        require(report, precision)
        return
    with pytest.raises(ModelError, match=wrong) as raised:
        require(report, precision)
    assert "not kept" in str(raised.value)
