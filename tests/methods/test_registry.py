"""Names, options and one's own methods: what is accepted, and the sentence where it is not."""

from __future__ import annotations

import dataclasses
import inspect
from pathlib import Path
from typing import Any

import pytest
import torch

import evenface.methods
from evenface.errors import ConfigError
from evenface.methods import METHODS, Options, Setting, create_method, get_method
from evenface.methods._options import parse


OWN = """
from __future__ import annotations

from dataclasses import dataclass, field

import torch.nn.functional as F

from evenface.methods import Losses, Method, Options


@dataclass(frozen=True)
class MyOptions(Options):
    scale: float = field(default=2.0, metadata={"help": "what the loss is multiplied by"})


class Mine(Method):
    Options = MyOptions

    def loss(self, batch, model):
        value = F.cross_entropy(model(batch.x).logits, batch.labels)
        return Losses(self.options.scale * value, {"cls": value.detach()})


class NoLoss(Method):
    pass


nothing = 3
"""


def test_all_is_what_the_package_gives_away() -> None:
    public = [name for name, value in vars(evenface.methods).items() if not name.startswith("_") and not inspect.ismodule(value)]
    assert sorted(set(public) - {"annotations"}) == sorted(evenface.methods.__all__)


def test_name_is_file_is_class() -> None:
    for name, cls in METHODS.items():
        assert cls.__module__ == f"evenface.methods.{name}"
        assert cls.__name__.lower() == name.replace("_", "")
        assert get_method(name) is cls


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("rbfc", "did you mean 'rb"),
        ("focl", "did you mean 'focal'"),
        ("zzz", r"known are: .*\bcb, ce, "),
        ("", "known are"),
        ("no/such/file.py:Mine", "no file 'no/such/file.py'"),
        ("mine.py", "add the class"),
    ],
)
def test_unknown_methods(name: str, message: str, setting: Setting) -> None:
    with pytest.raises(ConfigError, match=message):
        create_method(name, setting, {})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lamb": 1}, "Unknown option 'lamb'; did you mean 'lam'"),
        ({"betta": 0.9}, "did you mean 'beta'"),
        ({"lam": "much"}, "'lam' must be a finite number"),
        ({"lam": True}, "'lam' must be a finite number"),
        ({"lam": None}, "'lam' must be a finite number"),
        ({"lam": float("nan")}, "'lam' must be a finite number"),
        ({"mu": -1}, "'mu' must be at least 0"),
        ({"gamma": -0.5}, "'gamma' must be at least 0"),
        ({"cls_views": "bith"}, "'cls_views' must be one of both, original"),
        ({"weights": "efective"}, "'weights' must be one of effective, inverse"),
        ({"weights": 3}, "'weights' must be one of"),
        ({"detach_maps": "yes"}, "'detach_maps' must be true or false"),
        ({"beta": 1}, "use --weights inverse"),
        ({"beta": 1.2}, "beta must be at least 0 and below 1"),
        ({"weights": "inverse", "beta": 7}, "beta must be at least 0 and below 1, not 7.0; --weights inverse does not use it"),
        ({"weights": "none", "beta": -3}, "beta must be at least 0 and below 1"),
        ({1: 2}, "Unknown option '1'; known are: beta, cls_views"),
        ({None: 2}, "Unknown option 'None'"),
        ({"mu": 10**400}, "'mu' must be a number of at most 63 bits, not one of 1329 bits"),
        ({"mu": -(10**5000)}, "'mu' must be a number of at most 63 bits, not one of 16610 bits"),  # Python refuses to print it
        ({"detach_maps": 10**5000}, "'detach_maps' must be true or false, not one of 16610 bits"),
        ({"weights": 10**5000}, "'weights' must be one of effective, .*, not one of 16610 bits"),
    ],
)
def test_options_that_cannot_work(options: dict[str, Any], message: str, setting: Setting) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        create_method("rbcf", setting, options)
    assert "\n" not in str(caught.value)


def test_whole_numbers_have_63_bits_and_a_sign(setting: Setting) -> None:
    assert create_method("rul", setting, {"dim": 2**63 - 1}).options.dim == 2**63 - 1  # type: ignore[attr-defined]
    for dim in (2**63, 10**30):
        with pytest.raises(ConfigError, match="'dim' must be a number of at most 63 bits"):
            create_method("rul", setting, {"dim": dim})
    assert create_method("rbcf", setting, {"mu": 10**30}).options.mu == 1e30  # type: ignore[attr-defined]


@pytest.mark.parametrize("scheme", ["effective", "inverse", "inverse_mek", "none"])
def test_every_scheme_of_weights_works_with_the_beta_that_it_comes_with(scheme: str, setting: Setting) -> None:
    for name in ("rbcf", "cb", "focal", "mek"):
        assert create_method(name, setting, {"weights": scheme}).options.weights == scheme  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "option", "wrong", "right"),
    [
        ("ada_cm", "beta", 1.01, 1.0),  # a margin above every confidence
        ("remix", "tau", 1.01, 1.0),
        ("dnfer", "head_lr", 0, 0.001),  # a head that never learns
        ("rul", "classifier_lr", 0, 0.001),
        ("scan_cci", "branch_lr", 0, 0.001),
        ("dmue", "head_lr", 0, 0.001),
    ],
)
def test_values_that_make_no_sense_are_refused(name: str, option: str, wrong: float, right: float, setting: Setting) -> None:
    with pytest.raises(ConfigError, match=rf"'{option}' must be at (least 0 and at most 1|least 0.001), not {wrong}"):
        create_method(name, setting, {option: wrong})
    assert create_method(name, setting, {option: right}).describe()[option] == right


@pytest.mark.parametrize(("name", "option"), [("ce", "label_smoothing"), ("mek", "epsilon")])
def test_shares_lie_below_one(name: str, option: str, setting: Setting) -> None:
    with pytest.raises(ConfigError, match=f"'{option}' must be at least 0 and below 1"):
        create_method(name, setting, {option: 1.0})


def test_options_are_checked_where_they_are_made_by_hand_too() -> None:
    with pytest.raises(ConfigError, match="'mu'"):
        METHODS["rbcf"].Options(mu=-1)  # type: ignore[call-arg]


def test_numbers_as_config_files_hold_them(setting: Setting) -> None:
    options = create_method("rbcf", setting, {"lam": 1, "mu": "1e-4"}).options
    assert options.lam == 1.0  # type: ignore[attr-defined]
    assert isinstance(options.lam, float)  # type: ignore[attr-defined]
    assert options.mu == 1e-4  # type: ignore[attr-defined]


def test_ones_own_method(tmp_path: Path, setting: Setting, tiny: Any, faces: Any) -> None:
    file = tmp_path / "own.py"
    file.write_text(OWN)
    method = create_method(f"{file}:Mine", setting, {"scale": 3})
    losses = method.loss(faces(), tiny())
    torch.testing.assert_close(losses.total.detach(), 3 * losses.parts["cls"])
    assert method.describe() == {"name": "Mine", "scale": 3.0}
    assert method.views == 1
    for name, message in [("Mien", "did you mean 'Mine'"), ("NoLoss", "with a `loss`"), ("nothing", "must be a subclass")]:
        with pytest.raises(ConfigError, match=message):
            get_method(f"{file}:{name}")
    with pytest.raises(ConfigError, match="Unknown option 'scales'; did you mean 'scale'"):
        create_method(f"{file}:Mine", setting, {"scales": 3})


def test_ones_own_options_without_the_decorator(tmp_path: Path, setting: Setting) -> None:
    """Python would take its fields for those of its parent and drop them."""
    decorator = "@dataclass(frozen=True)\n"
    assert OWN.count(decorator) == 1
    file = tmp_path / "own.py"
    child = "\n\n@dataclass(frozen=True)\nclass Child(MyOptions):\n    pass\n\n\nclass Further(Mine):\n    Options = Child\n"
    file.write_text(OWN.replace(decorator, "") + child)
    for name in ("Mine", "Further"):
        with pytest.raises(ConfigError, match=r"The options 'MyOptions' of '.*own\.py' .*put @dataclass\(frozen=True\) above"):
            get_method(f"{file}:{name}")
    file.write_text(OWN + child)
    assert create_method(f"{file}:Further", setting, {"scale": 3}).describe() == {"name": "Further", "scale": 3.0}


def test_two_files_of_one_name_are_two_methods(tmp_path: Path, setting: Setting) -> None:
    for kind in ("a", "b"):
        (tmp_path / kind).mkdir()
        own = OWN.replace("scale: float = field(default=2.0", f'kind: Literal["{kind}"] = "{kind}"\n    scale: float = field(default=2.0')
        (tmp_path / kind / "mine.py").write_text(own.replace("import torch", "from typing import Literal\n\nimport torch", 1))
    first, second = (f"{tmp_path / kind / 'mine.py'}:Mine" for kind in ("a", "b"))
    cls = get_method(first)
    create_method(second, setting, {"kind": "b"})
    assert cls.Options(kind="a").kind == "a"  # type: ignore[call-arg, attr-defined]


@pytest.mark.parametrize("options", ["None", "dict", "MyOptions()"])
def test_ones_own_options_of_another_kind(tmp_path: Path, options: str) -> None:
    (tmp_path / "mine.py").write_text(OWN.replace("    Options = MyOptions", f"    Options = {options}"))
    with pytest.raises(ConfigError, match=r"The `Options` of 'Mine' of '.*mine\.py' must be a subclass of evenface\.methods\.Options"):
        get_method(f"{tmp_path / 'mine.py'}:Mine")


def test_ones_own_file_that_is_broken(tmp_path: Path) -> None:
    file = tmp_path / "broken.py"
    file.write_text("import no_such_module_anywhere\n")
    with pytest.raises(ConfigError, match="cannot be imported: ModuleNotFoundError") as caught:
        get_method(f"{file}:Mine")
    assert "\n" not in str(caught.value)
    file.write_text("x = 1\n")
    with pytest.raises(ConfigError, match="holds no subclass"):
        get_method(f"{file}:Mine")


def test_options_without_a_default_and_with_none() -> None:
    @dataclasses.dataclass(frozen=True)
    class Own(Options):
        strength: float = dataclasses.field(metadata={"help": "how much", "low": 0})
        cap: float | None = dataclasses.field(default=None, metadata={"help": "at most", "low": 1})

    with pytest.raises(ConfigError, match=r"Option 'strength' has no default; give it \(--strength\)"):
        parse(Own, {})
    assert parse(Own, {"strength": "1e-1"}) == Own(0.1)
    assert parse(Own, {"strength": 1, "cap": "2"}).cap == 2.0
    for wrong in ({"strength": 1, "cap": 0.5}, {"strength": 1, "cap": "much"}, {"strength": None}):
        with pytest.raises(ConfigError, match="Option '"):
            parse(Own, wrong)
