"""A trained model as a folder: `model.safetensors`, `config.json` and `README.md` (the model card); nothing in it is pickled.

    save_model(Path("runs/x/best"), classifier, {"method": {"name": "rbcf"}, "dataset": "ferplus"}, card="# ...")
    classifier, config = load_model(Path("runs/x/best"))
    classifier(faces).logits, config.class_names

`config.json` carries all that the numbers need to mean something elsewhere: the class names in order, the normalisation, the size and the
alignment of the faces, and where the model comes from. Reading it needs no torch, so that exported models run without.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from evenface._version import __version__
from evenface.calibration import Calibration, Numbers, Prior, scores
from evenface.errors import ConfigError, ModelError
from evenface.files import cannot_write, write_text
from evenface.zoo import KEPT, no_model


if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from evenface.models.classifier import Classifier

SCHEMA_VERSION = 1
PLAIN = "linear"  # the kind of `evenface.models.classifier.Classifier`, for configs that name none
BACKBONE = "backbone"  # the `kind` of a folder that holds a start for training and no classifier
WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
_BESIDE = ("card.json", "notes.md", "model.onnx", "model.xml", "model.bin", "model.pt2")  # of `evenface.cards` and `evenface.export`
PRECISIONS = ("float32", "float16")  # names of torch's types


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """What `config.json` says; checked when it is made, whoever makes it.

    Attributes:
        architecture: the backbone's name.
        network: the kind of network around it (`evenface.models.networks`) and its settings.
        class_names: position = class index.
        mean, std: normalisation of RGB in [0, 1], which the model applies itself.
        img_size: side of the faces in pixels.
        alignment: how faces must be cropped and turned before; None where that is not known.
        train_counts: training faces per class.
        calibration: what turns logits into scores (`evenface.calibration.Calibration.to_dict`); None where none was fitted.
        method: the training method's name and options.
        init: source and sha256 of the start.
        data_licence, dataset: of the training images.
        weights_dtype: how the weights are kept in the file, "float32" or "float16"; they are computed with in float32 either way.
        evenface: the version that wrote it.
        details: anything else that was given to `save_model`, as it was given.

    Raises:
        ModelError: a value of the wrong kind; names the field.
    """

    architecture: str
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    img_size: int
    alignment: str | dict[str, Any] | None = None
    train_counts: dict[str, int] | None = None
    calibration: dict[str, Any] | None = None
    method: dict[str, Any] | None = None
    init: dict[str, Any] | None = None
    data_licence: str | None = None
    dataset: str | None = None
    network: dict[str, Any] = dataclasses.field(default_factory=lambda: {"kind": PLAIN})
    weights_dtype: str = "float32"
    evenface: str = __version__
    schema_version: int = SCHEMA_VERSION
    details: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def learned_whole(self) -> tuple[str, ...]:
        """Data sets whose test faces it has learned from: no score on them is an estimate for new ones."""
        known = {"method": self.method, "init": self.init, "dataset": self.dataset, "teachers": self.details.get("teachers")}
        return learned_whole(known)

    def __post_init__(self) -> None:
        names = self.class_names
        _check(
            self.schema_version == SCHEMA_VERSION, "schema_version", f"{SCHEMA_VERSION}; a newer evenface may read it", self.schema_version
        )
        _check(_texts([self.architecture]), "architecture", "a backbone's name", self.architecture)
        _check(isinstance(self.network, dict) and _texts([self.network.get("kind")]), "network", "a table with its kind", self.network)
        _check(_texts(names) and len(names) >= 2 and len(set(names)) == len(names), "class_names", "two or more distinct names", names)
        _check(_integer(self.img_size) and self.img_size > 0, "img_size", "a positive number of pixels", self.img_size)
        _check(_numbers(self.mean) and len(self.mean) == 3, "mean", "three numbers", self.mean)
        _check(_numbers(self.std) and len(self.std) == 3 and min(self.std) > 0, "std", "three positive numbers", self.std)
        counts = self.train_counts
        fits = counts is None or (
            isinstance(counts, dict) and set(counts) == set(names) and all(_integer(n) and n >= 0 for n in counts.values())
        )
        _check(fits, "train_counts", "a number of faces for each class", counts)
        for field in ("method", "init"):
            _check(isinstance(getattr(self, field), dict | None), field, "a table or null", getattr(self, field))
        for field in ("data_licence", "dataset"):
            _check(isinstance(getattr(self, field), str | None), field, "a text or null", getattr(self, field))
        _check(self.weights_dtype in PRECISIONS, "weights_dtype", " or ".join(PRECISIONS), self.weights_dtype)
        fitted = self.fitted
        _check(fitted is None or set(fitted.bias) == set(names), "calibration", "one of the model's classes", self.calibration)
        if self.alignment is not None:
            from evenface.faces.alignment import Alignment  # OpenCV, which nothing else here needs

            try:
                Alignment.from_dict(self.alignment)
            except ConfigError as error:
                raise ModelError(f"In the model's config, alignment is {self.alignment!r}: {error}") from error

    @property
    def fitted(self) -> Calibration | None:
        """The calibration, checked."""
        return None if self.calibration is None else Calibration.from_dict(self.calibration)

    def scores(self, logits: npt.ArrayLike, prior: Prior = "model") -> Numbers:
        """Logits (n, L) -> probabilities (n, L), float64, under a prior; see `evenface.calibration.scores`."""
        return scores(logits, self.class_names, prior=prior, calibration=self.fitted, train_counts=self.train_counts)

    def to_dict(self) -> dict[str, Any]:
        """As it stands in `config.json`: the fields, then the details beside them."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        details = fields.pop("details")
        return {"schema_version": fields.pop("schema_version"), **fields, **details}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelConfig:
        """The reverse; a missing field is a ModelError that names it, an unknown one goes to `details`."""
        known = {field.name for field in dataclasses.fields(cls)} - {"details"}
        missing = {"architecture", "class_names", "mean", "std", "img_size", "schema_version"} - set(values)
        if missing:
            raise ModelError(f"The model's config.json lacks {', '.join(sorted(missing))}.")
        fields = {name: value for name, value in values.items() if name in known}
        for name in ("class_names", "mean", "std"):
            if not isinstance(fields[name], list | tuple):
                raise ModelError(f"In the model's config, {name} is {fields[name]!r}, not a list.")
            fields[name] = tuple(fields[name])
        return cls(**fields, details={name: value for name, value in values.items() if name not in known})


def save_model(
    folder: str | os.PathLike[str],
    classifier: Classifier,
    config: Mapping[str, Any],
    card: str,
    further: Mapping[str, bytes] | None = None,
) -> ModelConfig:
    """Writes the model folder, replacing one of that name; a half-written model never stands under the name.

    Args:
        classifier: any kind of `evenface.models.networks`; its `parts` are saved, what a method attached to it besides is not.
        config: `alignment`, `train_counts`, `calibration`, `method`, `init`, `data_licence`, `dataset` where known, `weights_dtype`, and
            any further details that JSON can hold. The architecture, class names, normalisation and size come from the classifier.
        card: the text of README.md.
        further: more files by name, such as the card's facts (`evenface.cards`).

    Raises:
        ModelError: a config value of the wrong kind, weights too large for float16, or a folder of that name that is no model.
        StorageError: it cannot be written, such as on a full disk; the former model is untouched.
    """
    import safetensors.torch

    folder, backbone = Path(folder), classifier.backbone
    own: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "architecture": backbone.name,
        "network": {"kind": classifier.kind, **classifier.settings()},
        "class_names": classifier.class_names,
        "mean": backbone.mean,
        "std": backbone.std,
        "img_size": backbone.img_size,
        "evenface": __version__,
    }
    clash = sorted(name for name in own if name in config)
    if clash:
        raise ModelError(f"The model config may not set {', '.join(clash)}: the classifier knows.")
    checked = ModelConfig.from_dict({**config, **own})
    try:
        text = json.dumps(checked.to_dict(), indent=1, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ModelError(f"The model config has a value that JSON cannot hold: {error}.") from error
    state = classifier.state_dict()
    tensors = {name: value.detach().cpu().contiguous() for name, value in state.items() if name.partition(".")[0] in classifier.parts}
    if checked.weights_dtype != "float32":
        import torch

        kind = getattr(torch, checked.weights_dtype)
        tensors = _shortened(tensors, {name for name, _ in classifier.named_parameters()}, kind)
    contents = {**(further or {}), WEIGHTS: safetensors.torch.save(tensors), CONFIG: (text + "\n").encode(), CARD: card.encode()}
    write_folder(folder, contents)
    return checked


def rewrite(folder: str | os.PathLike[str], config: ModelConfig) -> None:
    """Puts another config into a model folder; the weights and the card are not touched.

    Raises:
        StorageError: it cannot be written; the former one still stands.
    """
    write_text(standing(Path(folder)) / CONFIG, json.dumps(config.to_dict(), indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_card(folder: str | os.PathLike[str]) -> str:
    """The text of the model card, with U+FFFD for what is not UTF-8; empty where there is none."""
    path = standing(Path(folder)) / CARD
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def is_backbone(folder: Path) -> bool:
    """Whether a folder holds a start without a head, as `evenface distill` makes of a face teacher, and no model."""
    try:
        values = json.loads((standing(folder) / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(values, dict) and values.get("kind") == BACKBONE


def learned_whole(values: Mapping[str, Any]) -> tuple[str, ...]:
    """Data sets whose test faces a model has learned from, by its `config.json`: it was distilled on all splits (`--all-splits`), or its
    start or its teachers were.
    """
    teachers, method = values.get("teachers"), values.get("method")  # whatever the config of another maker says
    sources = [values.get("init"), *(teachers if isinstance(teachers, list) else [])]
    known = [source.get("learned_whole") for source in sources if isinstance(source, dict)]
    found = {str(name) for names in known if isinstance(names, list | tuple) for name in names}
    if isinstance(method, dict) and method.get("all_splits"):
        found.add(str(values.get("dataset")))
    return tuple(sorted(found))


def read_config(folder: str | os.PathLike[str], *, weights: bool = True) -> ModelConfig:
    """What `config.json` of a model folder says.

    Args:
        weights: they must be there too, as they are but for a run that `evenface.study.kept` brought back.

    Raises:
        ModelError: no model folder there, or one whose config is broken; names what was looked for.
    """
    name = Path(folder)
    folder = standing(name)
    for part in (CONFIG, WEIGHTS) if weights else (CONFIG,):
        if not (folder / part).is_file():
            if part == WEIGHTS and (name.parent / KEPT).is_file():
                raise ModelError(no_model(name.parent))
            what = "is not there" if not folder.exists() else f"lacks {part}"
            raise ModelError(f"The model folder {name} {what}; a model folder holds {WEIGHTS} and {CONFIG}.")
    try:
        values = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{name / CONFIG} is not JSON: {error}.") from error
    if not isinstance(values, dict):
        raise ModelError(f"{name / CONFIG} must hold a table, not {type(values).__name__}.")
    if values.get("kind") == BACKBONE:
        raise ModelError(f"{name} is a backbone without a head, which knows no expression; start a training from it: --init {name}")
    return ModelConfig.from_dict(values)


def load_model(folder: str | os.PathLike[str]) -> tuple[Classifier, ModelConfig]:
    """The classifier, on the CPU in evaluation mode, and its config. PyTorch's random state is left as it was.

    Weights kept in float16 are loaded into float32.

    Raises:
        ModelError: no model folder there, or one that is broken; names what was looked for, and the weights that do not fit.
    """
    import torch

    from evenface.models.networks import build_network
    from evenface.models.weights import read_weights

    name = Path(folder)
    folder = standing(name)
    config = read_config(name)
    tensors = read_weights(folder / WEIGHTS)
    try:
        with torch.random.fork_rng(devices=[]):
            settings = dict(config.network)
            classifier = build_network(settings.pop("kind"), config.architecture, config.class_names, config.img_size, settings)
    except ConfigError as error:
        raise ModelError(f"{name} names a network that cannot be built here: {error}") from error
    _require_fit(classifier.state_dict(), tensors, name / WEIGHTS)
    classifier.load_state_dict(tensors)
    classifier.backbone.mean, classifier.backbone.std = config.mean, config.std
    classifier.mean.copy_(torch.tensor(config.mean).view(1, 3, 1, 1))
    classifier.std.copy_(torch.tensor(config.std).view(1, 3, 1, 1))
    return classifier.eval(), config


def _shortened(tensors: Mapping[str, Tensor], parameters: set[str], kind: torch.dtype) -> dict[str, Tensor]:
    """The parameters in a shorter type. Buffers stay: a running variance may be larger than float16 can tell, and they are small."""
    found = {name: value.to(kind) if name in parameters else value for name, value in tensors.items()}
    broken = [name for name, value in found.items() if name in parameters and not bool(value.isfinite().all())]
    if broken:
        raise ModelError(f"The weights {', '.join(broken[:5])} hold values that float16 cannot tell; keep this model in float32.")
    return found


def _require_fit(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor], path: Path) -> None:
    def some(what: str, names: list[str]) -> list[str]:
        return [f"{what} {', '.join(sorted(names)[:5])}{f' and {len(names) - 5} more' if len(names) > 5 else ''}"] * bool(names)

    shapes = [f"{k} {tuple(theirs[k].shape)} for {tuple(v.shape)}" for k, v in ours.items() if k in theirs and theirs[k].shape != v.shape]
    parts = [
        *some("it lacks", [k for k in ours if k not in theirs]),
        *some("it has the unknown", [k for k in theirs if k not in ours]),
        *some("it has another shape of", shapes),
    ]
    if parts:
        raise ModelError(f"The weights {path} do not fit the network that {CONFIG} names: {'; '.join(parts)}.")


def standing(folder: Path) -> Path:
    """The folder, or its former self when a save was killed between its two renames."""
    return folder if folder.exists() or not _former(folder).is_dir() else _former(folder)


def _former(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.old")


def write_folder(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Writes files into a new folder beside `folder`, then puts it in the place of the former one. What somebody else put in there stays.

    Raises:
        ModelError: the former one is neither empty nor a model folder.
        StorageError: it cannot be written; the former folder is untouched.
    """
    theirs = _of_others(standing(folder))
    aside, former = folder.with_name(f".{folder.name}.part"), _former(folder)
    try:
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        for name, data in contents.items():
            with (aside / name).open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        for path in theirs:
            if path.is_dir() and not path.is_symlink():
                shutil.copytree(path, aside / path.name, symlinks=True)
            else:
                shutil.copy2(path, aside / path.name, follow_symlinks=False)
        if folder.exists():
            shutil.rmtree(former, ignore_errors=True)
            os.replace(folder, former)
        os.replace(aside, folder)
    except OSError as error:
        raise cannot_write(folder, error) from error
    finally:  # Ctrl-C, too
        shutil.rmtree(aside, ignore_errors=True)
    shutil.rmtree(former, ignore_errors=True)


def _of_others(folder: Path) -> list[Path]:
    """What a model folder holds that evenface did not write."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return []
    if not (folder / WEIGHTS).is_file() or not (folder / CONFIG).is_file():
        raise ModelError(f"{folder} exists and is not a model folder; choose another name.")
    ours = (WEIGHTS, CONFIG, CARD, *_BESIDE)
    return [path for path in sorted(folder.iterdir()) if path.name not in ours and not path.match(".*.part")]  # .part: of killed processes


def _check(right: bool, field: str, wanted: str, found: object) -> None:
    if not right:
        raise ModelError(f"In the model's config, {field} is {found!r}; it must be {wanted}.")


def _texts(values: object) -> bool:
    return isinstance(values, list | tuple) and all(isinstance(v, str) and v for v in values)


def _integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _numbers(values: object) -> bool:
    """Whether these are numbers that a float32 holds."""
    most = 3e38
    return isinstance(values, list | tuple) and all(
        isinstance(v, int | float) and not isinstance(v, bool) and -most < v < most for v in values
    )
