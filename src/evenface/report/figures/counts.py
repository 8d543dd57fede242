"""How many faces each class has to learn from, and the weight B that rebalancing gives it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evenface.report.figures.colours import class_colour, class_edge
from evenface.report.figures.figure import INK, LINE, Figure, canvas, drawn


_BACK = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}  # so that the line at 1 does not cross a number


@drawn
def counts_figure(
    name: str, dataset: str, class_names: Sequence[str], counts: Mapping[str, int], weights: Sequence[float], how: str
) -> Figure:
    """Training faces per class beside the class weights.

    Args:
        counts: class -> training faces.
        weights: B of each class, in their order.
        how: the formula in words.
    """
    drawing = canvas(7.4, 0.33 * len(class_names) + 0.85)
    left, right = drawing.subplots(1, 2, sharey=True, width_ratios=(1.25, 1))
    y = range(len(class_names))
    colours, edges = [class_colour(c) for c in class_names], [class_edge(c) for c in class_names]
    n = [counts[c] for c in class_names]
    for axes, values, texts in ((left, n, [f"{k:,}" for k in n]), (right, weights, [f"{b:.3f}" for b in weights])):
        axes.barh(y, values, height=0.62, color=colours, edgecolor=edges, linewidth=0.7)
        for i, text in enumerate(texts):
            axes.text(values[i] + 0.015 * max(values), i, text, va="center", color=INK, bbox=_BACK, zorder=3)
        axes.set_xlim(0, 1.16 * max(values))
        axes.grid(axis="x", color=LINE)
        axes.tick_params(axis="y", length=0)
    right.axvline(1, color=INK, linewidth=0.8, linestyle=(0, (3, 3)))
    left.set_title("training faces")
    right.set_title("class weight B")
    left.set_yticks(y, class_names)
    left.set_ylim(len(class_names) - 0.45, -0.55)
    seen = [b for b in weights if b > 0]
    caption = (
        f"{sum(n):,} training faces of {dataset}; the largest class has {max(n) / max(1, min(n)):.1f} times the smallest. {how} "
        f"max(B) / min(B) is {max(seen) / min(seen):.2f}; the broken line is B = 1."
    )
    rows = tuple((c, counts[c], b) for c, b in zip(class_names, weights, strict=True))
    return Figure(name, "Training faces and class weights", caption, drawing, ("class", "train", "weight"), rows)
