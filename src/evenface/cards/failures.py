"""Known failures, computed from the confusion matrix of a split: what is missed, what is called too often, what nobody can say.

A class is rare where it has less than a quarter of its equal share of the training faces, and has too few faces on a split where there are
fewer than 30, or where its recall's 95 % interval is wider than 30 points.
"""

from __future__ import annotations

from collections.abc import Mapping

from evenface.cards.facts import Facts, Scores, setting
from evenface.cards.markdown import listed, percent, rate, share, table
from evenface.cards.scores import class_order, how


FEW, WIDE = 30, 0.30
RARE = 0.25
_SHOWN = 3


def failure_section(facts: Facts, scores: Scores) -> str:
    """Of the scores of one split."""
    counts = facts.config.get("train_counts")
    points = [*_missed(scores), *_false_alarms(scores), *_confused(scores), *_too_few(scores), *_duplicates(scores)]
    parts = [f"Computed from {setting(scores)} (n = {scores['n']:,}, {how(scores)}); 95 % intervals in brackets."]
    parts += ["\n".join(f"- {point}" for point in points)] * bool(points)
    parts += _rare(facts, scores, counts) if counts else []
    return "\n\n".join(parts)


def _missed(scores: Scores) -> list[str]:
    """The classes of the lowest recall, and what they are taken for."""
    names, matrix = scores["class_names"], scores["confusion"]
    rows = [(name, row) for name, row in zip(names, matrix, strict=True) if sum(row)]
    rows.sort(key=lambda each: each[1][names.index(each[0])] / sum(each[1]))
    found = []
    for name, row in rows[:_SHOWN]:
        total, right = sum(row), row[names.index(name)]
        if right == total:
            continue
        others = sorted(((count, other) for other, count in zip(names, row, strict=True) if other != name and count), reverse=True)
        taken = ", ".join(f"{other} {count} ({share(count, total)})" for count, other in others[:2])
        found.append(f"**{name}** is found in {right:,} of {total:,} faces, {share(right, total)}; taken for {taken}.")
    return found


def _false_alarms(scores: Scores) -> list[str]:
    """The classes of the lowest precision, and those that are never named."""
    names, matrix = scores["class_names"], scores["confusion"]
    called = [sum(row[i] for row in matrix) for i in range(len(names))]
    never = [name for name, count, row in zip(names, called, matrix, strict=True) if not count and sum(row)]
    found = [f"**{listed(never)}**: no face was called so."] if never else []
    order = sorted((i for i in range(len(names)) if called[i]), key=lambda i: matrix[i][i] / called[i])
    for i in order[:2]:
        if matrix[i][i] < called[i]:
            most = max((j for j in range(len(names)) if j != i), key=lambda j: matrix[j][i])
            right = f"{matrix[i][i]:,} of {called[i]:,} times, {share(matrix[i][i], called[i])}"
            found.append(f"Where it says **{names[i]}**, it is right {right}; {matrix[most][i]:,} of the others are {names[most]}.")
    return found


def _confused(scores: Scores) -> list[str]:
    """The most frequent errors, by faces."""
    names, matrix = scores["class_names"], scores["confusion"]
    size = range(len(names))
    cells = sorted(((matrix[i][j], -i, -j) for i in size for j in size if i != j and matrix[i][j]), reverse=True)[:_SHOWN]
    if not cells:
        return []
    wrong = sum(sum(row) for row in matrix) - sum(matrix[i][i] for i in size)
    said = [f"{names[-i]} taken for {names[-j]} ({count:,} of {sum(matrix[-i]):,})" for count, i, j in cells]
    return [f"The most frequent of its {wrong:,} errors: {'; '.join(said)}."]


def _too_few(scores: Scores) -> list[str]:
    """Classes of which the split can say little or nothing."""
    rows = scores["per_class"]
    few = [name for name, row in rows.items() if row["n"] and (row["n"] < FEW or row["ci95"][1] - row["ci95"][0] > WIDE)]
    none = [name for name, row in rows.items() if not row["n"]]
    said = [f"{name} (n {rows[name]['n']}, recall {rate(rows[name]['recall'], rows[name]['ci95'])})" for name in few]
    found = [f"Too few faces to say more than that: {', '.join(said)}."] if said else []
    return [*found, f"No face of {listed(none)}: nothing can be said."] if none else found


def _duplicates(scores: Scores) -> list[str]:
    again = scores.get("duplicates_of_train")
    if not again or not again["n"] or not again["without"]:
        return []
    rest = again["without"]
    seen = f"{again['n']:,} of the faces stand in train pixel for pixel"
    return [f"{seen}; without them the mean recall is {percent(rest['mean_recall'])} in place of {percent(scores['mean_recall'])}."]


def rare_classes(counts: Mapping[str, int]) -> list[str]:
    """Those with less than a quarter of an equal share of the training faces, the most frequent first."""
    equal = sum(counts.values()) / len(counts)
    return [name for name in class_order(list(counts), counts) if counts[name] < RARE * equal]


def _rare(facts: Facts, scores: Scores, counts: Mapping[str, int]) -> list[str]:
    """What asking for equal classes does to the rare ones."""
    rare = [name for name in rare_classes(counts) if scores["per_class"][name]["n"]]
    if not rare:
        return []
    same = [s for s in facts.scores if (s["own"], s["dataset"], s["split"], s["tta"]) == tuple(scores[k] for k in _SAME)]
    balanced = next((s for s in same if s["prior"] == "balanced"), None)
    if balanced is None or scores["prior"] != "model":
        return [f"How precise the rare classes ({listed(rare)}) are under `--prior balanced` has not been measured on {scores['split']}."]
    rows = []
    for name in rare:
        for each in (scores, balanced):
            i = each["class_names"].index(name)
            row, called = each["per_class"][name], sum(line[i] for line in each["confusion"])
            right = each["confusion"][i][i]
            precision = share(right, called).replace(" %", "") if called else "-"
            rows.append((name, each["prior"], f"{row['n']:,}", rate(row["recall"], row["ci95"]), f"{called:,}", precision))
    words = (
        f"The rare classes ({listed(rare)}) under `--prior balanced`, which finds more of them and calls others so more often "
        f"({setting(balanced)}):"
    )
    if sum(_found(balanced, n) for n in rare) <= sum(_found(scores, n) for n in rare):
        words = f"The rare classes ({listed(rare)}) under `--prior balanced` ({setting(balanced)}):"
    return [words, table(("class", "prior", "n", "recall", "called so", "precision"), rows)]


_SAME = ("own", "dataset", "split", "tta")


def _found(scores: Scores, name: str) -> int:
    i = scores["class_names"].index(name)
    return int(scores["confusion"][i][i])
