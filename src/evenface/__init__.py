"""evenface: facial expression recognition that stays good on the rare expressions.

The public names are imported when they are first used, so that `import evenface` and `evenface --help` cost nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from evenface._version import __version__ as __version__


if TYPE_CHECKING:
    from evenface.data import load_dataset as load_dataset
    from evenface.data.manifest import Manifest as Manifest
    from evenface.errors import EvenfaceError as EvenfaceError
    from evenface.model_folder import load_model as load_model
    from evenface.recognizer import Recognizer as Recognizer
    from evenface.results import Face as Face
    from evenface.results import FrameResult as FrameResult
    from evenface.runs.calibrate import calibrate as calibrate
    from evenface.runs.compare import compare as compare
    from evenface.runs.evaluate import evaluate as evaluate
    from evenface.training.config import TrainConfig as TrainConfig
    from evenface.training.run import resume as resume
    from evenface.training.run import train as train

_HOME = {
    "EvenfaceError": "evenface.errors",
    "Face": "evenface.results",
    "FrameResult": "evenface.results",
    "Manifest": "evenface.data.manifest",
    "Recognizer": "evenface.recognizer",
    "TrainConfig": "evenface.training.config",
    "calibrate": "evenface.runs.calibrate",
    "compare": "evenface.runs.compare",
    "evaluate": "evenface.runs.evaluate",
    "load_dataset": "evenface.data",
    "load_model": "evenface.model_folder",
    "resume": "evenface.training.run",
    "train": "evenface.training.run",
}

__all__ = [
    "EvenfaceError",
    "Face",
    "FrameResult",
    "Manifest",
    "Recognizer",
    "TrainConfig",
    "__version__",
    "calibrate",
    "compare",
    "evaluate",
    "load_dataset",
    "load_model",
    "resume",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'evenface' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__
