"""The data that a report was asked for (`--dataset`, `--data-dir`), as they stand to each run: its own, wherever they lie, or others.

data = Data("folder", "mine/")
data.of(run, "test")            # Place(prefix="mine-", ids={"test/happy/1.jpg", ...})
"""

from __future__ import annotations

import dataclasses
import shlex
from typing import TYPE_CHECKING

from evenface.data.manifest import Manifest
from evenface.errors import ConfigError
from evenface.runs.data import data_of, other_data
from evenface.training.environment import pictures_in, train_ids


if TYPE_CHECKING:
    from evenface.report.gather import Run


_OF_DATA = (
    *("dataset", "data_dir", "classes", "labels", "exclude", "unlabelled", "protocol", "val_fraction", "data_seed", "imbalance"),
    *("imbalance_reading", "label_noise", "method", "method_options"),
)
"""Settings of a run on which it depends what its data are."""


def faces_of(run: Run, dataset: str | None, data_dir: str | None, split: str) -> tuple[Manifest, bool]:
    """The faces that a run, a model or a folder of scores was scored on, and whether they are the run's own.

    Raises:
        DataError, LabelError, ConfigError: they cannot be read, have other classes than the model, or are not named.
    """
    if run.about is not None:
        manifest, _, own = data_of(run.config, run.scores, dataset, data_dir, run.about, split)
        return manifest, own
    if dataset is None:
        raise ConfigError(f"{run.name} does not tell where its faces lie; name them with --dataset and --data-dir.")
    manifest, _ = other_data(dataset, data_dir, run.class_names, split)
    return manifest, False


@dataclasses.dataclass(frozen=True)
class Place:
    """Where the scores of a run on these data are stored.

    Attributes:
        prefix: of the files' names: none for the run's own data.
        ids: of the split's faces; None where no data were named.
    """

    prefix: str = ""
    ids: frozenset[str] | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Data:
    """What `evenface evaluate` would take for `--dataset` and `--data-dir`; nothing of it stands for each run's own data."""

    dataset: str | None = None
    data_dir: str | None = None
    _known: dict[str, Place] = dataclasses.field(default_factory=dict)

    def of(self, run: Run, split: str) -> Place:
        """The data as they stand to a run; read once for runs that would read them alike.

        Raises:
            DataError, LabelError, ConfigError: they cannot be read, or have other classes than the model.
        """
        if self.dataset is None and (self.data_dir is None or run.about is None):
            return Place()
        settings = None if run.config is None else [getattr(run.config, name) for name in _OF_DATA]
        learned_from = None if run.about is None else run.about.dataset
        key = repr((settings, train_ids(run.scores), pictures_in(run.scores), run.class_names, learned_from, split))
        if key not in self._known:
            self._known[key] = self._read(run, split)
        return self._known[key]

    def flags(self) -> str:
        """As they are typed."""
        given = (("--dataset", self.dataset), ("--data-dir", self.data_dir))
        return "".join(f" {flag} {shlex.quote(value)}" for flag, value in given if value is not None)

    def _read(self, run: Run, split: str) -> Place:
        manifest, own = faces_of(run, self.dataset, self.data_dir, split)
        ids = frozenset(manifest.split(split).ids()) if split in manifest.splits else frozenset()
        return Place("" if own or run.config is None else f"{manifest.name}-", ids)
