"""Whether a run that goes on has the settings and the faces that it began with."""

from __future__ import annotations

from typing import Any

from evenface.data.manifest import Manifest
from evenface.data.pictures import pictures_of, same_pictures
from evenface.data.store import FaceStore
from evenface.errors import ConfigError, ModelError
from evenface.training.config import TrainConfig, lasting
from evenface.training.environment import environment_of, pictures_in
from evenface.training.folder import RunFolder, fingerprint


def check_settings(saved: dict[str, Any], config: TrainConfig) -> None:
    """Refuses to go on with other settings than a run began with; a state of an earlier evenface does not tell them.

    Raises:
        ConfigError: names those that differ.
    """
    now = lasting(config)
    was = {**now, **saved["settings"]} if "settings" in saved else now
    if changed := [f"{name} is {value!r} and was {was[name]!r}" for name, value in now.items() if was[name] != value]:
        raise ConfigError(
            f"{config.folder / 'config.yaml'} is not as this run began: {'; '.join(changed)}. Put back what it was, or start a new run "
            "with another -o/--output."
        )


def check_same(saved: dict[str, Any], folder: RunFolder, manifest: Manifest, pool: FaceStore | None = None) -> None:
    """Refuses to go on with other faces than a run began with.

    Raises:
        ModelError: other classes, training faces, votes, pictures or unlabelled faces.
    """
    if tuple(saved["class_names"]) != manifest.class_names:
        raise ModelError(
            f"The saved state tells {', '.join(saved['class_names'])} apart, the data {', '.join(manifest.class_names)}; "
            "resume on the data it began with."
        )
    if saved["ids"] != folder.fingerprint:
        raise ModelError(f"The training faces are not those that {folder.path} began with; resume with the data set as it was.")
    if saved.get("votes", folder.votes) != folder.votes:  # an older state has none
        raise ModelError(f"The faces' votes are not those that {folder.path} began with; resume with the data set as it was.")
    if not same_pictures(pictures_in(folder.path), pictures_of(manifest)):
        raise ModelError(f"The pictures are not those that {folder.path} began with; resume with the data set as it was.")
    began = environment_of(folder.path)
    if began.get("judged_ids", folder.judged) != folder.judged:
        raise ModelError(
            f"The {folder.select_split} faces are not those that {folder.path} began with, or have other labels; resume with the data set "
            "as it was."
        )
    if (saved.get("pool") or "") != ("" if pool is None else fingerprint(pool.manifest)):
        raise ModelError(f"The unlabelled faces are not those that {folder.path} began with; resume with that folder as it was.")
    before = began.get("pool_pictures")  # an older run has not written them down
    if pool is not None and before and not same_pictures({"train": before}, pictures_of(pool.manifest)):
        raise ModelError(f"The unlabelled faces are not those that {folder.path} began with; resume with that folder as it was.")
