"""Which run or model a folder or a name means, and whether it has been scored."""

from __future__ import annotations

import json
from pathlib import Path

from evenface import zoo
from evenface.errors import ConfigError, ModelError
from evenface.evaluation.records import Scoring
from evenface.model_folder import CONFIG, ModelConfig, standing
from evenface.training.config import TrainConfig, load_config


def is_scored(run: Path, split: str, tta: str, prior: str = "model") -> bool:
    """Whether a run has scores on that split, and they are those of the model that is its best one now (and of its calibration).

    A damaged file says that it has none, so that it is scored anew.
    """
    stem = Scoring(split, tta, prior).stem
    metrics, about = run / f"metrics-{stem}.json", standing(run / "best") / CONFIG
    if not (run / f"predictions-{stem}.parquet").is_file() or not metrics.is_file() or not about.is_file():
        return False
    try:
        then, now = (json.loads(file.read_text(encoding="utf-8")) for file in (metrics, about))
    except ValueError:
        return False
    keys = ("epoch",) if prior == "model" else ("epoch", "calibration")
    return isinstance(then, dict) and isinstance(now, dict) and all(then.get(key) == now.get(key) for key in keys)


def find_model(folder: Path) -> tuple[TrainConfig | None, Path, Path]:
    """Config, folder and model folder of a run, which may be named by its `best` too; or (None, folder, folder) of any other model, which
    may be the name of one that ships.
    """
    if str(folder) in zoo.shipped() and not ((folder / "config.yaml").is_file() or (standing(folder) / CONFIG).is_file()):
        folder = zoo.model_path(str(folder))  # also where a folder of that name holds something else, such as its scores
        return None, folder, folder
    if (folder / "config.yaml").is_file():
        if not standing(folder / "best").is_dir():
            raise ModelError(zoo.no_model(folder))
        return load_config(folder / "config.yaml"), folder, folder / "best"
    if (standing(folder) / CONFIG).is_file():
        place = folder if folder.name not in ("", "..") else folder.resolve()  # named from within
        run = place.parent / "config.yaml"
        if place.name == "best" and run.is_file():
            return load_config(run), place.parent, folder
        return None, folder, folder
    what = "does not exist" if not folder.exists() else "is neither a run (config.yaml) nor a model folder (config.json)"
    raise ConfigError(f"{folder} {what}; give the folder of a run, such as runs/x, or a name of `evenface models list`.")


def chosen_on(about: ModelConfig, split: str) -> bool:
    """Whether the model's epoch was chosen on that split."""
    selection = about.details.get("selection")
    return isinstance(selection, dict) and selection.get("split") == split
