"""The parts of a card that hold scores: a class per row, the numbers over all classes, the confusion matrix, the other priors, calibration.

Rates are percent with 95 % intervals in brackets: Wilson's for a class, the stratified bootstrap for the numbers over all classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evenface.cards.facts import Facts, Scores, setting, setting_order
from evenface.cards.markdown import percent, rate, table
from evenface.evaluation.records import why_optimistic
from evenface.report.tables import paper_note


TITLES = {"overall": "overall", "mean_recall": "mean recall", "macro_f1": "macro F1"}
_VIEWS = {"none": "one view", "flip": "face and mirror", "experts": "experts weighted"}


def class_order(names: Sequence[str], counts: Mapping[str, int] | None) -> list[str]:
    """By falling number of training faces; as given where that is not known."""
    return sorted(names, key=lambda name: -counts.get(name, 0)) if counts else list(names)


def how(scores: Scores) -> str:
    """`one view, the model's own prior`."""
    prior = "the model's own prior" if scores["prior"] == "model" else f"prior {scores['prior']}"
    return f"{_VIEWS[scores['tta']]}, {prior}"


def score_section(scores: Scores, counts: Mapping[str, int] | None) -> str:
    """The classes, then all of them, with and without the faces that stand in train too."""
    rows = []
    for name in class_order(scores["class_names"], counts):
        row = scores["per_class"][name]
        train = [f"{counts.get(name, 0):,}"] if counts else []
        rows.append((name, *train, f"{row['n']:,}", rate(row["recall"], row["ci95"]), percent(row["precision"]), percent(row["f1"])))
    head = ("class", *(["training faces"] if counts else []), "n", "recall", "precision", "F1")
    again = scores.get("duplicates_of_train")
    rest = (again or {}).get("without")
    columns: list[tuple[str, Mapping[str, Any]]] = [(f"all, n {scores['n']:,}", scores)]
    if again and again["n"] and rest:
        columns.append((f"without duplicates of train, n {rest['n']:,}", rest))
    whole = [(title, *(rate(part[key], part["ci95"][key]) for _, part in columns)) for key, title in TITLES.items()]
    parts = [f"n = {scores['n']:,}, {how(scores)}. Percent, 95 % interval in brackets."]
    parts += [table(head, rows), table(("over all classes", *(name for name, _ in columns)), whole), *_remarks(scores)]
    return "\n\n".join(parts)


def _remarks(scores: Scores) -> list[str]:
    found = []
    again = scores.get("duplicates_of_train")
    if again is None:
        found.append(
            "Scored by the training itself, in its own precision: `evenface evaluate`, in fp32, may count a few faces otherwise. Whether "
            f"faces stand in train too was not looked for; `evenface evaluate RUN --split {scores['split']}` does."
        )
    elif scores["split"] == "train":
        found.append("These are the faces that it has learned from.")
    elif again["n"]:
        found.append(f"{again['n']:,} of the {scores['n']:,} faces stand in train pixel for pixel.")
    else:
        found.append("None of these faces stands in train pixel for pixel.")
    empty = [name for name, row in scores["per_class"].items() if row["n"] == 0]
    if empty:
        found.append(f"No face of {', '.join(empty)}: left out of the means.")
    if scores.get("optimistic"):
        found.append(f"Optimistic: {why_optimistic(scores)} on these {scores['split']} faces; no estimate for new ones.")
    return found + paper_note(scores)


def confusion_section(scores: Scores, counts: Mapping[str, int] | None) -> str:
    """Faces and, behind a stroke, percent of the row."""
    names = list(scores["class_names"])
    order = class_order(names, counts)
    rows = []
    for true in order:
        line = scores["confusion"][names.index(true)]
        total = sum(line)
        cells = (line[names.index(name)] for name in order)
        rows.append((true, *(f"{count:,} / {100 * count / total:.1f}" if total else "-" for count in cells), f"{total:,}"))
    called = [f"{sum(line[names.index(name)] for line in scores['confusion']):,}" for name in order]
    head, last = ("true class", *order, "n"), ("called so", *called, f"{scores['n']:,}")
    words = "A row is what the faces of a class were taken for: faces / percent of the row."
    return f"{setting(scores)}, {how(scores)}. {words}\n\n{table(head, rows, [last])}"


def prior_section(facts: Facts, splits: Sequence[str] = ("test", "validation")) -> str:
    """Every setting that was scored on the run's own data, a line each; empty where there is but one on each split."""
    found = [[s for s in facts.scores if s["own"] and s["split"] == split] for split in splits]
    if not any(len(each) > 1 for each in found):
        return ""
    rows = [
        (
            f"{s['split']}{' (optimistic)' if s.get('optimistic') else ''}",
            s["prior"],
            _VIEWS[s["tta"]],
            *(rate(s[key], s["ci95"][key]) for key in TITLES),
        )
        for each in found
        for s in sorted(each, key=setting_order)
    ]
    words = (
        "How a rare class is decided depends on how frequent it is taken to be (`--prior`): `model` is the model's own answer, `train` as "
        "frequent as in training, `balanced` every expression equally likely, `half` between these two."
    )
    return f"{words}\n\n{table(('split', 'prior', 'views', *TITLES.values()), rows)}"


def calibration_section(calibration: Mapping[str, Any] | None) -> str:
    """What was fitted, on what, and the error before and after."""
    if calibration is None:
        return "Not calibrated: scores are the network's softmax as it is. `evenface calibrate RUN` fits a calibration on validation faces."
    data = " ".join(str(calibration[key]) for key in ("dataset", "split") if calibration.get(key))
    columns = ("before", "temperature alone", "temperature and a bias per class")
    rows = [
        ("temperature", "1", f"{calibration['temperature_only']:.2f}", f"{calibration['temperature']:.2f}"),
        ("calibration error (ECE, 15 bins), %", *(f"{100 * value:.1f}" for value in calibration["ece"])),
        ("negative log-likelihood, nats", *(f"{value:.3f}" for value in calibration["nll"])),
    ]
    words = f"Fitted on {calibration['n']:,} faces ({data}) and measured on the same, so a little too good; not measured on others."
    return f"{words}\n\n{table(('', *columns), rows)}"
