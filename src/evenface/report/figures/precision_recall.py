"""Precision against recall of each class, as the threshold on its score falls."""

from __future__ import annotations

from collections.abc import Sequence

from evenface.evaluation.ranking import LEVELS, Rankings
from evenface.report.figures.colours import class_colour, class_edge, method_style, wrapped
from evenface.report.figures.figure import LINE, SOFT, Figure, canvas, drawn
from evenface.report.tables import percent


@drawn
def precision_recall_figure(name: str, where: str, class_names: Sequence[str], methods: Sequence[tuple[str, Rankings]]) -> Figure:
    """A small diagram per class, four in a row; in the colour of the class for one method, of the methods for several."""
    across = min(4, len(class_names))
    down = -(-len(class_names) // across)
    drawing = canvas(1.85 * across, 1.95 * down + 0.17 * len(methods) * (len(methods) > 1) + 0.2)
    fields = drawing.subplots(down, across, squeeze=False, sharex=True, sharey=True).ravel()
    total = int(methods[0][1].n.sum())
    rows = []
    for c, axes in enumerate(fields):
        if c >= len(class_names):
            axes.remove()
            continue
        label = class_names[c]
        for m, (method, found) in enumerate(methods):
            rows += [(label, method, int(found.n[c]), float(r), float(p)) for r, p in zip(LEVELS, found.precision[c], strict=True)]
            if not found.n[c]:
                continue
            colour = class_edge(label) if len(methods) == 1 else method_style(m)["color"]
            text = wrapped(method, 60, 2) if c == 0 and len(methods) > 1 else None
            axes.plot(100 * LEVELS, 100 * found.precision[c], drawstyle="steps-pre", color=colour, linewidth=1.2, label=text)
            if len(methods) == 1:
                axes.fill_between(100 * LEVELS, 100 * found.precision[c], step="pre", color=class_colour(label), alpha=0.35, linewidth=0)
                text = f"AP {percent(found.average_precision[c])}\n[{percent(found.ci95[c, 0])}, {percent(found.ci95[c, 1])}]"
                axes.text(5, 6, text, fontsize=7, va="bottom")
        axes.axhline(100 * methods[0][1].n[c] / total, color=SOFT, linewidth=0.8, linestyle=(0, (3, 3)))
        axes.set_title(f"{label}  (n {methods[0][1].n[c]:,})", fontsize=8)
        axes.set_xlim(0, 100)
        axes.set_ylim(0, 102)
        axes.grid(color=LINE)
    drawing.supxlabel("recall, percent", fontsize=8)
    drawing.supylabel("precision, percent", fontsize=8)
    if len(methods) > 1:
        drawing.legend(loc="outside upper left", ncols=1 if len(methods) > 2 else 2)
    means = "; means over the seeds" if any(len(found.per_seed) > 1 for _, found in methods) else ""
    caption = (
        f"Each class against the rest, {where}, {total:,} faces, at every hundredth of recall, nothing interpolated{means}. The broken "
        "line is a ranking at random: the share of the class. Average precisions (AP) have 95 % bootstrap intervals."
    )
    return Figure(name, f"Precision and recall, {where}", caption, drawing, ("class", "method", "n", "recall", "precision"), tuple(rows))
