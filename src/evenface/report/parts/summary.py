"""The first section: what was run, the numbers that matter, where it fails, and what a reader must beware of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from evenface.evaluation.compare import MethodScores
from evenface.evaluation.intervals import wilson
from evenface.evaluation.records import read_metrics, why_optimistic
from evenface.model_folder import ModelConfig
from evenface.report.figures.scores import ORDER
from evenface.report.gather import Run, Scores
from evenface.report.grid import Grid
from evenface.report.page import Section, code, escape, grid_html, paragraph
from evenface.report.parts.part import Context, Part, confusions, estimate, members, shown
from evenface.report.tables import TITLES, p_text, percent, points


_WHAT = {
    "mean_recall": "the mean of the recalls of all classes, each class counting alike",
    "overall": "the share of all images that are right",
    "macro_f1": "the mean of the F1 of all classes",
}


def title(context: Context) -> str:
    """Of the page."""
    scores = context.main
    methods = scores.comparison.methods
    what = methods[0].method if len(methods) == 1 else f"{len(methods)} methods"
    return f"{what} on {scores.dataset}"


def lead(context: Context) -> str:
    """The headline in a sentence or two."""
    scores = context.main
    comparison = scores.comparison
    n, trainings = len(scores.true), len(scores.runs)
    first = comparison.methods[0]
    on = f"{n:,} {scores.split} faces of {scores.dataset}"
    apart = any(run.about is None for run in scores.runs)
    one, many = ("set of scores", "sets of scores") if apart else ("training", "trainings")
    if len(comparison.methods) == 1:
        what = f"One {one}" if trainings == 1 else f"{trainings} {many}"
        return f"{what} of {first.method}, scored on {on}: mean recall {_percent(scores, first, 'mean_recall')}."
    gains = [
        f"{pair.method} {points(pair.mean_recall)}, p {'(Holm) ' if len(comparison.pairs) > 1 else ''}{p_text(pair.holm_p)}"
        for pair in sorted(comparison.pairs, key=lambda pair: -pair.mean_recall.value)[:3]
    ]
    more = "; and others below" if len(comparison.pairs) > 3 else ""
    same = "" if scores.others else "the same "
    return (
        f"{len(comparison.methods)} methods, {trainings} {many}, scored on {same}{on}. Points of mean recall gained over "
        f"{first.method}: {'; '.join(gains)}{more}."
    )


def summary(context: Context, missing: Sequence[tuple[Run, str]], notes: Sequence[str]) -> Part:
    """Tiles, sentences and warnings.

    Args:
        missing: runs without scores on a split that the report has.
        notes: sentences of the gathering.
    """
    scores = context.main
    methods = scores.comparison.methods
    parts = [_tiles(scores, methods)]
    parts += [paragraph(text) for text in _said(context)]
    parts += [paragraph(text, "warn") for text in _warnings(context)]
    parts += [paragraph(text, "note") for text in (*_scoring(context), *_unscored(context), *notes)]
    if missing:
        parts.append(paragraph("Not scored yet, and left out there; these commands score them:", "warn"))
        parts.append(code("\n".join(context.command(run, split) for run, split in missing)))
    if len(context.runs) == 1:
        parts.append(grid_html(_scored_so_far(context.runs[0])))
    return Part(Section("Summary", "summary", "".join(parts)))


def _tiles(scores: Scores, methods: Sequence[MethodScores]) -> str:
    n = f"{len(scores.true):,} {scores.split} faces"
    if len(methods) == 1:
        return _tile_list(
            (TITLES[key], *_value(scores, methods[0], key), [f"{n}{_seeds(scores, methods[0])}"], _WHAT[key]) for key in ORDER
        )
    pairs = {pair.method: pair for pair in scores.comparison.pairs}
    tiles = []
    for m in sorted(shown(scores)[0], key=lambda m: -m.mean("mean_recall")):
        pair = pairs.get(m.method)
        gain = "the baseline" if pair is None else f"{points(pair.mean_recall)} points, p {p_text(pair.holm_p)}"
        tiles.append((m.method, *_value(scores, m, "mean_recall"), [gain], f"mean recall, {n}{_seeds(scores, m)}"))
    return _tile_list(tiles)


def _tile_list(tiles: Any) -> str:
    """(name, value, interval, lines, small print) each."""
    items = [
        f'<dl class="tile"><dt>{escape(name)}</dt><dd><span class="value">{escape(value)} <small>%</small></span></dd>'
        f'<dd>{escape(interval)}</dd>{"".join(f"<dd>{escape(line)}</dd>" for line in lines)}<dd class="note">{escape(small)}</dd></dl>'
        for name, value, interval, lines, small in tiles
    ]
    return f'<div class="tiles">{"".join(items)}</div>'


def interval_of(scores: Scores, method: MethodScores, key: str) -> tuple[float | None, Sequence[float]]:
    """Value and interval as `evenface evaluate` gave them for a single training, as `evenface compare` does for more."""
    if len(scores.runs) == 1:
        return scores.metrics[0][key], scores.metrics[0]["ci95"][key]
    return method.mean(key), method.ci95[key]


def _value(scores: Scores, method: MethodScores, key: str) -> tuple[str, str]:
    value, (low, high) = interval_of(scores, method, key)
    return percent(value), f"95 % interval {percent(low)} to {percent(high)}"


def _percent(scores: Scores, method: MethodScores, key: str) -> str:
    value, (low, high) = interval_of(scores, method, key)
    return f"{percent(value)} % [{percent(low)}, {percent(high)}]"


def _seeds(scores: Scores, method: MethodScores) -> str:
    if method.method in scores.comparison.finished:
        return ""
    count = len(method.seeds)
    return f", seed {method.seeds[0]}" if count == 1 else f", mean over {count} seeds"


def _said(context: Context) -> list[str]:
    """What was run, and where it fails."""
    scores = context.main
    abouts = [run.about for run in scores.runs if run.about is not None]
    said = [_networks(abouts)] if abouts else []
    apart = [run.name for run in scores.runs if run.about is None]
    if apart:
        said.append(f"Of {_listed(apart)} the scores alone are here, and not the model.")
    if scores.others:
        said.append(
            f"{scores.others[1]} was scored on other pictures than {scores.others[0]}, though they have the same names, so their "
            "difference is not one of the models alone."
        )
    drawn, note = shown(scores)
    for label, places in members(scores, drawn):
        said.append(_weakest(scores, label, places, len(scores.methods) > 1))
    return [*said, note] if note else said


def _networks(abouts: Sequence[ModelConfig]) -> str:
    """The networks, and how the first one came about."""
    about = abouts[0]
    init = (about.init or {}).get("source")
    start = f" started from {init}" if init not in (None, "none") else " started from random weights" if init == "none" else ""
    networks = sorted({about.architecture for about in abouts})
    sizes = sorted({about.img_size for about in abouts})
    selection = about.details.get("selection") or {}
    by = str(selection.get("by", "")).replace("_", " ")
    chosen = f" The epoch was chosen on {selection['split']} by {by}." if "split" in selection else ""
    return f"{', '.join(networks)} at {', '.join(map(str, sizes))} px,{start}.{chosen}" if start else f"{', '.join(networks)}.{chosen}"


def _weakest(scores: Scores, label: str, places: Sequence[int], named: bool) -> str:
    """The class that is found least often, and what it is taken for."""
    counts = confusions(scores, places)
    seeds, total = len(counts), counts.sum(axis=0).astype(float)
    n = total.sum(axis=1)
    recalls = np.where(n > 0, np.diagonal(total) / np.where(n > 0, n, 1), np.inf)
    worst = int(recalls.argmin())
    low, high = wilson(total[worst, worst] / seeds, n[worst] / seeds)
    others = [c for c, recall in zip(scores.class_names, recalls, strict=True) if recall == recalls[worst]][1:]
    text = f"{f'{label} is' if named else 'It is'} weakest on {_listed([scores.class_names[worst], *others])}: it finds "
    text += f"{percent(recalls[worst])} % [{percent(float(low))}, {percent(float(high))}] of {n[worst] / seeds:,.0f} faces"
    if others:
        return text + (" of the first." if len({*n[recalls == recalls[worst]]}) > 1 else " each.")
    wrong = total[worst].copy()
    wrong[worst] = 0
    other = int(wrong.argmax())
    if wrong[other] == 0:
        return text + "."
    low, high = wilson(wrong[other] / seeds, n[worst] / seeds)
    share = percent(wrong[other] / n[worst])
    return f"{text} and calls {share} % [{percent(float(low))}, {percent(float(high))}] of them {scores.class_names[other]}."


def _listed(names: Sequence[str]) -> str:
    """`anger, disgust and fear`."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def _warnings(context: Context) -> list[str]:
    found = []
    if context.main.optimistic:
        found.append(
            f"The numbers on {context.main.split} are optimistic: {why(context.main)} on these faces. They are no estimate for new ones."
        )
    trained = {run.label for run in context.main.runs if run.about is not None}
    if any(len(m.seeds) == 1 and m.method in trained for m in context.main.comparison.methods):
        what = "One training" if context.single else "A method with one seed"
        found.append(f"{what} says nothing of the spread between trainings; three seeds at least speak of a method.")
    empty = [name for name, n in zip(context.main.class_names, context.main.n, strict=True) if n == 0]
    if empty:
        found.append(f"There is no {context.main.split} face of {', '.join(empty)}: left out of the means.")
    return found


def _scoring(context: Context) -> list[str]:
    notes = []
    tools = [run.name for run in context.main.runs if run.is_tool]
    if tools and (context.prior, context.tta) != ("model", "none"):
        notes.append(f"The answers of {_listed(tools)}, another tool, stand as they are, whatever prior or view was asked for.")
    models = len(tools) < len(context.main.runs)
    if context.prior != "model" and models:
        notes.append(
            f"Scored under the prior '{context.prior}': for faces with the expressions "
            + {"train": "as frequent as in training.", "half": "between as frequent as in training and equally so."}.get(
                context.prior, "equally frequent."
            )
        )
    if context.tta != "none" and models:
        how = "each face averaged with its mirror" if context.tta == "flip" else "experts weighted by their agreement on face and mirror"
        notes.append(f"Scored with --tta {context.tta}: {how}.")
    for scores in context.splits[1:]:
        if scores.optimistic:
            notes.append(f"The numbers on {scores.split} are optimistic, and stand folded: {why(scores)} on these very faces.")
    for scores in context.splits:
        count = int(scores.duplicates.sum())
        if count:
            these = f"{count:,} of {len(scores.true):,} {scores.split} faces"
            notes.append(f"{these} stand in train pixel for pixel and are counted{_rest(scores)}.")
    return notes


def _unscored(context: Context) -> list[str]:
    """Test and validation, where no run was scored on them, with the command for it."""
    there = {scores.split for scores in context.splits}
    notes = []
    for split in {"test", "validation"} - there if "train" not in there else ():
        command = context.command(context.runs[0], split)
        what = "There are no scores" if len(context.runs) == 1 else "None of these runs has scores"
        notes.append(f"{what} on {split}; to have them here: {command}{' and so on' if len(context.runs) > 1 else ''}")
    return notes


def why(scores: Scores) -> str:
    """What makes them no estimate for new faces: of the first of the runs for which something does."""
    return next(filter(None, map(why_optimistic, scores.metrics)), "")


def _rest(scores: Scores) -> str:
    """The mean recall without the duplicates of train."""
    alone = scores.metrics[0]["duplicates_of_train"]["without"] if len(scores.runs) == 1 else None
    if alone is not None:
        return f"; without them the mean recall (n {alone['n']:,}) is {estimate(alone['mean_recall'], alone['ci95']['mean_recall'])}"
    if scores.without is None:
        return ""
    kept = {m.method for m in shown(scores)[0]}
    found = [m for m in scores.without.methods if m.method in kept]
    parts = [f"{m.method + ': ' if len(found) > 1 else ''}{estimate(m.mean('mean_recall'), m.ci95['mean_recall'])}" for m in found]
    return f"; without them the mean recall (n {sum(scores.without.n):,}) is {'; '.join(parts)}"


def _scored_so_far(run: Run) -> Grid:
    """Every metrics file of a run."""
    rows = []
    for file in sorted(run.scores.glob("metrics-*.json")):
        m = read_metrics(file)
        cells = [estimate(m[key], m["ci95"][key]) for key in ORDER]
        how = (str(m["dataset"]), str(m["split"]), str(m.get("tta", "none")), str(m.get("prior", "model")))
        rows.append((*how[:2], *how[2:], f"{m['n']:,}", *cells, "yes" if m.get("optimistic") else ""))
    order = {"test": 0, "validation": 1, "train": 2}
    rows.sort(key=lambda row: (row[0], order.get(row[1], 3), row[2] != "none", row[3] != "model", row))
    head = ("data set", "split", "tta", "prior", "n", *(TITLES[key] for key in ORDER), "optimistic")
    note = (
        "Percent [95 % interval, images drawn anew]. Optimistic: the model learned from these very faces, or its epoch was chosen or its "
        "calibration fitted on them."
    )
    return Grid("Scored so far", head, tuple(rows), notes=(note,))
