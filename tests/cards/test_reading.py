"""Files that were changed by hand, or cut off: what cannot be read is never written over, and an odd entry costs its own part only."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evenface.cards.facts import gather
from evenface.cards.folder import keep_edited, renew
from evenface.cards.page import card
from evenface.errors import DataError

from .conftest import CONFUSION, metrics_of


@pytest.fixture
def model(run: Path, tmp_path: Path) -> Path:
    """The model folder, away from its run, with its card and its facts."""
    renew(run / "best", run, minutes=7.0)
    return Path(shutil.copytree(run / "best", tmp_path / "model"))


def change(file: Path, how: Callable[[Any], object]) -> None:
    values = json.loads(file.read_text())
    how(values)
    file.write_text(json.dumps(values))


@pytest.mark.parametrize("damage", ["", '{"schema_version": 1, "na', "[]", "7", "null", "{}", '{"schema_version": 2, "name": "x"}'])
@pytest.mark.parametrize("of_a_run", [True, False])
def test_a_card_json_that_cannot_be_read_is_not_written_over(run: Path, model: Path, damage: str, of_a_run: bool) -> None:
    folder = run / "best" if of_a_run else model
    text = (folder / "README.md").read_text()
    (folder / "card.json").write_text(damage)
    with pytest.raises(DataError, match=r"card\.json cannot be read \(.*or remove it"):
        renew(folder, run if of_a_run else None)
    assert (folder / "card.json").read_text() == damage
    assert (folder / "README.md").read_text() == text
    (folder / "card.json").unlink()
    assert renew(folder, run if of_a_run else None).read_text().startswith("---")


def test_a_training_goes_on_over_one_and_keeps_the_card(run: Path, config: dict[str, Any]) -> None:
    """What it knows of its new best model takes the place of all that stood there; the card may be a person's."""
    (run / "best" / "README.md").write_text("perhaps mine")
    (run / "best" / "card.json").write_text("{")
    trained = {**metrics_of(CONFUSION, split="validation"), "own": True, "by": "training"}
    assert "## Scores on validation" in card(gather(run, config, trained=trained))
    assert keep_edited(run / "best", run) == run / "README.old.md"


@pytest.mark.parametrize(
    "odd",
    [
        7,
        "test",
        None,
        [],
        {},
        {"split": "test", "own": True},
        {"per_class": {}},
        {"per_class": 3},
        {"ci95": {"overall": [0.1]}},
        {"confusion": [[1, 2], [3, 4]]},
        {"confusion": 9},
        {"class_names": [["fear"], "neutral", "happiness"]},
        {"n": "160"},
        {"prior": "mine"},
        {"tta": None},
        {"duplicates_of_train": 3},
        {"duplicates_of_train": {"n": 3}},
        {"paper": {"last": 1}},
    ],
    ids=str,
)
def test_scores_of_another_shape_are_left_out(run: Path, model: Path, odd: Any) -> None:
    """Of the three scores the one of validation is odd; the rest of the card stays as it was."""
    whole = (model / "README.md").read_text()

    def spoil(scores: list[Any]) -> None:
        i = next(i for i, each in enumerate(scores) if each["split"] == "validation")
        scores[i] = {**scores[i], **odd} if isinstance(odd, dict) and odd and "own" not in odd else odd

    change(model / "card.json", lambda values: spoil(values["scores"]))
    text = renew(model).read_text()
    assert "## Scores on validation" in whole
    assert "## Scores on validation" not in text
    parts = [each.partition("## How it was trained")[2] for each in (whole, text)]
    assert parts[0] == parts[1] != ""
    if isinstance(odd, dict) and "own" not in odd:  # the same in the file of `evaluate`
        change(run / "metrics-validation.json", lambda values: values.update(odd))
        found = card(gather(run, json.loads((run / "best" / "config.json").read_text())))
        assert ("## Scores on validation" in found) == (not odd or odd == {"tta": None})  # where null is "none"


@pytest.mark.parametrize(
    ("key", "odd"),
    [("scores", 3), ("scores", {"a": 1}), ("run", []), ("run", {"settings": 1, "environment": "x", "epochs": "5", "minutes": "7",
     "images_per_second": [1]}), ("run", {"environment": {"packages": ["torch"], "notes": 5}}), ("name", 5), ("card_sha256", 5)],
)  # fmt: skip
def test_entries_of_another_kind_are_not_known(model: Path, key: str, odd: object) -> None:
    change(model / "card.json", lambda values: values.update({key: odd}))
    text = renew(model).read_text()
    assert ("## Scores on test" in text) == (key != "scores")
    assert ("7 minutes in all" in text) == (key != "run")
    assert ("# first\n" in text) == (key != "name")


def test_an_odd_word_in_the_log_costs_its_row_only(run: Path, config: dict[str, Any]) -> None:
    (run / "log.csv").write_text("epoch,images_per_second\n1,101\n2,n/a\n3,nan\n4,\n5,105\n")
    assert "103 faces a second" in card(gather(run, config))  # the median of 101 and 105
    (run / "log.csv").write_text("epoch,images_per_second\n1,fast\n")
    assert "| speed of training | not measured |" in card(gather(run, config))


@pytest.mark.parametrize("odd", [[], 3, {"packages": 3, "notes": 3}, {"packages": None, "notes": [1, None]}])
def test_an_environment_of_another_shape(run: Path, config: dict[str, Any], odd: object) -> None:
    (run / "environment.json").write_text(json.dumps(odd))
    (run / "config.yaml").write_text("epochs: many\noptimizer: [1]\n")
    config["epoch"] = "four"
    assert "| optimiser | [1] |" in card(gather(run, config))
