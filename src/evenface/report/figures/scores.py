"""The numbers over all classes of several methods side by side, and each method's difference to the baseline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evenface.evaluation.changes import Changes
from evenface.evaluation.compare import Comparison, PairedComparison
from evenface.report.figures.colours import AT_MOST, method_style, wrapped
from evenface.report.figures.figure import INK, LINE, SOFT, Figure, canvas, drawn
from evenface.report.tables import TITLES, p_text


ORDER = ("mean_recall", "overall", "macro_f1")


@drawn
def scores_figure(name: str, where: str, comparison: Comparison) -> Figure:
    """Mean recall, overall and macro F1 of every method: the mean over seeds with its interval, and each seed as a small dot."""
    methods = comparison.methods
    drawing = canvas(7.4, 0.34 * len(methods) + 0.75)
    fields = drawing.subplots(1, 3, sharey=True)
    rows = []
    for key, axes in zip(ORDER, fields, strict=True):
        for y, method in enumerate(methods):
            value, (low, high) = method.mean(key), method.ci95[key]
            style = method_style(y) if len(methods) <= AT_MOST else {"color": INK, "marker": "o"}
            axes.hlines(y, 100 * low, 100 * high, color=style["color"], linewidth=1.6)
            seeds = getattr(method, key)
            if len(seeds) > 1:
                axes.plot([100 * s for s in seeds], [y + 0.27] * len(seeds), "|", color=SOFT, markersize=5, markeredgewidth=0.9)
            axes.plot(100 * value, y, linestyle="none", markersize=5, **style)
            rows.append((method.method, key, sum(comparison.n), len(seeds), value, low, high, " ".join(f"{s:.6f}" for s in seeds)))
        axes.set_title(TITLES[key])
        axes.grid(axis="x", color=LINE)
        axes.tick_params(axis="y", length=0)
        axes.margins(x=0.08)
    fields[0].set_yticks(range(len(methods)), [wrapped(m.method, 26, 2) for m in methods])
    fields[0].set_ylim(len(methods) - 0.5, -0.55)
    drawing.supxlabel("percent", fontsize=8)
    several = any(len(m.seeds) > 1 for m in methods)
    drawn_anew = "images and trainings" if several else "images"
    caption = f"On {where}, {sum(comparison.n):,} images. Lines: 95 % bootstrap intervals, {drawn_anew} drawn anew."
    caption += " Small strokes: the seeds." if several else ""
    caption += " Overlap is no test: see the paired comparison." if len(methods) > 1 else ""
    columns = ("method", "score", "n", "seeds", "value", "low", "high", "values")
    return Figure(name, f"Over all classes, {where}", caption, drawing, columns, tuple(rows))


@drawn
def gain_figure(
    name: str, where: str, class_names: Sequence[str], n: Sequence[int], pairs: Sequence[tuple[PairedComparison, Changes]]
) -> Figure:
    """What one to five methods gain over the baseline in each class and in the mean recall, with paired intervals."""
    names = ["mean recall", *class_names]
    step = len(pairs) + 1.2
    drawing = canvas(4.8, 0.13 * step * len(names) + 0.7 + 0.17 * len(pairs))
    axes = drawing.subplots()
    rows: list[tuple[Any, ...]] = []
    for m, (pair, found) in enumerate(pairs):
        style = method_style(m + 1)
        mean = pair.mean_recall
        values = [mean.value, *found.value.diagonal()]
        ends = [mean.ci95, *(tuple(found.ci95[i, i]) for i in range(len(class_names)))]
        for i, (label, value, (low, high)) in enumerate(zip(names, values, ends, strict=True)):
            p = mean.p_value if i == 0 else None
            holm = pair.holm_p if i == 0 else None
            rows.append((label, sum(n) if i == 0 else n[i - 1], pair.method, pair.baseline, value, low, high, p, holm))
            if value != value:
                continue
            axes.hlines(i * step + m, 100 * low, 100 * high, color=style["color"], linewidth=1.4)
        y = [i * step + m for i in range(len(names))]
        text = f"{wrapped(pair.method, 60, 2)}  (mean recall: p {p_text(pair.holm_p)})"
        axes.plot([100 * v for v in values], y, linestyle="none", markersize=4.2, label=text, **style)
    axes.axvline(0, color=INK, linewidth=0.9)
    for i in range(0, len(names), 2):
        axes.axhspan(i * step - 1.1, i * step + step - 1.1, color="#f3f2ee", linewidth=0, zorder=0)
    axes.set_yticks(
        [i * step + (len(pairs) - 1) / 2 for i in range(len(names))],
        [f"{c}  (n {k:,})" for c, k in zip(names, [sum(n), *n], strict=True)],
    )
    axes.get_yticklabels()[0].set_fontweight("bold")
    axes.set_ylim(len(names) * step - 1.1, -1.1)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=LINE)
    axes.set_xlabel(f"points gained over {wrapped(pairs[0][0].baseline, 40, 1)}")
    drawing.legend(loc="outside upper left", ncols=1, handletextpad=0.3)
    corrected = "Holm's p for several methods" if len(pairs) > 1 else "p"
    caption = (
        f"Differences to {pairs[0][0].baseline} on {where}, the same {sum(n):,} images for all; lines are paired 95 % bootstrap intervals. "
        f"The test is on the mean recall ({corrected}); the classes show where a difference comes from and are not tested one by one."
    )
    columns = ("what", "n", "method", "baseline", "difference", "low", "high", "p", "holm_p")
    return Figure(name, f"What is gained over {pairs[0][0].baseline}, {where}", caption, drawing, columns, tuple(rows))
