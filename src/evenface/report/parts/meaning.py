"""What the scores of single faces are worth: precision and recall as a threshold falls, and calibration."""

from __future__ import annotations

import shlex

import numpy as np
from scipy.special import softmax

from evenface.calibration import as_logits, fit_calibration
from evenface.errors import DataError
from evenface.evaluation.ranking import Rankings, class_rankings
from evenface.evaluation.records import read_predictions
from evenface.evaluation.reliability import calibration_errors, reliability
from evenface.report.figures.calibration import Calibrated, reliability_figure
from evenface.report.figures.figure import Figure, csv_text
from evenface.report.figures.precision_recall import precision_recall_figure
from evenface.report.gather import Run, Scores, stored
from evenface.report.grid import Grid
from evenface.report.page import Section, grid_html, paragraph
from evenface.report.parts.part import Context, Part, members, per_split, shown
from evenface.report.tables import percent


def ranking(context: Context) -> Part:
    """Precision and recall of each class, with average precisions."""
    figures: list[Figure] = []
    tables: dict[str, str] = {}

    def draw(scores: Scores) -> str:
        methods, note = _graded(scores)
        if not methods:
            return paragraph(note, "note")
        found = [(label, class_rankings(scores.probabilities[places], scores.true)) for label, places in methods]
        figures.append(precision_recall_figure(f"precision-recall-{scores.split}", scores.split, scores.class_names, found))
        rows = [
            (c, label, int(r.n[i]), len(r.per_seed), r.average_precision[i], *r.ci95[i])
            for i, c in enumerate(scores.class_names)
            for label, r in found
        ]
        tables[f"average-precision-{scores.split}"] = csv_text(("class", "method", "n", "seeds", "ap", "low", "high"), rows)
        return figures[-1].html() + grid_html(_average_precisions(scores, found)) + (paragraph(note, "note") if note else "")

    text = paragraph(
        "How well a class's score ranks its faces above all others, whatever the threshold; a high curve means few false alarms."
    )
    return Part(Section("Precision and recall", "ranking", text + per_split(context, draw)), tuple(figures), tables)


def calibration(context: Context) -> Part:
    """Reliability diagrams and calibration errors, before and after the temperature."""
    figures: list[Figure] = []
    tables: dict[str, str] = {}

    def draw(scores: Scores) -> str:
        methods, note = _graded(scores)
        if not methods:
            return paragraph(note, "note")
        found = [calibrated(context, scores, label, places) for label, places in methods]
        figures.append(reliability_figure(f"reliability-{scores.split}", scores.split, len(scores.true), found))
        tables[f"calibration-{scores.split}"] = _errors_csv(scores, found)
        parts = [figures[-1].html(), grid_html(_errors(scores, found)), grid_html(_class_errors(scores, found))]
        same = len({m.source for m in found}) == 1
        named = [m.source if same else f"{m.label}: {m.source}" for m in found]
        return "".join([*parts, *(paragraph(text, "note") for text in [*dict.fromkeys(named), note] if text)])

    text = paragraph(
        "Whether a score of 80 % is right in 80 of 100 cases. ECE is the sum over 15 bins of equal width of (faces in the bin / n) times "
        "the distance of the share right from the mean score, of the class that was chosen (Guo et al. 2017, equation 3)."
    )
    return Part(Section("Calibration", "calibration", text + per_split(context, draw)), tuple(figures), tables)


def calibrated(context: Context, scores: Scores, label: str, places: list[int]) -> Calibrated:
    """One method's reliability as stored, and with the temperature of each of its trainings."""
    p = scores.probabilities[places]
    before = (reliability(p.max(axis=2), p.argmax(axis=2) == scores.true), calibration_errors(p, scores.true))
    found = [temperature(context, scores, scores.runs[i]) for i in places]
    without = [source for t, source in found if t is None]
    if without:
        return Calibrated(label, *before, source=without[0])
    temperatures = tuple(float(t) for t, _ in found if t is not None)
    q = np.stack([softmax(as_logits(each) / t, axis=1) for each, t in zip(p, temperatures, strict=True)])
    after = (reliability(q.max(axis=2), q.argmax(axis=2) == scores.true), calibration_errors(q, scores.true))
    return Calibrated(label, *before, *after, temperatures, found[0][1])


def temperature(context: Context, scores: Scores, run: Run) -> tuple[float | None, str]:
    """T of a training and where it comes from: its own, else one fitted here on its stored validation scores."""
    if context.prior != "model" and not run.is_tool:
        return None, f"These are scores under the prior '{context.prior}' already: no other temperature is applied."
    here = " These very faces were used to fit it, so what it brings here is optimistic."
    own = None if run.about is None else run.about.fitted
    if own is not None:
        same = (own.dataset, own.split) == (scores.dataset, scores.split)
        alone = "" if context.tta == "none" else ", each on one view"
        text = f"The temperature is the model's own, fitted on {own.n:,} faces of {own.split}{alone}.{here if same else ''}"
        return own.temperature_only, text
    files = stored(run, "validation", context.tta, "model")
    if files is None and run.about is None:
        return None, f"There is no temperature: {run.name} has no scores on validation, which one could be fitted on."
    if files is None:
        fit = f"evenface calibrate {shlex.quote(run.target)}"
        return None, f"There is no temperature: the model has none, and validation has not been scored; to fit one: {fit}"
    p = read_predictions(files[0])
    try:
        fitted = fit_calibration(as_logits(p.probabilities), p.true, p.class_names, split="validation")
    except DataError as error:
        return None, f"There is no temperature: {error}"
    whose = "No temperature is known" if run.about is None else "The model has no temperature of its own"
    text = f"{whose}; this one was fitted for the report on its {len(p.true):,} validation faces."
    return fitted.temperature_only, text + (here if scores.split == "validation" else "")


def _graded(scores: Scores) -> tuple[list[tuple[str, list[int]]], str]:
    """Label and places of the methods that are drawn, less those that give decisions and no scores; and a sentence on what is left out."""
    drawn, note = shown(scores)
    methods = members(scores, drawn)
    kept = [(label, places) for label, places in methods if not np.isin(scores.probabilities[places], (0, 1)).all()]
    bare = [label for label, _ in methods if label not in dict(kept)]
    told = f"{', '.join(bare)}: decisions without scores, which are left out here." if bare else ""
    return kept, " ".join(filter(None, (note, told)))


def _average_precisions(scores: Scores, found: list[tuple[str, Rankings]]) -> Grid:
    rows = []
    for i, c in enumerate(scores.class_names):
        cells = [_precision(r, i) for _, r in found]
        rows.append((c, f"{scores.n[i]:,}", percent(scores.n[i] / len(scores.true)), *cells))
    head = ("average precision", "n", "at random", *(label if len(found) > 1 else "AP" for label, _ in found))
    note = "Percent [95 % interval, stratified bootstrap]. At random: the share of the class, which a ranking without any skill reaches."
    return Grid("", head, tuple(rows), notes=(note,))


def _precision(found: Rankings, i: int) -> str:
    if not found.n[i]:
        return "-"
    return f"{percent(found.average_precision[i])} [{percent(found.ci95[i, 0])}, {percent(found.ci95[i, 1])}]"


def _errors(scores: Scores, found: list[Calibrated]) -> Grid:
    """A row per method: ECE before and after, what chance would do, T."""
    rows = []
    for m in found:
        after = "-" if m.after_errors is None else _error(m.after_errors.overall, m.after_errors.overall_ci95)
        temperatures = ", ".join(f"{t:.2f}" for t in m.temperatures) or "-"
        before = m.before_errors
        rows.append(
            (m.label, f"{len(scores.true):,}", _error(before.overall, before.overall_ci95), after, _points(before.chance), temperatures)
        )
    head = ("ECE", "n", "as stored", "with temperature", "by chance up to", "T")
    note = (
        "Points [95 % interval]. By chance up to: a model whose scores are true stays below that in 95 % of cases, on as many faces; the "
        "interval begins at 0 where the error is no larger. Drawing faces anew makes an error larger, so the range of the draws is "
        "mirrored. T above 1: the model was too sure."
    )
    return Grid("Calibration error", head, tuple(rows), notes=(note,))


def _class_errors(scores: Scores, found: list[Calibrated]) -> Grid:
    """Each class's own score, as stored and with temperature for one method; what is best known of each for several."""
    rows = []
    for i, c in enumerate(scores.class_names):
        cells = []
        for m in found:
            errors = [m.before_errors, m.after_errors] if len(found) == 1 else [m.after_errors or m.before_errors]
            cells += ["-" if e is None else _error(float(e.per_class[i]), e.per_class_ci95[i]) for e in errors]
        chance = _points(float((found[0].before_errors).class_chance[i]))
        rows.append((c, f"{scores.n[i]:,}", *cells, *([chance] if len(found) == 1 else [])))
    several = [f"{m.label}, {'as stored' if m.after_errors is None else 'with temperature'}" for m in found]
    head = ("class", "n", *(["as stored", "with temperature", "by chance up to"] if len(found) == 1 else several))
    note = (
        f"Each class's own score on all {len(scores.true):,} faces, against how often it is that class (15 bins). A rare class has small "
        "scores nearly everywhere, and so a small error."
    )
    return Grid("Class by class", head, tuple(rows), notes=(note,))


def _errors_csv(scores: Scores, found: list[Calibrated]) -> str:
    rows: list[tuple[object, ...]] = []
    for m in found:
        for name, e in (("as stored", m.before_errors), ("with temperature", m.after_errors)):
            if e is None:
                continue
            rows.append((m.label, name, "chosen class", len(scores.true), e.overall, *e.overall_ci95, e.chance))
            each = zip(scores.class_names, e.per_class, e.per_class_ci95, e.class_chance, strict=True)
            rows += [(m.label, name, c, len(scores.true), float(v), *map(float, ci), float(chance)) for c, v, ci, chance in each]
    return csv_text(("method", "scores", "of", "n", "ece", "low", "high", "by_chance_up_to"), rows)


def _error(value: float, interval: tuple[float, float] | np.ndarray) -> str:
    return f"{_points(value)} [{_points(float(interval[0]))}, {_points(float(interval[1]))}]"


def _points(value: float) -> str:
    """Hundredths, with two digits, for errors are small."""
    return f"{100 * value:.2f}"
