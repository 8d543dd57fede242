"""What holds for every method in a real run: it resumes to the same bits, it can be scored, and its model stands alone."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evenface.data.store import open_store
from evenface.evaluation.evaluate import predict
from evenface.evaluation.records import read_predictions
from evenface.methods import METHODS
from evenface.model_folder import load_model
from evenface.runs.evaluate import evaluate
from evenface.training.config import TrainConfig
from evenface.training.data import load_manifest
from evenface.training.loop import Interrupted, Loop
from evenface.training.run import resume, train


AFTER_A_RUN = {"crt", "tau_norm"}
"""The methods that go on from a finished run."""


PHASES: dict[str, dict[str, Any]] = {
    "face2exp": {"finetune": 0.5},
    "ldam_drw": {"start": 0.5},
    "ride": {"start": 0.5},
    "scn": {"relabel_from": 0.0, "margin2": 0.0},
}
"""Options that bring what comes late in a run into its two epochs."""


@pytest.fixture
def stop_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """`stop_at(2)`: the loop is told to stop when it asks for the second time from now, which it does after each step."""
    original = Loop._save_or_stop

    def arm(number: int) -> None:
        asked = 0

        def ask(self: Loop) -> None:
            nonlocal asked
            asked += 1
            if asked == number:
                self._stop = "SIGTERM"
            original(self)

        monkeypatch.setattr(Loop, "_save_or_stop", ask)

    return arm


@pytest.mark.parametrize("name", METHODS)
def test_a_run(
    name: str,
    settings: Callable[..., TrainConfig],
    whole: Path,
    tmp_path: Path,
    stop_at: Callable[[int], None],
    assert_same: Callable[[Path, Path], None],
) -> None:
    begun = shutil.copytree(whole / "best", tmp_path / "start")
    init = str(begun) if name in AFTER_A_RUN else "none"
    options = PHASES.get(name, {})
    config = settings(method=name, method_options=options, init=init, output="whole")
    train(config)

    other = settings(method=name, method_options=options, init=init, output="stopped")
    stopped = other.folder
    stop_at(2)  # in the middle of the first epoch; tau_norm, which makes no step, asks once an epoch
    with pytest.raises(Interrupted):
        train(other)
    shutil.rmtree(begun)  # a run goes on without its start
    stop_at(4)  # as a rule in the middle of the second epoch, the last
    with contextlib.suppress(Interrupted):  # tau_norm has come to its end
        resume(stopped)
    stop_at(0)
    resume(stopped)
    assert_same(config.folder, stopped)

    found = evaluate(stopped, split="test", device="cpu", workers=1)
    scored = read_predictions(found.predictions_file).probabilities
    assert found.metrics["method"]["name"] == name
    assert alone(stopped / "best", config) == pytest.approx(scored, abs=1e-6)


def alone(folder: Path, config: TrainConfig) -> np.ndarray:
    """Test probabilities of a model folder that does not say by which method it was made, in batches of 5."""
    about = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(about | {"method": None}))
    model, _ = load_model(folder)
    store = open_store(load_manifest(config).split("test"), about["img_size"], mode="memory", workers=1)
    return predict(model, store, batch_size=5)
