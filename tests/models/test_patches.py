"""The two branches against their formulas, with loops over patches and quadrants; and grids of every size."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from evenface.errors import ConfigError, ModelError
from evenface.model_folder import load_model, save_model
from evenface.models.classifier import build_classifier
from evenface.models.earlier import take
from evenface.models.patches import Masks, Patches, _patches, _quadrants


NAMES = ("happiness", "neutral", "fear")


def network(model: str = "test_resnet", size: int = 64, **settings: object) -> Patches:
    torch.manual_seed(0)
    made = Patches.of(build_classifier(model, NAMES, size), **settings).double()
    with torch.no_grad():
        made.eca.weight.mul_(20)  # far from uniform
        for mask in (*made.masks, made.whole):
            mask[2].weight.mul_(3)
            mask[2].bias.uniform_(-1, 1)
    return made.eval()


def test_a_grid_of_28_has_patches_of_5_or_6_cells_that_share_none() -> None:
    seen = torch.zeros(1, 1, 28, 28)
    cuts = _patches(28, 28, 5)
    for cut in cuts:
        seen[cut] += 1
        assert set(seen[cut].shape[2:]) <= {5, 6}
    assert len(cuts) == 25
    assert (seen == 1).all()


@pytest.mark.parametrize("cells", [1, 2, 3, 7])
def test_small_and_odd_grids_are_covered_with_no_empty_part(cells: int) -> None:
    for cuts in (_patches(cells, cells, 5), _quadrants(cells, cells)):
        seen = torch.zeros(1, 1, cells, cells)
        for cut in cuts:
            assert seen[cut].numel()
            seen[cut] += 1
        assert (seen > 0).all()
    sizes = {tuple(torch.zeros(1, 1, cells, cells)[cut].shape[2:]) for cut in _quadrants(cells, cells)}
    assert sizes == {(-(-cells // 2), -(-cells // 2))}


@pytest.mark.parametrize("masks", ["channel", "cell"])
def test_output_is_what_the_formulas_say(masks: Masks) -> None:
    model = network(size=96, patches=3, share=0.3, hidden=8, masks=masks)  # grids of 6 x 6 and 3 x 3
    x = torch.rand(2, 3, 96, 96, dtype=torch.float64)
    with torch.no_grad():
        seen = model.look(x)
        last = model.grid(x)
        earlier = take(model.backbone, model._path)
    assert earlier.shape[2:] == (6, 6)
    for b in range(2):
        e, f = earlier[b], last[b]
        pooled = []
        for i in range(3):
            for j in range(3):
                patch = e[None, :, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
                pooled.append((model.masks[3 * i + j](patch) * patch)[0].mean((1, 2)))
        best = torch.stack([max(p[c] for p in pooled) for c in range(e.shape[0])])
        u = torch.cat([best, (model.whole(e[None])[0] * e).mean((1, 2))])
        u = u / u.square().sum().sqrt()
        attention = model.head.weight @ u + model.head.bias
        torch.testing.assert_close(seen.attention[b], attention)
        means = torch.nn.functional.pad(f.mean((1, 2)), (2, 2))
        scale = torch.stack([torch.sigmoid((model.eca.weight[0, 0] * means[c : c + 5]).sum()) for c in range(len(f))])
        f = f * scale[:, None, None]
        regions = []
        for rows in (slice(0, 2), slice(1, 3)):
            for columns in (slice(0, 2), slice(1, 3)):
                q = f[:, rows, columns].mean((1, 2))
                regions.append(model.outer.weight @ (model.inner.weight @ q + model.inner.bias).clamp(min=0) + model.outer.bias)
        torch.testing.assert_close(seen.regions[b], torch.stack(regions))
        torch.testing.assert_close(seen.output.logits[b], 0.3 * attention + 0.7 * sum(regions) / 4)
        torch.testing.assert_close(seen.output.features[b], torch.cat([u, f.mean((1, 2))]))


CASES = [("test_resnet", 32), ("test_resnet", 100), ("mobilenetv2_100", 64), ("test_convnext", 64), ("dlib_face_resnet_13", 64)]
CASES += [("swin_tiny_patch4_window7_224", 64)]


@pytest.mark.parametrize(("name", "size"), CASES)
def test_mean_of_a_map_plus_what_the_biases_give_is_the_logit(name: str, size: int) -> None:
    model = network(name, size, masks="cell", patches=3)
    x = torch.rand(2, 3, size, size, dtype=torch.float64)
    with torch.no_grad():
        out = model(x)
        grid = model.grid(x)
        take(model.backbone, model._path)
        grid = grid * model.eca(grid.mean((2, 3))[:, None]).sigmoid()[:, 0][:, :, None, None]
        constant = 0.2 * model.head.bias + 0.8 * model.outer.bias
        for cut in _quadrants(*model.backbone.grid):
            active = (model.inner(grid[cut].mean((2, 3))) > 0).double()
            constant = constant + 0.8 / 4 * (active * model.inner.bias) @ model.outer.weight.T
    assert out.maps.shape == (2, 3, *model.backbone.grid)
    torch.testing.assert_close(out.maps.mean((2, 3)) + constant, out.logits)


def test_every_weight_gets_a_gradient_and_the_maps_give_none_to_the_heads() -> None:
    model, x = network().train(), torch.rand(4, 3, 64, 64, dtype=torch.float64)
    model(x).logits.square().sum().backward()
    assert not [name for name, p in model.named_parameters() if p.grad is None]
    model.zero_grad(set_to_none=True)
    model(x).maps.square().sum().backward()
    assert all(p.grad is None for part in (model.head, model.inner, model.outer) for p in part.parameters())
    assert any(p.grad is not None and p.grad.any() for p in model.masks.parameters())


def test_a_face_does_not_depend_on_its_neighbours() -> None:
    model, x = network(), torch.rand(3, 3, 64, 64, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(model(x).logits[1:2], model(x[1:2]).logits)


def test_saved_loaded_or_copied_it_says_the_same(tmp_path: Path) -> None:
    model = network(share=0.4, patches=2, masks="cell", hidden=16).float()
    save_model(tmp_path / "model", model, {}, "# A card")
    loaded, _ = load_model(tmp_path / "model")
    x = torch.rand(2, 3, 64, 64)
    model(x)  # with a history
    with torch.no_grad():
        for other in (loaded, copy.deepcopy(model)):
            for ours, theirs in zip(model(x), other(x), strict=True):
                assert torch.equal(ours, theirs)


def test_its_backbone_has_the_weights_and_names_of_the_plain_one() -> None:
    plain = build_classifier("test_resnet", NAMES, 64)
    before = {k: v.clone() for k, v in plain.backbone.state_dict().items()}
    after = Patches.of(plain, masks="cell").backbone.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[k], v) for k, v in before.items())


WRONG = [{"share": -0.1}, {"share": 1.1}, {"share": float("nan")}, {"share": "all"}, {"masks": "Channel"}, {"masks": 3}]
WRONG += [{name: value} for name in ("patches", "hidden") for value in (0, -1, 2.5, "two", None)]


@pytest.mark.parametrize("settings", WRONG)
def test_impossible_settings_are_refused_by_hand_and_in_a_model_folder(settings: dict[str, Any], tmp_path: Path) -> None:
    small: dict[str, Any] = {"share": 1.0, "patches": 1, "masks": "cell", "hidden": 1}
    (name,) = settings
    with pytest.raises(ConfigError, match=name):
        network(**{**small, **settings})
    save_model(tmp_path / "model", network(**small).float(), {}, "# A card")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    config["network"].update(settings)
    (tmp_path / "model" / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=f"names a network that cannot be built here: .*{name}"):
        load_model(tmp_path / "model")
