"""A search for good settings of a run: trial by trial, each an ordinary run that is scored on validation, never on test (extra `search`).

    trials = run_search(recipe, "rbcf", functools.partial(run_locally, jobs=2), at_once=2)
    best = best_of(trials)

`search-<run>-<hash>.json` in the study's folder holds the values of each trial; what a trial reached is read off its run folder. So a
search that was stopped goes on with the trial that it was at, and more trials may be asked for later. Trial n is drawn with the seed
(seed, n) from the results before it; the same search finds the same trials again where trainings repeat to the bit.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import hashlib
import json
import os
import statistics
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from evenface.errors import ConfigError, MissingExtra, TrainingError
from evenface.evaluation.records import Scoring
from evenface.files import write_text
from evenface.locks import alone_in
from evenface.study.plan import Run, fingerprint, plan
from evenface.study.recipe import Point, Recipe
from evenface.study.space import Interval, Search, with_values
from evenface.study.state import state_of
from evenface.study.work import Task


SPLIT = "validation"
"""What trials are compared on."""

_BEFORE_PRUNING = 4  # finished trials
_DRAWS = 100  # for values that no trial has had yet
_HOPELESS = 3  # trials that all fail, before any has come to its end

Go = Callable[..., dict[str, str]]
"""`run_locally` or `run_on_ray`, with its own arguments filled in."""


@dataclasses.dataclass(frozen=True)
class Trial:
    """One training of a search.

    Attributes:
        number: from 0.
        values: by setting of the space.
        run: what it is; the runs that it starts from are not among them.
        recall: mean recall on validation, 0 to 1; of the best epoch so far for one that was given up; None before the end.
        curve: the mean recall after each epoch.
        state: "done", "given up", "failed", or as `State` says.
        why: of a failed one.
    """

    number: int
    values: Mapping[str, Any]
    run: Run
    recall: float | None
    curve: tuple[float, ...]
    state: str
    why: str = ""


def run_search(
    recipe: Recipe,
    name: str,
    go: Go,
    *,
    at_once: int = 1,
    data_dir: str | None = None,
    output: str | os.PathLike[str] | None = None,
    command: Sequence[str] = (),
    say: Callable[[str], None] = lambda text: None,
) -> list[Trial]:
    """Makes the trials that are still to be made for a run of the recipe.

    Args:
        go: brings runs to their end; called with (runs, task, say=, give_up=).
        at_once: trials that are drawn together and trained side by side.
        data_dir, output: in place of the recipe's.
        command: the words of the command line, kept in the run folders.
        say: takes a line of news.

    Returns:
        All trials, by number; fewer than asked for where the space has no further values.

    Raises:
        MissingExtra: Optuna is not installed.
        TrainingError: stopped, the first trials all failed, or another process searches in the folder.
    """
    book = _Book(recipe, name, data_dir, output)
    book.folder.mkdir(parents=True, exist_ok=True)
    busy = TrainingError(f"Another process searches in {book.folder}; wait for its end, or name another folder with -o.")
    with alone_in(book.folder, busy):
        return _run_search(book, _search_of(recipe), name, go, at_once, command, say)


def _run_search(
    book: _Book, search: Search, name: str, go: Go, at_once: int, command: Sequence[str], say: Callable[[str], None]
) -> list[Trial]:
    _optuna()
    failed: dict[int, str] = {}
    while True:
        trials = book.trials(failed)
        open_ = [trial for trial in trials if trial.recall is None and trial.number not in failed]
        for number in range(len(trials), min(search.trials, len(trials) + at_once - len(open_))):
            values = _new(search, number, trials)
            if values is None:
                say(f"{_DRAWS} draws gave nothing that has not been tried; the search ends with {len(trials)} trials.")
                break
            book.add(values)
            trials = book.trials(failed)
            open_.append(trials[number])
        if not open_:
            return trials
        for trial in open_:
            say(f"trial {trial.number + 1} of {max(search.trials, len(trials))}: {in_words(trial.values)}")
        runs = [run for trial in open_ for run in book.runs(trial.values, trial.number)]
        unique = list({run.folder: run for run in runs}.values())
        by_folder = {trial.run.folder.resolve(): trial for trial in open_}

        def give_up(run: Run, by_folder: dict[Path, Trial] = by_folder, finished: Sequence[Trial] = trials) -> str | None:
            trial = by_folder.get(run.folder.resolve())
            why = _behind(run, finished) if search.prune and trial is not None else None
            if why is not None and trial is not None:
                book.note(trial.number, why)
            return why

        reasons = go(unique, Task(Scoring(SPLIT), command), say=say, give_up=give_up)
        for trial in open_:
            if str(trial.run) in reasons:
                failed[trial.number] = reasons[str(trial.run)]
        if len(failed) >= _HOPELESS and not any(trial.state == "done" for trial in book.trials(failed)):
            raise TrainingError(f"The first {len(failed)} trials of '{name}' all failed; the last one: {failed[max(failed)]}")


def trials_of(recipe: Recipe, name: str, *, data_dir: str | None = None, output: str | os.PathLike[str] | None = None) -> list[Trial]:
    """The trials that were drawn so far."""
    return _Book(recipe, name, data_dir, output).trials({})


def best_of(trials: Sequence[Trial]) -> Trial:
    """The finished trial with the highest mean recall on validation, the first of equals.

    Raises:
        TrainingError: none is finished.
    """
    done = [trial for trial in trials if trial.state == "done"]
    if not done:
        raise TrainingError("No trial of the search has come to its end; the reasons stand above and in the logs.")
    return max(done, key=lambda trial: (trial.recall or 0.0, -trial.number))


def with_best(recipe: Recipe, best: Mapping[str, Trial]) -> Recipe:
    """The recipe with the best trial in place of each run that was searched for, under the trial's name."""
    names = {run: best[run].run.name if run in best else run for run in recipe.runs}
    settings = {names[run]: with_values(run, own, best[run].values) if run in best else own for run, own in recipe.runs.items()}
    after = {names[run]: names[first] for run, first in recipe.after.items()}
    points = {name: Point(name, {}) for name in settings}
    return dataclasses.replace(recipe, runs=settings, after=after, points=points, names=tuple(settings), search=None)


def in_words(values: Mapping[str, Any]) -> str:
    """`lr 0.0003, mu 1.2`."""
    return ", ".join(f"{name.removeprefix('method_options.')} {value}" for name, value in values.items())


def _search_of(recipe: Recipe) -> Search:
    if recipe.search is None:
        raise ConfigError(f"The recipe '{recipe.name}' has no `search`.")
    return recipe.search


class _Book:
    """The values of the trials, in a file, and what came of them, in their folders."""

    def __init__(self, recipe: Recipe, name: str, data_dir: str | None, output: str | os.PathLike[str] | None) -> None:
        self._recipe, self._name, self._data_dir = recipe, name, data_dir
        self.folder = Path(output) if output is not None else recipe.output
        self._planned: dict[int, list[Run]] = {}
        search = _search_of(recipe)
        (plain,) = (run for run in self._plan(recipe.runs[name], name) if run.name == name)
        what = {"run": fingerprint(plain.config, None if plain.after is None else plain.after.name), "seed": search.seed}
        what |= {"sampler": search.sampler, "space": {key: repr(side) for key, side in search.space.items()}}
        key = hashlib.blake2b(json.dumps(what, sort_keys=True).encode(), digest_size=4).hexdigest()
        self._file = self.folder / f"search-{name}-{key}.json"

    def _entries(self) -> list[dict[str, Any]]:
        try:
            found: list[dict[str, Any]] = json.loads(self._file.read_text(encoding="utf-8"))["trials"]
        except FileNotFoundError:
            return []
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{self._file} is damaged; move it away to begin the search anew.") from error
        return found

    def _write(self, entries: Sequence[Mapping[str, Any]]) -> None:
        write_text(self._file, json.dumps({"schema_version": 1, "trials": list(entries)}, indent=1) + "\n")

    def add(self, values: Mapping[str, Any]) -> None:
        self._write([*self._entries(), {"values": dict(values)}])

    def note(self, number: int, why: str) -> None:
        """That a trial was given up."""
        entries = self._entries()
        entries[number]["given_up"] = why
        self._write(entries)

    def runs(self, values: Mapping[str, Any], number: int) -> list[Run]:
        """The trial's run, and before it those that it starts from."""
        if number not in self._planned:
            settings = with_values(self._name, self._recipe.runs[self._name], values)
            self._planned[number] = self._plan(settings, f"{self._name}.t{number}")
        return self._planned[number]

    def _plan(self, settings: Mapping[str, Any], name: str) -> list[Run]:
        recipe = self._recipe
        after = {**recipe.after, **({name: recipe.after[self._name]} if self._name in recipe.after else {})}
        runs, points = {**recipe.runs, name: settings}, {**recipe.points, name: Point(name, {})}
        whole = dataclasses.replace(recipe, runs=runs, after=after, points=points)
        return plan(whole, data_dir=self._data_dir, seeds=recipe.seeds[:1], output=self.folder, only=[name])

    def trials(self, failed: Mapping[int, str]) -> list[Trial]:
        found = []
        for number, entry in enumerate(self._entries()):
            (run,) = (run for run in self.runs(entry["values"], number) if run.name == f"{self._name}.t{number}")
            curve, state = recalls(run.folder), state_of(run, Scoring(SPLIT))
            if state.done:
                recall: float | None = _scored(run.folder)
                word = "done"
            elif "given_up" in entry:
                recall, word = max(curve, default=0.0), "given up"
            else:
                recall, word = None, "failed" if number in failed else str(state)
            found.append(Trial(number, entry["values"], run, recall, curve, word, failed.get(number, "") if word == "failed" else ""))
        return found


def recalls(folder: Path) -> tuple[float, ...]:
    """The mean recall on validation after each epoch of a run; none where there is no log that can be read."""
    with contextlib.suppress(OSError, KeyError, TypeError, ValueError):
        rows = csv.DictReader((folder / "log.csv").read_text(encoding="utf-8").splitlines())
        return tuple(float(row[f"{SPLIT}_mean_recall"]) for row in rows)
    return ()


def _scored(folder: Path) -> float:
    return float(json.loads((folder / f"metrics-{SPLIT}.json").read_text(encoding="utf-8"))["mean_recall"])


def _behind(run: Run, trials: Sequence[Trial]) -> str | None:
    """Why a trial is given up: its best epoch so far is below the median of what the finished trials had reached at that epoch."""
    curve = recalls(run.folder)
    others = [max(trial.curve[: len(curve)]) for trial in trials if trial.state == "done" and len(trial.curve) >= len(curve) > 0]
    if not 0 < len(curve) < run.config.epochs or len(others) < _BEFORE_PRUNING:
        return None
    best, middle = max(curve), statistics.median(others)
    if best >= middle:
        return None
    return f"mean recall {100 * best:.1f} % after epoch {len(curve)}, below the median of {100 * middle:.1f} %"


# -------------------- Optuna


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise MissingExtra("A recipe with `search`", "search") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _new(search: Search, number: int, trials: Sequence[Trial]) -> dict[str, Any] | None:
    """The values of the next trial, which none before it has had; None where many draws give no such."""
    tried = [dict(trial.values) for trial in trials]
    draws = (_drawn(search, number, trials, draw) for draw in range(_DRAWS))
    return next((values for values in draws if values not in tried), None)


def _drawn(search: Search, number: int, trials: Sequence[Trial], draw: int) -> dict[str, Any]:
    """Values for the next trial, from those before it."""
    optuna = _optuna()
    sides = {name: _distribution(optuna, side) for name, side in search.space.items()}
    seed = (search.seed * 100_003 + number + draw * 1_000_003) % 2**32
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of parts that Optuna calls experimental
        sampler = (
            optuna.samplers.RandomSampler(seed=seed)
            if search.sampler == "random"
            else optuna.samplers.TPESampler(seed=seed, constant_liar=True)
        )
        study = optuna.create_study(direction="maximize", sampler=sampler)
        kinds = optuna.trial.TrialState
        for trial in trials:
            state = {"done": kinds.COMPLETE, "given up": kinds.PRUNED, "failed": kinds.FAIL}.get(trial.state, kinds.RUNNING)
            value = trial.recall if state == kinds.COMPLETE else None
            curve = dict(enumerate(trial.curve)) if state == kinds.PRUNED else {}
            study.add_trial(
                optuna.trial.create_trial(
                    state=state, value=value, params=dict(trial.values), distributions=sides, intermediate_values=curve
                )
            )
        asked = study.ask(sides).params
    return {name: _plain(asked[name], search.space[name]) for name in search.space}


def _distribution(optuna: Any, side: Interval | tuple[Any, ...]) -> Any:
    kinds = optuna.distributions
    if isinstance(side, tuple):
        return kinds.CategoricalDistribution(side)
    if side.whole:
        return kinds.IntDistribution(int(side.low), int(side.high), log=side.log)
    return kinds.FloatDistribution(side.low, side.high, log=side.log)


def _plain(value: Any, side: Interval | tuple[Any, ...]) -> Any:
    """With few digits, so that a person can read and copy it; still within the interval."""
    if isinstance(value, float) and isinstance(side, Interval):
        return min(max(float(f"{value:.4g}"), side.low), side.high)
    return value
