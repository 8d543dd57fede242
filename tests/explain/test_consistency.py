"""The agreement of a split against the classifier called face by face, and against the paper's loss."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from evenface.data.manifest import build
from evenface.data.store import open_store
from evenface.explain.consistency import mirror_consistency
from evenface.explain.tables import consistency_table
from evenface.labels import BASIC
from evenface.losses import class_weights, rebalanced_consistency
from evenface.model_folder import load_model
from evenface.recognizer import Recognizer

from .conftest import PX


LABELS = ("fear", "happiness", "fear", "anger", "fear")


def test_every_number_of_a_split(wide: Path) -> None:
    random = np.random.default_rng(0)
    pictures, files = [], []
    for _ in LABELS:
        pictures.append(random.integers(0, 255, (PX, PX, 3), dtype=np.uint8))
        file = io.BytesIO()
        Image.fromarray(pictures[-1]).save(file, "PNG")
        files.append(file.getvalue())
    classes = ("anger", *(name for name in BASIC if name != "anger"))  # another order than the model's
    rows = {"id": [f"f{i}" for i in range(5)], "split": ["validation"] * 5, "label": list(LABELS), "image": files}
    store = open_store(build(rows, classes, name="tiny").split("validation"), PX, mode="memory")
    model, config = load_model(wide)
    found = mirror_consistency(Recognizer(model, config, detector="none", device="cpu"), store)

    squares, own, correlations, agree, maps, backs, spreads = [], [], [], [], [], [], []
    for picture, label in zip(pictures, LABELS, strict=True):
        with torch.no_grad():
            out, mirror = (
                model(torch.tensor(view.astype(np.float32) / 255).permute(2, 0, 1)[None]) for view in (picture, picture[:, ::-1].copy())
            )
        a, b = out.maps[0], mirror.maps[0].flip(-1)
        maps.append(a)
        backs.append(b)
        squares.append(float((a - b).square().mean()))
        own.append(float((a - b)[BASIC.index(label)].square().mean()))
        centred = [torch.cat([(each - each.mean()).ravel() for each in view]).numpy() for view in (a, b)]
        correlations.append(np.corrcoef(*centred)[0, 1])
        agree.append(int(out.logits.argmax()) == int(mirror.logits.argmax()))
        spreads.append(float(out.logits.std(correction=0)))
    fear = [0, 2, 4]
    for each, members in ((found.all, range(5)), (found.classes["fear"], fear), (found.classes["happiness"], [1])):
        n = len(members)
        assert each.n == n
        for mean, values in ((each.mean_squared, squares), (each.own, own), (each.correlation, correlations), (each.agree, agree)):
            assert mean.value == pytest.approx(sum(values[i] for i in members) / n, rel=1e-4, abs=1e-6)
    assert list(found.classes) == ["happiness", "anger", "fear"]  # no row without a face
    # The bootstrap of three faces stays within them; one face has none.
    interval = found.classes["fear"].mean_squared.ci95
    assert interval is not None
    low, high = interval
    assert min(squares[i] for i in fear) - 1e-6 <= low < high <= max(squares[i] for i in fear) + 1e-6
    alone = found.classes["happiness"]
    assert alone.mean_squared.ci95 is None
    assert alone.to_dict()["mean_squared"]["ci95"] is None
    assert found.scale == pytest.approx(np.mean(spreads), rel=1e-4)
    counts = config.train_counts
    assert counts is not None
    weights = class_weights([counts[name] for name in BASIC])
    assert found.loss is not None
    assert found.loss.value == pytest.approx(float(rebalanced_consistency(torch.stack(maps), torch.stack(backs), weights)), rel=1e-4)
    assert found.to_dict()["classes"]["fear"]["n"] == 3
    text = consistency_table(found, "5 faces").text(140)
    assert f"{found.classes['fear'].correlation.value:.3f}" in text
    (row,) = (line for line in text.splitlines() if "happiness" in line)
    assert f"{alone.correlation.value:.3f} " in row
    assert row.count("[") == 1


def test_without_training_counts_there_is_no_loss(wide: Path, tmp_path: Path) -> None:
    import dataclasses

    model, config = load_model(wide)
    blank = dataclasses.replace(config, train_counts=None)
    file = io.BytesIO()
    Image.new("RGB", (PX, PX), "grey").save(file, "PNG")
    rows = {"id": ["a"], "split": ["test"], "label": ["fear"], "image": [file.getvalue()]}
    found = mirror_consistency(
        Recognizer(model, blank, detector="none", device="cpu"), open_store(build(rows, BASIC, name="one"), PX, mode="memory")
    )
    assert found.loss is None
    assert "l_rbc" not in consistency_table(found, "one").text(140)
