"""The finished run that a method goes on from: `--init runs/x`."""

from __future__ import annotations

from pathlib import Path

from evenface.errors import ConfigError
from evenface.model_folder import is_backbone, read_config
from evenface.models.backbone import Backbone
from evenface.models.init import model_folder_of


def finished_run(init: str, backbone: Backbone, does: str) -> Path:
    """The model folder that `--init` names, of the network that is to be trained.

    Args:
        does: what the method does to it, for the message: "'crt' trains a new head on the frozen backbone".

    Raises:
        ConfigError: no run or model folder, or one of another network or size than the run's settings.
        ModelError: a run that has no best model yet, or a broken model folder.
    """
    folder = model_folder_of(Path(init).expanduser())
    if folder is None or is_backbone(folder):  # weights that never saw an expression
        raise ConfigError(f"{does} of a finished run; name that run, such as --init runs/x, not --init {init}.")
    found = read_config(folder)
    if (backbone.name, backbone.img_size) != (found.architecture, found.img_size):
        raise ConfigError(
            f"{init} holds a {found.architecture} for {found.img_size} px; take --model {found.architecture} --img-size {found.img_size}."
        )
    return folder
