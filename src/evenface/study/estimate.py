"""How long a study will take: from its own finished runs where there are like ones, else from a short probe of this machine.

    estimate = estimate_study(runs, states, jobs=2, probe=Probe())
    estimate.minutes                    # per run that is to do
    estimate.wall                       # of all, side by side
    estimate.source                     # "measured on 3 finished runs of the same network"

A face costs what it cost in a finished run of the same network and size, or in the probe; times the method's cost (`methods/costs.json`,
and its views), the training faces and the epochs that are left. Cores are shared out: two trainings side by side take twice as long each.
On a GPU several trainings are taken to come one after another.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evenface.errors import EvenfaceError
from evenface.labels import BASIC
from evenface.methods._costs import epoch_cost
from evenface.study.local import cores, threads_wanted
from evenface.study.plan import Run
from evenface.study.probe import Probe
from evenface.study.state import State, minutes
from evenface.training.config import TrainConfig
from evenface.training.environment import environment_of
from evenface.zoo import KEPT


_STEP = ("model", "img_size", "precision", "device")
"""The settings that decide what a face costs."""

_DATA = (
    "dataset", "data_dir", "classes", "labels", "val_fraction", "imbalance", "imbalance_reading", "data_seed", "exclude", "protocol",
)  # fmt: skip
"""The settings that decide how many faces there are."""

_LEAST = 0.05
"""Of an epoch of `ce`: what one without training costs, as the validation faces are looked at."""


@dataclasses.dataclass(frozen=True)
class Estimate:
    """What is still to come.

    Attributes:
        minutes: by run folder, for those that are not done and of which something is known; at the speed they have side by side.
        wall: minutes until the last one has ended.
        source: what it is based on, as the end of a sentence.
        side_by_side: whether trainings that run at the same time share the cores (and do not come one after another on a GPU).
    """

    minutes: Mapping[Path, float]
    wall: float
    source: str
    side_by_side: bool = True

    @property
    def sum(self) -> float:
        return sum(self.minutes.values())


@dataclasses.dataclass(frozen=True)
class _Finished:
    """What a finished run took: core-seconds of an epoch."""

    config: TrainConfig
    epoch: float
    faces: int


def estimate_study(runs: Sequence[Run], states: Sequence[State], *, jobs: int = 1, probe: Probe | None = None) -> Estimate:
    """The time that the runs will still take, `jobs` at a time on this machine.

    Args:
        states: of the runs.
        probe: tries networks of which no run is finished; None leaves their runs out.
    """
    cpu = _on_cpu(runs)
    finished = [each for run, state in zip(runs, states, strict=True) if state.trained and (each := _finished(run, cpu)) is not None]
    faces: dict[tuple[Any, ...], int] = {_key(each.config, _DATA): each.faces for each in finished}
    share = (threads_wanted() or max(1, cores() // jobs)) if cpu else 1
    found: dict[Path, float] = {}
    used: list[_Finished] = []
    probed, unknown = 0, ""
    for run, state in zip(runs, states, strict=True):
        left = state.of - state.epochs
        if state.done or left < 1:
            continue
        like = _like(run.config, finished)
        try:
            count = _faces(run.config, faces)
            if like:
                epoch = _scaled(run.config, like, count)
                used += like
            elif probe is not None:
                epoch = probe.seconds_per_face(run.config) * _cost(run.config) * count
                probed += 1
            else:
                continue
        except EvenfaceError as error:
            unknown = str(error).splitlines()[0]
            continue
        found[run.folder] = left * epoch / share / 60
    return Estimate(found, _wall(runs, found, jobs if cpu else 1), _source(used, probed, probe, unknown), cpu)


def _source(used: Sequence[_Finished], probed: int, probe: Probe | None, unknown: str) -> str:
    count = len({id(each) for each in used})
    parts = [f"measured on {count} finished run{'s' if count > 1 else ''} of the same network"] if used else []
    if probed and probe is not None:
        parts.append(f"estimated from a probe of {max(1, round(probe.spent))} s, to within a factor of two")
    if unknown:
        parts.append(f"unknown for the others ({unknown.rstrip('.')})" if parts else f"unknown ({unknown.rstrip('.')})")
    return "; ".join(parts)


def _finished(run: Run, cpu: bool) -> _Finished | None:
    """What an epoch took here, validation included; None where the folder does not say."""
    if (run.folder / KEPT).is_file():  # on another machine, maybe
        return None
    about = environment_of(run.folder)
    try:
        faces, threads = sum(about["train_counts"].values()), int(about.get("threads", 1)) if cpu else 1
    except (ValueError, KeyError, AttributeError, TypeError):
        return None
    spent = minutes(run.folder)
    if spent is None or not faces:
        return None
    return _Finished(run.config, 60 * spent * threads / run.config.epochs, faces)


def _like(config: TrainConfig, finished: Sequence[_Finished]) -> list[_Finished]:
    """Finished runs of the same method, network and size; else of the same network and size."""
    near = [each for each in finished if _key(each.config, _STEP) == _key(config, _STEP) and epoch_cost(each.config.method) > 0]
    options = [each for each in finished if each in near and each.config.method == config.method]
    same = [each for each in options if each.config.method_options == config.method_options]
    return same or options or near


def _scaled(config: TrainConfig, like: Sequence[_Finished], faces: int) -> float:
    """Core-seconds of an epoch: the mean over what finished runs make of it."""
    return sum(each.epoch * _cost(config) / _cost(each.config) * faces / each.faces for each in like) / len(like)


def _cost(config: TrainConfig) -> float:
    """Time of an epoch relative to one of `ce`: that of the method as it was measured, twice where its options make two views of one."""
    return max(_LEAST, epoch_cost(config.method) * _views(config.method, config.method_options) / _views(config.method, {}))


def _views(method: str, options: Mapping[str, Any]) -> int:
    from evenface.methods import create_method
    from evenface.methods.base import Setting

    try:
        return create_method(method, Setting(BASIC, (1,) * len(BASIC), epochs=1), dict(options)).views
    except EvenfaceError:  # one that needs more than this to be made, such as votes
        return 1


def _faces(config: TrainConfig, known: dict[tuple[Any, ...], int]) -> int:
    """Training faces, of each data set counted once."""
    from evenface.training.data import load_manifest

    key = _key(config, _DATA)
    if key not in known:
        known[key] = sum(load_manifest(config).counts("train").values())
    return known[key]


def _key(config: TrainConfig, names: Sequence[str]) -> tuple[Any, ...]:
    return tuple(getattr(config, name) for name in names)


def _on_cpu(runs: Sequence[Run]) -> bool:
    """Whether the runs share processors (and not one GPU)."""
    from evenface.devices import resolve_device

    try:
        return all(resolve_device(device).type == "cpu" for device in {run.config.device for run in runs})
    except EvenfaceError:
        return True


def _wall(runs: Sequence[Run], took: Mapping[Path, float], jobs: int) -> float:
    """When the last run ends if each starts as soon as there is room and the one before it has ended."""
    ends: dict[Path, float] = {}
    free = [0.0] * jobs
    waiting = [run for run in runs if run.folder in took]
    while waiting:
        ready = [run for run in waiting if run.after not in took or run.after in ends]
        slot = min(range(jobs), key=free.__getitem__)
        run = min(ready, key=lambda run: max(free[slot], ends.get(run.after, 0.0) if run.after is not None else 0.0))
        begin = max(free[slot], ends.get(run.after, 0.0) if run.after is not None else 0.0)
        ends[run.folder] = free[slot] = begin + took[run.folder]
        waiting.remove(run)
    return max(ends.values(), default=0.0)


def in_words(minutes: float) -> str:
    """`under a minute`, `12 min`, `3.4 h`, `2.1 days`."""
    if minutes < 1:
        return "under a minute"
    if minutes < 120:
        return f"{minutes:.0f} min"
    return f"{minutes / 60:.1f} h" if minutes < 48 * 60 else f"{minutes / 1440:.1f} days"
