"""`evenface study` of a recipe with `search`: the trials, their table, and the recipe with the best settings in place."""

from __future__ import annotations

import argparse
import dataclasses
import shlex
from pathlib import Path
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from evenface.report.trials import TrialRow
    from evenface.study import Recipe
    from evenface.study.search import Trial
    from evenface.study.space import Search


def found_best(recipe: Recipe, args: argparse.Namespace, output: Path, out: Console, command: Sequence[str]) -> Recipe | None:
    """Makes the trials that are missing and prints them; with --dry-run it lists what there is, and gives None.

    Raises:
        ConfigError: --only, of which a search knows nothing.
        MissingExtra: Optuna is not installed.
        TrainingError: stopped, or no trial came to its end.
    """
    from evenface.cli.study_runs import check_data, engine, say
    from evenface.errors import ConfigError, TrainingError
    from evenface.study import plan
    from evenface.study.search import SPLIT, best_of, run_search, trials_of, with_best

    search = recipe.search
    assert search is not None, "asked for by a recipe with one"
    if args.only is not None:
        raise ConfigError("--only does not go with a recipe that has `search`; name the `runs` of the search in the recipe.")
    if args.dry_run:
        for name in search.runs:
            _print(out, recipe, name, search, trials_of(recipe, name, data_dir=args.data_dir, output=output))
        _price(out, recipe, search, args, output)
        return None
    for split in (SPLIT, recipe.split):
        check_data(plan(recipe, data_dir=args.data_dir, output=output), split)
    best = {}
    for name in search.runs:
        try:
            trials = run_search(
                recipe,
                name,
                engine(args),
                at_once=args.jobs,
                data_dir=args.data_dir,
                output=output,
                command=command,
                say=lambda text: say(out, text),
            )
        except TrainingError as error:
            raise TrainingError(f"{error} Go on with: {shlex.join(command)}") from error
        _print(out, recipe, name, search, trials)
        best[name] = best_of(trials)
        _write(out, name, search, trials, best[name], output)
    return with_best(recipe, best)


def _print(out: Console, recipe: Recipe, name: str, search: Search, trials: Sequence[Trial]) -> None:
    from evenface.report.trials import trials_grid

    missing = search.trials - len(trials)
    seed = f"Each with the seed {recipe.seeds[0]}."
    notes = [seed] + ([f"{missing} of {search.trials} trials are not drawn yet."] if missing > 0 else [])
    out.print(trials_grid(name, _names(search), _rows(search, trials), notes))


def _names(search: Search) -> list[str]:
    return [name.removeprefix("method_options.") for name in search.space]


def _rows(search: Search, trials: Sequence[Trial]) -> list[TrialRow]:
    from evenface.report.trials import TrialRow

    return [
        TrialRow(trial.number, tuple(trial.values[name] for name in search.space), trial.recall, len(trial.curve), trial.state)
        for trial in trials
    ]


def _write(out: Console, name: str, search: Search, trials: Sequence[Trial], best: Trial, output: Path) -> None:
    """The table for a program, and all settings of the best trial for `evenface train -c`."""
    import yaml

    from evenface.cli.study_runs import say
    from evenface.files import write_text
    from evenface.report.trials import trials_csv

    config = dataclasses.replace(best.run.config, output=None)
    table, settings = output / f"trials-{name}.csv", output / f"best-{name}.yaml"
    write_text(table, trials_csv(_names(search), _rows(search, trials)))
    write_text(settings, config.to_yaml())
    say(out, f"best      of {name}, on validation:")
    say(out, "".join(f"            {line}\n" for line in yaml.safe_dump(dict(best.values), sort_keys=False).splitlines()).rstrip())
    say(out, f"written   {table}\n          {settings} (evenface train -c {settings})")


def _price(out: Console, recipe: Recipe, search: Search, args: argparse.Namespace, output: Path) -> None:
    """How long the trials that are missing will take, if each takes what the run takes with the recipe's own settings."""
    from evenface.cli.study_runs import say
    from evenface.study import State, plan, state_of
    from evenface.study.estimate import estimate_study, in_words
    from evenface.study.probe import Probe
    from evenface.study.search import SPLIT, trials_of

    found = {name: trials_of(recipe, name, data_dir=args.data_dir, output=output) for name in search.runs}
    missing = {name: search.trials - sum(trial.recall is not None for trial in trials) for name, trials in found.items()}
    before = [trial.run for trials in found.values() for trial in trials if trial.state == "done"]
    plain = plan(recipe, data_dir=args.data_dir, seeds=recipe.seeds[:1], output=output, only=search.runs)
    states = [state_of(run, SPLIT, "none") for run in before] + [State(0, run.config.epochs, False, False) for run in plain]
    estimate = estimate_study([*before, *plain], states, jobs=args.jobs, probe=Probe())
    took = {run.name: estimate.minutes[run.folder] for run in plain if run.folder in estimate.minutes}
    if set(missing) <= set(took):
        whole = sum(count * took[name] for name, count in missing.items())
        say(out, f"To come: {in_words(whole / args.jobs)} at most, with --jobs {args.jobs}; {estimate.source}.")
    elif estimate.source:
        say(out, f"To come: {estimate.source}.")
