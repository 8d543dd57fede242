"""Settings: a round trip through YAML, presets that are valid, and a clear line for each that cannot work."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from evenface.errors import ConfigError
from evenface.training.config import PRESETS, TrainConfig, check_idle, from_dict, lasting, load_config


def test_yaml_brings_back_every_setting(tmp_path: Path) -> None:
    config = TrainConfig(method="rbcf", method_options={"mu": 0.25}, ema=0.999, data_dir="Gesichter/ä", classes=8, lr=3e-5, imbalance=100.0)
    (tmp_path / "config.yaml").write_text(config.to_yaml(), encoding="utf-8")
    assert load_config(tmp_path / "config.yaml") == config
    assert list(yaml.safe_load(config.to_yaml())) == [field.name for field in dataclasses.fields(TrainConfig)]


UNBOUNDED = ("lr", "weight_decay", "clip_grad", "warmup_epochs", "save_minutes", "imbalance")
"""Numbers that may be as large as one likes."""


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_valid(name: str) -> None:
    config = from_dict(PRESETS[name], name)
    assert all(getattr(config, key) == value for key, value in PRESETS[name].items())


def test_a_preset_in_python() -> None:
    config = TrainConfig.from_preset("cpu", dataset="ferplus", epochs=16)
    assert (config.dataset, config.epochs) == ("ferplus", 16)
    assert dataclasses.replace(config, dataset="synthetic", epochs=6) == from_dict(dict(PRESETS["cpu"]), "cpu")
    with pytest.raises(ConfigError, match="Unknown preset 'cup'; did you mean 'cpu'"):
        TrainConfig.from_preset("cup")
    with pytest.raises(ConfigError, match="preset 'cpu': Unknown setting 'epoch'; did you mean 'epochs'"):
        TrainConfig.from_preset("cpu", epoch=3)


def test_yaml_numbers_that_yaml_takes_for_texts() -> None:
    assert from_dict(yaml.safe_load("lr: 1e-4\nclip_grad: 1\nweight_decay: '0'"), "x.yaml").lr == 1e-4


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("epohcs", 3, r"x.yaml: Unknown setting 'epohcs'; did you mean 'epochs'\?"),
        ("optimizer", "adm", r"--optimizer: Unknown choice 'adm'; did you mean 'adam'\?"),
        ("schedule", "linear", r"--schedule: Unknown choice 'linear'; known are: constant, cosine, exponential, onecycle"),
        ("classes", 9, r"--classes: Unknown choice '9'; known are: 7, 8"),
        ("lr", "fast", r"--lr must be a number, not 'fast'"),
        ("lr", 0, r"--lr must be more than 0, not 0"),
        ("lr", float("nan"), r"--lr must be more than 0, not nan"),
        ("epochs", 0, r"--epochs must be at least 1, not 0"),
        ("epochs", 1.5, r"--epochs must be a whole number, not 1.5"),
        ("batch_size", 1, r"--batch-size must be at least 2, not 1"),
        ("img_size", 8, r"--img-size must be at least 16"),
        ("workers", 0, r"--workers must be at least 1"),
        ("seed", -1, r"--seed must be at least 0 and at most 9223372036854775807, not -1"),
        ("seed", True, r"--seed must be a whole number, not True"),
        ("hflip", 1.2, r"--hflip must be at least 0 and at most 1, not 1.2"),
        ("dropout", 1.0, r"--dropout must be at least 0 and less than 1, not 1.0"),
        ("ema", 1.0, r"--ema must be more than 0 and less than 1"),
        ("ema", 0, r"--ema must be more than 0 and less than 1"),
        ("val_fraction", 0.0, r"--val-fraction must be more than 0 and less than 1"),
        ("imbalance", 0.5, r"--imbalance must be at least 1"),
        ("label_noise", -0.1, r"--label-noise must be at least 0"),
        ("rotate", -5, r"--rotate must be at least 0 and at most 180"),
        ("scale", 1.0, r"--scale must be at least 0 and less than 1"),
        ("weight_decay", -1, r"--weight-decay must be at least 0"),
        ("clip_grad", 0, r"--clip-grad must be more than 0"),
        ("warmup_epochs", -1, r"--warmup-epochs must be at least 0"),
        ("data_dir", 3, r"--data-dir must be a text or nothing, not 3"),
        ("seed", 2**63, r"--seed must be at least 0 and at most 9223372036854775807, not 9223372036854775808"),
        ("classes", 7.0, r"--classes: Unknown choice '7.0'; known are: 7, 8"),
        ("classes", True, r"--classes: Unknown choice 'True'"),
        *((name, float("inf"), rf"--{name.replace('_', '-')} must be a finite number, not inf") for name in UNBOUNDED),
        ("lr", "inf", r"--lr must be a finite number, not inf"),
        ("lr_gamma", 1.01, r"--lr-gamma must be more than 0 and at most 1, not 1.01"),
        ("tensorboard", "yes", r"--tensorboard must be true or false, not 'yes'"),
        ("method_options", "mu=1", r"--method-options must be a table, not 'mu=1'"),
    ],
)
def test_bad_values(setting: str, value: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_dict({setting: value}, "x.yaml")


@pytest.mark.parametrize(
    ("settings", "needs"),
    [
        ({"lr_gamma": 0.8, "schedule": "cosine"}, "--lr-gamma .* --schedule exponential"),
        ({"imbalance_reading": "B"}, "-reading .* --imbalance;"),
    ],
)
def test_settings_that_do_nothing(settings: dict[str, Any], needs: str, tmp_path: Path) -> None:
    config = TrainConfig(**settings)
    with pytest.raises(ConfigError, match=rf"{needs}.* leave it out"):
        check_idle(config, settings)
    check_idle(config, ["schedule"])  # of a file, where it may stand for others
    (tmp_path / "config.yaml").write_text(config.to_yaml())
    assert load_config(tmp_path / "config.yaml") == config
    name = next(iter(settings))
    check_idle(dataclasses.replace(config, **{name: getattr(TrainConfig, name)}), settings)
    check_idle(dataclasses.replace(config, schedule="exponential", imbalance=2.0), settings)


def test_torch_takes_the_largest_seed() -> None:
    config = TrainConfig(seed=2**63 - 1)
    assert torch.Generator().manual_seed(config.seed).initial_seed() == 2**63 - 1


def test_files_that_hold_no_settings(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    with pytest.raises(ConfigError, match=r"There is no .*config.yaml; is .* a run folder"):
        load_config(path)
    for damaged in (b"a: [1", b"# Gr\xf6\xdfe\r\nseed: 1\r\n"):  # the second as Windows' editors once saved it
        path.write_bytes(damaged)
        with pytest.raises(ConfigError, match=r"not valid YAML"):
            load_config(path)
    path.write_text("- 1")
    with pytest.raises(ConfigError, match=r"holds no settings"):
        load_config(path)


def test_the_folder_is_named_after_what_is_trained() -> None:
    assert TrainConfig(method="rbcf", model="resnet18", seed=3).folder == Path("runs/synthetic-rbcf-resnet18-s3")
    assert TrainConfig(method="my/own.py:Best").folder == Path("runs/synthetic-own-resnet18-s0")
    assert TrainConfig(output="x/y").folder == Path("x/y")


def test_what_a_run_keeps_to_its_end_is_told_without_places() -> None:
    def of(place: str, **changes: Any) -> dict[str, Any]:
        paths: dict[str, Any] = {name: f"{place}/{name}" for name in ("data_dir", "unlabelled", "exclude", "init", "output")}
        return lasting(
            TrainConfig(method=f"{place}/own.py:Best", method_options={"teacher": (f"{place}/t", "u"), "k": 2}, **paths, **changes)
        )

    assert of("a") == of("b/c", device="cuda", workers=3, store="stream", save_minutes=1, tensorboard=True, watch=2)
    told = {"method": "own.py:Best", "init": "init", "method_options": {"teacher": ["t", "u"], "k": 2}, "seed": 0}
    assert told.items() <= of("a").items()
    assert of("a") != of("a", precision="bf16")


def test_settings_need_no_torch() -> None:
    code = "import sys, evenface.training.config; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "False"
