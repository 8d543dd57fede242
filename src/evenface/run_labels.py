"""What the methods of several runs are called in a table: by the settings in which they differ."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from evenface.evaluation.compare import method_labels
from evenface.model_folder import ModelConfig
from evenface.training.config import TrainConfig, load_config


_NO_METHOD = ("seed", "output", "device", "workers", "store", "save_minutes", "tensorboard", "watch")


def labels_of(runs: Sequence[tuple[Path, TrainConfig, ModelConfig]]) -> list[str]:
    """What tells the methods of runs apart; those that differ in nothing but their seed have one label.

    Args:
        runs: folder, settings and best model of each.
    """
    options = []
    inits = [_moved(config.init, folder) for folder, config, _ in runs]
    starts = _starts(set(inits))
    for (_, config, about), init in zip(runs, inits, strict=True):
        settings = {k: v for k, v in dataclasses.asdict(config).items() if k not in ("method", "method_options")}
        settings["init"] = starts[init]
        method = dict(about.method or {"name": config.method})
        options.append({**settings, "method": method.pop("name"), **method})
    # Where the same faces lie says nothing of a method; other faces do.
    faces = {train_ids(folder) for folder, _, _ in runs}
    return method_labels(options, ignore=_NO_METHOD if len(faces) > 1 else (*_NO_METHOD, "data_dir"))


def _moved(init: str, folder: Path) -> str:
    """Where the start of a run lies now: beside it, if the folder of both was renamed or moved. A run keeps whole paths."""
    if not Path(init).is_absolute():
        return init
    inside = Path(init).parts[-2:] if Path(init).name == "best" else Path(init).parts[-1:]
    place = folder.resolve().parent.joinpath(*inside)
    return str(place) if not Path(init).exists() and place.exists() else init


def _starts(inits: set[str]) -> dict[str, str]:
    """What each `init` is called in a label: runs that are the same but for their seed have one name (each seed goes on from its own)."""

    def settings_of(init: str) -> tuple[str, str]:
        run = Path(init).parent if Path(init).name == "best" else Path(init)
        if not (run / "config.yaml").is_file():
            return init, init
        config = load_config(run / "config.yaml")
        values = {k: v for k, v in dataclasses.asdict(config).items() if k not in _NO_METHOD}
        return f"a run of {config.method}", repr({**values, "init": settings_of(config.init)[1]})

    found = {init: settings_of(init) for init in inits}
    names: dict[str, dict[str, str]] = {}  # name -> key -> label
    for name, key in sorted(set(found.values())):
        names.setdefault(name, {})[key] = name
    for name, keys in names.items():
        if len(keys) > 1:
            keys.update({key: f"{name} ({place})" for place, key in enumerate(keys, 1)})
    return {init: names[name][key] for init, (name, key) in found.items()}


def train_ids(run: Path) -> str:
    """The fingerprint of a run's training faces; empty where the run does not say."""
    try:
        return str(json.loads((run / "environment.json").read_text()).get("data_ids", ""))
    except (OSError, ValueError, AttributeError):
        return ""
