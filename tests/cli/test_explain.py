"""`evenface explain` as a person runs it: what it writes, what it prints, and the one line where it cannot."""

from __future__ import annotations

import csv
import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from evenface import zoo
from evenface.cli.explain import METHODS
from evenface.cli.main import main
from evenface.explain import cam


SHIPPED = zoo.default_model()


@pytest.fixture(scope="module")
def watched(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run at a size where maps have 2 x 2 cells, which watched a face of each class."""
    folder = tmp_path_factory.mktemp("runs") / "watched"
    words = ("train", "--dataset", "folder", "--data-dir", faces, "--model", "test_resnet", "--img-size", 64, "--device", "cpu",
             "--precision", "fp32", "-j", 1, "--method", "rbcf", "--epochs", 2, "-b", 7, "--watch", 1, "-q", "-o", folder)  # fmt: skip
    assert main([str(word) for word in words]) == 0
    return folder


@pytest.fixture
def crops(home: Path) -> Path:
    """Two faces that are cut out already, two with the same name but for the suffix, and a file that is no picture."""
    folder = home / "crops"
    folder.mkdir()
    for i, name in enumerate(("a.png", "a.jpg", "b.png")):
        Image.fromarray(np.random.default_rng(i).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(folder / name)
    (folder / "broken.png").write_bytes(b"no picture")
    return folder


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def size_of(file: Path) -> tuple[int, int]:
    """Width and height."""
    with Image.open(file) as picture:
        return picture.size


def test_the_plain_call_shows_a_face_of_each_class(cli: Any, watched: Path, home: Path) -> None:
    answer = cli("explain", watched)
    assert answer.code == 0, answer.err
    pictures = [name for name in names_in(home / "explained") if name.startswith("face-")]
    assert len(pictures) == 3
    assert all(name.startswith("face-val-") for name in pictures)  # of the validation split, whose folder is `val`
    assert set(names_in(home / "explained")) - set(pictures) == {"sheet.png", "faces.csv", "maps.npz"}
    assert "explained/sheet.png" in answer.err
    rows = list(csv.DictReader((home / "explained" / "faces.csv").read_text().splitlines()))
    assert {row["label"] for row in rows} == {"happiness", "fear", "anger"}
    for row in rows:
        assert sum(float(value) for name, value in row.items() if name.startswith("p_")) == pytest.approx(1, abs=1e-4)
        assert row["says"] == max((name for name in row if name.startswith("p_")), key=lambda name: float(row[name])).removeprefix("p_")
    with np.load(home / "explained" / "maps.npz") as maps:
        assert maps["maps"].shape == maps["mirror_maps"].shape == (3, 3, 2, 2)
        assert list(maps["names"]) == [row["name"] for row in rows]
        for row, a, b in zip(rows, maps["maps"], maps["mirror_maps"], strict=True):
            assert float(row["mean_squared"]) == pytest.approx(float(((a - b) ** 2).mean()), rel=1e-4)


def test_named_faces_another_method_and_a_finer_grid(cli: Any, watched: Path, home: Path) -> None:
    words = (
        "--ids",
        "val/fear/1.png,val/anger/0.png",
        "--method",
        "layer-cam",
        "--layer",
        "earlier",
        "--classes",
        "fear",
        "--svg",
        "-o",
        "x",
    )
    answer = cli("explain", watched, *words, "-q")
    assert (answer.code, answer.err, answer.out) == (0, "", "")
    assert {"face-val-fear-1.png", "face-val-fear-1.svg", "face-val-anger-0.png", "sheet.svg"} <= set(names_in(home / "x"))
    with np.load(home / "x" / "maps.npz") as maps:
        assert maps["maps"].shape == (2, 3, 4, 4)
        assert (maps["maps"] >= 0).all()
        assert str(maps["method"]) == "layer-cam"


def test_numbers_that_are_ids(cli: Any, watched: Path, faces: Path, home: Path) -> None:
    rows = [f"{i},{faces / 'val' / name / '0.png'},{name},validation" for i, name in enumerate(("happy", "fear", "anger") * 2)]
    rows += [f"{i},{faces / 'train' / name / '0.png'},{name},train" for i, name in enumerate(("happy", "fear", "anger"), 100)]
    (home / "numbers.csv").write_text("\n".join(("id,file_name,label,split", *rows)))
    data = ("--dataset", "manifest", "--data-dir", "numbers.csv", "-q")
    for words, n in (((), 3), (("--per-class", 2), 6), (("--ids", "2"), 1)):
        assert cli("explain", watched, *data, *words, "-o", f"out{n}").code == 0
        assert len([name for name in names_in(home / f"out{n}") if name.startswith("face-")]) == n
    assert (home / "out1" / "face-2.png").is_file()
    cli("explain", watched, *data, "--ids", "9999").refused(2, "Unknown id '9999'")


def test_faces_of_other_data_look_as_those_that_the_model_has_learned(
    cli: Any, watched: Path, faces: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from evenface.explain import run

    shutil.copytree(watched, home / "grey")
    file = home / "grey" / "best" / "config.json"
    look = {"template": "box", "margin": 0.0, "resolution": 8, "grey": True}
    file.write_text(json.dumps({**json.loads(file.read_text()), "alignment": look}))
    shutil.copytree(faces, home / "other")
    (home / "other" / "train" / "fear" / "0.png").unlink()
    original, given = run.open_store, []
    monkeypatch.setattr(run, "open_store", lambda *words, **more: given.append(more["look"]) or original(*words, **more))
    for words in ((), ("--check", 2, "--method", "class-map"), ("--consistency",), ("--epochs",)):
        for where in ((), ("--data-dir", "other")):
            assert cli("explain", "grey", *words, *where, "-q").code == 0
        own, other = given
        assert own is None
        assert other.to_dict() == look
        given.clear()


def test_photos_of_one_name_are_told_by_their_folders(cli: Any, watched: Path, crops: Path, home: Path) -> None:
    other = home / "other"
    other.mkdir()
    shutil.copy(crops / "a.png", other / "a.png")
    assert cli("explain", watched, crops / "a.png", crops / "b.png", other / "a.png", "--detector", "none", "-q").code == 0
    rows = list(csv.DictReader((home / "explained" / "faces.csv").read_text().splitlines()))
    assert [row["name"] for row in rows] == [str(crops / "a.png"), "b.png", str(other / "a.png")]
    figures = [name for name in names_in(home / "explained") if name.startswith("face-")]
    assert len(figures) == 3
    assert "face-b.png" in figures


@pytest.mark.skipif(sys.platform != "linux", reason="other systems want file names in UTF-8")
def test_a_photo_whose_name_is_no_utf_8(cli: Any, watched: Path, crops: Path, home: Path) -> None:
    (crops / "broken.png").unlink()
    odd = (crops / "a.jpg").rename(os.fsdecode(os.fsencode(crops) + b"/caf\xe9.jpg"))
    assert cli("explain", watched, crops, "--detector", "none", "-q").code == 0
    rows = list(csv.DictReader((home / "explained" / "faces.csv").read_text().splitlines()))
    assert [row["name"] for row in rows] == ["a.png", "b.png", "caf\\xe9.jpg"]
    assert {"face-caf-xe9.png", "maps.npz"} <= set(names_in(home / "explained"))
    words = ("--detector", "none", "--check", "--method", "class-map", "--format", "json", "-o", "numbers")
    assert json.loads(cli("explain", watched, odd, *words).out)["photos"] == [f"{crops}/caf\\xe9.jpg"]
    found = json.loads((home / "numbers" / "check.json").read_text())["check"]
    assert (found["n"], found["methods"]["class-map"]["insertion"]["ci95"]) == (1, None)
    assert "1 face of the photos" in " ".join(cli("explain", watched, odd, *words[:5]).out.split())


def test_a_subfolder_that_may_not_be_read_is_told(cli: Any, watched: Path, crops: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (crops / "broken.png").unlink()
    (crops / "closed").mkdir()
    original = os.scandir

    def scandir(place: Any) -> Any:  # the root user, who may read everything, runs this test too
        if Path(place).name == "closed":
            raise PermissionError(errno.EACCES, "Permission denied", str(place))
        return original(place)

    monkeypatch.setattr(os, "scandir", scandir)
    for words in (("-q",), ("--check", "--method", "class-map", "-q")):
        cli("explain", watched, crops, "--detector", "none", *words).refused(1, "closed: Permission denied")


def test_faces_that_are_cut_out_and_a_broken_file(cli: Any, watched: Path, crops: Path, home: Path) -> None:
    answer = cli("explain", watched, crops, "--detector", "none", "-o", "out")
    assert answer.code == 1  # one could not be read
    assert "broken.png cannot be read" in answer.err
    pictures = [name for name in names_in(home / "out") if name.startswith("face-")]
    assert pictures == ["face-a-2.png", "face-a.png", "face-b.png"]
    assert size_of(home / "out" / "face-a.png")[0] > 700


def test_a_photo_without_a_face(cli: Any, watched: Path, home: Path) -> None:
    Image.new("RGB", (80, 80), "grey").save(home / "wall.png")
    answer = cli("explain", watched, "wall.png")
    answer.refused(1, "no face was found in wall.png", "--detector none")
    assert not (home / "explained").exists()
    cli("explain", watched, "wall.png", "--check").refused(1, "No face was found", "--detector none")


def test_the_check_as_a_table_and_as_json(cli: Any, watched: Path, home: Path) -> None:
    answer = cli("explain", watched, "--check", 4)
    assert answer.code == 0, answer.err
    assert "4 faces of faces validation, seed 0" in answer.out
    for name in ("class-map", "layer-cam", "random", "centre"):
        assert f" {name} " in answer.out
    again = cli("explain", watched, "--check", 4, "--format", "json", "--method", "grad-cam", "-o", "numbers")
    found = json.loads(again.out)
    assert found["check"]["n"] == 4
    assert list(found["check"]["methods"]) == ["grad-cam", "random", "centre"]
    assert json.loads((home / "numbers" / "check.json").read_text()) == found
    finer = json.loads(cli("explain", watched, "--check", 2, "--format", "json", "--layer", "earlier").out)
    assert list(finer["check"]["methods"]) == ["grad-cam", "grad-cam++", "layer-cam", "random", "centre"]
    low, high = found["check"]["methods"]["grad-cam"]["insertion"]["ci95"]
    assert 0 <= low <= found["check"]["methods"]["grad-cam"]["insertion"]["mean"] <= high <= 1


def test_a_check_tells_of_photos_that_it_leaves_out(cli: Any, watched: Path, crops: Path) -> None:
    answer = cli("explain", watched, crops, "--detector", "none", "--check", "--method", "class-map")
    assert answer.code == 1
    assert "broken.png cannot be read" in answer.err
    assert "3 faces of the photos" in answer.out


def test_the_consistency_of_a_split(cli: Any, watched: Path, home: Path) -> None:
    answer = cli("explain", watched, "--consistency")
    assert answer.code == 0, answer.err
    assert "9 faces of faces validation" in answer.out
    found = json.loads(cli("explain", watched, "--consistency", "--format", "json", "--split", "train").out)
    assert found["consistency"]["all"]["n"] == 21
    assert found["consistency"]["classes"]["fear"]["n"] == 7
    assert found["consistency"]["l_rbc"]["mean"] > 0
    assert not (home / "explained").exists()


def test_how_the_maps_moved(cli: Any, watched: Path, home: Path) -> None:
    answer = cli("explain", watched, "--epochs", "--svg")
    assert answer.code == 0, answer.err
    assert "explained/epochs.png: 3 faces" in answer.err
    whole = size_of(home / "explained" / "epochs.png")[1]
    one = next(path.name for path in sorted((watched / "watched").iterdir()))
    with np.load(watched / "watched" / one) as file:
        first = str(file["ids"][0])
    assert cli("explain", watched, "--epochs", "--ids", first, "-o", "one").code == 0
    assert size_of(home / "one" / "epochs.png")[1] < whole
    cli("explain", watched, "--epochs", "--ids", "val/fear/x.png").refused(2, "was not watched", first)
    cli("explain", watched / "best", "--epochs", "-o", "best")
    assert (home / "best" / "epochs.png").is_file()


def test_a_run_that_watched_nothing(cli: Any, trained: Path) -> None:
    cli("explain", trained, "--epochs").refused(2, "--watch 1")
    cli("explain", SHIPPED, "--epochs").refused(2, "run folder")


def test_maps_of_a_single_cell_tell_of_no_place(cli: Any, trained: Path, home: Path) -> None:
    for words in ((), ("--consistency",), ("--check",), ("--method", "grad-cam")):
        cli("explain", trained, *words).refused(2, "single cell", "--layer earlier")
    assert cli("explain", trained, "--method", "layer-cam", "--layer", "earlier", "-q").code == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--ids", "val/fear/9.png"), "did you mean 'val/fear/"),
        (("--classes", "feer"), "did you mean 'fear'"),
        (("--classes", "contempt"), "Unknown class 'contempt'"),
        (("--layer", "earlier"), "--method layer-cam"),
        (("--per-class", "0"), "--per-class must be at least 1"),
        (("--check", "1"), "--check must be at least 2"),
        (("--seed", "-1"), "--seed must be at least 0"),
        (("--check", "3", "--epochs"), "not allowed with"),
        (("--check", "3", "--classes", "fear"), "leave out --classes"),
        (("--consistency", "--method", "layer-cam"), "leave out --method"),
        (("--epochs", "--layer", "earlier"), "leave out --layer"),
        (("nowhere.png",), "There is no file or folder nowhere.png"),
        (("crops", "--dataset", "synthetic"), "leave out the INPUTs"),
        (("crops", "--split", "test"), "leave out the INPUTs"),
        (("crops", "--per-class", "5"), "leave out the INPUTs"),
        (("crops", "--detector", "none", "--check", "5"), "all faces of the photos; leave out its number"),
        (("crops", "--check", "200"), "leave out its number"),
        (("crops", "--seed", "3"), "A photo is not drawn by a seed; leave out --seed"),
        (("--ids", ","), "--ids names faces by their ids"),
        (("film.mp4",), "not films and cameras"),
        (("webcam",), "not films and cameras"),
        (("-o", "crops/a.png"), "is a file"),
        (("--device", "cuda:9"), "cuda"),
    ],
)
def test_what_cannot_work(words: tuple[str, ...], told: str, cli: Any, watched: Path, crops: Path) -> None:
    Path("film.mp4").write_bytes(b"")
    answer = cli("explain", watched, *words)
    answer.refused(2, told)
    assert not Path("explained").exists()


def test_nothing_of_the_users_is_written_over(cli: Any, watched: Path, crops: Path) -> None:
    """`a.png` gives `face-a.png`, which is another photo here; and a table of the user's own."""
    (crops / "face-a.png").write_bytes((crops / "b.png").read_bytes())
    before = {path.name: path.read_bytes() for path in crops.iterdir()}
    cli("explain", watched, crops / "a.png", crops / "face-a.png", "--detector", "none", "-o", crops).refused(
        2, "face-a.png", "-o/--output"
    )
    cli("explain", watched, crops, "--detector", "none", "-o", crops).refused(2, "face-a.png", "-o/--output")
    assert {path.name: path.read_bytes() for path in crops.iterdir()} == before
    (crops / "faces.csv").write_text("name,age\nanna,30\n")
    for words in ((), (crops / "b.png", "--detector", "none")):
        cli("explain", watched, *words, "-o", crops).refused(2, "faces.csv is no table of `evenface explain`")
    assert {path.name for path in crops.iterdir()} == {*before, "faces.csv"}


def test_a_wrong_model(cli: Any, crops: Path, home: Path) -> None:
    cli("explain", crops / "a.png").refused(2, "name the model first", f"evenface explain {SHIPPED}")
    for name in ("model.onnx", "model.xml", "model.pt2"):
        (home / name).write_bytes(b"x")
        cli("explain", name, crops / "a.png").refused(2, f"{name} is an exported file", "the run or the model folder that it was made from")
    cli("explain", "nowhere").refused(2, "nowhere does not exist", "evenface models list")
    cli("explain", crops).refused(2, "neither a run")
    cli("explain", SHIPPED).refused(2, "--dataset")


def test_a_missing_split_and_data_that_have_gone(cli: Any, watched: Path, tmp_path: Path) -> None:
    answer = cli("explain", watched, "--data-dir", tmp_path / "gone")
    assert answer.code == 1
    assert "does not exist" in answer.err
    assert "Traceback" not in answer.err


def test_stopped_by_ctrl_c_the_faces_so_far_are_kept(cli: Any, watched: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from evenface.explain import run

    original, seen = run.face_figure, 0

    def figure(face: Any) -> Any:
        nonlocal seen
        seen += 1
        if seen == 3:
            raise KeyboardInterrupt
        return original(face)

    monkeypatch.setattr(run, "face_figure", figure)
    answer = cli("explain", watched, "--per-class", 2)
    answer.refused(1, "stopped")
    assert len(list(csv.DictReader((home / "explained" / "faces.csv").read_text().splitlines()))) == 2
    assert (home / "explained" / "sheet.png").is_file()
    assert not list((home / "explained").glob(".*"))


def test_help_loads_neither_torch_nor_matplotlib() -> None:
    code = (
        "import sys; from evenface.cli.main import main; code = main(['explain', '--help']); "
        "print(code, *sorted(set(sys.modules) & {'torch', 'matplotlib', 'numpy'}), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr.split() == ["0"]


def test_the_methods_of_the_flag_are_those_of_the_module() -> None:
    assert METHODS == cam.METHODS


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--check", "3", "--ids", "a"), "--check draws its faces by --seed; leave out --ids"),
        (("--check", "3", "--per-class", "2"), "leave out --per-class"),
        (("--check", "3", "--svg"), "leave out --svg"),
        (("--consistency", "--seed", "1"), "--consistency is of the whole split; leave out --seed"),
        (("--epochs", "--split", "test"), "--epochs is of the faces that the run watched; leave out --split"),
        (("--epochs", "--dataset", "folder"), "leave out --dataset"),
        (("--epochs", "--format", "json"), "A picture is neither text nor JSON; leave out --format"),
        (("--format", "json"), "leave out --format"),
        (("--ids", "a", "--per-class", "2"), "--ids names the faces; leave out --per-class"),
        (("--ids", "a", "--seed", "0"), "--ids names the faces; leave out --seed"),
    ],
    ids=str,
)
def test_flags_that_would_do_nothing_are_refused(words: tuple[str, ...], told: str, cli: Any) -> None:
    cli("explain", SHIPPED, *words).refused(2, told)
