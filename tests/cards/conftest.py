"""A run folder put together by hand: three classes, a hundred training faces, scores whose numbers can be worked out on paper."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evenface.evaluation.records import summarise, write_metrics


CLASSES = ("happiness", "neutral", "fear")
CONFUSION = np.array([[54, 4, 2], [10, 80, 0], [4, 4, 2]])
"""Of the test split: rows happiness (60), neutral (90), fear (10); 136 of 160 right."""

BALANCED = np.array([[48, 4, 8], [10, 74, 6], [1, 2, 7]])
CALIBRATION = {
    "temperature": 1.25,
    "bias": {"happiness": 0.1, "neutral": 0.0, "fear": -0.1},
    "temperature_only": 1.5,
    "prior": {"happiness": 0.5, "neutral": 0.4, "fear": 0.1},
    "split": "validation",
    "n": 50,
    "nll": [0.7, 0.6, 0.5],
    "ece": [0.081, 0.042, 0.023],
    "dataset": "drawn",
}
CONFIG = {
    "schema_version": 1,
    "architecture": "test_resnet",
    "network": {"kind": "linear"},
    "class_names": list(CLASSES),
    "mean": [0.5, 0.5, 0.5],
    "std": [0.5, 0.5, 0.5],
    "img_size": 32,
    "train_counts": {"happiness": 55, "neutral": 40, "fear": 5},
    "calibration": CALIBRATION,
    "method": {"name": "rbcf", "lam": 0.1},
    "init": {"source": "elsewhere", "sha256": "ab" * 32, "summary": "Start from /data/nets/start.pth: 3 of 3 loaded."},
    "data_licence": "CC0",
    "dataset": "drawn",
    "evenface": "0.1.0",
    "epoch": 4,
    "selection": {"split": "validation", "by": "mean_recall", "value": 0.61, "protocol": "validation"},
}
Score = Callable[..., dict[str, Any]]


def metrics_of(confusion: np.ndarray, duplicates: int = 0, **about: Any) -> dict[str, Any]:
    """The metrics.json of a confusion matrix; the first `duplicates` faces stand in train."""
    true = np.repeat(np.arange(len(confusion)), confusion.sum(axis=1))
    predicted = np.concatenate([np.repeat(np.arange(len(row)), row) for row in confusion])
    about = {"dataset": "drawn", "split": "test", "epoch": 4, "tta": "none", "prior": "model", **about}
    known = {name: about.pop(name) for name in ("dataset", "split")}
    return summarise(true, predicted, CLASSES, np.arange(len(true)) < duplicates, **known, provenance=about, resamples=50)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with scores on test and validation, and on test under the prior `balanced`."""
    folder = tmp_path / "first"
    (folder / "best").mkdir(parents=True)
    (folder / "config.yaml").write_text(
        "dataset: drawn\ndata_dir: /data/drawn\nseed: 3\nepochs: 5\noptimizer: adam\nlr: 0.001\nbatch_size: 8\nema: null\nhflip: 0.5\n"
    )
    environment = {"command": "evenface train --data-dir /data/drawn -o runs/first", "python": "3.12", "evenface": "0.1.0"}
    environment |= {
        "device": "cpu",
        "precision": "fp32",
        "threads": 2,
        "data_ids": "0123abcd",
        "packages": {"torch": "2.9"},
        "notes": ["Drawn."],
    }
    (folder / "environment.json").write_text(json.dumps(environment))
    rows = "".join(f"{epoch},{100 + epoch}\n" for epoch in (1, 2, 3, 4, 5))
    (folder / "log.csv").write_text(f"epoch,images_per_second\n{rows}")
    (folder / "best" / "config.json").write_text(json.dumps(CONFIG))
    (folder / "best" / "model.safetensors").write_bytes(b"weights")
    write_metrics(folder / "metrics-test.json", metrics_of(CONFUSION, duplicates=30))
    write_metrics(folder / "metrics-test-balanced.json", metrics_of(BALANCED, prior="balanced", calibration=CALIBRATION))
    write_metrics(folder / "metrics-validation.json", metrics_of(CONFUSION // 2, split="validation", optimistic=True))
    return folder


@pytest.fixture
def config() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(CONFIG))
    return found
