"""`evenface distill` as it is typed."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from evenface.cli.distill import parse
from evenface.models.dlib_face import DlibFaceResNet

from .conftest import TINY, Cli


FAST = (*TINY, "--epochs", "1", "-b", "8", "--teacher-size", "103")


@pytest.fixture(autouse=True)
def _teacher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    save_file({**DlibFaceResNet().state_dict(), "fc.weight": torch.randn(128, 256)}, tmp_path / "face.safetensors")
    monkeypatch.setenv("EVENFACE_DLIB_FACE", str(tmp_path / "face.safetensors"))


def test_from_teacher_to_start(cli: Cli, faces: Path) -> None:
    done = cli("distill", "--teacher", "dlib-face", "--dataset", "folder", "--data-dir", faces, *FAST, "-o", "start")
    assert done.code == 0, done.err
    assert "21 to learn from, 9 held out" in done.out
    assert "cosine" in done.out
    assert "next      evenface train --model test_resnet --init start" in done.out
    trained = cli("train", "--init", "start", "--dataset", "folder", "--data-dir", faces, *TINY, "--epochs", "1", "-o", "x")
    assert trained.code == 0, trained.err
    assert "0 missing, 0 of another shape, 0 of a head left out, 0 unexpected" in trained.out
    again = cli("distill", "--resume", "start")
    assert again.code == 0
    assert "done before" in again.out
    cli("train", "--resume", "start").refused(2, "evenface distill --resume start")
    cli("distill", "--resume", "x").refused(2, "evenface train --resume x")
    cli("evaluate", "start").refused(1, "backbone without a head", "--init")
    small = cli("distill", "--teacher", "x", "--dataset", "folder", "--data-dir", faces, *TINY, "--epochs", "1", "-o", "small")
    assert small.code == 0, small.err
    assert "next      evenface evaluate small --split test" in small.out
    assert cli("evaluate", "small", "-j", "1", "--device", "cpu").code == 0


def test_teachers_named_together_or_one_by_one() -> None:
    for words in (["--teacher", "a", "b"], ["--teacher", "a", "--teacher", "b"]):
        args = parse(argparse.ArgumentParser(), words)
        assert args.settings.method_options["teacher"] == ("a", "b")


def test_help_says_what_unlabelled_does_here(cli: Cli) -> None:
    text = " ".join(cli("distill", "--help").out.split())
    assert "--unlabelled FOLDER learn from every image below this folder, in place of a data set" in text
    assert text.count("--unlabelled ") == 2  # in the usage and in the list
    settings = parse(argparse.ArgumentParser(), ["--teacher", "a", "--unlabelled", "faces"]).settings
    assert (settings.unlabelled, settings.dataset) == ("faces", "folder")


def test_misuse(cli: Cli, faces: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cli("distill").refused(2, "--teacher")
    cli("distill", "--model", "resnet18").refused(2, "--teacher")
    cli("distill", "--teacher", "dlib-fase").refused(2, "did you mean 'dlib-face'?")
    cli("distill", "--teacher", "dlib-face", "--method", "ce").refused(2, "Unknown flag --method")
    cli("distill", "--teacher", "dlib-face", "--epochs", "0").refused(2, "--epochs")
    cli("distill", "--resume", "nowhere").refused(2, "nowhere")
    cli("distill", "--resume", "nowhere", "--epochs", "3").refused(2, "takes the settings of")
    gone = cli("distill", "--teacher", "dlib-face", "--unlabelled", "nowhere", *FAST)
    assert (gone.code, gone.out) == (1, "")
    assert "nowhere does not exist" in gone.err
    cli("distill", "--teacher", "dlib-face", "--dataset", "folder", "--data-dir", faces, *FAST, "--model", "resnt18").refused(2, "resnet18")
    monkeypatch.setenv("EVENFACE_DLIB_FACE", str(tmp_path / "gone"))
    cli("distill", "--teacher", "dlib-face", *FAST).refused(1, "EVENFACE_DLIB_FACE", "not a file")
