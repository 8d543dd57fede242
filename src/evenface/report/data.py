"""The data that a report was asked for (`--dataset`, `--data-dir`), as they stand to each run: its own, wherever they lie, or others.

data = Data("folder", "mine/")
data.of(run, "test")            # Place(prefix="mine-", ids={"test/happy/1.jpg", ...})
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from evenface.errors import EvenfaceError
from evenface.runs import data_of


if TYPE_CHECKING:
    from evenface.report.gather import Run


@dataclasses.dataclass(frozen=True)
class Place:
    """Where the scores of a run on these data are stored.

    Attributes:
        prefix: of the files' names: none for the run's own data.
        ids: of the split's faces; None where no data were named, or where they cannot be read.
    """

    prefix: str = ""
    ids: frozenset[str] | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Data:
    """What `evenface evaluate` would take for `--dataset` and `--data-dir`; nothing of it stands for each run's own data."""

    dataset: str | None = None
    data_dir: str | None = None
    _known: dict[tuple[str, str], Place] = dataclasses.field(default_factory=dict)

    def of(self, run: Run, split: str) -> Place:
        """The data as they stand to a run; read once."""
        if self.dataset is None and self.data_dir is None:
            return Place()
        if (run.name, split) not in self._known:
            self._known[run.name, split] = self._read(run, split)
        return self._known[run.name, split]

    def flags(self) -> str:
        """As they are typed."""
        from shlex import quote

        given = (("--dataset", self.dataset), ("--data-dir", self.data_dir))
        return "".join(f" {flag} {quote(value)}" for flag, value in given if value is not None)

    def _read(self, run: Run, split: str) -> Place:
        try:
            manifest, _, own = data_of(run.config, run.scores, self.dataset, self.data_dir, run.about, split)
            ids = frozenset(manifest.split(split).ids())
        except (EvenfaceError, OSError):
            named = Path(self.data_dir or "").name or self.dataset
            own = run.config is None or self.dataset in (None, run.config.dataset)
            return Place("" if own else f"{named}-")
        return Place("" if own or run.config is None else f"{manifest.name}-", ids)
