"""`evenface study` of a recipe with `search`: the trials, their table, and the recipe with the best settings in place."""

from __future__ import annotations

import argparse
import dataclasses
import shlex
from pathlib import Path
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console

    from evenface.report.trials import TrialRow
    from evenface.study import Recipe
    from evenface.study.search import Trial
    from evenface.study.space import Search


def found_best(
    recipe: Recipe, args: argparse.Namespace, output: Path, out: Console, command: Sequence[str]
) -> tuple[Recipe, str, dict[str, str]] | None:
    """Makes the trials that are missing and prints them; with --dry-run it lists what there is, and gives None.

    Returns:
        The recipe with the best trials in place, what a reader of its table must know, and the trials that failed, with the reason.

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
    best: dict[str, Trial] = {}
    counts: list[int] = []
    failed: dict[str, str] = {}
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
        failed |= {str(trial.run): trial.why for trial in trials if trial.state == "failed"}
        counts.append(sum(trial.state != "failed" for trial in trials))
        _write(out, name, search, trials, best[name], output)
    return with_best(recipe, best), _searched(recipe, best, counts), failed


def _searched(recipe: Recipe, best: Mapping[str, Trial], counts: Sequence[int]) -> str:
    """What a reader of the final table must know: which runs were chosen among how many, and that the others were not.

    Args:
        best: of each run that was searched for.
        counts: their trials, less those that failed.
    """
    chosen = ", ".join(trial.run.name for trial in best.values())
    same = len(set(counts)) == 1
    numbers = counts[:1] if same else counts
    trials = f"{', '.join(map(str, numbers))} trial{'s' if max(counts) > 1 else ''}{' each' if same and len(counts) > 1 else ''}"
    others = [run for run in recipe.runs if run not in best]
    rest = f" {', '.join(others)}: not searched for, so a difference may be the search's and not the method's." if others else ""
    return f"Chosen on validation among {trials} with the seed {recipe.seeds[0]}: {chosen}.{rest}"


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
    say(out, f"written   {table}\n          {settings} (evenface train -c {shlex.quote(str(settings))})")


def _price(out: Console, recipe: Recipe, search: Search, args: argparse.Namespace, output: Path) -> None:
    """How long the trials that are missing will take, if each takes what the run takes with the recipe's own settings, and the table's
    further runs: the best trial is there with the first seed already.
    """
    from evenface.cli.study_runs import numbers, say
    from evenface.study import Scoring, State, plan, state_of
    from evenface.study.estimate import estimate_study, in_words
    from evenface.study.probe import Probe
    from evenface.study.search import SPLIT, best_of, trials_of, with_best

    found = {name: trials_of(recipe, name, data_dir=args.data_dir, output=output) for name in search.runs}
    # All that are drawn are brought to their end, also where fewer are asked for by now.
    missing = {name: max(search.trials, len(each)) - sum(trial.recall is not None for trial in each) for name, each in found.items()}
    before = [trial.run for trials in found.values() for trial in trials if trial.state == "done"]
    seeds = None if args.seeds is None else numbers(args.seeds)
    known_best = not any(missing.values())
    chosen = with_best(recipe, {name: best_of(trials) for name, trials in found.items()}) if known_best else recipe
    table = plan(chosen, data_dir=args.data_dir, seeds=seeds, output=output)
    plain = [run for run in plan(recipe, data_dir=args.data_dir, seeds=recipe.seeds[:1], output=output) if run.name in search.runs]
    # A run that is searched for stands in the table with other settings than these: nothing of it is there yet.
    untrained = {run.folder: State(0, run.config.epochs, False, False) for run in [*plain, *table] if run.name in search.runs}
    known = [state_of(run, Scoring(SPLIT)) for run in before]
    further = [run for run in table if run.folder not in {each.folder for each in plain}]
    runs = [*plain, *further]
    states = [untrained.get(run.folder) or state_of(run, recipe.scoring) for run in runs]
    estimate = estimate_study([*before, *runs], [*known, *states], jobs=args.jobs, probe=Probe())
    took = {run.name: estimate.minutes[run.folder] for run in plain if run.folder in estimate.minutes}
    if set(missing) <= set(took):
        side = args.jobs if estimate.side_by_side else 1
        trials = sum(count * took[name] for name, count in missing.items()) / side
        if known_best and not any(run.folder in estimate.minutes for run in further):
            return
        rest = sum(estimate.minutes.get(run.folder, 0.0) for run in further) / side
        say(out, f"To come: {in_words(trials)} of trials at most and {in_words(rest)} for the table, with --jobs {args.jobs}; "
            f"{estimate.source}.")  # fmt: skip
    elif estimate.source:
        say(out, f"To come: {estimate.source}.")
