"""What the teachers say, computed another way."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file

from evenface.distill.teachers import FaceTeacher, ModelTeachers
from evenface.errors import ConfigError, LabelError, MissingExtra, ModelError
from evenface.labels import BASIC
from evenface.model_folder import load_model, save_model
from evenface.models.classifier import build_classifier

from .conftest import model_folder


def random(n: int, size: int) -> torch.Tensor:
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(0))


def test_the_face_teacher_by_plain_operations(dlib_file: Path) -> None:
    """dlib's formula, operation by operation from the file, on faces that are resized to its size."""
    w = load_file(dlib_file)
    x = random(2, 48)
    descriptor, grid = FaceTeacher(112)(x)
    y = F.interpolate(x, size=(112, 112), mode="bilinear", align_corners=False)
    y = (y * 255 - torch.tensor([122.782, 117.001, 104.298]).view(1, 3, 1, 1)) / 256

    def layer(y: torch.Tensor, conv: str, affine: str, stride: int, padding: int) -> torch.Tensor:
        y = F.conv2d(y, w[f"{conv}.weight"], w[f"{conv}.bias"], stride, padding)
        return y * w[f"{affine}.weight"].view(1, -1, 1, 1) + w[f"{affine}.bias"].view(1, -1, 1, 1)

    y = F.max_pool2d(layer(y, "conv", "aff", 2, 0).relu(), 3, 2)
    before = y
    for i in range(14):
        before = y
        down = i in (3, 7, 10, 13)
        z = layer(y, f"blocks.{i}.conv1", f"blocks.{i}.aff1", 2 if down else 1, 0 if down else 1).relu()
        z = layer(z, f"blocks.{i}.conv2", f"blocks.{i}.aff2", 1, 1)
        y = F.avg_pool2d(y, 2) if down else y
        shape = [max(a, b) for a, b in zip(y.shape, z.shape, strict=True)]
        whole = torch.zeros(shape)
        for part in (y, z):
            whole[:, : part.shape[1], : part.shape[2], : part.shape[3]] += part
        y = whole.relu()
    torch.testing.assert_close(grid, before, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(descriptor, y.mean((2, 3)) @ w["fc.weight"].T, atol=1e-4, rtol=1e-4)


def test_the_real_descriptor_tells_people_apart(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A face and its mirror are one person to dlib (below 0.6), noise is somebody else."""
    data = pytest.importorskip("skimage.data")
    monkeypatch.setenv("EVENFACE_DLIB_FACE", str(shared / "weights" / "dlib_face_resnet_v1.safetensors"))
    face = torch.from_numpy(data.astronaut()[20:200, 130:310].copy()).permute(2, 0, 1)[None].float() / 255
    found, _ = FaceTeacher()(torch.cat([F.interpolate(face, (150, 150)), F.interpolate(face.flip(-1), (150, 150)), random(1, 150)]))
    assert (found[0] - found[1]).norm() < 0.6 < (found[0] - found[2]).norm()


def test_a_face_teacher_that_cannot_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="103 px or more"):
        FaceTeacher(64)
    (tmp_path / "other.safetensors").write_bytes(b"")
    monkeypatch.setenv("EVENFACE_DLIB_FACE", str(tmp_path / "gone.safetensors"))
    with pytest.raises(ModelError, match="not a file"):
        FaceTeacher()
    monkeypatch.setenv("EVENFACE_DLIB_FACE", str(tmp_path / "other.safetensors"))
    with pytest.raises(ModelError, match="safetensors"):
        FaceTeacher()
    monkeypatch.delenv("EVENFACE_DLIB_FACE")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"The teacher 'dlib-face'.*evenface\[dlib-face\]"):
        FaceTeacher()


def test_other_weights_are_no_face_network(models: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENFACE_DLIB_FACE", str(Path(models[0]) / "model.safetensors"))
    with pytest.raises(ModelError, match="not dlib's face network"):
        FaceTeacher()


def test_models_teach_their_mean_whatever_their_order(tmp_path: Path) -> None:
    """Two models, the second with its classes in another order and of another size."""
    other = (*BASIC[3:], *BASIC[:3])
    a, b = model_folder(tmp_path / "a", 1), model_folder(tmp_path / "b", 2, other, size=64)
    x = random(3, 32)
    found, maps = ModelTeachers([str(a), str(b)])(x, temperature=2.0)
    first, second = load_model(a)[0], load_model(b)[0]
    with torch.no_grad():
        one, two = first(x), second(F.interpolate(x, (64, 64), mode="bilinear", align_corners=False))
    for n in range(3):
        for i, name in enumerate(BASIC):
            j = other.index(name)
            p = (one.logits[n] / 2).exp()[i] / (one.logits[n] / 2).exp().sum()
            q = (two.logits[n] / 2).exp()[j] / (two.logits[n] / 2).exp().sum()
            assert found[n, i].item() == pytest.approx((p + q).item() / 2, abs=1e-5)
            assert maps[n, i].mean().item() == pytest.approx((one.maps[n, i].mean() + two.maps[n, j].mean()).item() / 2, abs=1e-4)
    assert maps.shape[2:] == one.maps.shape[2:] != two.maps.shape[2:]


def test_other_faces_are_shown_as_those_that_a_model_learned_from(tmp_path: Path) -> None:
    """Against pictures that are made grey and coarse by hand before an untouched teacher sees them."""
    folder, own = model_folder(tmp_path / "a", 1), {"template": "box", "margin": 0.0, "resolution": 8, "grey": True}
    plain, taught = ModelTeachers([str(folder)]), tmp_path / "a" / "config.json"
    taught.write_text(json.dumps({**json.loads(taught.read_text()), "alignment": own}))
    teacher, x = ModelTeachers([str(folder)]), random(2, 32)
    for alignment, words in ((own, []), (None, ["grey, at most 8 px"]), ({**own, "grey": False}, ["grey, at most 8 px"])):
        teacher.look_at(alignment)
        assert teacher.looks == words
        shown = x
        if words:
            luma = (0.299 * x[:, 0] + 0.587 * x[:, 1] + 0.114 * x[:, 2]).numpy()
            small = [np.asarray(Image.fromarray(face).resize((8, 8), Image.Resampling.BILINEAR)) for face in luma]
            grey = torch.from_numpy(np.stack(small)).unsqueeze(1).expand(-1, 3, -1, -1)
            shown = F.interpolate(grey, (32, 32), mode="bilinear", align_corners=False)
        torch.testing.assert_close(teacher(x)[0], plain(shown)[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_pictures_of_half_precision_are_made_smaller_too(dtype: torch.dtype, tmp_path: Path) -> None:
    """As a training in bf16 hands them over: to a teacher of coarse grey faces, and to one of a smaller size than the student's."""
    folder, own = model_folder(tmp_path / "a", 1), {"template": "box", "margin": 0.0, "resolution": 8, "grey": True}
    taught = tmp_path / "a" / "config.json"
    taught.write_text(json.dumps({**json.loads(taught.read_text()), "alignment": own}))
    teacher = ModelTeachers([str(folder)])
    for side, alignment in ((32, None), (48, own)):
        teacher.look_at(alignment)
        x = random(2, side)
        with torch.autocast("cpu", torch.bfloat16):
            found = teacher(x.to(dtype))[0]
        torch.testing.assert_close(found, teacher(x)[0], rtol=0.1, atol=0.02)


def test_teachers_that_do_not_fit(tmp_path: Path, models: list[str]) -> None:
    with pytest.raises(ConfigError, match="Unknown teacher 'dlib-fase'; did you mean 'dlib-face'"):
        ModelTeachers(["dlib-fase"])
    os.mkdir(tmp_path / "empty")
    with pytest.raises(ConfigError, match="neither a run"):
        ModelTeachers([str(tmp_path / "empty")])
    few = model_folder(tmp_path / "few", 3, BASIC[:3])
    with pytest.raises(LabelError, match="'few'"):
        ModelTeachers([models[0], str(few)])


def test_no_weight_of_a_teacher_learns(models: list[str]) -> None:
    for teacher in (FaceTeacher(103), ModelTeachers(models)):
        assert not [p for p in teacher.parameters() if p.requires_grad]
        assert not [m for m in teacher.modules() if m.training]


def test_a_size_that_a_model_cannot_take_is_told_at_once(tmp_path: Path) -> None:
    model = build_classifier("dlib_face_resnet_13", BASIC, 64)
    save_model(tmp_path / "large", model, {}, "# a teacher\n")
    assert ModelTeachers([str(tmp_path / "large")]).sizes == (64,)
    with pytest.raises(ConfigError, match=r"The teacher 'large' cannot take faces of 32 px .*; try another --teacher-size"):
        ModelTeachers([str(tmp_path / "large")], 32)
