"""The tables of a report: one run, several runs side by side, methods against a baseline.

    rich.print(per_class_table(metrics, train_counts))          # of metrics.json
    print(runs_table({"ce": a, "rbcf": b}).text(width=100))
    print(comparison_table(comparison).markdown())              # of evaluation.compare.compare_runs

Every function returns a `Grid`, which rich can print and which gives plain text and Markdown. Rates are percent with one
decimal, intervals are 95 % and stand in brackets, n is always there. Classes come in the order of their train counts, as in
the paper's tables, where the counts are given; else in the data's own order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from evenface.errors import ConfigError, DataError
from evenface.evaluation.compare import Comparison, MethodScores
from evenface.evaluation.paired import Difference, McNemar
from evenface.evaluation.records import why_optimistic
from evenface.labels import require_same
from evenface.report.grid import Grid


TITLES = {"overall": "overall", "mean_recall": "mean recall", "macro_f1": "macro F1"}
_INTERVALS = "Percent [95 % interval]: Wilson's per class, stratified bootstrap for the means."


def per_class_table(metrics: Mapping[str, Any], train_counts: Mapping[str, int] | None = None) -> Grid:
    """Recall with interval, precision and F1 of each class, then the numbers over all classes.

    Arguments:
        metrics: the content of metrics.json.
        train_counts: train images per class; orders the rows and adds a column.
    """
    order = class_order(metrics["class_names"], train_counts)
    rows = []
    for name in order:
        row = metrics["per_class"][name]
        train = [str(train_counts.get(name, 0))] if train_counts else []
        rows.append((name, *train, str(row["n"]), _cell(row["recall"], row["ci95"]), percent(row["precision"]), percent(row["f1"])))
    blank = [""] * bool(train_counts)
    footer = [(title, *blank, str(metrics["n"]), _cell(metrics[key], metrics["ci95"][key]), "", "") for key, title in TITLES.items()]
    column = f"train ({metrics['trained_on']})" if "trained_on" in metrics else "train"
    head = ("class", *([column] if train_counts else []), "n", "recall", "precision", "F1")
    title = f"{metrics['dataset']} {metrics['split']}{_prior(metrics)}{_optimistic(metrics)}"
    return Grid(title, head, tuple(rows), tuple(footer), (_INTERVALS, *metrics_notes(metrics)))


def runs_table(
    runs: Mapping[str, Mapping[str, Any]] | Sequence[tuple[str, Mapping[str, Any]]], train_counts: Mapping[str, int] | None = None
) -> Grid:
    """Recalls of several runs side by side: a row per class, a column per run.

    Arguments:
        runs: name -> content of metrics.json (or pairs, where names repeat), all of one split of one data set.
        train_counts: train images per class; orders the rows.

    Raises:
        ConfigError: no run.
        DataError: runs on different images.
        LabelError: runs with different classes.
    """
    pairs = list(runs.items()) if isinstance(runs, Mapping) else list(runs)
    if not pairs:
        raise ConfigError("There is no run to show; name at least one run folder that has been evaluated.")
    first_name, first = pairs[0]
    sizes = [first["per_class"][c]["n"] for c in first["class_names"]]
    for name, metrics in pairs[1:]:
        require_same(first["class_names"], metrics["class_names"], f"the run {name}")
        if [metrics["per_class"][c]["n"] for c in first["class_names"]] != sizes:
            raise DataError(f"The runs {first_name} and {name} were evaluated on different images; evaluate both on the same split.")
    cell = _cell if len(pairs) <= 4 else _tall_cell  # five columns of 17 signs do not fit in a hundred
    rows = []
    for c in class_order(first["class_names"], train_counts):
        cells = [cell(metrics["per_class"][c]["recall"], metrics["per_class"][c]["ci95"]) for _, metrics in pairs]
        rows.append((c, str(first["per_class"][c]["n"]), *cells))
    footer = [(title, str(first["n"]), *(cell(m[key], m["ci95"][key]) for _, m in pairs)) for key, title in TITLES.items()]
    head = ("recall", "n", *(name + _optimistic(metrics) for name, metrics in pairs))
    notes = list(dict.fromkeys(note for _, metrics in pairs for note in (*_empty_note(metrics), *_optimistic_note(metrics))))
    again = [metrics["duplicates_of_train"] for _, metrics in pairs]
    if any(found["n"] for found in again):
        rest = [found["without"] or {"mean_recall": None, "ci95": {"mean_recall": None}} for found in again]
        footer.append(("mean recall *", "", *(cell(found["mean_recall"], found["ci95"]["mean_recall"]) for found in rest)))
        counts = sorted({found["n"] for found in again})
        notes.append(f"* without the images that stand in train pixel for pixel: {' or '.join(map(str, counts))} of {first['n']}.")
    return Grid(f"{first['dataset']} {first['split']}", head, tuple(rows), tuple(footer), (_INTERVALS, *notes))


def methods_table(comparison: Comparison, train_counts: Mapping[str, int] | None = None) -> Grid:
    """Each method over its seeds, side by side: recalls per class, then the numbers over all classes with sd over seeds."""
    cell = _cell if len(comparison.methods) <= 4 else _tall_cell
    names = comparison.class_names
    rows = []
    for name in class_order(names, train_counts):
        i = names.index(name)
        cells = [cell(method.recall[i], method.recall_ci95[i]) for method in comparison.methods]
        rows.append((name, str(comparison.n[i]), *cells))
    total = str(sum(comparison.n))
    footer = [(title, total, *(cell(method.mean(key), method.ci95[key]) for method in comparison.methods)) for key, title in TITLES.items()]
    if any(len(method.seeds) > 1 for method in comparison.methods):
        footer += [(f"sd of {title}", "", *(_sd(method, key) for method in comparison.methods)) for key, title in TITLES.items()]
    seeds = {m.method: "-" if m.method in comparison.finished else ", ".join(map(str, m.seeds)) for m in comparison.methods}
    footer.append(("seeds", "", *seeds.values()))
    notes = [_INTERVALS]
    if any(len(method.seeds) > 1 for method in comparison.methods):
        notes.append("Several seeds: means over them; the means' intervals draw images and seeds, sd is between seeds.")
    head = ("recall", "n", *(method.method for method in comparison.methods))
    return Grid("Methods", head, tuple(rows), tuple(footer), (*notes, *comparison.notes))


def comparison_table(comparison: Comparison) -> Grid:
    """Each method against the baseline: the difference of the mean recall, its p (Holm's too) and McNemar's test.

    Raises:
        ConfigError: fewer than two methods.
    """
    if not comparison.pairs:
        raise ConfigError("A comparison needs runs of two methods at least; all runs given are one method with several seeds.")
    several = len(comparison.pairs) > 1
    rows = []
    for pair in comparison.pairs:
        corrected = [p_text(pair.holm_p)] if several else []
        change = pair.mean_recall
        rows.append((pair.method, points(change), p_text(change.p_value), *corrected, points(pair.overall), _mcnemar(pair.mcnemar)))
    baseline = comparison.pairs[0].baseline
    head = ("method", "mean recall", "p", *(["Holm p"] if several else []), "overall", "McNemar b / c, p")
    notes = [
        f"Points gained over {baseline} [95 % interval], {sum(comparison.n)} images. p: paired stratified bootstrap on the mean recall, "
        f"{comparison.resamples:,} resamples" + ("; Holm's corrects for several methods." if several else "."),
        f"McNemar, exact, on the overall: b images only {baseline} has right, c only the other (a line per seed).",
    ]
    return Grid(f"Against {baseline}", head, tuple(rows), (), tuple(notes))


def class_order(class_names: Sequence[str], train_counts: Mapping[str, int] | None) -> list[str]:
    """The classes by falling train count (ties in the given order), as the paper's columns; as given without counts."""
    if not train_counts:
        return list(class_names)
    return sorted(class_names, key=lambda name: -train_counts.get(name, 0))


def metrics_notes(metrics: Mapping[str, Any]) -> tuple[str, ...]:
    """What a reader of these numbers must know: classes without images, duplicates of train, an optimistic protocol."""
    notes = []
    again = metrics["duplicates_of_train"]
    if again["n"]:
        rest = again["without"]
        whose = f" of {metrics['dataset']} (this model was trained on {metrics['trained_on']})" if "trained_on" in metrics else ""
        text = f"{again['n']} of {metrics['n']} images stand in train{whose} pixel for pixel"
        if rest is not None:
            scores = ", ".join(f"{title} {_cell(rest[key], rest['ci95'][key])}" for key, title in TITLES.items())
            text += f"; without them (n {rest['n']}): {scores}"
        notes.append(text + ".")
    return (*_empty_note(metrics), *notes, *_cut_note(metrics), *_optimistic_note(metrics))


def percent(rate: float | None) -> str:
    """A rate in [0, 1] as percent with one decimal; a dash where there is none."""
    return "-" if rate is None or math.isnan(rate) else f"{100 * rate:.1f}"


def points(difference: Difference) -> str:
    """A difference of rates in points, with sign and interval: `+2.1 [-0.4, +4.6]`."""
    low, high = difference.ci95
    return f"{_signed(difference.value)} [{_signed(low)}, {_signed(high)}]"


def p_text(p: float) -> str:
    """A p-value with three decimals, or `<0.001`."""
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def _signed(value: float) -> str:
    return f"{100 * value + 0.0:+.1f}".replace("-0.0", "+0.0")


def _cell(rate: float | None, interval: Sequence[float] | None, gap: str = " ") -> str:
    """`76.3 [61.2, 87.0]`; the value alone where all resamples gave the same one, which tells nothing of other faces."""
    if interval is None or rate is None or math.isnan(rate) or interval[0] == interval[1]:
        return percent(rate)
    return f"{percent(rate)}{gap}[{percent(interval[0])}, {percent(interval[1])}]"


def _tall_cell(rate: float | None, interval: Sequence[float] | None) -> str:
    return _cell(rate, interval, gap="\n")


def _sd(method: MethodScores, key: str) -> str:
    return percent(method.sd(key))


def _mcnemar(tests: Sequence[McNemar]) -> str:

    return "\n".join(f"{test.b} / {test.c}, {p_text(test.p_value)}" for test in tests) or "-"


def _prior(metrics: Mapping[str, Any]) -> str:
    """The tag of scores under another prior than the model's own."""
    prior = metrics.get("prior", "model")
    return "" if prior == "model" else f", prior {prior}"


def _optimistic(metrics: Mapping[str, Any]) -> str:
    """The tag of a result that is no estimate for new faces."""
    return " (optimistic)" if metrics.get("optimistic") else ""


def _optimistic_note(metrics: Mapping[str, Any]) -> list[str]:
    text = f"Optimistic: {why_optimistic(metrics)} on these {metrics['split']} images; not an estimate for new faces."
    return [text] * bool(_optimistic(metrics)) + paper_note(metrics)


def _cut_note(metrics: Mapping[str, Any]) -> list[str]:
    """Faces cut out otherwise than those that the model learned from give scores that say little of it."""
    cuts = metrics.get("cut_out")
    if not cuts:
        return []
    given = "is not known" if cuts["set"] is None else f"is {_cut(cuts['set'])}"
    text = f"The model learned from faces cut out as {_cut(cuts['model'])}; how these are {given}. A low score may be that: "
    return [text + "evenface data prepare cuts faces out of pictures."]


def _cut(alignment: Mapping[str, Any] | str) -> str:
    if isinstance(alignment, str):
        return alignment
    return f"{alignment['template']}" + (f" with a margin of {alignment['margin']:g}" if alignment.get("margin") else "")


def paper_note(metrics: Mapping[str, Any]) -> list[str]:
    """The test epochs as papers report them; points of the log, for which there is no interval."""
    found = metrics.get("paper")
    if not found:
        return []
    count = len(found["last_5"]["epochs"])  # fewer where there were fewer
    names = {"last": "last epoch", "best": "best epoch", "last_5": f"mean of the last {'five' if count == 5 else count}"}
    parts = [f"{title} {percent(found[key]['overall'])} / {percent(found[key]['mean_recall'])}" for key, title in names.items()]
    return [f"Test epochs as papers report them, overall / mean recall, without an interval: {', '.join(parts)}."]


def _empty_note(metrics: Mapping[str, Any]) -> list[str]:
    empty = [name for name in metrics["class_names"] if metrics["per_class"][name]["n"] == 0]
    return [f"No image of {', '.join(empty)}: left out of the means."] * bool(empty)
