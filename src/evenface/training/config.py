"""Every setting of a training run, as one flat dataclass; each field is a flag of `evenface train` and a line of `config.yaml`.

This module imports no torch, so that `evenface train --help` answers at once.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import types
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import yaml

from evenface.errors import ConfigError, unknown_name


def _field(default: Any, help: str, group: str, flags: tuple[str, ...] = ()) -> Any:
    meta = {"help": help, "group": group, "flags": flags}
    return dataclasses.field(default=default, metadata=meta)


_TINY = 5e-324  # the smallest number above 0
_BELOW_1 = 1 - 2**-53
_RANGES: dict[str, tuple[float, float]] = {
    "img_size": (16, math.inf), "epochs": (1, math.inf), "batch_size": (2, math.inf), "workers": (1, math.inf),
    "seed": (0, 2**63 - 1), "data_seed": (0, math.inf), "save_minutes": (0, math.inf), "imbalance": (1, math.inf),
    "hflip": (0, 1), "erase": (0, 1), "noise": (0, 1), "label_noise": (0, 1), "shift": (0, 1), "rotate": (0, 180), "jitter": (0, 10),
    "val_fraction": (_TINY, _BELOW_1), "ema": (_TINY, _BELOW_1), "dropout": (0, _BELOW_1), "scale": (0, _BELOW_1),
    "lr": (_TINY, math.inf), "lr_gamma": (_TINY, 1), "clip_grad": (_TINY, math.inf), "weight_decay": (0, math.inf),
    "warmup_epochs": (0, math.inf), "rand_augment": (0, 10), "layer_decay": (0.01, 1),
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Settings of one run. Sizes are pixels, rates are per step, probabilities are 0 to 1."""

    # Data
    dataset: str = _field("synthetic", "data set: synthetic, ferplus, rafdb, affectnet, folder or manifest", "data")
    data_dir: str | None = _field(None, "where the data set lies, in the layout as downloaded", "data")
    classes: Literal[7, 8] = _field(7, "7 basic expressions, or 8 with contempt", "data")
    labels: Literal["majority", "max", "probability", "fer2013"] = _field(
        "majority", "FERPlus: how votes become labels; probability keeps the vote distribution as a soft target", "data"
    )
    val_fraction: float = _field(0.1, "share of train set aside for validation where the data set has none", "data")
    imbalance: float | None = _field(None, "thin out train to this imbalance factor (largest class / smallest class)", "data")
    imbalance_reading: Literal["A", "B"] = _field("A", "A: n_i mu^i of the paper; B: pure exponential", "data")
    label_noise: float = _field(0.0, "share of train labels flipped to another class", "data")
    data_seed: int = _field(0, "seed of subsets, noise and the validation part; the same in all runs that are compared", "data")
    unlabelled: str | None = _field(
        None, "folder of faces without labels, for methods that learn from such; default: the training faces without their labels", "data"
    )
    exclude: str | None = _field(None, "faces to leave out: a text with an id a line, or the verdicts.csv of an audit", "data")

    # Model
    model: str = _field("resnet18", "backbone: any timm name with a spatial map, or dlib_face_resnet", "model")
    init: str = _field("none", "start: none, pretrained, dlib-face, a run or model folder, or a file (.pth .safetensors .pkl)", "model")
    img_size: int = _field(112, "side of the square input in pixels", "model")
    dropout: float = _field(0.0, "dropout before the head", "model")

    # Method
    method: str = _field("ce", "training method; `evenface methods` lists them; or path/to/file.py:Class", "method")
    method_options: dict[str, Any] = dataclasses.field(default_factory=dict)  # the method's own hyper-parameters
    view: Literal["mirror", "vertical", "erase", "intensity", "scaling"] = _field("mirror", "how the second view is made", "method")
    passes: Literal["one", "two"] = _field("one", "both views as one batch of 2N, or one after the other as the authors do", "method")

    # Augmentation
    hflip: float = _field(0.5, "probability of mirroring a face", "augmentation")
    erase: float = _field(0.5, "probability of erasing a random box (2 to 25 %% of the area)", "augmentation")
    jitter: float = _field(1.0, "strength of colour jitter; 1 is brightness .4, contrast .3, saturation .25, hue .05", "augmentation")
    rotate: float = _field(0.0, "largest rotation in degrees", "augmentation")
    scale: float = _field(0.0, "largest relative change of size", "augmentation")
    shift: float = _field(0.0, "largest shift, relative to the side", "augmentation")
    noise: float = _field(0.0, "probability of Gaussian noise (variance 30 on the 0..255 scale)", "augmentation")
    rand_augment: float = _field(
        0.0, "distortions of RandAugment per face, on average (turn, shear, light, posterize, ...)", "augmentation"
    )

    # Optimisation
    epochs: int = _field(60, "passes over the training split", "optimisation")
    batch_size: int = _field(32, "faces per step, over all processes", "optimisation", ("-b",))
    optimizer: Literal["adam", "adamw", "sgd"] = _field("adam", "adam couples the weight decay as the paper does", "optimisation")
    lr: float = _field(1e-4, "learning rate", "optimisation")
    layer_decay: float = _field(
        1.0, "factor of the learning rate from each layer of the backbone to the one before it; 1: one rate for all", "optimisation"
    )
    weight_decay: float = _field(1e-4, "weight decay", "optimisation")
    schedule: Literal["exponential", "cosine", "onecycle", "constant"] = _field(
        "exponential", "course of the learning rate", "optimisation"
    )
    lr_gamma: float = _field(0.9, "factor per epoch of the exponential schedule", "optimisation")
    warmup_epochs: float = _field(0.0, "epochs of linear warm-up", "optimisation")
    clip_grad: float | None = _field(None, "largest gradient norm", "optimisation")
    ema: float | None = _field(
        None, "decay of an exponential moving average of the weights, e.g. 0.999; that average is evaluated", "optimisation"
    )

    # Protocol
    protocol: Literal["validation", "paper"] = _field(
        "validation", "validation: choose the epoch there, read test once; paper: last and best test epoch, optimistic", "protocol"
    )
    select: Literal["mean_recall", "overall", "macro_f1"] = _field("mean_recall", "what the best epoch is chosen by", "protocol")

    # Run
    seed: int = _field(0, "seed of weights, order and augmentation", "run")
    device: str = _field("auto", "auto, cpu, cuda, cuda:1 or mps", "run")
    precision: Literal["auto", "fp32", "bf16"] = _field("auto", "auto takes bf16 where the hardware gains by it", "run")
    store: Literal["auto", "device", "memory", "memmap", "stream"] = _field("auto", "where the decoded faces live", "run")
    workers: int = _field(max(1, os.cpu_count() or 1), "threads that decode images", "run", ("-j",))
    output: str | None = _field(None, "run folder; default runs/<dataset>-<method>-<model>-s<seed>", "run", ("-o",))
    save_minutes: float = _field(5.0, "save the state at least this often", "run")
    tensorboard: bool = _field(False, "write TensorBoard events too (extra: tensorboard)", "run")
    watch: str | int | None = _field(
        None, "faces of validation whose class maps are kept after every epoch: ID,ID,... or a number of each class", "run"
    )

    def __post_init__(self) -> None:
        for name, hint in typing.get_type_hints(TrainConfig).items():
            _check_type(name, getattr(self, name), hint)
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:  # NaN is in no range
                raise ConfigError(f"{_flag(name)} must be {_range(low, high)}, not {value}.")
            if value == math.inf:
                raise ConfigError(f"{_flag(name)} must be a finite number, not {value}.")

    @classmethod
    def from_preset(cls, name: str, **settings: Any) -> TrainConfig:
        """The settings of a preset (`PRESETS`), and those given in their place.

        Raises:
            ConfigError: there is no such preset, or a setting is unknown or out of range.
        """
        if name not in PRESETS:
            raise ConfigError(unknown_name("preset", name, PRESETS))
        return from_dict({**PRESETS[name], **settings}, f"preset '{name}'")

    @property
    def folder(self) -> Path:
        """The run folder."""
        name = Path(self.method).stem.replace(":", "-")
        return Path(self.output or f"runs/{self.dataset}-{name}-{self.model}-s{self.seed}")

    def to_yaml(self) -> str:
        return str(yaml.safe_dump(dataclasses.asdict(self), sort_keys=False, allow_unicode=True))


def from_dict(values: dict[str, Any], source: str) -> TrainConfig:
    """A config from a mapping; an unknown setting is an error that names the nearest one."""
    hints = typing.get_type_hints(TrainConfig)
    fields = dict(values)
    for name, value in values.items():
        if name not in hints:
            raise ConfigError(f"{source}: {unknown_name('setting', str(name), hints)}")
        if isinstance(value, str) and float in _kinds(hints[name]):
            with contextlib.suppress(ValueError):
                fields[name] = float(value)  # YAML takes 1e-4 for a text
    return TrainConfig(**fields)


def _kinds(hint: Any) -> tuple[Any, ...]:
    """The plain types of an annotation: `float | None` is (float, NoneType), `dict[str, Any]` is (dict,)."""
    parts = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    return tuple(typing.get_origin(part) or part for part in parts)


def _check_type(name: str, value: Any, hint: Any) -> None:
    if typing.get_origin(hint) is Literal:
        choices = typing.get_args(hint)
        if (value, type(value)) not in [(choice, type(choice)) for choice in choices]:  # 7.0 is equal to 7, and no choice
            raise ConfigError(f"{_flag(name)}: {unknown_name('choice', str(value), map(str, choices))}")
        return
    kinds = _kinds(hint)
    right = isinstance(value, (*kinds, int) if float in kinds else kinds) and (bool in kinds or not isinstance(value, bool))
    if not right:
        words = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", dict: "a table", types.NoneType: "nothing"}
        raise ConfigError(f"{_flag(name)} must be {' or '.join(words[kind] for kind in kinds)}, not {value!r}.")


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _range(low: float, high: float) -> str:
    """In words: "at least 2", "between 0 and 1"; an end that is itself excluded is named so."""
    least = "more than 0" if low == _TINY else f"at least {low:g}"
    if high == math.inf:
        return least
    return f"{least} and " + ("less than 1" if high == _BELOW_1 else f"at most {high}")


def check_idle(config: TrainConfig, given: Iterable[str]) -> None:
    """Refuses settings that do nothing beside the others. Those that stand in a file may do so: it was written for other ones, too.

    Args:
        given: the names of those that a person has just chosen.

    Raises:
        ConfigError: says what it needs.
    """
    idle = {"lr_gamma": "--schedule exponential"} if config.schedule != "exponential" else {}
    idle |= {"imbalance_reading": "--imbalance"} if config.imbalance is None else {}
    for name in given:
        if name in idle and getattr(config, name) != getattr(TrainConfig, name):
            raise ConfigError(f"{_flag(name)} does nothing without {idle[name]}; leave it out.")


def resolved(config: TrainConfig) -> TrainConfig:
    """The config with whole paths, so that the run can be resumed and scored from any folder."""
    given = {name: getattr(config, name) for name in ("data_dir", "unlabelled", "exclude", "init")}
    if config.init in ("none", "pretrained", "dlib-face") or not Path(config.init).expanduser().exists():  # a name, not a path
        del given["init"]
    whole: dict[str, Any] = {name: str(Path(value).expanduser().resolve()) for name, value in given.items() if value is not None}
    path, colon, name = config.method.rpartition(":")
    if colon:  # a method in a file of the user's
        whole["method"] = f"{Path(path).expanduser().resolve()}:{name}"
    return dataclasses.replace(config, **whole)


IDLE = ("output", "device", "workers", "store", "save_minutes", "tensorboard", "watch")
"""Settings that change no number of a run (or only its last digits, as another device does)."""

PLACED = ("data_dir", "unlabelled", "exclude", "init", "method")
"""Settings of which a run folder keeps the whole path."""


def lasting(config: TrainConfig) -> dict[str, Any]:
    """The settings that a run keeps to its end, in plain types. Of a path the name only, for it may be moved; the faces tell whether the
    data are the same.
    """
    kept = {name: value for name, value in dataclasses.asdict(config).items() if name not in (*IDLE, "data_dir")}
    kept |= {name: _without_place(kept[name]) for name in PLACED if name in kept}
    return {**kept, "method_options": {name: _without_place(value) for name, value in config.method_options.items()}}  # teachers


def _without_place(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_without_place(each) for each in value]
    return Path(value).name if isinstance(value, str) else value


def load_config(path: Path) -> TrainConfig:
    """Reads a run's `config.yaml`.

    Raises:
        ConfigError: there is none, it is no YAML in UTF-8, or it has a setting that cannot work.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"There is no {path}; is {path.parent} a run folder of evenface?") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid YAML: {str(error).splitlines()[0]}.") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds no settings.")
    return from_dict(values, str(path))


PRESETS: dict[str, dict[str, Any]] = {
    # The paper, section 4.2; the jitter's strengths and the erasing are anchored choices, see docs/method.md.
    "paper": {
        "img_size": 224, "epochs": 60, "batch_size": 32, "optimizer": "adam", "lr": 1e-4, "weight_decay": 1e-4,
        "schedule": "exponential", "lr_gamma": 0.9, "hflip": 0.0, "erase": 0.5, "jitter": 1.0, "passes": "two",
    },
    # EAC's published recipe for a ResNet-18.
    "eac_r18": {
        "model": "resnet18", "method": "eac", "img_size": 224, "epochs": 60, "batch_size": 32, "optimizer": "adam", "lr": 2e-4,
        "weight_decay": 1e-4, "schedule": "exponential", "lr_gamma": 0.9, "hflip": 0.0, "erase": 0.5, "jitter": 0.0, "noise": 0.5,
        "passes": "two",
    },
    # Drawn faces (`--dataset synthetic`) with a tiny network from random weights, in a minute or two on one core.
    "tiny": {
        "model": "test_resnet", "img_size": 64, "epochs": 15, "batch_size": 64, "optimizer": "adamw", "lr": 2e-3, "weight_decay": 0.02,
        "schedule": "onecycle", "jitter": 0.5,
    },
    # A FERPlus model on one core in 20 to 30 minutes; --epochs 16 for a good one.
    "cpu": {
        "model": "dlib_face_resnet_13", "init": "dlib-face", "img_size": 112, "epochs": 6, "batch_size": 64, "optimizer": "adamw",
        "lr": 3e-4, "weight_decay": 0.02, "schedule": "onecycle", "hflip": 0.5, "erase": 0.5, "jitter": 0.75, "rotate": 12.0,
        "scale": 0.1, "shift": 0.05,
    },
}  # fmt: skip
