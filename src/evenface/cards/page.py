"""A model card as Markdown, from the facts of a run alone.

text = card(gather(Path("runs/x"), config))

What was not measured is said so. The order is that of a reader who has to decide: what it is, how good, what for, where it fails, then the
tables, then how it came about.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evenface.cards.facts import Facts, Scores, setting
from evenface.cards.failures import failure_section
from evenface.cards.head import head, shown_scores
from evenface.cards.markdown import listed, pairs, rate
from evenface.cards.scores import calibration_section, confusion_section, prior_section, score_section
from evenface.evaluation.records import why_optimistic


_USE = """\
Research on facial expressions, and software that reacts to expressions with the knowledge and consent of the people shown. An
expression is not a feeling: the model says how a face looks, judged as the annotators of its data would.

**It must not be used to judge people** (hiring, policing, border control, education, insurance, credit, lie detection), nor to
watch people without their knowledge, nor to diagnose. The European Union's AI Act (article 5) forbids inferring emotions at work and in
education, but for medical or safety reasons.

**Out of scope**: faces that are cut out or turned in another way than its training faces, drawings, animals, and expressions other
than {names}."""

_NOT_MEASURED = (
    "**Not measured**: how well it does for different ages, genders, skin tones and cultures; under other cameras, light, poses and "
    "occlusions than those of its data; on video; and how often people agree with each other on these faces."
)

_HOW = """\
```sh
evenface predict photo.jpg --model FOLDER
evenface evaluate FOLDER --dataset NAME --data-dir DIR --split test -o scores
```

FOLDER is where this file lies; a model that ships with evenface goes by its name. In Python
`evenface.Recognizer.from_pretrained(folder)` cuts faces out as this model knows them. The network itself
(`evenface.model_folder.load_model(folder)`) takes aligned RGB faces in [0, 1]; normalisation is inside."""


def card(facts: Facts) -> str:
    """The whole card; it ends with a line break."""
    config = facts.config
    counts = config.get("train_counts")
    shown = shown_scores(facts)
    main = next((s for s in shown if s["own"]), shown[0] if shown else None)
    parts = [f"# {facts.name}", _summary(facts, main)]
    if facts.notes.strip():
        parts.append(facts.notes.strip())
    parts += ["## What it is for, and what it must not be used for", _USE.format(names=listed(config["class_names"]))]
    parts += ["## Known failures"]
    parts += [_not_scored(facts) if main is None else failure_section(facts, main), _NOT_MEASURED]
    for scores in shown:
        place = scores["split"] if scores["own"] else f"other data: {scores['dataset']} {scores['split']}"
        parts += [f"## Scores on {place}", score_section(scores, counts)]
        if scores is main:
            parts += ["## Confusion", confusion_section(scores, counts)]
    priors = prior_section(facts)
    if priors:
        parts += ["## Other priors and views", priors]
    if facts.left_out:
        again = f"Left out, for they are of an earlier epoch or calibration: {'; '.join(map(setting, facts.left_out))}."
        parts += [f"{again} `evenface evaluate` scores them anew."]
    parts += ["## Calibration", calibration_section(config.get("calibration"))]
    parts += ["## How it was trained", pairs(_training(facts)), *_command(facts)]
    parts += ["## Licence", _licence(config), "## How to use it", _HOW]
    return f"{head(facts)}\n" + "\n\n".join(parts) + "\n"


def _summary(facts: Facts, main: Scores | None) -> str:
    config = facts.config
    method = (config.get("method") or {}).get("name")
    by = f"trained with the method `{method}`" if method else "trained by a method that is not known"
    on = f" on {config['dataset']}" if config.get("dataset") else ""
    names = listed(config["class_names"])
    what = f"A facial-expression classifier ({config['architecture']}, {config['img_size']} px), {by}{on}, that tells {names} apart."
    if main is None:
        return what
    numbers = (
        f"overall {rate(main['overall'], main['ci95']['overall'])}, mean recall {rate(main['mean_recall'], main['ci95']['mean_recall'])}"
    )
    caution = f" (optimistic: {why_optimistic(main)} on these faces)" if main.get("optimistic") else ""
    return f"{what} On {main['dataset']} {main['split']} (n = {main['n']:,}): {numbers}, percent with 95 % intervals{caution}."


def _not_scored(facts: Facts) -> str:
    return "Nothing has been measured class by class. `evenface evaluate RUN --split test` does, and renews this card."


def _training(facts: Facts) -> list[tuple[str, str]]:
    """Rows of two texts; a row only for what is known."""
    config, run = facts.config, facts.run
    settings, environment = run.get("settings") or {}, run.get("environment") or {}
    counts, method, init = config.get("train_counts"), dict(config.get("method") or {}), config.get("init") or {}
    rows = []
    if config.get("dataset"):
        labels = f", labels: {settings['labels']}" if config["dataset"] == "ferplus" and settings.get("labels") else ""  # from its votes
        rows.append(("data", f"{config['dataset']}{labels}; licence: {config.get('data_licence') or 'not stated'}"))
    if environment.get("notes"):
        rows.append(("how they were read", " ".join(map(str, environment["notes"]))))
    if counts:
        rows.append(("training faces", f"{sum(counts.values()):,}: " + ", ".join(f"{name} {n:,}" for name, n in counts.items())))
    if method:
        name = method.pop("name", None)
        rows.append(("method", ", ".join([f"`{name}`" if name else "not known", *(f"`{key}` {value}" for key, value in method.items())])))
    for each in config.get("teachers") or []:
        rows.append(("teacher", f"{each['name']}; sha256 `{each['sha256']}`"))
    if init:
        whole = f"; sha256 `{init['sha256']}`" if init.get("sha256") else ""
        rows.append(("start", f"{str(init.get('summary') or init.get('source') or 'not known').rstrip('.')}{whole}"))
    rows += _optimiser(settings)
    rows += _epoch(facts)
    if "seed" in settings:
        rows.append(("seed", f"{settings['seed']}; one run, so nothing is known of other seeds"))
    if config.get("alignment"):
        rows.append(("faces", _alignment(config["alignment"])))
    if environment:
        rows.append(("made with", _versions(environment, config)))
    rows.append(("speed of training", _speed(run, environment)))
    rows.append(("speed in use", "not measured for this model"))
    stored = "weights kept in float16; the scores are of float32" if config.get("weights_dtype") == "float16" else "float32"
    rows.append(("weights", stored))
    return rows


def _optimiser(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    if "optimizer" not in settings:
        return []
    more = [f"{words} {settings[key]}" for key, words in _FURTHER.items() if settings.get(key)]
    views = [f"{key} {settings[key]}" for key in ("hflip", "erase", "jitter", "rotate", "scale", "shift", "noise") if settings.get(key)]
    names = {"lr": "learning rate", "weight_decay": "weight decay", "schedule": "schedule", "batch_size": "batch"}
    text = [str(settings["optimizer"]), *(f"{words} {settings[key]}" for key, words in names.items() if key in settings)]
    return [("optimiser", ", ".join([*text, *more])), ("augmentation", ", ".join(views) or "none")]


_FURTHER = {
    "warmup_epochs": "warm-up epochs",
    "clip_grad": "gradient norm at most",
    "ema": "moving average of the weights",
    "dropout": "dropout",
    "imbalance": "made imbalanced by",
    "label_noise": "share of labels made wrong",
}


def _epoch(facts: Facts) -> list[tuple[str, str]]:
    epoch, chosen = facts.config.get("epoch"), facts.config.get("selection")
    if epoch is None or not isinstance(chosen, dict):
        return []
    epochs, done = (facts.run.get("settings") or {}).get("epochs"), facts.run.get("epochs")
    of = f" of {epochs}" if epochs else ""
    text = f"{epoch}{of}, chosen by {str(chosen.get('by')).replace('_', ' ')} on the {chosen.get('split')} split"
    value = chosen.get("value")
    text += f" ({100 * value:.1f} %)" if isinstance(value, int | float) else ""
    text += f", protocol `{chosen.get('protocol')}`"
    if chosen.get("protocol") == "paper":
        text += "; optimistic on test, since it was chosen there"
    if isinstance(epochs, int) and done is not None and done < epochs:
        text += f"; {done} epochs were done when this was written"
    return [("epoch", text)]


def _alignment(value: Any) -> str:
    return ", ".join(f"{key} {each}" for key, each in value.items()) if isinstance(value, dict) else str(value)


def _versions(environment: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    packages = environment.get("packages") or {}
    known = [f"evenface {environment.get('evenface') or config.get('evenface')}", f"Python {environment.get('python')}"]
    known += [f"{name} {packages[name]}" for name in ("torch", "torchvision", "timm", "numpy") if name in packages]
    return ", ".join(known)


def _speed(run: Mapping[str, Any], environment: Mapping[str, Any]) -> str:
    if not run.get("images_per_second"):
        return "not measured"
    threads = environment.get("threads")
    place = [f"on {environment['device']}" if environment.get("device") else "", str(environment.get("precision") or "")]
    place += [f"{threads} thread{'s' if threads != 1 else ''}" if threads and environment.get("device") == "cpu" else ""]
    whole = f", {run['minutes']:.0f} minutes in all" if run.get("minutes") else ""
    return f"{run['images_per_second']:.0f} faces a second ({', '.join(filter(None, place))}; median of the epochs){whole}"


def _command(facts: Facts) -> list[str]:
    command = (facts.run.get("environment") or {}).get("command")
    return [f"```sh\n{command}\n```"] if command else []


def _licence(config: Mapping[str, Any]) -> str:
    weights = config.get("licence")
    stated = f"Weights: {weights}." if weights else "Weights: nobody has stated a licence for them."
    data = config.get("data_licence") or "no licence is stated"
    taught = [each["data_licence"] for each in config.get("teachers") or [] if each.get("data_licence")]
    data += "".join(f"; their teacher's: {each}" for each in dict.fromkeys(taught))
    return f"{stated} Data that they learned from: {data}. Whoever passes the weights on has to clear both."
