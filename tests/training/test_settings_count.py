"""Settings change what they say they change. (That a run repeats and resumes to the bit does not show it: there both sides ignore one.)"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score
from torch import nn

from evenface.data.imbalance import imbalanced
from evenface.data.manifest import Manifest
from evenface.evaluation.evaluate import predict
from evenface.model_folder import load_model
from evenface.training import judge as judge_module
from evenface.training.config import TrainConfig
from evenface.training.data import load_manifest
from evenface.training.judge import ByExpressions
from evenface.training.loop import Loop
from evenface.training.run import assemble, train


Settings = Callable[..., TrainConfig]


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> list[SimpleNamespace]:
    """What each step of a training begins with and is given."""
    steps: list[SimpleNamespace] = []
    plain = Loop.step

    def step(self: Loop, rows: np.ndarray, *rest: Any) -> Any:
        head = self.plain.model.head.weight.detach().clone()  # type: ignore[union-attr, operator]
        steps.append(SimpleNamespace(rows=rows.tolist(), head=head))
        return plain(self, rows, *rest)

    monkeypatch.setattr(Loop, "step", step)
    return steps


def test_another_seed_is_another_training(settings: Settings, watched: list[SimpleNamespace]) -> None:
    """Another start of the head, another order of the faces, other changes of them; and the same seed is the same."""
    found = []
    for number, seed in enumerate((0, 1, 1)):
        watched.clear()
        folder = train(settings(output=str(number), epochs=1, seed=seed)).folder
        found.append((watched[0].head, [step.rows for step in watched], load_model(folder / "best")[0].state_dict()))
    zero, one, again = found
    assert not torch.equal(zero[0], one[0])
    assert zero[1] != one[1]
    assert torch.equal(one[0], again[0])
    assert one[1] == again[1]
    assert all(torch.equal(one[2][key], again[2][key]) for key in one[2])


def test_the_seed_draws_how_faces_are_changed(settings: Settings) -> None:
    """The same faces in the same step, so that nothing but the draw of the augmentation can differ."""
    seen = []
    for seed in (0, 1, 0):
        loop = assemble(settings(seed=seed, hflip=0.5, erase=0.5, jitter=1.0))
        rows = np.arange(8)
        given: list[torch.Tensor] = []
        loop.trainee.register_forward_pre_hook(lambda _, words, given=given: given.append(words[0].clone()))
        loop.step(rows, rows, loop.train.gather(rows), 0.0, 0)
        seen.append(given[0])
        loop.folder.path.rename(loop.folder.path.with_name(f"done{len(seen)}"))
    assert not torch.equal(seen[0], seen[1])
    assert torch.equal(seen[0], seen[2])


def test_gradients_are_clipped(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    norms: list[float] = []
    plain = torch.optim.SGD.step

    def step(self: torch.optim.SGD, *words: Any, **more: Any) -> Any:
        slopes = [p.grad for group in self.param_groups for p in group["params"] if p.grad is not None]
        norms.append(float(torch.stack([slope.square().sum() for slope in slopes]).sum().sqrt()))
        return plain(self, *words, **more)

    monkeypatch.setattr(torch.optim.SGD, "step", step)
    train(settings(output="free", epochs=1, optimizer="sgd"))
    free = max(norms)
    norms.clear()
    train(settings(output="clipped", epochs=1, optimizer="sgd", clip_grad=1e-3))
    assert max(norms) == pytest.approx(1e-3, rel=1e-3)
    assert free > 2e-3


def test_the_second_view_is_the_one_that_was_asked_for(settings: Settings) -> None:
    seen = {}
    for view in ("mirror", "vertical"):
        config = settings(output=view, epochs=1, method="ce", method_options={"cls_views": "both"}, view=view)
        loop = assemble(config)
        rows = np.arange(8)
        given: list[tuple[torch.Tensor, torch.Tensor]] = []
        loop.trainee.register_forward_pre_hook(lambda _, words, given=given: given.append((words[0], words[1])))
        loop.step(rows, rows, loop.train.gather(rows), 0.0, 0)
        seen[view] = given[0]
    assert torch.equal(seen["mirror"][1], seen["mirror"][0].flip(-1))
    assert torch.equal(seen["vertical"][1], seen["vertical"][0].flip(-2))


def test_dropout_and_passes_reach_network_and_method(settings: Settings) -> None:
    loop = assemble(settings(dropout=0.3, passes="two", method="ce", method_options={"cls_views": "both"}))
    assert [m.p for m in loop.plain.model.modules() if isinstance(m, nn.Dropout)] == [0.3]
    assert loop.method.setting.passes == "two"
    sizes: list[int] = []
    loop.plain.model.backbone.register_forward_pre_hook(lambda _, words: sizes.append(len(words[0])))  # type: ignore[union-attr, operator]
    rows = np.arange(8)
    loop.step(rows, rows, loop.train.gather(rows), 0.0, 0)
    assert sizes == [8, 8]


def test_bf16_is_bf16_in_training_and_evaluation(settings: Settings) -> None:
    kinds: dict[str, set[torch.dtype]] = {}
    for precision in ("fp32", "bf16"):
        loop = assemble(settings(output=precision, precision=precision))
        seen: set[torch.dtype] = set()
        loop.plain.model.backbone.register_forward_hook(lambda _, words, out, seen=seen: seen.add(out.dtype))  # type: ignore[union-attr, operator]
        rows = np.arange(8)
        loop.step(rows, rows, loop.train.gather(rows), 0.0, 0)
        kinds[f"train {precision}"] = set(seen)
        seen.clear()
        loop.judge(loop.model_to_keep())
        kinds[f"judge {precision}"] = set(seen)
        seen.clear()
        predict(loop.model_to_keep(), loop.train, precision=precision)
        kinds[f"predict {precision}"] = set(seen)
    for name, found in kinds.items():
        assert found == {torch.bfloat16 if name.endswith("bf16") else torch.float32}, name


# -------------------- the faces


def labels_of(manifest: Manifest, split: str = "train") -> dict[str, str]:
    part = manifest.split(split)
    return dict(zip(part.ids(), part.table["label"].to_pylist(), strict=True))


def test_labels_are_flipped_by_the_share_and_the_seed_of_the_data(settings: Settings, tiny_set: Path) -> None:
    true = labels_of(Manifest.load(tiny_set))

    def flipped(**changes: Any) -> set[str]:
        found = labels_of(load_manifest(settings(label_noise=0.5, **changes)))
        assert found.keys() == true.keys()
        return {name for name, label in found.items() if label != true[name]}

    assert abs(len(flipped()) - 0.5 * len(true)) <= 1
    assert flipped(seed=7) == flipped()  # the seed of the training has no part in it
    assert flipped(data_seed=7) != flipped()
    assert labels_of(load_manifest(settings(label_noise=0.5)), "test") == labels_of(Manifest.load(tiny_set), "test")


def test_train_is_thinned_out_in_the_reading_that_was_asked_for(settings: Settings, tiny_set: Path) -> None:
    whole, kept = Manifest.load(tiny_set), {}
    for reading in ("A", "B"):
        config = settings(imbalance=9.0, imbalance_reading=reading, data_seed=3)
        kept[reading] = load_manifest(config).split("train").ids()
        assert kept[reading] == imbalanced(whole, 9.0, reading=reading, seed=3).split("train").ids()
    assert kept["A"] != kept["B"] != load_manifest(settings(imbalance=9.0, imbalance_reading="B")).split("train").ids()


@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.4])
def test_so_large_a_part_of_each_class_is_set_aside(fraction: float, settings: Settings, tiny_set: Path, tmp_path: Path) -> None:
    whole = Manifest.load(tiny_set)
    whole.take([i for i, split in enumerate(whole.table["split"].to_pylist()) if split != "validation"]).save(tmp_path / "two.parquet")
    found = load_manifest(settings(data_dir=str(tmp_path / "two.parquet"), val_fraction=fraction))
    before = Counter(labels_of(whole).values())
    assert Counter(labels_of(found, "validation").values()) == {name: max(1, round(fraction * n)) for name, n in before.items()}


# -------------------- the choice of the epoch


def test_the_epoch_is_chosen_by_what_was_asked_for_and_the_loss_is_a_mean(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    loop = assemble(settings())
    store = loop.judge.store  # type: ignore[attr-defined]
    true = store.manifest.targets()
    random = np.random.default_rng(0)
    p = random.dirichlet(np.ones(3), len(true)).astype(np.float32)
    monkeypatch.setattr(judge_module, "predict", lambda *_, **__: p)
    answers = p.argmax(1)
    expected = {
        "overall": accuracy_score(true, answers),
        "mean_recall": balanced_accuracy_score(true, answers),
        "macro_f1": f1_score(true, answers, average="macro"),
    }
    assert len({round(value, 6) for value in expected.values()}) == 3
    for select, value in expected.items():
        verdict = ByExpressions(store, "validation", select, torch.device("cpu"), "fp32")(loop.model_to_keep())
        assert verdict.value == pytest.approx(value)
        assert verdict.scores["loss"] == pytest.approx(-sum(np.log(row[label]) for row, label in zip(p, true, strict=True)) / len(true))
        assert {name: verdict.scores[name] for name in expected} == pytest.approx(expected)
