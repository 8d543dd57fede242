"""The run folder: `config.yaml`, `environment.json`, `log.csv`, `last.ckpt`, `best/`, and what `evaluate` adds."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import importlib.metadata
import io
import json
import os
import platform
import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from evenface._version import __version__
from evenface.calibration import Calibration
from evenface.cards.facts import gather, of_metrics
from evenface.cards.folder import contents, further, keep_edited, renew
from evenface.data.manifest import Manifest
from evenface.data.pictures import pictures_of
from evenface.errors import ConfigError, TrainingError
from evenface.evaluation.records import summarise
from evenface.files import printable, require_writable, write_text
from evenface.locks import alone_in
from evenface.methods.base import Method
from evenface.model_folder import save_model, standing
from evenface.models.classifier import Classifier
from evenface.training.config import TrainConfig
from evenface.training.judge import Verdict
from evenface.training.stillborn import clear, is_stillborn, may_be_cleared
from evenface.zoo import verb_of


_PACKAGES = ("torch", "torchvision", "timm", "lightning-fabric", "kornia", "numpy", "pyarrow", "safetensors", "pillow")


class RunFolder:
    """Paths and writers of one run.

    Args:
        manifest: all splits; `train` the rows of its train split that could be read.
        init: what the weights start from: source, sha256 and a summary in words.
    """

    verb = "train"

    def __init__(self, config: TrainConfig, manifest: Manifest, train: Manifest, select_split: str, init: dict[str, Any]) -> None:
        self.path = config.folder
        self.config = config
        self.manifest = manifest
        self.select_split = select_split
        self.init = init
        self.fingerprint, self.votes = fingerprint(train), votes_fingerprint(train)
        self.train_counts = train.counts()
        self._ids = train.ids()

    @property
    def judged(self) -> str:
        """The fingerprint of the faces that the best epoch is chosen on, and of their labels."""
        return fingerprint(self.manifest.split(self.select_split))

    @property
    def state(self) -> Path:
        return self.path / "last.ckpt"

    @property
    def resume_command(self) -> str:
        return f"evenface {self.verb} --resume {shlex.quote(str(self.path))}"

    def create(self, command: Sequence[str], environment: dict[str, Any], stack: contextlib.ExitStack | None = None) -> None:
        """Makes the folder with its config and environment, in place of what a training left that ended before its first state.

        Args:
            stack: until it is closed no other process trains in the folder, and an error before the first state removes it.

        Raises:
            ConfigError, StorageError: as `require_new`.
            TrainingError: another process has just begun there.
        """
        details = {"command": shlex.join(command), **versions(), **environment, "init": self.init}
        details |= {"train_ids": self.fingerprint, "data_ids": train_fingerprint(self.manifest), "pictures": pictures_of(self.manifest)}
        details |= {"judged_ids": self.judged}
        require_new(self.path)
        self.path.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as made:
            if made.enter_context(hold(self.path)) and may_be_cleared(self.path):
                clear(self.path)
            require_empty(self.path)  # once more: others may have been faster
            made.push(self.forget)
            write_text(self.path / "environment.json", json.dumps(details, indent=1))  # first, for `may_be_cleared` asks for it
            write_text(self.path / "config.yaml", self.config.to_yaml())
            if stack is not None:
                stack.push(made.pop_all())

    def forget(self, kind: type[BaseException] | None, *_: object) -> None:
        """Removes the folder if an error ended the run before its first state; a study keeps its log of that in it."""
        if kind is not None and is_stillborn(self.path) and not (self.path / "study.log").exists():
            shutil.rmtree(self.path, ignore_errors=True)

    def write_log(self, rows: Sequence[dict[str, Any]]) -> None:
        """`log.csv`, a row per epoch; written whole, so that a resumed run leaves no double rows."""
        self._write_table("log", rows)

    def write_tables(self, tables: Mapping[str, Sequence[dict[str, Any]]]) -> None:
        """What a method tells of its training, `<name>.csv` each; the training row in a column `row` is written as the face's `id`.

        A table without rows has no file, for nobody could read its columns.
        """
        for name, rows in tables.items():
            if not rows:
                (self.path / f"{name}.csv").unlink(missing_ok=True)
                continue
            named = [{"id": self._ids[row["row"]], **{k: v for k, v in row.items() if k != "row"}} if "row" in row else row for row in rows]
            self._write_table(name, named)

    def _write_table(self, name: str, rows: Sequence[dict[str, Any]]) -> None:
        names = list(dict.fromkeys(name for row in rows for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, names)
        writer.writeheader()
        writer.writerows(rows)
        write_text(self.path / f"{name}.csv", text.getvalue())

    def details(self, method: Method, epoch: int, value: float, calibration: Calibration | None = None) -> dict[str, Any]:
        """What a model's config says beside its architecture."""
        return {
            "dataset": self.manifest.name,
            "data_licence": self.manifest.licence,
            "alignment": self.manifest.alignment,
            "train_counts": self.train_counts,
            "calibration": None if calibration is None else calibration.to_dict(),
            "method": method.describe(),
            "init": self.init,
            "epoch": epoch,
            "selection": {"split": self.select_split, "by": self.config.select, "value": value, "protocol": self.config.protocol},
        }

    def save_best(self, model: Classifier, method: Method, epoch: int, verdict: Verdict) -> None:
        """Keeps the model of the best epoch so far as a model folder."""
        details = self.details(method, epoch, verdict.value, verdict.calibration)
        answers = verdict.answers
        known = {"architecture": model.backbone.name, "class_names": list(model.class_names), "img_size": model.backbone.img_size}
        trained = None if answers is None else self._trained(answers, details)
        facts = gather(self.path, {**details, **known}, trained=trained)
        text, data = contents(facts)
        keep_edited(self.path / "best", self.path)
        save_model(self.path / "best", model, details, text, further(facts, data))

    def _trained(self, answers: tuple[np.ndarray, np.ndarray], details: Mapping[str, Any]) -> dict[str, Any]:
        """The training's own scores of the best epoch. Whether faces stand in train too is not looked for: that takes time."""
        true, predicted = answers
        names, split = self.manifest.class_names, self.select_split
        found = summarise(true, predicted, names, np.zeros(len(true), dtype=bool), dataset=self.manifest.name, split=split)
        del found["duplicates_of_train"]
        return {**of_metrics({**found, "epoch": details["epoch"], "optimistic": True}, own=True), "by": "training"}

    def renew_card(self, minutes: float) -> None:
        """The card once more, now that the training has ended."""
        if standing(self.path / "best").is_dir():
            renew(self.path / "best", self.path, minutes=minutes)


def require_new(path: Path) -> None:
    """Refuses a folder that cannot be a new run's. What a training left that ended before its first state is in nobody's way.

    Args:
        verb: the command that goes on with such a run.

    Raises:
        ConfigError: it holds something; says how to go on with that run, where it can go on. Or its path is no UTF-8.
        StorageError: it cannot be written.
        TrainingError: another process has just begun there.
    """
    if printable(path.resolve()) != str(path.resolve()):  # which the readers of weight files refuse
        raise ConfigError(f"The place of the run, {printable(path.resolve())}, is no UTF-8; choose another -o/--output.")
    if may_be_cleared(path):
        with hold(path) as alone:
            if alone:
                return
    require_empty(path)
    require_writable(path)


def require_empty(path: Path) -> None:
    """Refuses a folder that holds something, but for the log of a study.

    Raises:
        ConfigError: as `require_new`.
    """
    if path.is_dir() and any(each.name != "study.log" for each in path.iterdir()):
        if (path / "last.ckpt").exists():
            again = f"evenface {verb_of(path)} --resume {shlex.quote(str(path))}"
            raise ConfigError(f"The run folder {path} exists already; go on with it: {again}, or choose another -o/--output.")
        raise ConfigError(f"The folder {path} exists already and is not empty; choose another -o/--output.")
    if path.exists() and not path.is_dir():
        raise ConfigError(f"{path} is a file; choose another -o/--output for the run folder.")


@contextlib.contextmanager
def hold(path: Path) -> Iterator[bool]:
    """Keeps other processes from training in a run folder; of several that train together the first one holds it for all.

    Gives whether they are kept out, which not every disk can do.

    Raises:
        TrainingError: one is at it.
    """
    busy = TrainingError(f"Another process is training in {path} at this moment; wait for its end, or stop it.")
    with alone_in(path, busy) if int(os.environ.get("RANK", 0)) == 0 else contextlib.nullcontext(True) as alone:
        yield alone


def fingerprint(train: Manifest) -> str:
    """A short hash of the training rows and their labels, in order; a resume on other data is refused by it."""
    rows = zip(train.ids(), train.table["label"].to_pylist(), strict=True)
    return hashlib.blake2b("\n".join(f"{name}\t{label}" for name, label in rows).encode(), digest_size=8).hexdigest()


def votes_fingerprint(train: Manifest) -> str:
    """A short hash of the vote distributions that the training rows are learned by, in order; "" where they are labels."""
    soft = train.soft_targets()
    return "" if soft is None else hashlib.blake2b(soft.astype("<f4").tobytes(), digest_size=8).hexdigest()


def train_fingerprint(manifest: Manifest) -> str:
    """That of the train split as it was read, unreadable images included; "" without one. It tells a run's own data wherever they lie."""
    return fingerprint(manifest.split("train")) if "train" in manifest.splits else ""


def versions() -> dict[str, Any]:
    return {
        "evenface": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "packages": {name: importlib.metadata.version(name) for name in _PACKAGES},
    }
