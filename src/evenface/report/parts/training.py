"""What the model learned from, and the course of the training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from evenface.data.imbalance import imbalance_factor
from evenface.losses.weights import Normalize, Scheme, class_weights
from evenface.report.figures.counts import counts_figure
from evenface.report.figures.curves import curves_figure
from evenface.report.gather import Run, Scores
from evenface.report.grid import Grid
from evenface.report.page import Section, grid_html, paragraph
from evenface.report.parts.part import Context, Part, members, shown, train_counts


_FORMULAS = {
    "effective": "(1 - beta) / (1 - beta^n), the effective number of equation 6, beta {beta:g}",
    "inverse": "1 / n",
    "inverse_mek": "0.1 N / n",
    "none": "1 for all",
}
_SCALES = {"sum_to_C": ", scaled to sum to the number of classes", "mean_sample_1": ", scaled to mean 1 over the faces", "none": ""}


def data(context: Context) -> Part:
    """Faces per class and split, and the class weights."""
    scores = context.main
    counts = train_counts(scores)
    if counts is None:
        return Part(Section("Data", "data", paragraph("It is not known how many faces of each class the model was trained on.")))
    weights, how = _weights(scores, counts)
    figure = counts_figure("counts", scores.dataset, scores.class_names, counts, weights, how)
    head = ["class", "train", *(s.split for s in context.splits if s.split != "train"), "B"]
    rows = []
    for i, c in enumerate(scores.class_names):
        others = [f"{s.n[s.class_names.index(c)]:,}" for s in context.splits if s.split != "train"]
        rows.append((c, f"{counts[c]:,}", *others, f"{weights[i]:.3f}"))
    totals = [f"{len(s.true):,}" for s in context.splits if s.split != "train"]
    total = ("all", f"{sum(counts.values()):,}", *totals, "")
    factor = imbalance_factor(counts)
    notes = [f"Imbalance factor, the largest training class over the smallest: {factor:.1f}. Only faces that could be read are counted."]
    source, *rest = [(run, run.about.train_counts) for run in scores.runs if run.about is not None]
    notes += [str(note) for note in source[0].environment().get("notes", [])]
    if any(theirs != counts for _, theirs in rest):
        notes.append(f"The trainings differ in their training faces; these are those of {source[0].name}.")
    grid = Grid("Faces", tuple(head), tuple(rows), (total,), tuple(notes))
    return Part(Section("Data", "data", figure.html() + grid_html(grid)), (figure,))


def curves(context: Context) -> Part | None:
    """Losses and scores over the epochs; None where no run has a log."""
    drawn, note = shown(context.main)
    runs = context.main.runs
    logs = {run.name: run.log() for run in runs}
    split = _chosen_on(logs)
    if split is None:
        return None
    methods = [
        (label, [(runs[i].name, logs[runs[i].name], runs[i].epoch) for i in places]) for label, places in members(context.main, drawn)
    ]
    figure = curves_figure("training", split, methods)
    rows = [_training(run, logs[run.name]) for run in runs if run.about is not None]
    head = ("training", "epochs", "kept", "chosen on", "by", "its value there", "images per second")
    grid = Grid("", head, tuple(rows), notes=("The value is that of a single reading, the best of all epochs, and so a little too high.",))
    html = figure.html() + grid_html(grid) + (paragraph(note, "note") if note else "")
    return Part(Section("Training", "training", html), (figure,))


def _training(run: Run, log: list[dict[str, float]]) -> tuple[str, ...]:
    selection: Mapping[str, Any] = {} if run.about is None else run.about.details.get("selection") or {}
    value = selection.get("value")
    speeds = sorted(row["images_per_second"] for row in log if "images_per_second" in row)
    return (
        run.name,
        str(len(log) or "-"),
        "-" if run.epoch is None else str(run.epoch),
        str(selection.get("split", "-")),
        str(selection.get("by", "-")).replace("_", " "),
        f"{100 * value:.1f}" if isinstance(value, float) else "-",
        f"{speeds[len(speeds) // 2]:,.0f}" if speeds else "-",
    )


def _chosen_on(logs: Mapping[str, list[dict[str, float]]]) -> str | None:
    """The split whose scores stand in the logs."""
    keys = {key for log in logs.values() for row in log for key in row}
    return next((split for split in ("validation", "test") if f"{split}_mean_recall" in keys), None)


def _weights(scores: Scores, counts: Mapping[str, int]) -> tuple[list[float], str]:
    """B of the first method that uses class weights, else those of the paper's setting; and a sentence that says which."""
    n = [counts[c] for c in scores.class_names]
    for run in scores.runs:
        method = dict((run.about.method if run.about is not None else None) or {})
        scheme: Any = method.get("weights")
        normalize, beta = method.get("normalize", "sum_to_C"), method.get("beta", 0.999)
        if scheme in get_args(Scheme) and scheme != "none" and normalize in get_args(Normalize) and isinstance(beta, float):
            b = class_weights(n, scheme, beta, normalize)
            scale = "" if scheme == "inverse_mek" else _SCALES[normalize]
            return b.tolist(), f"B as {method.get('name')} uses it: {_FORMULAS[scheme].format(beta=beta)}{scale}."
    b = class_weights(n)
    how = _FORMULAS["effective"].format(beta=0.999) + _SCALES["sum_to_C"]
    return b.tolist(), f"No method here has class weights of that kind; shown is what rbcf would use: {how}."
