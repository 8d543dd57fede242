"""The whole way: what is refused, what is left behind, and the file that comes out."""

from __future__ import annotations

import io
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from evenface.cli.main import main
from evenface.errors import ConfigError, LabelError, ModelError, StorageError
from evenface.export import export_model, faces, graph
from evenface.labels import BASIC, CLASSES
from evenface.model_folder import load_model, read_config, save_model
from evenface.models.classifier import Classifier, build_classifier
from evenface.runtimes import open_runtime
from evenface.runtimes.onnx_runtime import OnnxRuntime
from evenface.training.config import TrainConfig

from .conftest import SIZE, TEMPERATURE, by_hand, noise


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faces, "DRAWN", 2)


@pytest.fixture
def by_tracer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The older exporter, which takes a second where the new one takes twenty."""
    pytest.importorskip("onnxscript", reason="needs the extra onnx")
    monkeypatch.setattr(graph, "_by_dynamo", graph._by_tracer)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A data set in folders: 8 training and 3 validation faces per class."""
    for number, name in enumerate(BASIC):
        for split, count in (("train", 8), ("validation", 3)):
            for i, pixels in enumerate(noise(count, 100 * number + count)):
                path = tmp_path / "photos" / split / name / f"{i}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(path)
    return tmp_path / "photos"


def test_a_file_that_agrees_is_kept_and_can_be_opened(
    warm: Path, photos: Path, tmp_path: Path, by_tracer: None, capsys: pytest.CaptureFixture[str]
) -> None:
    out, record = tmp_path / "out" / "model.onnx", tmp_path / "report.json"
    words = ["export", warm, "-o", out, "--dataset", "folder", "--data-dir", photos, "--report", record]
    assert main([str(word) for word in words]) == 0
    told = capsys.readouterr().out
    assert "21 faces of photos (validation)" in told
    assert "100.00%" in told
    assert "mean recall" in told
    report = json.loads(record.read_text())
    assert (report["schema_version"], report["n"], report["agreement"], report["precision"]) == (1, 21, 1.0, "fp32")
    assert report["max_logit_difference"] < 1e-3
    assert report["max_softmax_difference"] < 1e-5
    assert report["map_difference"] < 1e-5
    assert f"maps                 off by {report['map_difference']:.2%}" in told
    assert [path.name for path in out.parent.iterdir()] == ["model.onnx"]

    expected = by_hand(
        load_model(warm)[0], np.stack([np.asarray(Image.open(path)) for path in sorted((photos / "validation").rglob("*.png"))])
    )
    right = [
        row.argmax() == BASIC.index(path.parent.name)
        for row, path in zip(expected[0], sorted((photos / "validation").rglob("*.png")), strict=True)
    ]
    of_fear = [hit for hit, path in zip(right, sorted((photos / "validation").rglob("*.png")), strict=True) if path.parent.name == "fear"]
    assert report["recall"]["fear"][0] == pytest.approx(sum(of_fear) / 3)
    assert report["mean_recall"][0] == pytest.approx(sum(right) / 21)  # every class has three

    texts = OnnxRuntime(out).metadata
    assert json.loads(texts["class_names"]) == list(BASIC)
    assert (texts["img_size"], texts["model"], texts["prior"], texts["precision"]) == (str(SIZE), "warm", "model", "fp32")
    assert json.loads(texts["alignment"])["template"] == "box"
    assert json.loads(texts["calibration"])["temperature_only"] == TEMPERATURE
    assert json.loads(texts["train_counts"])["fear"] == 5
    assert (texts["schema_version"], texts["data_licence"]) == ("1", "CC0-1.0")
    assert texts["evenface"]
    assert "init" not in texts


def test_a_model_without_data_is_compared_on_drawn_faces(
    warm: Path, tmp_path: Path, by_tracer: None, drawn: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(warm), "-o", str(tmp_path / "m.onnx")]) == 0
    told = capsys.readouterr().out
    assert "14 drawn faces, since no data set was named" in told
    assert "recall" not in told


def test_runs_whose_settings_say_nothing_of_faces_to_compare_on(
    warm: Path, photos: Path, tmp_path: Path, by_tracer: None, drawn: None, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(photos / "validation")
    taught = {"method": "distill", "method_options": {"teacher": ["x"]}}
    kinds: dict[str, tuple[dict[str, Any], str]] = {
        "paper": ({"dataset": "folder", "data_dir": str(photos), "protocol": "paper"}, "drawn faces, since photos has no validation split"),
        "loose": ({"dataset": "folder", "unlabelled": str(photos), **taught}, "drawn faces, since no data set was named"),
    }
    for name, (settings, told) in kinds.items():
        shutil.copytree(warm, tmp_path / name / "best")
        (tmp_path / name / "config.yaml").write_text(TrainConfig(**settings, output=str(tmp_path / name)).to_yaml())
        assert main(["export", str(tmp_path / name), "-o", str(tmp_path / f"{name}.onnx")]) == 0
        assert told in capsys.readouterr().out


def test_a_run_whose_data_are_elsewhere_now(
    warm: Path, photos: Path, tmp_path: Path, by_tracer: None, drawn: None, capsys: pytest.CaptureFixture[str]
) -> None:
    run, out = tmp_path / "run", tmp_path / "m.onnx"
    shutil.copytree(warm, run / "best")
    (run / "config.yaml").write_text(TrainConfig(dataset="folder", data_dir=str(tmp_path / "gone"), output=str(run)).to_yaml())
    assert main(["export", str(run), "-o", str(out)]) == 0
    assert "14 drawn faces, since the run's data are not here" in capsys.readouterr().out
    out.unlink()
    for words, told in (
        (["--precision", "int8"], "say with --data-dir where they lie.\n"),
        (["--data-dir", str(tmp_path / "typo")], "typo"),  # what was named is not passed over
        (["--dataset", "folder"], "gone"),
    ):
        assert main(["export", str(run), "-o", str(out), *words]) == 1
        assert told in capsys.readouterr().err
    assert not out.exists()


def test_a_student_has_the_classes_of_its_teachers(tmp_path: Path) -> None:
    model = build_classifier("test_resnet", CLASSES, SIZE)
    save_model(tmp_path / "run" / "best", model, {}, "# eight")
    for name in CLASSES:
        for split in ("train", "validation"):
            (tmp_path / "photos" / split / name).mkdir(parents=True)
            Image.new("RGB", (SIZE, SIZE)).save(tmp_path / "photos" / split / name / "a.png")
    settings = TrainConfig(
        dataset="folder",
        data_dir=str(tmp_path / "photos"),
        method="distill",
        method_options={"teacher": ["x"]},
        output=str(tmp_path / "run"),
    )
    (tmp_path / "run" / "config.yaml").write_text(settings.to_yaml())
    found = faces.read_set(tmp_path / "run" / "best", read_config(tmp_path / "run" / "best"), None, None)
    assert found is not None
    assert set(found.manifest.class_names) == set(CLASSES)


def test_faces_of_other_data_look_as_those_that_the_model_has_learned(warm: Path, tmp_path: Path, drawn: None) -> None:
    """Grey and of 8 pixels: those of 16 in colour, each 2 x 2 of them alike; a run's own faces stay as they are."""
    shutil.copytree(warm, tmp_path / "run" / "best")
    config = tmp_path / "run" / "best" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "alignment": {"template": "box", "resolution": 8, "grey": True}}))
    about = read_config(tmp_path / "run" / "best")
    small = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    for name in BASIC:
        for split in ("train", "validation"):
            (tmp_path / "photos" / split / name).mkdir(parents=True)
            Image.fromarray(small.repeat(2, axis=0).repeat(2, axis=1)).save(tmp_path / "photos" / split / name / "0.png")
    whole = Image.fromarray(small.repeat(2, axis=0).repeat(2, axis=1)).resize((SIZE, SIZE), Image.Resampling.BICUBIC)
    grey = Image.fromarray(np.rint(small @ [0.299, 0.587, 0.114]).astype(np.uint8)).resize((SIZE, SIZE), Image.Resampling.BICUBIC)

    def shows(batches: Any, expected: Image.Image) -> None:
        (found,) = batches
        np.testing.assert_allclose(found.astype(int), np.stack([np.asarray(expected.convert("RGB"))] * 7), atol=1)

    where = ("folder", str(tmp_path / "photos"))
    other = faces.read_set(tmp_path / "run" / "best", about, *where)
    assert other is not None
    shows(faces.faces_of(other, about, "validation").batches(), grey)
    shows(faces.calibration_batches(other, about, 7, 0), grey)
    (tmp_path / "run" / "config.yaml").write_text(TrainConfig(*where, output=str(tmp_path / "run")).to_yaml())
    own = faces.read_set(tmp_path / "run" / "best", about, None, None)
    assert own is not None
    shows(faces.faces_of(own, about, "validation").batches(), whole)
    shows(faces.calibration_batches(own, about, 7, 0), whole)
    (coloured,) = faces.drawn_faces(read_config(warm), "").batches()
    (made,) = faces.drawn_faces(about, "").batches()
    assert (np.ptp(coloured, axis=3) > 0).any()
    assert (np.ptp(made, axis=3) == 0).all()


@pytest.fixture
def other_model(warm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exporter that writes something else than the model."""
    pytest.importorskip("onnxscript", reason="needs the extra onnx")
    model = load_model(warm)[0]
    with torch.no_grad():
        model.head.weight.neg_()
    monkeypatch.setattr(graph, "_by_dynamo", lambda *_: graph._by_tracer(model, 1.0, SIZE))


def test_a_file_that_disagrees_is_not_kept(warm: Path, tmp_path: Path, other_model: None, drawn: None) -> None:
    with pytest.raises(ModelError, match="logits differ by"):
        export_model(warm, tmp_path / "new" / "m.onnx")
    assert not (tmp_path / "new").exists()
    (tmp_path / "m.onnx").write_bytes(b"the former file")
    with pytest.raises(ModelError, match="not kept"):
        export_model(warm, tmp_path / "m.onnx")
    assert (tmp_path / "m.onnx").read_bytes() == b"the former file"
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]


def test_a_file_with_a_fixed_batch_is_refused(warm: Path, tmp_path: Path, drawn: None, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxscript", reason="needs the extra onnx")

    def fixed(model: Classifier, temperature: float, size: int) -> bytes:
        buffer = io.BytesIO()
        with graph.quiet():
            names = ["logits", "probabilities", "maps"]
            given = (torch.rand(2, 3, size, size),)
            torch.onnx.export(graph.Answers(model, temperature), given, buffer, dynamo=False, input_names=["faces"], output_names=names)  # type: ignore[arg-type]
        return buffer.getvalue()

    monkeypatch.setattr(graph, "_by_dynamo", fixed)
    with pytest.raises(ModelError, match="does not run on batches of any size"):
        export_model(warm, tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


def test_int8_is_calibrated_on_training_faces(
    warm: Path, photos: Path, tmp_path: Path, by_tracer: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from evenface.export import quantize, run

    seen: list[np.ndarray] = []
    real = quantize.to_input  # of what ONNX Runtime asks for
    monkeypatch.setattr(quantize, "to_input", lambda batch: seen.append(batch) or real(batch))  # type: ignore[func-returns-value]
    monkeypatch.setattr(run, "require", lambda report, precision: None)  # 21 faces of noise are no measure
    train = {np.asarray(Image.open(path)).tobytes() for path in (photos / "train").rglob("*.png")}
    for count, sizes in ((37, [1] * 37), (40, [20, 20])):  # all of as many faces, and none of them left over
        seen.clear()
        export_model(
            warm, tmp_path / "s.onnx", precision="int8", calibrate_on="folder", data_dir=str(photos), calibration_faces=count, seed=3
        )
        assert [len(batch) for batch in seen] == sizes
        found = [face.tobytes() for batch in seen for face in batch]
        assert len(set(found)) == count
        assert set(found) <= train
    runtime, config, name = open_runtime(tmp_path / "s.onnx")
    assert (runtime.name, config.class_names, name) == ("onnx", BASIC, "warm")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"output": "m.pt"}, "ends in .onnx"),
        ({"output": "m.onnx", "format": "openvino"}, "ends in .xml"),
        ({"output": "m.onnx", "format": "tflite"}, "--format is one of"),
        ({"output": "m.onnx", "precision": "int4"}, "--precision is one of"),
        ({"output": "m.pt2", "format": "torch-export", "precision": "int8"}, "fp32 only"),
        ({"output": "m.onnx", "precision": "int8"}, "name a data set with --calibrate-on"),
        ({"output": "m.onnx", "calibrate_on": "ferplus"}, "--calibrate-on goes with --precision int8"),
        ({"output": "m.onnx", "calibration_faces": 512}, "--calibration-faces goes with --precision int8"),
        ({"output": "m.onnx", "precision": "fp16", "seed": 0}, "--seed goes with --precision int8"),
        ({"output": "m.onnx", "precision": "int8", "calibrate_on": "ferplus", "dataset": "rafdb"}, "share one --data-dir"),
        ({"output": "m.onnx", "precision": "int8", "calibration_faces": 0}, "--calibration-faces is at least 1"),
        ({"output": "m.onnx", "data_dir": "x"}, "name it with --dataset"),
    ],
)
def test_settings_that_cannot_work_are_refused_before_any_work(
    warm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], message: str
) -> None:
    monkeypatch.setattr(graph, "_by_dynamo", lambda *_: pytest.fail("it was exported"))
    output = tmp_path / settings.pop("output")
    with pytest.raises(ConfigError, match=message):
        export_model(warm, output, **settings)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_a_data_set_of_other_classes_is_refused(warm: Path, photos: Path, tmp_path: Path) -> None:
    shutil.move(photos / "train" / "fear", photos / "train" / "contempt")
    shutil.move(photos / "validation" / "fear", photos / "validation" / "contempt")
    with pytest.raises((LabelError, ConfigError)):
        export_model(warm, tmp_path / "m.onnx", dataset="folder", data_dir=str(photos))


def test_a_place_that_cannot_be_written_is_told_before_any_work(warm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "_by_dynamo", lambda *_: pytest.fail("it was exported"))
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="file cannot be written"):
        export_model(warm, tmp_path / "file" / "m.onnx")
    assert main(["export", str(warm), "-o", str(tmp_path / "m.onnx"), "--report", str(tmp_path / "file" / "r.json")]) == 1
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "closed")
    (tmp_path / "closed").mkdir()
    with pytest.raises(StorageError, match="new cannot be written"):
        export_model(warm, tmp_path / "closed" / "new" / "m.onnx")


def test_wrong_words_are_one_line(warm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cases: list[tuple[list[object], int, str]] = [
        (["nowhere/x", "-o", "m.onnx"], 1, "nowhere"),
        ([warm, "-o", tmp_path / "m.onnx", "--report", tmp_path], 2, "--report names a file"),
        ([warm, "-o", tmp_path / "m.onnx", "--report", tmp_path / "." / "new" / ".." / "m.onnx"], 2, "give --report another name"),
        ([warm, "--format", "openvino", "-o", tmp_path / "m.xml", "--report", tmp_path / "m.bin"], 2, "where the model goes"),
        ([warm, "-o", tmp_path / "m.onnx", "--seed", "-1"], 2, "--seed"),
        ([warm, "-o", tmp_path / "m.onnx", "--seed", "0"], 2, "--seed goes with --precision int8"),
        ([warm, "-o", tmp_path / "m.onnx", "--calibration-faces", "512"], 2, "--calibration-faces goes with"),
        ([warm], 2, "-o"),
    ]
    for words, code, message in cases:
        assert main(["export", *map(str, words)]) == code
        told = capsys.readouterr().err
        assert message in told
        assert told.count("\n") == 1
        assert "Traceback" not in told


@pytest.mark.slow
@pytest.mark.parametrize("which", ["onnx", "openvino", "torch-export"])
def test_every_format_by_the_new_exporter(warm: Path, tmp_path: Path, drawn: None, which: str) -> None:
    for package in ("onnxscript", "onnxruntime", "openvino"):
        pytest.importorskip(package)
    suffix = {"onnx": ".onnx", "openvino": ".xml", "torch-export": ".pt2"}[which]
    export_model(warm, tmp_path / f"m{suffix}", format=which)
    expected = {"onnx": ["m.onnx"], "openvino": ["m.bin", "m.xml"], "torch-export": ["m.pt2"]}[which]
    assert sorted(path.name for path in tmp_path.iterdir()) == expected
    if which == "torch-export":
        extra = {"class_names": ""}
        module = torch.export.load(tmp_path / "m.pt2", extra_files=extra).module()
        assert json.loads(extra["class_names"]) == list(BASIC)
        faces_ = noise(3)
        found = module(torch.from_numpy(faces_.transpose(0, 3, 1, 2) / np.float32(255)))
        assert found[0].detach().numpy() == pytest.approx(by_hand(load_model(warm)[0], faces_)[0], abs=1e-4)


@pytest.mark.slow
def test_openvino_int8_by_nncf(warm: Path, photos: Path, tmp_path: Path, by_tracer: None, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("nncf")
    from evenface.export import run

    monkeypatch.setattr(run, "require", lambda report, precision: None)
    report = export_model(warm, tmp_path / "s.xml", format="openvino", precision="int8", dataset="folder", data_dir=str(photos))
    assert report.agreement >= 0.8
    assert b'element_type="i8"' in (tmp_path / "s.xml").read_bytes()
