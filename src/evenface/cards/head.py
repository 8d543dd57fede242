"""The head of a card, for machines: YAML as the Hugging Face Hub reads it, with the scores as its `model-index`.

head(facts)          # "---\nlibrary_name: evenface\n...---\n"

Each data set and split has one result, of the model as it is (one view, its own prior, where that was scored): rates from 0 to 1, intervals
and counts beside them under `args`. `revision` is the fingerprint of the run's data, by which evenface tells data sets of one name apart.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from evenface.cards.facts import Facts, Scores


_METRICS = {
    "overall": ("accuracy", "overall"),
    "mean_recall": ("recall", "mean recall"),
    "macro_f1": ("f1", "macro F1"),
}  # ours -> the Hub's name, and the one for people

_OF_THE_HUB = {
    "afl-3.0", "apache-2.0", "artistic-2.0", "bsd", "bsd-2-clause", "bsd-3-clause", "bsl-1.0", "cc", "cc0-1.0", "gpl", "isc", "mit",
    "openrail", "unlicense", "wtfpl", "zlib", *(f"cc-by{kind}-4.0" for kind in ("", "-sa", "-nc", "-nd", "-nc-nd", "-nc-sa")),
    *(f"cc-by{kind}-3.0" for kind in ("", "-sa", "-nc", "-nc-nd", "-nc-sa")), *(f"gpl-{n}" for n in ("2.0", "3.0")), "agpl-3.0",
    "lgpl-2.1", "lgpl-3.0", "mpl-2.0", "epl-2.0", "eupl-1.1", "cdla-permissive-2.0", "odc-by", "odbl", "pddl",
}  # fmt: skip
"""Licences that the Hugging Face Hub knows by these names, and finds models by."""


def head(facts: Facts) -> str:
    """The head with its rulers; it ends with a line break."""
    config = facts.config
    values: dict[str, Any] = {}
    if config.get("licence"):
        name = slug(str(config["licence"]))
        values |= {"license": name} if name in _OF_THE_HUB else {"license": "other", "license_name": name}
    if config.get("data_licence"):
        values["data_license"] = config["data_licence"]
    method = (config.get("method") or {}).get("name")
    tags = ["facial-expression-recognition", "long-tail", *([str(method)] if method else [])]
    values |= {"library_name": "evenface", "pipeline_tag": "image-classification", "tags": tags}
    shown = shown_scores(facts)
    if shown:
        values["metrics"] = [theirs for theirs, _ in _METRICS.values()]
        values["model-index"] = [{"name": facts.name, "results": [_result(facts, scores) for scores in shown]}]
    return f"---\n{yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=140)}---\n"


def shown_scores(facts: Facts) -> list[Scores]:
    """One of each data set and split; the run's own test first."""
    order = ("test", "validation", "train")
    own = [facts.best_scores(split) for split in order]
    names = sorted({s["dataset"] for s in facts.scores if not s["own"]})
    others = [facts.best_scores(split, name) for name in names for split in order]
    return [scores for scores in (*own, *others) if scores is not None]


def slug(licence: str) -> str:
    """A licence in words as a name: "research use only (FER2013 images)" is "research-use-only"."""
    return re.sub(r"[^a-z0-9.]+", "-", licence.partition("(")[0].lower()).strip("-") or "other"


def _result(facts: Facts, scores: Scores) -> dict[str, Any]:
    repeated = (scores.get("duplicates_of_train") or {}).get("n")
    args = {
        "n": scores["n"],
        "n_per_class": {name: row["n"] for name, row in scores["per_class"].items()},
        **({} if repeated is None else {"duplicates_of_train": repeated}),
        "tta": scores["tta"],
        "prior": scores["prior"],
        **({"optimistic": True} if scores.get("optimistic") else {}),
    }
    ids = (facts.run.get("environment") or {}).get("data_ids") if scores["own"] else None
    about = {"name": scores["dataset"], "type": scores["dataset"], "split": scores["split"]}
    metrics = [
        {
            "type": theirs,
            "name": words,
            "value": round(scores[ours], 4),
            "args": {**({} if ours == "overall" else {"average": "macro"}), "ci95": [round(end, 4) for end in scores["ci95"][ours]]},
        }
        for ours, (theirs, words) in _METRICS.items()
    ]
    return {
        "task": {"type": "image-classification", "name": "facial expression recognition"},
        "dataset": {**about, **({"revision": ids} if ids else {}), "args": args},
        "metrics": metrics,
    }
