"""The hooks of a method, by methods that write down what the loop gives them (`hooked.py`)."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
from PIL import Image
from torch import Tensor

from evenface.data.manifest import IMAGE_TYPE, Manifest
from evenface.errors import ConfigError, ModelError
from evenface.methods import Batch
from evenface.model_folder import load_model
from evenface.training import run
from evenface.training.checkpoint import load_state
from evenface.training.config import TrainConfig
from evenface.training.data import load_manifest
from evenface.training.loop import Interrupted, Loop
from evenface.training.optim import lr_factor
from evenface.training.run import resume, train


Settings = Callable[..., TrainConfig]
AtStep = Callable[..., type[BaseException]]

FILE = Path(__file__).with_name("hooked.py")
UNCHANGED: dict[str, Any] = {"hflip": 0.0, "erase": 0.0, "jitter": 0.0}  # so that "run" shows the faces as they are
STEPS = 4  # per epoch: 29 faces in batches of 8


def written() -> list[tuple[str, Any]]:
    """What the methods of the last run wrote down, by name."""
    (module,) = [module for name, module in sys.modules.items() if name.startswith("evenface_user_hooked_")]
    return list(module.CALLS)


def calls(what: str = "loss") -> list[Any]:
    """Those of one name."""
    return [value for name, value in written() if name == what]


def batches() -> list[Batch]:
    return [batch for batch, _ in calls()]


def keys(faces: Tensor) -> list[bytes]:
    return [face.numpy().tobytes() for face in (faces * 255).round().byte()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Seven faces without labels, each of one colour."""
    path = tmp_path / "unlabelled"
    path.mkdir()
    for i in range(7):
        Image.new("RGB", (32, 32), (30 * i, 0, 0)).save(path / f"{i}.png")
    return path


@pytest.fixture
def marked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weak and strong pictures that can be told: all 0.25, all 0.75."""
    monkeypatch.setattr(run, "Weak", lambda: lambda faces, share: torch.full_like(faces, 0.25))
    monkeypatch.setattr(run, "Strong", lambda mean: lambda faces, share: torch.full_like(faces, 0.75))


@pytest.mark.usefixtures("marked")
def test_further_views_are_of_the_kinds_asked_for_in_their_order(settings: Settings) -> None:
    train(settings(method=f"{FILE}:Pool", epochs=1, **UNCHANGED))
    assert len(batches()) == STEPS
    for batch in batches():
        strong, same, weak = batch.extra
        assert strong.shape == same.shape == weak.shape == batch.x.shape
        assert (strong == 0.75).all()
        assert torch.equal(same, batch.x)
        assert (weak == 0.25).all()
        assert [x.dtype for x in batch.extra] == [torch.float32] * 3
        assert (batch.pool[1] == 0.75).all()
        assert batch.second is None


def test_each_view_has_chances_of_its_own(settings: Settings) -> None:
    train(settings(method=f"{FILE}:Pool", epochs=1))
    for batch in batches():
        strong, again, weak = batch.extra
        assert not torch.equal(again, batch.x)
        assert not torch.equal(strong, weak)
        assert not torch.equal(batch.pool[0], batch.x)


def test_a_method_that_asks_for_nothing_gets_nothing(settings: Settings) -> None:
    train(settings(method=f"{FILE}:Plain", epochs=1))
    assert [(batch.extra, batch.pool) for batch in batches()] == [((), ())] * STEPS


def test_unlabelled_faces_are_by_default_those_of_train_each_once(settings: Settings) -> None:
    train(settings(method=f"{FILE}:Pool", epochs=1, **UNCHANGED))
    assert [len(batch.pool[0]) for batch in batches()] == [8, 8, 8, 5]
    pool = [key for batch in batches() for key in keys(batch.pool[0])]
    labelled = [key for batch in batches() for key in keys(batch.x)]
    assert len(set(pool)) == 29
    assert set(pool) == set(labelled)
    assert pool != labelled  # in an order of their own


def test_a_folder_is_gone_through_whole_before_a_face_comes_again(settings: Settings, folder: Path) -> None:
    train(settings(method=f"{FILE}:Pool", unlabelled=str(folder), method_options={"ratio": 1.5}, epochs=2, **UNCHANGED))
    assert [len(batch.pool[0]) for batch in batches()] == [12, 12, 12, 8] * 2
    assert all(batch.pool[1].shape == batch.pool[0].shape == (len(batch.pool[0]), 3, 32, 32) for batch in batches())
    red = [round(255 * face[0, 0, 0].item()) for batch in batches() for face in batch.pool[0]]
    epochs = [red[:44], red[44:]]
    rounds = [epoch[i : i + 7] for epoch in epochs for i in range(0, 42, 7)]
    assert all(sorted(each) == [0, 30, 60, 90, 120, 150, 180] for each in rounds)
    assert len(set(map(tuple, rounds))) > len(rounds) // 2  # shuffled anew


def test_after_step_comes_once_after_each_update_and_without_gradient(settings: Settings) -> None:
    train(settings(method=f"{FILE}:Plain"))
    names = [name for name, _ in written()]
    assert names == ["loss", "after_step"] * (2 * STEPS)
    before, after = [weight for _, weight in calls()], [weight for _, weight in calls("after_step")]
    assert [gradient for gradient, _ in calls("after_step")] == [False] * (2 * STEPS)
    assert not any(torch.equal(a, b) for a, b in zip(before, after, strict=True))  # it sees the weights as updated
    assert all(torch.equal(a, b) for a, b in zip(before[1:], after[:-1], strict=True))


def test_what_is_deployed_is_what_best_holds(settings: Settings) -> None:
    config = settings(method=f"{FILE}:Teacher", epochs=1)
    train(config)
    best, _ = load_model(config.folder / "best")
    state = load_state(config.folder / "last.ckpt")["trainee"]
    for name, value in best.state_dict().items():
        assert torch.equal(value, state[f"method.teacher.{name}"]), name
    assert not torch.equal(best.head.weight, state["model.head.weight"])


def test_tables_are_csv_with_the_ids_of_the_faces(settings: Settings) -> None:
    config = settings(method=f"{FILE}:Teacher")
    train(config)
    ids = load_manifest(config).split("train").ids()
    rows = list(csv.DictReader((config.folder / "doubted.csv").read_text().splitlines()))
    assert rows == [{"id": ids[4], "doubt": "0.5"}, {"id": ids[0], "doubt": "0.25"}]
    course = list(csv.DictReader((config.folder / "course.csv").read_text().splitlines()))
    assert course == [{"steps": str(2 * STEPS), "note": "a, b"}]  # as of the last epoch


def test_lr_scale_multiplies_the_rate_at_every_step(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    original, found = Loop.step, []

    def step(self: Loop, *args: Any) -> Any:
        parts = original(self, *args)
        head = self.plain.model.head.weight
        rates = {group["lr_scale"]: group["lr"] for group in self.optimizer.param_groups}
        (of_head,) = [group["lr_scale"] for group in self.optimizer.param_groups if any(p is head for p in group["params"])]
        found.append((rates, of_head))
        return parts

    monkeypatch.setattr(Loop, "step", step)
    first: dict[str, Tensor] = {}
    fit = Loop.fit

    def begin(self: Loop) -> Any:
        first.update({name: p.detach().clone() for name, p in self.plain.model.named_parameters()})
        return fit(self)

    monkeypatch.setattr(Loop, "fit", begin)
    config = settings(method=f"{FILE}:Teacher", schedule="cosine", lr=1e-3)
    train(config)
    assert len(found) == 2 * STEPS
    for i, (rates, of_head) in enumerate(found):
        rate = 1e-3 * lr_factor(config, i / STEPS)
        assert rates == pytest.approx({1.0: rate, 5.0: 5 * rate, 0.0: 0.0})
        assert of_head == 5.0
    state = load_state(config.folder / "last.ckpt")["trainee"]
    still = {name for name, p in first.items() if torch.equal(p, state[f"model.{name}"])}
    assert still == {name for name in first if ".layer1." in name}  # at a rate of 0
    assert still


def test_stopped_or_killed_it_ends_with_the_same_bits(
    settings: Settings, folder: Path, at_step: AtStep, assert_same: Callable[[Path, Path], None]
) -> None:
    options: dict[str, Any] = {"method": f"{FILE}:Teacher", "unlabelled": str(folder), "method_options": {"ratio": 1.5}, "erase": 0.5}
    train(settings(output="whole", **options))
    config = settings(output="stopped", save_minutes=0.0, **options)
    at_step(2, "stop")  # within the first epoch
    with pytest.raises(Interrupted):
        train(config)
    killed = at_step(4, "kill")  # within the second; saved at each step, so that one step is lost
    with pytest.raises(killed):
        resume(config.folder)
    at_step(0)
    resume(config.folder)
    assert_same(settings(output="whole").folder, config.folder)
    for table in ("doubted.csv", "course.csv"):
        assert (config.folder / table).read_text() == (settings(output="whole").folder / table).read_text()


def test_unlabelled_faces_for_a_method_that_wants_none_are_refused(settings: Settings, folder: Path) -> None:
    config = settings(method="ce", unlabelled=str(folder))
    with pytest.raises(ConfigError, match="leave --unlabelled out"):
        train(config)
    assert not config.folder.exists()


@pytest.mark.parametrize("change", ["one more", "another name", "another face"])
def test_a_resume_with_other_unlabelled_faces_is_refused(settings: Settings, folder: Path, at_step: AtStep, change: str) -> None:
    config = settings(method=f"{FILE}:Pool", unlabelled=str(folder))
    at_step(1, "stop")
    with pytest.raises(Interrupted):
        train(config)
    at_step(0)
    if change == "one more":
        Image.new("RGB", (32, 32)).save(folder / "more.png")
    elif change == "another name":
        (folder / "3.png").rename(folder / "9.png")
    else:
        Image.new("RGB", (32, 32), (1, 2, 3)).save(folder / "3.png")
    with pytest.raises(ModelError, match="unlabelled faces are not those"):
        resume(config.folder)


def test_coloured_faces_beside_grey_ones_keep_their_colours(settings: Settings, folder: Path, tmp_path: Path) -> None:
    whole, grey = Manifest.load(Path(str(settings().data_dir))), []
    for row in range(len(whole)):
        file = io.BytesIO()
        Image.open(io.BytesIO(whole.image_bytes(row))).convert("L").save(file, "PNG")
        grey.append({"bytes": file.getvalue(), "path": None})
    at = whole.table.column_names.index("image")
    whole.replace(whole.table.set_column(at, "image", pa.array(grey, IMAGE_TYPE))).save(tmp_path / "grey.parquet")
    given = {"data_dir": str(tmp_path / "grey.parquet"), "unlabelled": str(folder), "epochs": 1, **UNCHANGED}
    train(settings(method=f"{FILE}:Pool", **given))
    for batch in batches():
        assert torch.equal(batch.x[:, 0], batch.x[:, 1])
        assert (batch.pool[0][:, 1:] == 0).all()  # red, and not white
