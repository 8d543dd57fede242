"""What the methods of several runs are called in a table: by the settings in which they differ."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path

from evenface.data.pictures import same_pictures
from evenface.evaluation.compare import method_labels
from evenface.model_folder import ModelConfig
from evenface.training.config import TrainConfig, load_config
from evenface.training.environment import pictures_in, train_ids


_NO_METHOD = ("seed", "output", "device", "workers", "store", "save_minutes", "tensorboard", "watch")


def labels_of(runs: Sequence[tuple[Path, TrainConfig, ModelConfig]]) -> list[str]:
    """What tells the methods of runs apart; those that differ in nothing but their seed have one label.

    Args:
        runs: folder, settings and best model of each.
    """
    options = []
    seen = _faces([folder for folder, _, _ in runs])
    several: dict[str | None, set[int]] = {}
    for (_, config, _), faces in zip(runs, seen, strict=True):
        several.setdefault(config.data_dir, set()).add(faces)
    in_place = any(len(faces) > 1 for faces in several.values())  # data that were altered where they lie
    inits = [_moved(config.init, folder) for folder, config, _ in runs]
    starts = _starts(set(inits))
    for (_, config, about), init, faces in zip(runs, inits, seen, strict=True):
        settings = {k: v for k, v in dataclasses.asdict(config).items() if k not in ("method", "method_options")}
        settings["init"] = starts[init]
        if in_place:
            settings["faces"] = f"set {faces + 1}"
        method = dict(about.method or {"name": config.method})
        options.append({**settings, "method": method.pop("name"), **method})
    # Where the same faces lie says nothing of a method; other faces do.
    return method_labels(options, ignore=_NO_METHOD if len(set(seen)) > 1 else (*_NO_METHOD, "data_dir"))


def _faces(folders: Sequence[Path]) -> list[int]:
    """A number per run: those that were trained on the same pictures of the same faces have the same one."""
    known: list[tuple[str, dict[str, str]]] = []
    numbers = []
    for folder in folders:
        ids, pictures = train_ids(folder), pictures_in(folder)
        number = next((n for n, (names, others) in enumerate(known) if names == ids and same_pictures(others, pictures)), len(known))
        if number == len(known):
            known.append((ids, pictures))
        else:
            known[number][1].update(pictures)  # an older evenface may not have written down those of the first run
        numbers.append(number)
    return numbers


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


def other_pictures(folders: Sequence[Path]) -> tuple[Path, Path] | None:
    """Two runs that were trained on the same faces by their ids, and not by their pictures."""
    told = [(folder, train_ids(folder), pictures_in(folder)) for folder in folders]
    for (first, ids, pictures), (second, others, theirs) in itertools.combinations(told, 2):
        if ids == others and not same_pictures(pictures, theirs):
            return first, second
    return None
