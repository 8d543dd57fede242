"""Settings of `evenface train`: which wins, where each may stand, and what is refused."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from evenface.cli.main import main
from evenface.training.config import PRESETS, TrainConfig


TINY = ("--model", "test_resnet", "--img-size", "32", "--device", "cpu", "--precision", "fp32", "-j", "1")


def settings(cli: Any, *words: object) -> dict[str, Any]:
    answer = cli("train", *words, "--print-config")
    assert (answer.code, answer.err) == (0, "")
    return dict(yaml.safe_load(answer.out))


def file(text: str) -> Path:
    path = Path("settings.yaml")
    path.write_text(text)
    return path


# -------------------- precedence


def test_defaults_then_preset_then_file_then_flags(cli: Any) -> None:
    default = TrainConfig()
    written = file("epochs: 7\nlr: 0.5\n")
    assert settings(cli)["epochs"] == default.epochs
    assert settings(cli, "--preset", "cpu")["epochs"] == PRESETS["cpu"]["epochs"] != default.epochs
    assert settings(cli, "--preset", "cpu", "-c", written)["epochs"] == 7
    assert settings(cli, "-c", written, "--preset", "cpu", "--epochs", 9)["epochs"] == 9  # the order of the words does not matter
    assert settings(cli, "--epochs", 9, "-c", written)["lr"] == 0.5
    found = settings(cli, "--preset", "cpu", "-c", written)
    assert found["batch_size"] == PRESETS["cpu"]["batch_size"]
    assert found["seed"] == default.seed


def test_printed_settings_can_be_given_back(cli: Any) -> None:
    words = ["--preset", "cpu", "--method", "rbcf", "--lam", 0.3, "--rbc-norm", "mean_all", "--no-detach-maps", "--clip-grad", 1, "-b", 9]
    words += ["--imbalance", 50, "--data-dir", "somewhere/häuser", "--tensorboard"]
    first = cli("train", *words, "--print-config").out
    second = cli("train", "-c", file(first), "--print-config").out
    assert first == second
    assert yaml.safe_load(first)["data_dir"] == "somewhere/häuser"


def test_all_presets_are_settings(cli: Any) -> None:
    for name, values in PRESETS.items():
        found = settings(cli, "--preset", name)
        assert {key: found[key] for key in values} == values


def test_numbers_that_yaml_takes_for_texts(cli: Any) -> None:
    found = settings(cli, "-c", file("lr: 1e-3\nmethod: rbcf\nmethod_options: {lam: 1e-2}\n"))
    assert (found["lr"], float(found["method_options"]["lam"])) == (0.001, 0.01)


# -------------------- the method's own options


def test_options_as_flags_and_in_a_file(cli: Any) -> None:
    assert settings(cli, "--method", "rbcf", "--lam", 0.3, "--mu", 0)["method_options"] == {"lam": 0.3, "mu": 0.0}
    both = file("method: rbcf\nmethod_options: {lam: 0.7, gamma: 1.0}\n")
    assert settings(cli, "-c", both)["method_options"] == {"lam": 0.7, "gamma": 1.0}
    assert settings(cli, "-c", both, "--lam", 0.2)["method_options"] == {"lam": 0.2, "gamma": 1.0}
    assert settings(cli, "-c", both, "--method", "rbcf")["method_options"] == {"lam": 0.7, "gamma": 1.0}
    assert settings(cli, "-c", both, "--method", "ce")["method_options"] == {}  # they belonged to the other method
    alone = file("method_options: {lam: 0.7}\n")
    assert settings(cli, "-c", alone, "--method", "rbcf")["method_options"] == {"lam": 0.7}
    assert settings(cli, "--preset", "eac_r18", "--lam", 2)["method_options"] == {"lam": 2.0}


def test_wrong_options(cli: Any) -> None:
    cli("train", "--lam", 0.3).refused(2, "Unknown flag --lam")  # the default method has no such option
    cli("train", "--method", "rbcf", "--lam", -1).refused(2, "'lam' must be at least 0")
    cli("train", "--method", "rbcf", "--lam", "much").refused(2, "argument --lam", "'much'")
    cli("train", "--method", "rbcf", "--rbc-norm", "mean").refused(2, "--rbc-norm", "mean_all")
    cli("train", "-c", file("method: rbcf\nmethod_options: {lamm: 1}\n")).refused(2, "Unknown option 'lamm'; did you mean 'lam'?")
    cli("train", "-c", file("method: rbcf\nmethod_options: {lam: low}\n")).refused(2, "'lam' must be a finite number")
    cli("train", "-c", file("method_options: 3\n")).refused(2, "--method-options must be a table")
    cli("train", "-c", file("method_options: {lam: 1}\n")).refused(2, "Unknown option 'lam'")


def test_help_shows_the_methods_options(cli: Any) -> None:
    assert "--lam" not in cli("train", "--help").out
    text = cli("train", "--method", "rbcf", "--help").out
    assert "options of the method rbcf" in text
    assert "--lam" in text


# -------------------- settings files


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("epoch: 3\n", ["Unknown setting 'epoch'", "did you mean 'epochs'?", "settings.yaml"]),
        ("epochs: [1\n", ["settings.yaml is not valid YAML"]),
        ("- epochs\n", ["settings.yaml holds no settings"]),
        ("", ["settings.yaml holds no settings"]),
        ("epochs: ten\n", ["--epochs must be a whole number", "'ten'"]),
        ("epochs: 0\n", ["--epochs must be at least 1"]),
        ("optimizer: adm\n", ["--optimizer", "did you mean 'adam'?"]),
        ("view: 3\n", ["--view"]),
        ("hflip: true\n", ["--hflip must be a number"]),
        ("method: 3\n", ["--method must be a text"]),
        ("lr: .nan\n", ["--lr"]),
        ("method: rbfc\n", ["Unknown method 'rbfc'"]),
    ],
)
def test_wrong_files(text: str, words: list[str], cli: Any) -> None:
    cli("train", "-c", file(text)).refused(2, *words)


def test_files_that_cannot_be_read(cli: Any) -> None:
    cli("train", "-c", "nowhere.yaml").refused(2, "settings file nowhere.yaml cannot be read")
    cli("train", "-c", ".").refused(2, "cannot be read")
    Path("settings.yaml").write_bytes(b"\xff\xfe\x00\x80")
    cli("train", "-c", "settings.yaml").refused(2, "settings.yaml is not valid YAML")
    cli("train", "-c").refused(2, "argument -c/--config: expected one argument")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_quiet_is_quiet(precision: str, cli: Any, faces: Path) -> None:
    tiny = ("--model", "test_resnet", "--img-size", 32, "--device", "cpu", "--precision", precision, "--epochs", 1, "-b", 5, "-j", 1)
    answer = cli("train", "--dataset", "folder", "--data-dir", faces, *tiny, "-q", "-o", "run")
    assert (answer.code, answer.out, answer.err) == (0, "", "")


# -------------------- wrong settings


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--method", "rbfc"], "Unknown method 'rbfc'; did you mean 'rbf'?"),
        (["--preset", "paepr"], "Unknown preset 'paepr'; did you mean 'paper'?"),
        (["--dataset", "ferplsu"], "Unknown dataset 'ferplsu'; did you mean 'ferplus'?"),
        (["--dataset", "ferplus"], "needs its folder; give it with --data-dir"),
        (["--dataset", "synthetic", "--data-dir", "x"], "drawn, not read"),
        (["--dataset", "folder", "--data-dir", "x", "--labels", "max"], "has no votes"),
        (["--batch-size", "1"], "--batch-size must be at least 2"),
        (["--epochs", "0"], "--epochs must be at least 1"),
        (["--epochs", "three"], "argument --epochs: invalid int value: 'three'"),
        (["--lr", "0"], "--lr must be more than 0"),
        (["--val-fraction", "1"], "--val-fraction"),
        (["--hflip", "2"], "--hflip must be"),
        (["--view", "miror"], "argument --view: invalid choice: 'miror'"),
        (["--classes", "9"], "argument --classes: invalid choice: 9"),
        (["--imbalance", "0.5"], "--imbalance must be at least 1"),
        (["--device", "gpu"], "Unknown device 'gpu'"),
        (["--method"], "argument --method: expected one argument"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_flags(words: list[str], told: str, cli: Any) -> None:
    cli("train", *words).refused(2, told)
    assert not Path("runs").exists()


def test_wrong_settings_that_the_data_or_the_model_show(cli: Any, faces: Path) -> None:
    base = ("train", "--dataset", "folder", "--data-dir", faces, *TINY, "-q", "-o", "x")
    cli(*base, "--model", "resnet81").refused(2, "Unknown backbone 'resnet81'; did you mean 'resnet")
    cli(*base, "--model", "zzzzzzzz").refused(2, "Unknown backbone 'zzzzzzzz'", "resnet18")
    cli(*base, "--method", "rbcf", "--beta", 1).refused(2, "beta")
    cli(*base, "--init", "nowhere.pth").refused(1, "nowhere.pth")
    cli(*base, "--imbalance", 100).refused(2, "leaves no face of")
    cli(*base, "--exclude", "nowhere.txt").refused(2, "nowhere.txt")
    assert not Path("x").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_cuda_without_cuda(cli: Any, faces: Path, trained: Path) -> None:
    cli("train", "--dataset", "folder", "--data-dir", faces, "--device", "cuda").refused(2, "Device 'cuda' was asked for", "--device cpu")
    cli("evaluate", trained, "--device", "cuda:1").refused(2, "Device 'cuda:1' was asked for")


def test_flags_that_do_nothing(cli: Any) -> None:
    cli("train", "--preset", "tiny", "--lr-gamma", 0.8).refused(2, "--lr-gamma does nothing without --schedule exponential; leave it out")
    cli("train", "--imbalance-reading", "B").refused(2, "--imbalance-reading does nothing without --imbalance; leave it out")
    cli("distill", "--teacher", "dlib-face", "--lr-gamma", 0.8).refused(2, "--lr-gamma does nothing without --schedule exponential")
    file = Path("settings.yaml")
    file.write_text("lr_gamma: 0.8\nimbalance_reading: B\nschedule: cosine\n")
    for words in (("-c", file), ("--preset", "tiny", "--lr-gamma", 0.9), ("--imbalance-reading", "A"), ("--lr-gamma", 0.8)):
        assert cli("train", *words, "--print-config").code == 0


# -------------------- runs


def test_odd_batches_train(trained: Path) -> None:
    assert {"config.yaml", "environment.json", "log.csv", "last.ckpt", "best"} <= {path.name for path in trained.iterdir()}
    assert len((trained / "log.csv").read_text().splitlines()) == 3
    assert yaml.safe_load((trained / "config.yaml").read_text())["batch_size"] == 5


def test_a_run_folder_that_exists(cli: Any, faces: Path, trained: Path) -> None:
    base = ("train", "--dataset", "folder", "--data-dir", faces, *TINY, "-q")
    before = (trained / "last.ckpt").read_bytes()
    cli(*base, "-o", trained).refused(2, "exists already", f"--resume {trained}")
    assert (trained / "last.ckpt").read_bytes() == before
    Path("other").mkdir()
    Path("other/thesis.txt").write_text("all my work")
    cli(*base, "-o", "other").refused(2, "exists already", "choose another")
    assert [path.name for path in Path("other").iterdir()] == ["thesis.txt"]


def test_resume(cli: Any, trained: Path) -> None:
    cli("train", "--resume", "nowhere").refused(2, "no nowhere/config.yaml", "run folder")
    Path("empty").mkdir()
    cli("train", "--resume", "empty").refused(2, "no empty/config.yaml")
    for words in (("--epochs", 5), ("--method", "ce"), ("--preset", "cpu"), ("-c", "x.yaml"), ("--dataset", "ferplus"), ("-o", "y")):
        cli("train", "--resume", trained, *words).refused(2, "--resume takes the settings of", "leave out the others")
    cli("train", "--resume", trained, "--lam", 3).refused(2, "Unknown flag --lam")
    shown = cli("train", "--resume", trained, "--print-config")
    assert yaml.safe_load(shown.out)["epochs"] == 2
    assert cli("train", "--resume", trained, "-q").code == 0  # there is nothing left to do


def copied(trained: Path, **changes: object) -> Path:
    """The run again, with other settings written into it."""
    folder = Path("copy")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(trained, folder)
    values = yaml.safe_load((folder / "config.yaml").read_text())
    (folder / "config.yaml").write_text(yaml.safe_dump({**values, **changes}))
    return folder


def unfinished(run: Path) -> Path:
    """The same, with its last epoch still to be done."""
    state = torch.load(run / "last.ckpt", weights_only=True)
    state["state"]["epoch"] = 1
    torch.save(state, run / "last.ckpt")
    return run


def test_names_with_spaces_and_brackets_are_told_as_they_are_and_can_be_typed(cli: Any, trained: Path, faces: Path) -> None:
    """Rich takes [old] for a style and leaves it out; a shell takes a space for the end of a word."""
    run = "my runs [old]/größe 1"
    Path("my runs [old]").mkdir()
    shutil.copytree(trained, run)
    own = ("--device", "cpu", "-j", 1)

    def typed(text: str, before: str) -> list[str]:
        return shlex.split(text.split(before)[1].splitlines()[0])

    assert typed(cli("train", "--resume", run).out, "next      ")[2] == run
    refused = cli("train", "--dataset", "folder", "--data-dir", faces, *TINY, "-o", run)
    assert typed(refused.err, "go on with it: ")[:3] == ["evenface", "train", "--resume"]
    assert f"--resume '{run}', or choose" in refused.err
    assert typed(cli("compare", run, "--tta", "flip").err, "flip yet; run: evenface ")[:4] == ["evaluate", run, "--split", "test"]
    for words, file in ((["evaluate", run, *own], "metrics-test.json"), (["calibrate", run, *own], "best/config.json")):
        answer = cli(*words)
        assert answer.code == 0, answer.err
        assert f"written   {run}/{file}" in answer.out


def test_resume_on_what_does_not_fit(cli: Any, trained: Path, faces: Path) -> None:
    run = copied(trained)
    (run / "last.ckpt").unlink()
    cli("train", "--resume", run).refused(1, "last.ckpt")
    (run / "last.ckpt").write_bytes(b"no checkpoint")
    cli("train", "--resume", run).refused(1, "last.ckpt is damaged")

    shutil.copytree(faces, "more")
    shutil.copy("more/train/fear/0.png", "more/train/fear/new.png")
    cli("train", "--resume", copied(trained, epochs=3)).refused(2, "epochs is 3 and was 2")
    cli("train", "--resume", unfinished(copied(trained, data_dir="more"))).refused(1, "training faces are not those")

    shutil.copytree(faces, "fewer")
    for split in ("train", "val", "test"):
        shutil.rmtree(f"fewer/{split}/anger")
    cli("train", "--resume", unfinished(copied(trained, data_dir="fewer"))).refused(1, "apart", "anger")


def test_a_full_disk_while_saving(cli: Any, faces: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    words = ("train", "--dataset", "folder", "--data-dir", faces, *TINY, "--epochs", 1, "-b", 21, "-q", "-o", "run")
    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full)
        cli(*words).refused(1, "disk is full", "last.ckpt")
    assert not Path("run").exists()  # nothing to go on from, and nothing in the way of the same command
    assert cli(*words).code == 0


def test_a_weight_file_of_other_classes(cli: Any, faces: Path, trained: Path) -> None:
    """Its backbone is taken, its head is not; a file that does not fit at all is refused."""
    torch.save({"fc.weight": torch.zeros(3, 4), "x": torch.zeros(2)}, "other.pth")
    words = ["train", "--dataset", "folder", "--data-dir", faces, *TINY, "-q", "-o", "x", "--init", "other.pth"]
    cli(*words).refused(1, "other.pth")
    assert main([str(word) for word in [*words[:-1], trained / "best" / "model.safetensors", "--epochs", 1, "-b", 21]]) == 0
