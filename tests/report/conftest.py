"""Run folders with scores that were made up, on a data set of coloured squares: nothing is trained."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from evenface.evaluation.records import Predictions, summarise, write_metrics, write_predictions
from evenface.model_folder import save_model
from evenface.models.networks import build_network
from evenface.training.config import TrainConfig
from evenface.training.data import load_manifest
from evenface.training.folder import train_fingerprint


NAMES = ("anger", "fear", "happiness")  # in the models' order
COUNTS = {"anger": 9, "fear": 4, "happiness": 20}  # training faces
FACES = {"test": (12, 5, 30), "validation": (10, 4, 20)}


@pytest.fixture(scope="session")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set in the layout `folder`: training faces as in COUNTS, the others as in FACES."""
    root = tmp_path_factory.mktemp("squares")
    rng = np.random.default_rng(0)
    for split, counts in {"train": tuple(COUNTS.values()), **FACES}.items():
        for channel, (name, count) in enumerate(zip(NAMES, counts, strict=True)):
            place = root / {"validation": "val"}.get(split, split) / name
            place.mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 120, (16, 16, 3))
                pixels[..., channel] += 120
                Image.fromarray(pixels.astype(np.uint8)).save(place / f"{i}.png")
    return root


def true_of(split: str) -> np.ndarray:
    return np.repeat(np.arange(3), FACES[split])


def ids_of(split: str) -> tuple[str, ...]:
    folder = {"validation": "val"}.get(split, split)
    return tuple(f"{folder}/{name}/{i}.png" for name, count in zip(NAMES, FACES[split], strict=True) for i in range(count))


def answers(split: str, seed: int | tuple[int, ...], skill: float) -> np.ndarray:
    """Probabilities (n, 3) that lean to the right class by `skill`."""
    rng = np.random.default_rng([*np.atleast_1d(seed), len(split)])
    true = true_of(split)
    z = rng.normal(size=(true.size, 3))
    z[np.arange(true.size), true] += skill
    p = np.exp(2 * z)
    return (p / p.sum(axis=1, keepdims=True)).astype(np.float32)


def make_run(
    folder: Path, data: Path, method: str = "ce", seed: int = 0, skill: float = 1.0, splits: Sequence[str] = ("test", "validation")
) -> Path:
    """A run folder with a model of random weights and made-up scores."""
    config = TrainConfig(
        dataset="folder", data_dir=str(data), model="test_resnet", img_size=32, method=method, seed=seed, epochs=3, output=str(folder)
    )
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(config.to_yaml(), encoding="utf-8")
    environment = {
        "command": f"evenface train --method {method} --seed {seed}",
        "evenface": "0.1.0",
        "data_ids": train_fingerprint(load_manifest(config)),
        "notes": ["A note."],
    }
    (folder / "environment.json").write_text(json.dumps(environment), encoding="utf-8")
    columns = ("epoch", "train_loss", "validation_loss", "validation_overall", "validation_mean_recall", "validation_macro_f1", "best")
    with (folder / "log.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows([(e, 2 / e, 1 / e, 0.2 * e, 0.15 * e, 0.1 * e, e == 2) for e in (1, 2, 3)])
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = build_network("linear", "test_resnet", NAMES, 32, {})
    options = {"name": method, "weights": "effective", "beta": 0.9, "normalize": "sum_to_C"} if method == "rbcf" else {"name": method}
    details = {
        "dataset": "folder", "train_counts": COUNTS, "method": options, "init": {"source": "none"}, "epoch": 2,
        "selection": {"split": "validation", "by": "mean_recall", "value": 0.3, "protocol": "validation"},
    }  # fmt: skip
    save_model(folder / "best", model, details, "# A card\n")
    for split in splits:
        p, true = answers(split, (seed, len(method)), skill), true_of(split)
        twins = np.arange(true.size) % 11 == 0
        found = Predictions(ids_of(split), true, p.argmax(axis=1), p, twins, NAMES)
        write_predictions(folder / f"predictions-{split}.parquet", found)
        told: dict[str, Any] = {"epoch": 2, "tta": "none", "prior": "model", "optimistic": split == "validation", "seeds": [seed]}
        metrics = summarise(found.true, found.predicted, NAMES, twins, dataset="folder", split=split, provenance=told, resamples=100)
        write_metrics(folder / f"metrics-{split}.json", metrics)
    return folder


@dataclasses.dataclass(frozen=True)
class Made:
    """Folders of runs: `one` is rbcf with seed 0, `ce` and `rbcf` have two seeds each."""

    root: Path
    one: Path
    ce: tuple[Path, ...]
    rbcf: tuple[Path, ...]

    @property
    def all(self) -> list[str]:
        return [str(path) for path in (*self.ce, *self.rbcf)]


@pytest.fixture(scope="session")
def made(squares: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Not to be written to."""
    root = tmp_path_factory.mktemp("runs")
    ce = tuple(make_run(root / f"ce-s{s}", squares, "ce", s, 0.8) for s in (0, 1))
    rbcf = tuple(make_run(root / f"rbcf-s{s}", squares, "rbcf", s, 1.1) for s in (0, 1))
    return Made(root, rbcf[0], ce, rbcf)


Rows = list[dict[str, str]]


@pytest.fixture(scope="session")
def rows() -> Callable[[str], Rows]:
    return lambda text: list(csv.DictReader(text.splitlines()))
