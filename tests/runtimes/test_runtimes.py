"""Which runtime computes what, the same answers from each, and life without torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evenface import Recognizer, runtimes
from evenface.errors import ConfigError, DeviceError, MissingExtra, ModelError
from evenface.labels import BASIC
from evenface.runtimes import choose, open_runtime
from evenface.runtimes.onnx_runtime import OnnxRuntime, to_input
from evenface.runtimes.openvino_runtime import OpenVinoRuntime, _onnx_metadata

from ..export.conftest import by_hand, noise


def test_the_input_is_rgb_in_0_to_1() -> None:
    face = np.zeros((1, 2, 2, 3), dtype=np.uint8)
    face[0, 0, 1] = [255, 51, 0]
    x = to_input(face)
    assert (x.shape, x.dtype, x.flags.c_contiguous) == ((1, 3, 2, 2), np.float32, True)
    assert x[0, :, 0, 1] == pytest.approx([1, 0.2, 0])


@pytest.mark.parametrize("runtime", ["torch", "onnx", "openvino"])
def test_each_runtime_gives_the_models_answers_alone_and_in_a_batch(folder: Path, runtime: str) -> None:
    pytest.importorskip({"torch": "torch", "onnx": "onnxruntime", "openvino": "openvino"}[runtime])
    from evenface.model_folder import load_model

    found, config, name = open_runtime(folder, runtime=runtime, device="cpu")
    assert (found.name, name) == (runtime, "warm")
    faces = noise(9)
    logits, maps = by_hand(load_model(folder)[0], faces)
    assert found.logits(faces) == pytest.approx(logits, abs=1e-3)
    assert found.maps(faces) == pytest.approx(maps, abs=1e-3)
    alone = np.concatenate([config.scores(found.logits(faces[i : i + 1])) for i in range(9)])
    assert config.scores(found.logits(faces)) == pytest.approx(alone, abs=1e-5)


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_threads_may_ask_at_the_same_time(folder: Path, runtime: str) -> None:
    pytest.importorskip({"onnx": "onnxruntime", "openvino": "openvino"}[runtime])
    found, _, _ = open_runtime(folder, runtime=runtime)
    batches = [noise(1 + i % 3, seed=i) for i in range(24)]
    alone = [found.logits(batch) for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        for together, expected in zip(pool.map(found.logits, batches), alone, strict=True):
            assert together == pytest.approx(expected, abs=1e-4)


def test_the_recognizer_says_the_same_on_each(folder: Path) -> None:
    pytest.importorskip("openvino")
    faces = list(noise(5, seed=2))
    settings = {"detector": "none", "device": "cpu", "tta": "flip", "prior": "balanced"}
    answers = [
        Recognizer.from_pretrained(name, runtime=runtime, **settings).classify(faces)  # type: ignore[arg-type]
        for name, runtime in (
            (folder, "torch"),
            (folder, "onnx"),
            (folder, "openvino"),
            (folder / "model.onnx", "auto"),
            (folder / "model.onnx", "openvino"),
        )
    ]
    for other in answers[1:]:
        for a, b in zip(answers[0], other, strict=True):
            assert dict(b.scores) == pytest.approx(dict(a.scores), abs=1e-4)


def test_a_file_knows_its_model(folder: Path) -> None:
    from_file = Recognizer.from_pretrained(folder / "model.onnx", detector="none")
    from_folder = Recognizer.from_pretrained(folder, detector="none", device="cpu", runtime="torch")
    assert from_file.about == from_folder.about
    for field in ("class_names", "img_size", "alignment", "train_counts", "calibration", "mean", "std", "data_licence", "details"):
        assert getattr(from_file.config, field) == getattr(from_folder.config, field)


def test_metadata_are_read_without_the_package_onnx(folder: Path) -> None:
    assert _onnx_metadata(folder / "model.onnx") == OnnxRuntime(folder / "model.onnx").metadata


# Choosing


def test_auto(folder: Path, warm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose(folder, "auto", "auto") == choose(folder, "auto", "cpu") == "onnx"
    assert choose(folder, "torch", "auto") == "torch"
    assert choose(folder, "auto", "cuda") == choose(folder, "auto", "mps") == "torch"
    assert choose(folder, "auto", "cpu", "bf16") == "torch"
    assert choose(warm, "auto", "cpu") == "torch"  # no ONNX file there
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose(folder, "auto", "auto") == "torch"
    monkeypatch.setattr(runtimes, "is_installed", lambda name: name != "onnxruntime")
    assert choose(folder, "auto", "cpu") == "torch"
    monkeypatch.setattr(runtimes, "is_installed", lambda name: name != "torch")
    assert choose(folder, "auto", "cpu") == choose(warm, "auto", "auto") == "onnx"


def test_a_folder_whose_weights_have_changed_is_refused(folder: Path) -> None:
    from evenface.model_folder import save_model
    from evenface.models.classifier import build_classifier

    data = (folder / "model.onnx").read_bytes()
    save_model(folder, build_classifier("test_resnet", BASIC, 32), {}, card="")
    assert choose(folder, "auto", "cpu") == "torch"  # the new model has no file of the old one
    (folder / "model.onnx").write_bytes(data)
    with pytest.raises(ModelError, match="exported from other weights"):
        open_runtime(folder, runtime="onnx")


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_a_missing_package_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch, runtime: str) -> None:
    monkeypatch.setitem(sys.modules, {"onnx": "onnxruntime"}.get(runtime, runtime), None)
    with pytest.raises(MissingExtra, match=rf"--runtime {runtime} needs .* 'evenface\[{runtime}\]'"):
        open_runtime(folder, runtime=runtime)


def test_what_cannot_work_is_refused(folder: Path, warm: Path, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    file = folder / "model.onnx"
    with pytest.raises(ConfigError, match="Unknown runtime 'onyx'; did you mean 'onnx'"):
        open_runtime(file, runtime="onyx")
    with pytest.raises(ModelError, match="make it with: evenface export"):
        open_runtime(warm, runtime="onnx")
    with pytest.raises(ModelError, match="There is no file"):
        open_runtime(tmp_path / "none.onnx")
    with pytest.raises(ConfigError, match=r"torch cannot compute model\.onnx"):
        open_runtime(file, runtime="torch")
    with pytest.raises(DeviceError, match="on the CPU"):
        open_runtime(file, device="cuda")
    with pytest.raises(ConfigError, match="precision that it was exported in"):
        open_runtime(file, precision="bf16")
    with pytest.raises(DeviceError, match="Unknown precision"):
        open_runtime(file, precision="fp8")
    foreign = onnx.load(file)
    onnx.helper.set_model_props(foreign, {"author": "somebody"})
    onnx.save(foreign, tmp_path / "foreign.onnx")
    with pytest.raises(ModelError, match="no class names of evenface"):
        open_runtime(tmp_path / "foreign.onnx")
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    for runtime in ("onnx", "openvino"):
        with pytest.raises(ModelError, match="cannot be read by"):
            open_runtime(tmp_path / "broken.onnx", runtime=runtime)
    add = onnx.helper.make_node("Relu", ["x"], ["y"])
    x, y = (onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", 3]) for name in "xy")
    other = onnx.helper.make_model(
        onnx.helper.make_graph([add], "g", [x], [y]), opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10
    )
    onnx.save(other, tmp_path / "other.onnx")
    for make in (OnnxRuntime, OpenVinoRuntime):
        with pytest.raises(ModelError, match="no model of `evenface export`"):
            make(tmp_path / "other.onnx")


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
@pytest.mark.parametrize(
    ("texts", "told"),
    [
        ({"class_names": json.dumps([*BASIC, "contempt"])}, r"do not fit its metadata, which tells of 32 pixels and 8 classes; export it"),
        ({"class_names": json.dumps(BASIC[:2])}, "32 pixels and 2 classes"),
        ({"img_size": "48"}, "48 pixels and 7 classes"),
        ({"img_size": "1000000000"}, "1000000000 pixels"),
        ({"details": "3"}, "'details' of .* are damaged"),
        ({"details": '["epoch"]'}, "'details' of .* are damaged"),
        ({"class_names": "7"}, "class_names is 7, not a list"),
        ({"class_names": "null"}, "class_names is None, not a list"),
    ],
)
def test_a_file_that_does_not_fit_its_metadata(folder: Path, runtime: str, texts: dict[str, str], told: str) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip({"onnx": "onnxruntime", "openvino": "openvino"}[runtime])
    file = folder / "model.onnx"
    proto = onnx.load(file)
    known = {each.key: each.value for each in proto.metadata_props if each.key not in ("train_counts", "calibration")}
    onnx.helper.set_model_props(proto, {**known, **texts})
    onnx.save(proto, file)
    with pytest.raises(ModelError, match=told):
        open_runtime(file, runtime=runtime)


def test_a_file_that_does_not_fit_the_config_beside_it(folder: Path) -> None:
    pytest.importorskip("onnxruntime")
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**values, "img_size": 64}))
    with pytest.raises(ModelError, match=r"do not fit config\.json, which tells of 64 pixels and 7 classes"):
        open_runtime(folder, runtime="onnx")


# Without torch

HIDE = """
import sys

class Hidden:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, *rest):
        if name.partition(".")[0] in ("torch", "torchvision", "timm", "kornia", "lightning_fabric"):
            return None
        return self.finder.find_spec(name, *rest)

sys.meta_path[:] = [Hidden(finder) for finder in sys.meta_path]
"""


def without_torch(code: str, **environment: str) -> str:
    """What the code prints in a Python that has no torch."""
    settings = {**os.environ, **environment}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", HIDE + code], capture_output=True, text=True, timeout=120, check=False, env=settings
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_predicting_without_torch(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    pixels = noise(1, seed=4)[0]
    Image.fromarray(pixels).save(tmp_path / "face.png")
    expected = Recognizer.from_pretrained(folder, detector="none", runtime="torch", device="cpu").classify(pixels)
    said = without_torch(f"""
from evenface import Recognizer
from evenface.cli.main import main
from evenface.errors import ConfigError
import json
for name in ({str(folder)!r}, {str(folder / "model.onnx")!r}):
    recognizer = Recognizer.from_pretrained(name, detector="none")
    print(json.dumps(dict(recognizer.predict({str(tmp_path / "face.png")!r})[0].scores)))
try:
    Recognizer.from_pretrained({str(folder)!r})
except ConfigError as error:
    print(error)
words = ["--model", {str(folder / "model.onnx")!r}, "--detector", "none", "--format", "json", "-q"]
assert main(["predict", {str(tmp_path / "face.png")!r}, *words]) == 0
assert "torch" not in sys.modules
""")
    first, second, told, *rest = said.splitlines()
    for line in (first, second):
        assert json.loads(line) == pytest.approx(dict(expected.scores), abs=1e-4)
    assert told == "The detector mtcnn needs torch, which is not installed here; choose --detector yunet or none."
    assert json.loads("\n".join(rest))["faces"][0]["label"] == expected.label


def test_what_predicting_needs_can_be_imported_without_torch() -> None:
    modules = (
        "results faces.alignment faces.detectors faces.yunet pictures calibration model_folder predict.run predict.shards recognizer zoo"
    )
    names = [f"evenface.{name}" for name in modules.split() if name != "faces.yunet" or _is_there("evenface.faces.yunet")]
    said = without_torch(f"import importlib\nfor name in {names!r}:\n    importlib.import_module(name)\nprint('torch' in sys.modules)")
    assert said == "False\n"


def _is_there(name: str) -> bool:
    from importlib.util import find_spec

    return find_spec(name) is not None


def test_openvino_is_loaded_without_its_telemetry(folder: Path, tmp_path: Path) -> None:
    """Its telemetry keeps a number of the machine in the home folder, before it sends anything."""
    pytest.importorskip("openvino")
    home = tmp_path / "home"
    home.mkdir()
    said = without_torch(
        f"""
from evenface.runtimes import open_runtime
runtime, _, _ = open_runtime({str(folder)!r}, runtime="openvino")
print(runtime.name, sys.modules.get("openvino_telemetry"), [name for name in sys.modules if name.startswith("openvino_telemetry.")])
""",
        HOME=str(home),
    )
    assert said == "openvino None []\n"
    assert not list(home.iterdir())
