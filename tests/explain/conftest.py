"""A tiny model whose class maps have more than one cell."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from evenface.labels import BASIC
from evenface.model_folder import save_model
from evenface.models.classifier import build_classifier


PX = 96  # side of a face; the network shrinks it 32 times


@pytest.fixture(scope="session")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with random weights, whose maps have 3 x 3 cells."""
    torch.manual_seed(0)
    model = build_classifier("test_resnet", BASIC, PX)
    torch.nn.init.normal_(model.head.weight, std=3.0)
    counts = {"happiness": 60, "neutral": 50, "sadness": 20, "surprise": 20, "disgust": 2, "anger": 15, "fear": 5}
    folder = tmp_path_factory.mktemp("models") / "wide"
    save_model(folder, model, {"train_counts": counts, "alignment": {"template": "box"}}, card="# wide")
    return folder
