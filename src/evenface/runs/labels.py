"""What the methods of several runs are called in a table: by the settings in which they differ."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Collection, Sequence
from pathlib import Path

from evenface.data.pictures import same_pictures
from evenface.evaluation.compare import method_labels
from evenface.model_folder import ModelConfig
from evenface.training.config import TrainConfig, load_config
from evenface.training.environment import pictures_in, train_ids


_NO_METHOD = ("seed", "output", "device", "workers", "store", "save_minutes", "tensorboard", "watch")
_WHICH_FACES = (
    *("dataset", "data_dir", "classes", "labels", "exclude", "unlabelled", "protocol", "val_fraction"),
    *("imbalance", "imbalance_reading", "label_noise", "data_seed"),
)
"""Settings that say which faces of a data set are learned from."""


def labels_of(runs: Sequence[tuple[Path, TrainConfig, ModelConfig]]) -> list[str]:
    """What tells the methods of runs apart; those that differ in nothing but their seed have one label.

    Args:
        runs: folder, settings and best model of each.
    """
    options = []
    seen = _faces([folder for folder, _, _ in runs])
    places = _places([config.data_dir for _, config, _ in runs], seen)
    inits = [_moved(config.init, folder) for folder, config, _ in runs]
    starts = _starts(set(inits))
    several: dict[str, set[int]] = {}
    known = []
    for (folder, config, _), init, faces in zip(runs, inits, seen, strict=True):
        settings = {k: v for k, v in dataclasses.asdict(config).items() if k not in ("method", "method_options")}
        settings |= {"init": starts[init], "data_dir": places[config.data_dir]}
        if config.exclude is not None and train_ids(folder):  # which tell whether it is the same list
            settings["exclude"] = Path(config.exclude).name
        several.setdefault(repr([settings[name] for name in _WHICH_FACES]), set()).add(faces)
        known.append(settings)
    in_place = any(len(faces) > 1 for faces in several.values())  # data, or a list, that were altered where they lie
    for (_, config, about), settings, faces in zip(runs, known, seen, strict=True):
        if in_place:
            settings["faces"] = f"set {faces + 1}"
        method = dict(about.method or {"name": config.method})
        options.append({**settings, "method": method.pop("name"), **method})
    return method_labels(options, ignore=_NO_METHOD)


def names_of(folders: Sequence[Path], taken: Collection[str]) -> list[str]:
    """What models and scores that belong to no run are called beside runs: by their folder's name; where another one or a method has that
    name, by the path, or else two would be taken for seeds of one method.

    Args:
        taken: the methods' labels.
    """
    whole = [folder.resolve() for folder in folders]
    found = []
    for place in whole:
        given = str(folders[whole.index(place)])  # a folder that is named twice stays one
        namesakes = {other for other in whole if other.name == place.name}
        names = (*([place.name] if len(namesakes) == 1 else []), given, str(place))
        found.append(next((name for name in names if name not in taken), str(place)))
    return found


def _places(data_dirs: Sequence[str | None], seen: Sequence[int]) -> dict[str | None, str | None]:
    """One place for each data set, by every place that it lay at: where the same faces lie says nothing of a method; other faces do.

    Args:
        seen: the faces of each run, as numbers.
    """
    places: dict[str | None, str | None] = {place: place for place in data_dirs}
    first: dict[int, str | None] = {}
    for place, faces in zip(data_dirs, seen, strict=True):
        known, other = places[first.setdefault(faces, place)], places[place]
        places = {each: known if now == other else now for each, now in places.items()}
    return places


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

    def settings_of(init: str, within: tuple[str, ...] = ()) -> tuple[str, str]:
        run = Path(init).parent if Path(init).name == "best" else Path(init)
        if init in within or not (run / "config.yaml").is_file():  # of a run that was made anew, the first may have come from the second
            return init, init
        config = load_config(run / "config.yaml")
        values = {k: v for k, v in dataclasses.asdict(config).items() if k not in _NO_METHOD}
        return f"a run of {config.method}", repr({**values, "init": settings_of(config.init, (*within, init))[1]})

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
