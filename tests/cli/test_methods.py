"""`evenface methods` tells what the registry holds."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

import evenface.methods
from evenface.methods import METHODS


def test_the_list(cli: Any) -> None:
    text = cli("methods").out
    flat = " ".join(text.split())
    found = json.loads(cli("methods", "--format", "json").out)
    assert [about["name"] for about in found["methods"]] == list(METHODS)
    for about in found["methods"]:
        cls = METHODS[about["name"]]
        assert (about["title"], about["paper"], about["year"]) == (cls.title, cls.paper, cls.year)
        assert about["idea"] == (cls.__doc__ or "").splitlines()[0]
        assert cls.title in flat
        assert about["idea"] in flat
    views = {about["name"]: about["views"] for about in found["methods"]}
    assert {name for name, number in views.items() if number == 2} == {"eac", "mek", "rbc", "rbf", "rbcf"}
    assert set(views.values()) == {1, 2}
    assert max(map(len, text.splitlines())) <= 100
    table = cli("methods", "--format", "markdown").out.splitlines()
    rows = [line for line in table if line.startswith("|")]
    assert len(rows) == 2 + len(METHODS)
    assert len({line.count(" | ") for line in rows}) == 1


def test_what_a_method_costs(cli: Any) -> None:
    measured = json.loads((Path(evenface.methods.__file__).parent / "costs.json").read_text())
    assert set(measured["methods"]) == set(METHODS)  # a new method has to be measured too
    assert measured["methods"]["ce"] == {"time": 1.0, "memory": 1.0, "steps": 1.0}
    found = json.loads(cli("methods", "--format", "json").out)["methods"]
    assert {about["name"]: about["cost"] for about in found} == measured["methods"]
    text = cli("methods").out
    assert measured["command"] in " ".join(text.split())
    time, memory = (measured["methods"]["rbcf"][key] for key in ("time", "memory"))
    row = next(line.split() for line in text.splitlines() if line.startswith("rbcf "))
    assert row[1:5] == ["2025", "2", f"{time:.1f}", f"{memory:.1f}"]
    assert f"takes {time:g} x the time of ce and {memory:g} x the memory" in cli("methods", "rbcf").out
    assert "No training" in cli("methods", "tau_norm").out


@pytest.mark.parametrize("name", METHODS)
def test_the_options_of_one(name: str, cli: Any) -> None:
    text = cli("methods", name).out
    about = json.loads(cli("methods", name, "--format", "json").out)["method"]
    fields = {field.name: field for field in dataclasses.fields(METHODS[name].Options)}
    assert [option["name"] for option in about["options"]] == list(fields)
    help_text = " ".join(cli("train", "--method", name, "--help").out.split())
    flat = " ".join(text.split())
    for option in about["options"]:
        assert option["default"] == fields[option["name"]].default
        assert f"  {option['flag']}  " in text
        assert option["help"] in flat
        for flag in option["flag"].split(" / "):
            assert flag in help_text  # the same flags as the training's
    assert name in cli("methods", name, "--format", "markdown").out


def test_the_papers_method(cli: Any) -> None:
    text = cli("methods", "rbcf").out
    assert "--lam  a number  (default: 0.1)\n      lambda, weight of the consistency of the class maps; at least 0" in text
    assert "--cls-views  both | original  (default: both)" in text
    assert "--detach-maps / --no-detach-maps" in text
    assert "2025" in text


def test_ones_own_method(cli: Any, home: Path) -> None:
    (home / "mine.py").write_text(
        "from evenface.methods import Losses, Method\n\n\nclass Mine(Method):\n    '''My idea.'''\n    title = 'Mine'\n\n"
        "    def loss(self, batch, model):\n        raise NotImplementedError\n"
    )
    answer = cli("methods", "mine.py:Mine")
    assert answer.code == 0
    assert "My idea." in answer.out
    assert "no options of its own" in answer.out


def test_an_unknown_method(cli: Any) -> None:
    cli("methods", "rbfc").refused(2, "Unknown method 'rbfc'", "did you mean")
    cli("methods", "zzzz").refused(2, "known are: ada_cm, balanced_softmax, bbn")
    cli("methods", "nowhere.py:X").refused(2, "no file 'nowhere.py'")
