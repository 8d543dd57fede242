"""How the methods compare, the classes one by one, and the confusion matrices."""

from __future__ import annotations

from collections.abc import Sequence

from evenface.evaluation.changes import Changes, confusion_changes
from evenface.evaluation.compare import PairedComparison
from evenface.report.figures.colours import AT_MOST
from evenface.report.figures.confusion import change_figure, confusion_figure
from evenface.report.figures.figure import Figure, csv_text
from evenface.report.figures.recall import recall_figure
from evenface.report.figures.scores import ORDER, gain_figure, scores_figure
from evenface.report.gather import Scores
from evenface.report.grid import Grid
from evenface.report.page import Section, folded, grid_html, paragraph
from evenface.report.parts.classes import ClassScores, class_scores
from evenface.report.parts.part import Context, Part, confusions, estimate, members, per_split, shown, train_counts
from evenface.report.tables import TITLES, comparison_table, methods_table, p_text, points


def methods(context: Context) -> Part:
    """Several trainings side by side, the paired test, and where a difference comes from."""
    figures: list[Figure] = []

    def draw(scores: Scores) -> str:
        found = scores.comparison
        figures.append(scores_figure(f"scores-{scores.split}", scores.split, found))
        parts = [figures[-1].html()]
        if found.pairs:
            parts.append(grid_html(comparison_table(found)))
            pairs, note = _pairs(scores)
            figures.append(gain_figure(f"gain-{scores.split}", scores.split, scores.class_names, scores.n, pairs))
            parts += [figures[-1].html(), paragraph(note, "note") if note else ""]
        if scores.without is not None:
            parts.append(grid_html(_without(scores)))
        if len(scores.runs) > 1:
            parts.append(grid_html(_trainings(scores)))
        return "".join(parts)

    html = per_split(context, draw)
    return Part(Section("Methods compared" if context.main.comparison.pairs else "Over the seeds", "methods", html), tuple(figures))


def classes(context: Context) -> Part:
    """Recall, precision and F1 of each class."""
    figures: list[Figure] = []
    tables: dict[str, str] = {}

    def draw(scores: Scores) -> str:
        drawn, note = shown(scores)
        figures.append(recall_figure(f"recall-{scores.split}", scores.split, scores.class_names, scores.n, drawn))
        found = [(label, class_scores(scores, places)) for label, places in scores.methods]
        tables[f"classes-{scores.split}"] = _classes_csv(scores, found)
        parts = [figures[-1].html(), paragraph(note, "note") if note else ""]
        if len(scores.runs) == 1:
            return "".join([*parts, grid_html(_classes(scores, found[0][1]))])
        parts.append(grid_html(_recalls(scores)))
        others = [grid_html(_side_by_side(scores, found, key)) for key in ("precision", "f1")]
        return "".join([*parts, folded("Precision and F1 of each class", "".join(others))])

    return Part(Section("Class by class", "classes", per_split(context, draw)), tuple(figures), tables)


def confusion(context: Context) -> Part:
    """What is taken for what, and what changes against the baseline."""
    figures: list[Figure] = []

    def draw(scores: Scores) -> str:
        drawn, note = shown(scores)
        panels = [(label, confusions(scores, places)) for label, places in members(scores, drawn)]
        figures.append(confusion_figure(f"confusion-{scores.split}", scores.split, scores.class_names, panels))
        parts = [figures[-1].html()]
        if scores.comparison.pairs:
            pairs, _ = _pairs(scores)
            changed = [(pair.method, found) for pair, found in pairs]
            baseline = scores.comparison.methods[0].method
            figures.append(change_figure(f"change-{scores.split}", scores.split, scores.class_names, scores.n, baseline, changed))
            parts.append(figures[-1].html())
        return "".join([*parts, paragraph(note, "note") if note else ""])

    return Part(Section("What is taken for what", "confusion", per_split(context, draw)), tuple(figures))


def _pairs(scores: Scores) -> tuple[list[tuple[PairedComparison, Changes]], str]:
    """The paired comparisons that can be drawn, with the changes cell by cell."""
    drawn, note = shown(scores)
    places = dict(scores.methods)
    baseline = scores.comparison.methods[0]
    kept = {m.method: m for m in drawn}
    pairs = []
    for pair in scores.comparison.pairs:
        if pair.method not in kept:
            continue
        columns = [
            [place for seed, place in zip(m.seeds, places[m.method], strict=True) if not pair.seeds or seed in pair.seeds]
            for m in (baseline, kept[pair.method])
        ]
        a, b = (scores.predicted[each].T for each in columns)
        pairs.append((pair, confusion_changes(scores.true, a, b, len(scores.class_names), pair_seeds=bool(pair.mcnemar))))
    return pairs, note


def _classes(scores: Scores, found: ClassScores) -> Grid:
    """One training: all three of each class, then the numbers over all classes as `evenface evaluate` gave them."""
    metrics, counts = scores.metrics[0], train_counts(scores)
    recall = scores.comparison.methods[0]
    rows = []
    for i, c in enumerate(scores.class_names):
        train = [f"{counts[c]:,}"] if counts else []
        precision = estimate(found.precision[i], found.precision_ci95[i]) if found.called[i] else "-"
        cells = [precision, f"{found.called[i]:,.0f}", estimate(found.f1[i], found.f1_ci95[i])]
        rows.append((c, *train, f"{scores.n[i]:,}", estimate(recall.recall[i], recall.recall_ci95[i]), *cells))
    blank = [""] * bool(counts)
    total = f"{len(scores.true):,}"
    footer = [(title, *blank, total, estimate(metrics[key], metrics["ci95"][key]), "", "", "") for key, title in TITLES.items()]
    head = ("class", *(["train"] if counts else []), "n", "recall", "precision", "called so", "F1")
    note = (
        "Percent [95 % interval]: Wilson's for a recall, stratified bootstrap for all others. Called so: faces that get this answer, of "
        "which the precision is the share that is right. No interval: all resamples gave the same, which tells nothing of other faces."
    )
    return Grid(f"{scores.dataset}, {scores.split}", head, tuple(rows), tuple(footer), (note,))


def _side_by_side(scores: Scores, found: Sequence[tuple[str, ClassScores]], key: str) -> Grid:
    """Precision or F1 of each class, a column per method; where these are many, a row per method."""
    name = {"precision": "precision", "f1": "F1"}[key]
    cells = [
        [estimate(getattr(each, key)[i], getattr(each, f"{key}_ci95")[i]) for i in range(len(scores.class_names))] for _, each in found
    ]
    labels = [label for label, _ in found]
    note = "Percent [95 % interval, stratified bootstrap over images and seeds]; means over the seeds."
    if len(found) > AT_MOST:
        head = ("method", *(f"{c} (n {n:,})" for c, n in zip(scores.class_names, scores.n, strict=True)))
        rows = tuple((label, *row) for label, row in zip(labels, cells, strict=True))
    else:
        head = (name, "n", *labels)
        rows = tuple((c, f"{scores.n[i]:,}", *(row[i] for row in cells)) for i, c in enumerate(scores.class_names))
    return Grid(name[0].upper() + name[1:], head, rows, notes=(note,))


def _recalls(scores: Scores) -> Grid:
    """Recalls and the numbers over all classes, a column per method; where these are many, recalls with a row per method."""
    found = scores.comparison
    if len(found.methods) <= AT_MOST:
        return methods_table(found, train_counts(scores))
    head = ("method", *(f"{c} (n {n:,})" for c, n in zip(scores.class_names, scores.n, strict=True)))
    rows = tuple((m.method, *map(estimate, m.recall, m.recall_ci95)) for m in found.methods)
    return Grid("Recall", head, rows, notes=("Percent [Wilson's 95 % interval among the class's n images]; means over the seeds.",))


def _classes_csv(scores: Scores, found: Sequence[tuple[str, ClassScores]]) -> str:
    rows = []
    for (label, each), method in zip(found, scores.comparison.methods, strict=True):
        for i, c in enumerate(scores.class_names):
            recall = (method.recall[i], *method.recall_ci95[i])
            others = (each.precision[i], *each.precision_ci95[i], each.called[i], each.f1[i], *each.f1_ci95[i])
            rows.append((label, len(method.seeds), c, scores.n[i], *recall, *others))
    ends = [f"{key}{end}" for key in ("recall", "precision", "f1") for end in ("", "_low", "_high")]
    return csv_text(("method", "seeds", "class", "n", *ends[:6], "called", *ends[6:]), rows)


def _without(scores: Scores) -> Grid:
    """The same without the images that stand in train."""
    found = scores.without
    assert found is not None
    pairs = {pair.method: pair for pair in found.pairs}
    rows = []
    for m in found.methods:
        pair = pairs.get(m.method)
        gain = ["", ""] if pair is None else [points(pair.mean_recall), p_text(pair.holm_p)]
        rows.append((m.method, f"{sum(found.n):,}", estimate(m.mean("mean_recall"), m.ci95["mean_recall"]), *gain))
    count = int(scores.duplicates.sum())
    note = f"{count:,} of {len(scores.true):,} {scores.split} faces are left out: they stand in train pixel for pixel."
    head = ("method", "n", "mean recall", "gain", "Holm p" if len(found.pairs) > 1 else "p")
    return Grid("Without the duplicates of train", head, tuple(rows), notes=(note,))


def _trainings(scores: Scores) -> Grid:
    """Every training by itself, as `evenface evaluate` scored it."""
    rows = []
    for label, places in scores.methods:
        for i in places:
            m, run = scores.metrics[i], scores.runs[i]
            cells = [estimate(m[k], m["ci95"][k]) for k in ORDER]
            rows.append((run.name, label, "-" if run.seed is None else str(run.seed), "" if run.epoch is None else str(run.epoch), *cells))
    head = ("training", "method", "seed", "epoch", "mean recall", "overall", "macro F1")
    note = f"Each on the same {len(scores.true):,} {scores.split} faces. Percent [95 % interval, images drawn anew, of that one training]."
    return Grid("Every training", head, tuple(rows), notes=(note,))
