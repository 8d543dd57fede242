"""Which methods there are, and how one is made from its name.

    method = create_method("rbcf", setting, {"mu": 0.25})

The name may also be `path/to/file.py:Class`: a `Method` of one's own.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

from evenface.errors import ConfigError, unknown_name
from evenface.methods._options import parse
from evenface.methods.ada_cm import AdaCm
from evenface.methods.balanced_softmax import BalancedSoftmax
from evenface.methods.base import Method, Options, Setting
from evenface.methods.bbn import Bbn
from evenface.methods.cb import Cb
from evenface.methods.ce import Ce
from evenface.methods.crt import Crt
from evenface.methods.cutmix import Cutmix
from evenface.methods.dmue import Dmue
from evenface.methods.dnfer import Dnfer
from evenface.methods.eac import Eac
from evenface.methods.eql import Eql
from evenface.methods.even import Even
from evenface.methods.face2exp import Face2Exp
from evenface.methods.focal import Focal
from evenface.methods.label_smoothing import LabelSmoothing
from evenface.methods.ldam_drw import LdamDrw
from evenface.methods.logit_adjust import LogitAdjust
from evenface.methods.mek import Mek
from evenface.methods.mixaugment import Mixaugment
from evenface.methods.mixup import Mixup
from evenface.methods.pt import Pt
from evenface.methods.ran import Ran
from evenface.methods.rbc import Rbc
from evenface.methods.rbcf import Rbcf
from evenface.methods.rbf import Rbf
from evenface.methods.remix import Remix
from evenface.methods.resample import Resample
from evenface.methods.ride import Ride
from evenface.methods.rul import Rul
from evenface.methods.sade import Sade
from evenface.methods.scan_cci import ScanCci
from evenface.methods.scn import Scn
from evenface.methods.tau_norm import TauNorm


METHODS: dict[str, type[Method]] = {
    "ce": Ce,
    "cb": Cb,
    "focal": Focal,
    "label_smoothing": LabelSmoothing,
    "logit_adjust": LogitAdjust,
    "balanced_softmax": BalancedSoftmax,
    "ldam_drw": LdamDrw,
    "eql": Eql,
    "eac": Eac,
    "mek": Mek,
    "rbc": Rbc,
    "rbf": Rbf,
    "rbcf": Rbcf,
    "even": Even,
    "ran": Ran,
    "scan_cci": ScanCci,
    "ride": Ride,
    "sade": Sade,
    "dmue": Dmue,
    "resample": Resample,
    "mixup": Mixup,
    "cutmix": Cutmix,
    "remix": Remix,
    "mixaugment": Mixaugment,
    "crt": Crt,
    "tau_norm": TauNorm,
    "bbn": Bbn,
    "rul": Rul,
    "scn": Scn,
    "ada_cm": AdaCm,
    "dnfer": Dnfer,
    "face2exp": Face2Exp,
    "pt": Pt,
}


def get_method(name: str) -> type[Method]:
    """The class of a method by name, or from `path/to/file.py:Class`.

    Raises:
        ConfigError: unknown (with the nearest spelling), or a file that does not hold such a class.
    """
    if name in METHODS:
        return METHODS[name]
    path, colon, class_name = name.rpartition(":")
    if colon and path.endswith(".py"):
        return _from_file(Path(path), class_name)
    if name.endswith(".py"):
        raise ConfigError(f"'{name}' names a file; add the class, as in '{name}:MyMethod'.")
    raise ConfigError(unknown_name("method", name, METHODS))


def create_method(name: str, setting: Setting, options: dict[str, Any]) -> Method:
    """A method with its options (the paper's where not given), for one run.

    Raises:
        ConfigError: unknown method or option (with the nearest spelling), a value that does not fit.
    """
    cls = get_method(name)
    return cls(parse(cls.Options, options), setting)


def _from_file(path: Path, class_name: str) -> type[Method]:
    if not path.is_file():
        raise ConfigError(f"There is no file '{path}' to take the method '{class_name}' from.")
    place = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:8]  # two files of one name are two modules
    spec = importlib.util.spec_from_file_location(f"evenface_user_{path.stem}_{place}", path)
    assert spec is not None, "a .py file has a loader"
    assert spec.loader is not None, "a .py file has a loader"
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their annotations up there
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[spec.name]
        raise ConfigError(f"'{path}' cannot be imported: {type(error).__name__}: {error}") from error
    cls = getattr(module, class_name, None)
    if cls is None:
        classes = [n for n, c in vars(module).items() if isinstance(c, type) and issubclass(c, Method) and c is not Method]
        hint = unknown_name("class", class_name, classes) if classes else f"'{path}' holds no subclass of evenface.methods.Method."
        raise ConfigError(hint)
    if not (isinstance(cls, type) and issubclass(cls, Method) and cls.loss is not Method.loss):
        raise ConfigError(f"'{class_name}' of '{path}' must be a subclass of evenface.methods.Method with a `loss`.")
    if not (isinstance(cls.Options, type) and issubclass(cls.Options, Options)):
        raise ConfigError(f"The `Options` of '{class_name}' of '{path}' must be a subclass of evenface.methods.Options.")
    for part in cls.Options.__mro__:  # without the decorator its fields would be those of its parent
        if (part is cls.Options or issubclass(part, Options)) and "__dataclass_fields__" not in vars(part):
            raise ConfigError(f"The options '{part.__name__}' of '{path}' are no dataclass; put @dataclass(frozen=True) above the class.")
    if not hasattr(cls, "name"):
        cls.name = class_name  # what the run folder calls it
    return cls
