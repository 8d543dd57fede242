"""The model card, `README.md` of a model folder, written from the run itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evenface.training.config import TrainConfig


_SCORES = "| scores |"

_CARD = """\
---
library_name: evenface
pipeline_tag: image-classification
tags: [facial-expression-recognition, long-tail]
---

# {method} on {dataset}

A facial-expression classifier ({model}, {size} px) that tells {names} apart, trained with evenface {version}.

## How it was trained

| | |
|---|---|
| data | {dataset}; licence of the images: {licence} |
| training faces | {counts} |
| method | {options} |
| start | {init} |
| epoch | {epoch} of {epochs}, chosen by {by} on the {split} split ({value:.1f} %){optimistic} |
| seed | {seed} |
{scores}

Load it with `evenface.model_folder.load_model(folder)`; the input is an RGB face in [0, 1], normalisation is inside.
Score it with `evenface evaluate FOLDER --dataset NAME --data-dir DIR --split test`, which gives every number an interval.

## What it is for, and what it is not

Research on facial expressions, and software that reacts to expressions with the knowledge and consent of the people shown. An
expression is not a feeling: the
model says how a face looks, judged as the annotators of its data would. It must not be used to judge people (hiring, policing,
education, lie detection, credit),
and the European Union's AI Act forbids emotion inference at work and at school.

Known limits: rare classes rest on few training faces (see the counts above); posed or cropped differently than the training
data, faces are recognised less well; how
well it does for different ages, skin tones and cultures has not been measured.
"""


def model_card(config: TrainConfig, details: dict[str, Any]) -> str:
    """The card of a run's best model; `details` is what goes into the model folder's `config.json` beside the architecture."""
    from evenface._version import __version__

    counts = details["train_counts"]
    selection = details["selection"]
    method = dict(details["method"])
    name = method.pop("name")
    return _CARD.format(
        method=name,
        dataset=details["dataset"],
        model=config.model,
        size=config.img_size,
        names=", ".join(counts),
        version=__version__,
        licence=details["data_licence"],
        counts=", ".join(f"{label} {n:,}" for label, n in counts.items()),
        options=name + "".join(f", {key} {value}" for key, value in method.items()),
        init=details["init"].get("summary", config.init),
        epoch=details["epoch"],
        epochs=config.epochs,
        by=selection["by"].replace("_", " "),
        split=selection["split"],
        value=100 * selection["value"],
        optimistic="; optimistic, since it was chosen on test" if selection["protocol"] == "paper" else "",
        seed=config.seed,
        scores=scores_row(details["calibration"]),
    )


def scores_row(calibration: Mapping[str, Any] | None) -> str:
    """The row of the card's table that says how far scores can be trusted; `calibration` as it stands in `config.json`."""
    if calibration is None:
        return f"{_SCORES} not calibrated |"
    data = " ".join(name for name in (calibration["dataset"], calibration["split"]) if name)
    before, _, after = (f"{100 * value:.1f}" for value in calibration["ece"])
    return (
        f"{_SCORES} calibrated on {calibration['n']:,} faces ({data}): temperature {calibration['temperature']:.2f} and a bias per class; "
        f"calibration error {before} % before, {after} % after, on these faces |"
    )


def with_scores_row(card: str, calibration: Mapping[str, Any] | None) -> str:
    """The card with that row in place of the one it has, or after the seed's; a card of another form is left as it is."""
    lines = [line for line in card.splitlines() if not line.startswith(_SCORES)]
    seeds = [i for i, line in enumerate(lines) if line.startswith("| seed |")]
    if not seeds:
        return card
    lines.insert(seeds[0] + 1, scores_row(calibration))
    return "\n".join(lines) + "\n"
