"""The numbers of `evenface explain` as tables.

rich.print(check_table(check_methods(...), "200 faces of ferplus validation"))
"""

from __future__ import annotations

from evenface.explain.consistency import Agreement, Consistency
from evenface.explain.faithfulness import Faithfulness, Mean
from evenface.report.grid import Grid


def check_table(found: Faithfulness, title: str) -> Grid:
    """Insertion, deletion and gain of each method; the baselines stand below the line."""
    rows = [(row.method, _mean(row.insertion), _mean(row.deletion), "" if row.gain is None else _mean(row.gain, "+")) for row in found.rows]
    notes = (
        f"Areas under the score of the class that the model chose, 0 to 1. The faces score {found.whole:.3f}, blurred {found.blurred:.3f}.",
        "insertion: higher is better; deletion: lower. gain: (insertion - deletion) - that of random maps; 0 tells nothing.",
        "A method that is no better than centre, the same map for all faces, tells little of the single face.",
    )
    head = ("method", "insertion", "deletion", "gain")
    return Grid(f"Insertion and deletion, {title}", head, tuple(rows[:-2]), footer=tuple(rows[-2:]), notes=notes)


def consistency_table(found: Consistency, title: str) -> Grid:
    """A row per class of the faces, and one for all."""
    rows = [_row(name, each) for name, each in found.classes.items()]
    loss = "" if found.loss is None else f"l_rbc (equation 3, B of the training faces, beta 0.999): {_mean(found.loss)}. "
    notes = (
        f"{loss}Standard deviation of a face's logits over the classes: {found.scale:.2f}.",
        "squared: mean over classes and cells of (A - A_back)^2; own: of the face's own class. Both grow with the logits' scale.",
        "correlation: of the places, free of scale. same class: the model's answer to face and mirror, %.",
    )
    head = ("faces of", "n", "squared", "own", "correlation", "same class")
    return Grid(f"Class maps of faces and mirrors, {title}", head, tuple(rows), footer=(_row("all", found.all),), notes=notes)


def _row(name: str, each: Agreement) -> tuple[str, ...]:
    agree = _mean(each.agree, digits=1, scale=100)
    squared, own = (_mean(value, digits=_digits(value.value)) for value in (each.mean_squared, each.own))
    return (name, f"{each.n:,}", squared, own, _mean(each.correlation), agree)


def _digits(value: float) -> int:
    """Behind the point, for numbers of any size: three that count, or all before it."""
    return max(0, 3 - len(f"{value:.0f}")) if value >= 1 else 3


def _mean(value: Mean, sign: str = "", digits: int = 3, scale: float = 1) -> str:
    mean = f"{scale * value.value:{sign}.{digits}f}"
    return mean if value.ci95 is None else f"{mean} [{', '.join(f'{scale * end:.{digits}f}' for end in value.ci95)}]"
