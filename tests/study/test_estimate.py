"""How long a study will take, against times worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from evenface.errors import ConfigError
from evenface.methods import METHODS
from evenface.methods._costs import costs, epoch_cost
from evenface.study import Run, State, plan, read_recipe
from evenface.study.estimate import estimate_study, in_words
from evenface.study.probe import Probe
from evenface.training.config import TrainConfig

from ..training.conftest import faces


AHEAD = State(0, 10, False, False)
DONE = State(10, 10, True, True)


def runs_of(folder: Path, **values: Any) -> list[Run]:
    base = {"dataset": "manifest", "data_dir": str(folder / "faces.parquet"), "model": "test_resnet", "img_size": 32, "epochs": 10,
            "device": "cpu", "precision": "fp32"}  # fmt: skip
    path = folder / "s.yaml"
    path.write_text(yaml.safe_dump({"output": str(folder / "runs"), **values, "base": {**base, **values.get("base", {})}}, sort_keys=False))
    return plan(read_recipe(path))


def finish(run: Run, seconds: float, counts: dict[str, int], threads: int = 1) -> None:
    """What the estimate looks at in the folder of a finished run."""
    run.folder.mkdir(parents=True)
    (run.folder / "environment.json").write_text(json.dumps({"train_counts": counts, "threads": threads}))
    torch.save({"state": {"seconds": seconds}}, run.folder / "last.ckpt")


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("evenface.study.estimate.cores", lambda: 2)


class Fixed(Probe):
    """A machine on which a face costs two core-seconds."""

    def seconds_per_face(self, config: TrainConfig) -> float:
        self.spent = 5.0
        return 2.0


def test_from_finished_runs_of_the_study(tmp_path: Path) -> None:
    ce, again, eac = runs_of(tmp_path, runs={"ce": {}, "again": {"lr": 0.1}, "eac": {"method": "eac", "epochs": 5}})
    finish(ce, 600, {"fear": 20, "joy": 80})  # a minute an epoch, on one of the two cores
    states = [DONE, State(4, 10, True, False), State(0, 5, False, False)]
    one = estimate_study([ce, again, eac], states, jobs=1)
    cost = costs()["methods"]["eac"]
    assert one.minutes[again.folder] == pytest.approx(6 * 1.0 / 2)  # six epochs to go, on both cores
    assert one.minutes[eac.folder] == pytest.approx(5 * cost["time"] * cost["steps"] / 2)
    assert one.wall == pytest.approx(one.sum)
    assert one.source == "measured on 1 finished run of the same network"
    two = estimate_study([ce, again, eac], states, jobs=2)
    assert two.minutes[again.folder] == pytest.approx(6.0)  # on one core each
    assert two.wall == pytest.approx(max(6.0, two.minutes[eac.folder]))
    assert set(two.minutes) == {again.folder, eac.folder}


@pytest.mark.parametrize(("said", "threads"), [("4", 4), ("4,2", 4), (" 3 ", 3), ("", 2), ("0", 2), ("many", 2)])
def test_the_cores_that_the_user_gives(said: str, threads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list is for nested levels of OpenMP, and the first is that of a run; what OpenMP passes over leaves the two cores."""
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    ce, again = runs_of(tmp_path, runs={"ce": {}, "again": {"lr": 0.1}})
    finish(ce, 600, {"fear": 20, "joy": 80})  # a core-minute an epoch
    found = estimate_study([ce, again], [DONE, State(4, 10, True, False)])
    assert found.minutes[again.folder] == pytest.approx(6 / threads)


def test_fewer_faces_take_less(tmp_path: Path) -> None:
    counts = {"train": 40, "validation": 14, "test": 14}
    manifest = faces(counts)
    manifest.save(tmp_path / "faces.parquet")
    manifest.save(tmp_path / "more.parquet")
    (near,) = runs_of(tmp_path, base={"data_dir": str(tmp_path / "more.parquet")}, runs={"near": {}})
    finish(near, 600, {"fear": 80}, threads=2)  # two minutes of core an epoch of 80 faces
    (here,) = runs_of(tmp_path, runs={"here": {}})
    found = estimate_study([near, here], [DONE, AHEAD])
    assert found.minutes == {here.folder: pytest.approx(10 * 1.0 * 40 / 80)}


@pytest.mark.parametrize("damaged", ["", "[1]", '{"train_counts": [20, 80]}', '{"train_counts": {"fear": null}}'])
def test_a_damaged_record_of_a_run_tells_no_time(damaged: str, tmp_path: Path) -> None:
    ce, again = runs_of(tmp_path, runs={"ce": {}, "again": {"lr": 0.1}})
    finish(ce, 600, {"fear": 20, "joy": 80})
    (ce.folder / "environment.json").write_text(damaged)
    assert estimate_study([ce, again], [DONE, AHEAD]).minutes == {}


def test_from_a_probe(tmp_path: Path) -> None:
    faces({"train": 30, "validation": 14, "test": 14}).save(tmp_path / "faces.parquet")
    runs = runs_of(tmp_path, runs={"ce": {}, "tau_norm": {"method": "tau_norm", "after": "ce"}})
    found = estimate_study(runs, [AHEAD, AHEAD], jobs=2, probe=Fixed())
    assert found.minutes[runs[0].folder] == pytest.approx(10 * 30 * 2 / 60)
    assert found.minutes[runs[1].folder] < 1  # no training
    assert found.wall == pytest.approx(found.sum)  # one waits for the other
    assert found.source == "estimated from a probe of 5 s, to within a factor of two"
    assert estimate_study(runs, [AHEAD, AHEAD]).minutes == {}


def test_a_second_view_costs_as_much_as_the_first(tmp_path: Path) -> None:
    """Whether the options add one (`ce --cls-views both`) or take one away (`rbf` on the original alone)."""
    faces({"train": 30, "validation": 14, "test": 14}).save(tmp_path / "faces.parquet")
    wanted = {
        "ce": {},
        "two": {"method_options": {"cls_views": "both"}},
        "rbf": {"method": "rbf"},
        "one": {"method": "rbf", "method_options": {"rbf_views": "original", "cls_views": "original"}},
    }
    runs = runs_of(tmp_path, runs=wanted)
    found = estimate_study(runs, [AHEAD] * 4, probe=Fixed()).minutes
    ce, two, rbf, one = (found[run.folder] for run in runs)
    assert two == pytest.approx(2 * ce)
    assert one == pytest.approx(rbf / 2)
    finish(runs[0], 600, {"fear": 30}, threads=1)
    again = estimate_study(runs, [DONE, AHEAD, AHEAD, AHEAD]).minutes
    assert again[runs[1].folder] == pytest.approx(2 * 10 / 2)  # on two cores


def test_data_that_are_not_here(tmp_path: Path) -> None:
    found = estimate_study(runs_of(tmp_path, runs={"ce": {}}), [AHEAD], probe=Fixed())
    assert found.minutes == {}
    assert found.source.startswith("unknown (")
    assert "faces.parquet" in found.source


def test_a_real_probe_is_short_and_made_once(tmp_path: Path) -> None:
    probe = Probe()
    config = TrainConfig(model="test_resnet", img_size=32, precision="fp32", device="cpu", batch_size=64)
    first = probe.seconds_per_face(config)
    assert 1e-6 < first < 1
    spent = probe.spent
    assert probe.seconds_per_face(config) == first
    assert probe.spent == spent
    assert probe.seconds_per_face(TrainConfig(model="test_resnet", img_size=48, precision="fp32", device="cpu", batch_size=64)) > 0
    assert probe.spent > spent


def test_a_probe_does_with_the_faces_what_the_run_does(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"hflip": 0.1, "erase": 0.2, "jitter": 0.3, "rotate": 4.0, "scale": 0.5, "shift": 0.6, "noise": 0.7, "rand_augment": 2.0}
    seen: list[TrainConfig] = []

    def assemble(config: TrainConfig) -> None:
        seen.append(config)
        raise ConfigError("far enough")

    monkeypatch.setattr("evenface.training.run.assemble", assemble)
    with pytest.raises(ConfigError, match="far enough"):
        Probe().seconds_per_face(TrainConfig(model="test_resnet", img_size=32, device="cpu", **given))  # type: ignore[arg-type]
    assert {name: getattr(seen[0], name) for name in given} == given


def test_distortions_are_probed_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evenface.study.probe._measured", lambda config, folder: 1 + config.rand_augment)
    probe = Probe()
    assert [probe.seconds_per_face(TrainConfig(rand_augment=n)) for n in (0.0, 2.0, 0.0)] == [1, 3, 1]


def test_every_method_has_a_cost() -> None:
    assert epoch_cost("ce") == 1
    assert epoch_cost("tau_norm") == 0
    assert epoch_cost("mine.py:Mine") == 1
    assert set(costs()["methods"]) <= set(METHODS)


@pytest.mark.parametrize(("minutes", "text"), [(0.2, "under a minute"), (1, "1 min"), (119, "119 min"), (120, "2.0 h"), (2880, "2.0 days")])
def test_words(minutes: float, text: str) -> None:
    assert in_words(minutes) == text
