"""The report of one run or of many: a page that stands alone, and its figures and numbers in a folder beside it.

    made = write_report(["runs/ce-s*", "runs/rbcf-s*"], "report.html")
    made.page, made.folder, made.notes             # report.html, report_files, sentences

It reads the scores that `evenface evaluate` stored; it scores what is missing only where splits are named.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import errno
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from evenface._version import __version__
from evenface.calibration import PRIORS
from evenface.data.manifest import SPLITS
from evenface.devices import resolve_device
from evenface.errors import ConfigError, unknown_name
from evenface.evaluation.records import Scoring
from evenface.files import cannot_write, printable, write_text
from evenface.report.data import Data
from evenface.report.gather import Run, Scores, evaluate_command, find_runs, read_scores, stored
from evenface.report.page import page
from evenface.report.parts import faces, maps, meaning, results, summary, training
from evenface.report.parts.part import Context, Part
from evenface.report.parts.reproduce import reproduce
from evenface.runs.evaluate import TTA, evaluate


Step = Callable[[str], object]
"""Called with what is done next, in a few words."""

_OF_SPLITS = (
    "average-precision", "calibration", "change", "class-maps", "classes", "confusion", "doubtful", "gain", "mistakes", "precision-recall",
    "recall", "reliability", "scores",
)  # fmt: skip
_FILES = ("counts", "training", *(f"{name}-{split}" for name in _OF_SPLITS for split in SPLITS))
"""What a report may leave beside its page, without the suffix."""


@dataclasses.dataclass(frozen=True)
class Report:
    """What was written.

    Attributes:
        page: the HTML file.
        folder: figures and numbers.
        notes: what a user should know, one sentence each.
    """

    page: Path
    folder: Path
    notes: tuple[str, ...]


def write_report(
    entries: Sequence[str],
    output: str | os.PathLike[str] = "report.html",
    *,
    splits: Sequence[str] | None = None,
    tta: str = "none",
    prior: str = "model",
    dataset: str | None = None,
    data_dir: str | None = None,
    with_faces: bool = True,
    resamples: int = 10_000,
    command: Sequence[str] = (),
    step: Step | None = None,
    device: str = "auto",
    **scoring: Any,
) -> Report:
    """Writes the page of these runs.

    Args:
        entries: runs, folders of runs, patterns, model folders, names of models that ship, folders of scores (which stand as they are).
        output: the page; its figures go into a folder of its name with `_files`.
        splits: what to show, the first one first; runs are scored on them where they are not yet. None shows the stored scores on test and
            validation.
        tta, prior: which scores; see `evenface.evaluate`.
        dataset, data_dir: where the faces lie, by default the run's own; a model without a run needs them to be scored.
        with_faces: show single faces; without, nothing on the page or beside it shows or names one.
        resamples: of the paired test.
        command: for the page.
        device, scoring: of `evenface.evaluate`.

    Raises:
        ConfigError: nothing to show, or a setting that cannot work.
        DataError, LabelError: runs on other images or classes.
        ModelError: a broken model.
        StorageError: a file that cannot be written.
    """
    path = Path(output)
    _check(path, splits, tta, prior, resamples, device)
    tell = step or (lambda text: None)
    folder = path.with_name(f"{path.stem}_files")
    tell("reading")
    runs, notes = find_runs(list(entries), folder / "scores")
    data = Data(dataset, data_dir)
    for split in splits or ():
        for run in runs:
            if stored(run, split, tta, prior, data) is None:
                if run.about is None:
                    what = f"{run.name} has no scores on {Scoring(split, tta, prior)}{' of these faces' if data.flags() else ''}"
                    raise ConfigError(f"{what}; run: {evaluate_command(run, split, tta, prior, data)}")
                tell(f"scoring {run.name} on {split}")
                how: dict[str, Any] = {"split": split, "tta": tta, "prior": prior, "device": device, **scoring}
                own = run.scores.parent == folder / "scores"
                with _making_way(run.scores / f"metrics-{Scoring(split, tta, prior).stem}.json") if own else contextlib.nullcontext():
                    evaluate(run.target, dataset=dataset, data_dir=data_dir, output=run.scores, command=command, **how)
    context, missing = _context(runs, splits, tta, prior, data, resamples)
    parts = _parts(context, missing, notes, tell, with_faces, device)
    figures = [figure for part in parts for figure in part.figures]
    tables = {name: text for part in parts for name, text in part.tables.items()}
    parts.append(reproduce(context, command, figures, list(tables), folder.name))
    text = page(
        summary.title(context),
        summary.lead(context),
        [part.section for part in parts],
        footer=f"Made on {datetime.date.today():%Y-%m-%d} by evenface {__version__}. The page fetches nothing and can be sent as it is.",
    )
    tell("writing")
    for figure in figures:
        figure.save(folder)
    for name, content in tables.items():
        write_text(folder / f"{name}.csv", content)
    _remove_former(folder, {*(figure.name for figure in figures), *tables})
    write_text(path, text)
    return Report(path, folder, (*notes, *_unscored(missing, context)))


@contextlib.contextmanager
def _making_way(file: Path) -> Iterator[None]:
    """Scores of other faces, which the report made itself, are away while new ones are made, and back where that fails."""
    aside = file.with_suffix(".former")
    if file.exists():
        file.replace(aside)
    try:
        yield
    except BaseException:
        if aside.exists():
            aside.replace(file)
        raise
    aside.unlink(missing_ok=True)


def _unscored(missing: Sequence[tuple[Run, str]], context: Context) -> list[str]:
    """A sentence per run that is left out on a split; one for all where they are many."""
    if len(missing) > 3:
        return [f"{len(missing)} scores are missing; the summary of the page has the commands that make them."]
    return [f"{run.name} has not been scored on {split}: {context.command(run, split)}" for run, split in missing]


def _check(path: Path, splits: Sequence[str] | None, tta: str, prior: str, resamples: int, device: str) -> None:
    if path.suffix.lower() not in (".html", ".htm") or path.is_dir():
        raise ConfigError(f"-o/--output names the page, such as report.html; not '{path}'.")
    if tta not in TTA:
        raise ConfigError(f"--tta is one of {', '.join(TTA)}, not '{tta}'.")
    if prior not in PRIORS:
        raise ConfigError(unknown_name("prior", prior, PRIORS))
    if not 100 <= resamples <= 100_000:
        raise ConfigError("--resamples lies between 100, for an interval to mean anything, and 100000, beyond which it changes no more.")
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise ConfigError(
            f"The path of the page, '{printable(path)}', is no UTF-8, which a page is written in; give it another name."
        ) from error
    resolve_device(device)
    named = list(splits or ())
    for split in named:
        if split not in SPLITS:
            raise ConfigError(unknown_name("split", split, SPLITS))
        if named.count(split) > 1:
            raise ConfigError(f"--split names {split} twice; name each split once.")
    try:  # told now, and not after minutes of work
        path.parent.mkdir(parents=True, exist_ok=True)
        if not os.access(path.parent, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise cannot_write(path, error) from error


def _context(
    runs: Sequence[Run],
    splits: Sequence[str] | None,
    tta: str,
    prior: str,
    data: Data,
    resamples: int,
) -> tuple[Context, list[tuple[Run, str]]]:
    """The scores of each split that has some, and what is missing there."""
    found: list[Scores] = []
    missing: list[tuple[Run, str]] = []
    for split in splits or ("test", "validation"):
        scores, without = read_scores(runs, split, tta, prior, data=data, resamples=resamples)
        if scores is not None:
            found.append(scores)
            missing += [(run, split) for run in without]
    if not found:
        first = runs[0]
        how = f"run: {evaluate_command(first, 'test', tta, prior, data)}"
        if first.config is None and first.about is not None and not data.flags():
            how = "name its faces and what to score: --dataset NAME --data-dir DIR --split test"
        what = f"{first.name} has" if len(runs) == 1 else "None of these runs has"
        of = "" if all(run.about is None for run in runs) else " of its present best model"
        raise ConfigError(f"{what} no scores{of}{_how(tta, prior)}; {how}")
    return Context(runs, found, tta, prior, resamples, data), missing


def _how(tta: str, prior: str) -> str:
    flags = ("" if tta == "none" else f" --tta {tta}") + ("" if prior == "model" else f" --prior {prior}")
    return f" under{flags}" if flags else ""


def _parts(
    context: Context,
    missing: Sequence[tuple[Run, str]],
    notes: Sequence[str],
    tell: Step,
    with_faces: bool,
    device: str,
) -> list[Part]:
    """All sections but the last one."""
    tell("figures")
    parts = [summary.summary(context, missing, notes)]
    if not context.single:
        parts.append(results.methods(context))
    parts += [results.classes(context), results.confusion(context)]
    tell("precision and recall")
    parts.append(meaning.ranking(context))
    tell("calibration")
    parts.append(meaning.calibration(context))
    curves = training.curves(context)
    parts += [curves] if curves is not None else []
    parts.append(training.data(context))
    if with_faces:
        tell("faces")
        found = [faces.find_faces(scores, context.data.dataset, context.data.data_dir) for scores in context.splits]
        parts += [faces.mistakes(context, found), faces.doubtful(context, found)]
        tell("class maps")
        parts.append(maps.maps(context, *found[0], device))
    return parts


def _remove_former(folder: Path, ours: Collection[str]) -> None:
    """What an earlier report of other runs, splits or faces left there; nothing would tell it from what is `ours`."""
    for name in set(_FILES) - set(ours):
        for suffix in ("csv", "svg", "png"):
            (folder / f"{name}.{suffix}").unlink(missing_ok=True)
