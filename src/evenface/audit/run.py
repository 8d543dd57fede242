"""All checks on a data set, in order, each kept when it is finished; then the table and the page.

    found = audit(manifest, "checked", checks=["duplicates", "blank"], workers=2)
    found.counts                     # {"duplicates": {"train": 310, "validation": 8, "test": 11}, "blank": {}}
    found.findings[0].verdict        # "in train and test"

What an audit writes: `verdicts.csv`, `audit.html`, `audit.json`, and what it goes on from, `checks/` and `parts/`.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from evenface._version import __version__
from evenface.audit import saved
from evenface.audit.duplicates import duplicates, groups
from evenface.audit.edits import read_edits, write_both
from evenface.audit.faces import alignment, no_face, not_compared, reliable
from evenface.audit.facts import left_out as left_out_rows
from evenface.audit.facts import subjects, votes
from evenface.audit.finding import CHECKS, Audit, Finding, ordered_checks
from evenface.audit.near_duplicates import near_duplicates
from evenface.audit.pictures import MIN_SIDE, blank, shows_nothing, tiny, unreadable
from evenface.audit.rows import Rows
from evenface.audit.scan import Scan, scan_rows
from evenface.audit.writing import write_page
from evenface.data.manifest import Manifest
from evenface.errors import ConfigError
from evenface.files import write_text
from evenface.predict.run import Listener, Silent


if TYPE_CHECKING:
    from evenface.audit.features import Network
    from evenface.audit.search import Searched


def audit(
    manifest: Manifest,
    out: str | os.PathLike[str],
    *,
    left_out: pa.Table | None = None,
    checks: Sequence[str] | None = None,
    model: str | os.PathLike[str] | None = None,
    folds: int = 5,
    rule: str = "auto",
    detector: str = "mtcnn",
    min_side: int = MIN_SIDE,
    workers: int = 1,
    device: str = "auto",
    listener: Listener | None = None,
) -> Audit:
    """Runs the checks and writes the report.

    Args:
        manifest: any set.
        out: a new folder, or one of an earlier audit: what fits the same data and settings is taken from it, and so are the suggestions
            that a person has changed in its `verdicts.csv`.
        left_out: rows that the reader leaves out, from `evenface.data.load_left_out`.
        checks: names of `CHECKS`; None takes all.
        model: whose features the labels are judged by: a run, a model folder, a shipped name or `dlib-face`; None takes the shipped model.
        folds: of the judges of labels, at least 2.
        rule: which labels are doubtful: auto, cleanlab or plain.
        detector: of the checks `no-face` and `alignment`: mtcnn, yunet or yunet:PATH.
        min_side: pixels; a shorter side makes a picture tiny.
        workers: threads.
        device: where the model computes.

    Raises:
        ConfigError: a setting that cannot work, or a folder that holds something else.
        DataError: a set without a row. ModelError, MissingExtra, DeviceError: as the model and the detector raise them.
        StorageError: a file cannot be written.
    """
    wanted = ordered_checks(CHECKS if checks is None else checks)
    if not wanted:
        raise ConfigError("No check is left to run; leave --checks out for all of them.")
    if workers < 1 or min_side < 1 or folds < 2:
        raise ConfigError("--workers and --min-side are at least 1, --folds is at least 2.")
    folder = Path(out)
    saved.require_ours(folder)
    work = _Work(Rows(manifest, left_out), folder, model, folds, rule, detector, min_side, workers, device, listener or Silent())
    work.prepare(wanted)
    mark = {"schema_version": 1, "evenface": __version__, "dataset": manifest.name, "rows": len(work.rows), "complete": False}
    write_text(folder / saved.MARK, json.dumps(mark, indent=1))

    results = {check: work.result(check) for check in wanted}
    own = [f for found in results.values() if not isinstance(found, str) for f in found]
    findings, told_of_edits = read_edits(folder).applied(work.rows, own)
    counts = {check: work.rows.by_split([f.row for f in found]) for check, found in results.items() if not isinstance(found, str)}
    skipped = {check: found for check, found in results.items() if isinstance(found, str)}
    done = Audit(work.rows, findings, counts, skipped, (*work.notes(wanted), *told_of_edits), folder)
    write_both(folder, done.rows, own, findings)
    write_page(folder / "audit.html", done)
    told: dict[str, Any] = {
        **mark,
        "complete": True,
        "counts": counts,
        "skipped": skipped,
        "suggested": done.suggested,
        "notes": done.notes,
    }
    write_text(folder / saved.MARK, json.dumps(told, indent=1))
    return done


@dataclasses.dataclass
class _Work:
    """The passes, each made when a check first asks for it, and the checks on them."""

    rows: Rows
    folder: Path
    model: str | os.PathLike[str] | None
    folds: int
    rule: str
    detector: str
    min_side: int
    workers: int
    device: str
    listener: Listener

    def prepare(self, wanted: Sequence[str]) -> None:
        """What may be refused is refused before the first picture."""
        if "labels" in wanted:
            from evenface.audit.judge import choose_rule
            from evenface.devices import resolve_device

            self.rule = choose_rule(self.rule)
            resolve_device(self.device)
            self.network  # noqa: B018  opened once
        if {"no-face", "alignment"} & set(wanted):
            from evenface.faces.detectors import create_detector

            if self.detector == "none":
                raise ConfigError("--detector none finds no faces; choose mtcnn or yunet, or leave no-face and alignment out of --checks.")
            create_detector(self.detector)

    def result(self, check: str) -> list[Finding] | str:
        """A check's findings, or why it has none; from the folder where they are there."""
        key = self._key(check)
        found = saved.load(self.folder, check, key)
        if found is None:
            found = self._checks()[check]()
            saved.save(self.folder, check, key, found)
        return found

    def _checks(self) -> dict[str, Callable[[], list[Finding] | str]]:
        rows = self.rows
        return {
            "unreadable": lambda: unreadable(rows, self.scan),
            "tiny": lambda: tiny(rows, self.scan, self.min_side),
            "blank": lambda: blank(rows, self.scan),
            "duplicates": lambda: duplicates(rows, self.scan),
            "near-duplicates": lambda: near_duplicates(rows, self.scan, *self._steps("near duplicates")),
            "subjects": lambda: subjects(rows),
            "votes": lambda: votes(rows),
            "left-out": lambda: left_out_rows(rows),
            "no-face": lambda: no_face(rows, self.scan, self.searched),
            "alignment": lambda: alignment(rows, self.searched, self.detector),
            "labels": self._labels,
        }

    def _labels(self) -> list[Finding] | str:
        from evenface.audit.features import features
        from evenface.audit.folds import DECAYS
        from evenface.audit.labels import labels

        rows, network = self.rows, self.network
        visible = ~shows_nothing(self.scan)[: rows.kept]
        begin, reach = self._steps(f"features of {network.name}")
        begin(rows.kept)
        key = saved.key_of(self.pictures, network.key)
        found = features(
            rows, network, self.folder / saved.PARTS_FOLDER, key, workers=self.workers, device=self.device, reach=reach
        )  # fmt: skip
        copies = groups(rows, self.scan)
        near = self.result("near-duplicates")
        assert not isinstance(near, str), "this check always has something to look at"
        position = {name: row for row, name in enumerate(rows.ids)}
        copies += [[f.row, *(position[name] for name in f.others)] for f in near]
        begin, reach = self._steps("judging labels")
        begin(self.folds + len(DECAYS) - 1)
        return labels(rows, found, visible, copies, folds=self.folds, rule=self.rule, reach=reach)

    # -------------------- the passes

    @functools.cached_property
    def pictures(self) -> str:
        return self.rows.pictures_key()

    @functools.cached_property
    def scan(self) -> Scan:
        begin, reach = self._steps("pictures")
        begin(len(self.rows))
        return scan_rows(self.rows, self.folder / saved.PARTS_FOLDER, self.pictures, workers=self.workers, reach=reach)

    @functools.cached_property
    def searched(self) -> Searched:
        from evenface.audit.search import search_rows

        begin, reach = self._steps("faces")
        begin(len(self.rows))
        key = saved.key_of(self.pictures, self.detector)
        return search_rows(
            self.rows, self.folder / saved.PARTS_FOLDER, key, detector=self.detector, workers=self.workers, reach=reach
        )  # fmt: skip

    @functools.cached_property
    def network(self) -> Network:
        from evenface.audit.features import open_network

        return open_network(self.model)

    def _key(self, check: str) -> str:
        """Of all that a check's result depends on."""
        own: dict[str, Any] = {"tiny": self.min_side, "no-face": self.detector}
        if check == "alignment":
            own["alignment"] = (self.detector, reliable(self.detector))
        if check == "labels":
            own["labels"] = (self.network.key, self.folds, self.rule)
        return saved.key_of(__version__, check, self.pictures, self.rows.key(), own.get(check))

    def _steps(self, what: str) -> tuple[Callable[[int], None], Callable[[int], None]]:
        """`begin(total)` and `reach(done)` of a part of the work."""
        return lambda total: self.listener.begin(what, total), lambda done: self.listener.reach(done)

    def notes(self, wanted: Sequence[str]) -> list[str]:
        """What a reader must know of the findings."""
        told = []
        if "labels" in wanted:
            network, name = self.network, self.rows.manifest.name
            told.append(
                f"Doubtful labels: logistic regression on the features of {network.name}, {self.folds} folds, rule {self.rule}. "
                "Doubtful is not wrong: the face may be ambiguous."
            )
            if network.dataset is not None and network.dataset == name:
                told.append(
                    f"{network.name} has learned from {name} itself: its features know the labels that it was trained on, and wrong ones "
                    "among them are found less often. A model of other data, or --model dlib-face, does not know them."
                )
        if {"no-face", "alignment"} & set(wanted):
            told.append(f"Faces were sought by {self.detector}, which errs; look at a picture before you leave it out.")
        if "alignment" in wanted and isinstance(self.result("alignment"), list):
            told += not_compared(self.searched, self.detector)
        return told
