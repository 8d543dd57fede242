"""Self-cure in two processes: both hold the labels that either changed, and a resumed run goes on with them."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evenface.training.checkpoint import load_state
from evenface.training.config import TrainConfig


def relabelled(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "relabelled.csv").read_text().splitlines()))


@pytest.mark.slow
def test_labels_changed_in_either_process_are_kept_by_all_and_by_a_resume(
    settings: Callable[..., TrainConfig], play: Callable[..., list[dict[str, Any]]], assert_same: Callable[..., None]
) -> None:
    options = {"relabel": "all", "relabel_from": 0.0, "margin2": 0.0}
    whole, stopped = (settings(output=name, method="scn", method_options=options, batch_size=11) for name in ("whole", "stopped"))
    done, stop, resumed = play(
        {"config": whole, "world": 2},
        {"config": stopped, "world": 2, "signals": [[1, 4, "SIGTERM"]]},
        {"words": ["train", "--resume", str(stopped.folder)], "world": 2},
    )
    assert (done["codes"], stop["codes"], resumed["codes"]) == ([0, 0], [1, 1], [0, 0]), done["err"] + resumed["err"]
    assert_same(whole.folder, stopped.folder)
    rows = relabelled(whole.folder)
    assert rows == relabelled(stopped.folder)
    assert all(row["from"] != row["to"] and int(row["epoch"]) in (1, 2) for row in rows)
    epochs = load_state(whole.folder / "last.ckpt")["trainee"]["method.epoch"]
    order = np.random.default_rng([whole.seed, 1]).permutation(29)
    processes = {place % 11 % 2 for place, row in enumerate(order) if epochs[row] == 2}  # which saw those relabelled last
    assert processes == {0, 1}
